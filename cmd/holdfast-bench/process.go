package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// How a server that was started says where it listens, one address a line.
const (
	clientsLine   = "clients"
	operatorsLine = "operators"
)

const startTimeout = 30 * time.Second

// process is a server in a process of its own.
type process struct {
	cmd       *exec.Cmd
	clients   string // HOST:PORT
	operators string // HOST:PORT; "" where there is none
}

// start runs a command and waits until it has said where it listens.
func start(ctx context.Context, environment []string, path string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = startTimeout
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd}
	lines := bufio.NewScanner(stdout)
	for p.clients == "" && lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 {
			continue
		}
		switch address := strings.TrimPrefix(fields[1], "http://"); fields[0] {
		case operatorsLine:
			p.operators = address
		case clientsLine:
			p.clients = address
		}
	}
	if p.clients == "" {
		return nil, fmt.Errorf("%s did not say where it listens: %w", filepath.Base(path), cmd.Wait())
	}
	return p, nil
}

// startHoldfast runs a node with its data in a new directory below dir.
func startHoldfast(ctx context.Context, o options, dir string, flags ...string) (*process, error) {
	return startHoldfastIn(ctx, nil, o, dir, flags...)
}

// startHoldfastIn does so with more environment variables.
func startHoldfastIn(ctx context.Context, environment []string, o options, dir string, flags ...string) (*process, error) {
	data, err := os.MkdirTemp(dir, "data-")
	if err != nil {
		return nil, err
	}
	args := []string{"--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data, "--log-level", "warn"}
	return start(ctx, environment, o.holdfast, append(args, flags...)...)
}

// startSelf runs one of this program's own bare servers.
func startSelf(ctx context.Context, role string) (*process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, nil, path, role)
}

// stop ends the process gracefully and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", filepath.Base(p.cmd.Path), err)
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("stop %s: %w", filepath.Base(p.cmd.Path), err)
	}
	return nil
}

// kill ends the process at once and waits for it.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", filepath.Base(p.cmd.Path), err)
	}
	if err := p.cmd.Wait(); err != nil && p.cmd.ProcessState == nil {
		return fmt.Errorf("kill %s: %w", filepath.Base(p.cmd.Path), err)
	}
	return nil
}
