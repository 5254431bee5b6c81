package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is the real binary, running.
type process struct {
	cmd       *exec.Cmd
	clients   string // base URL
	operators string // base URL
	data      string // as the node says
	greeting  string // all that the node says of itself
	stderr    *safeBuffer
	drained   sync.WaitGroup // reading the rest of its output
}

// startProcess runs the binary on ports that are free and waits until it is up.
func startProcess(t *testing.T, dir string, flags ...string) *process {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	p, err := tryProcess(t, append([]string{"--data", dir, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, flags...)...)
	if err != nil {
		t.Fatalf("start the binary: %v", err)
	}
	return p
}

// tryProcess runs the binary with exactly those arguments.
func tryProcess(t *testing.T, args ...string) (*process, error) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(path, args...), stderr: &safeBuffer{}}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.kill(t)
		}
	})
	lines := bufio.NewScanner(stdout)
	up := false
	for !up && lines.Scan() {
		p.greeting += lines.Text() + "\n"
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
		switch value = strings.TrimSpace(value); key {
		case "clients":
			p.clients = value
		case "operators":
			p.operators = value
		case "data":
			p.data = value
		case "try":
			up = true
		}
	}
	if !up {
		p.cmd.Wait()
		return p, errors.New(p.stderr.String())
	}
	p.drained.Go(func() { io.Copy(io.Discard, stdout) })
	return p, nil
}

// kill ends the process as a power switch would, but for the page cache.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatalf("kill: %v\n%s", err, p.stderr)
	}
	p.wait()
}

// stop asks the process to end and gives its exit code.
func (p *process) stop(t *testing.T, signal syscall.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("signal %v: %v\n%s", signal, err, p.stderr)
	}
	return p.wait()
}

func (p *process) wait() int {
	p.drained.Wait()
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// safeBuffer may be written and read at the same time.
type safeBuffer struct {
	mu    sync.Mutex // guards the following fields
	data  bytes.Buffer
	grown chan struct{} // closed at the next write; nil if nobody waits
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.grown != nil {
		close(b.grown)
		b.grown = nil
	}
	return b.data.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// await returns when the text has been written.
func (b *safeBuffer) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		b.mu.Lock()
		found := strings.Contains(b.data.String(), text)
		if !found && b.grown == nil {
			b.grown = make(chan struct{})
		}
		grown := b.grown
		b.mu.Unlock()
		if found {
			return
		}
		select {
		case <-grown:
		case <-deadline.C:
			t.Fatalf("nobody wrote %q:\n%s", text, b)
		}
	}
}
