package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// etcdTool is etcd's own load generator. It is built in a module of its own:
// this project takes no dependency on etcd.
const etcdTool = "go.etcd.io/etcd/v3/tools/benchmark@v3.6.8"

const members = 3

// etcd is a cluster of members in processes of their own, each with its data
// below one directory, and every put on the disks of two before it is answered.
type etcd struct {
	tool      string // path of the load generator
	endpoints []string
	members   []*exec.Cmd
}

// startEtcd starts the members and returns when they answer.
func startEtcd(ctx context.Context, o options, dir string) (*etcd, error) {
	path, err := exec.LookPath(o.etcd)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w (on Debian: apt-get install etcd-server)", err)
	}
	e := &etcd{tool: o.etcdTool}
	if e.tool == "" {
		if e.tool, err = buildEtcdTool(ctx, dir); err != nil {
			return nil, err
		}
	}
	addresses, err := freeAddresses(ctx, 2*members)
	if err != nil {
		return nil, err
	}
	var initial []string
	for i, peer := range addresses[members:] {
		initial = append(initial, fmt.Sprintf("e%d=http://%s", i+1, peer))
	}
	e.endpoints = addresses[:members]
	for i, client := range e.endpoints {
		peer, name := addresses[members+i], fmt.Sprintf("e%d", i+1)
		cmd := exec.CommandContext(ctx, path, "--name", name, "--data-dir", filepath.Join(dir, "etcd-"+name),
			"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
			"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
			"--initial-cluster", strings.Join(initial, ","), "--log-level", "fatal")
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = startTimeout
		if err := cmd.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("etcd: %w", err), e.stop())
		}
		e.members = append(e.members, cmd)
	}
	if err := e.waitUp(ctx); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

// buildEtcdTool builds the load generator from the module that the Go proxy has.
func buildEtcdTool(ctx context.Context, dir string) (string, error) {
	module := filepath.Join(dir, "etcd-tool")
	if err := os.Mkdir(module, 0o750); err != nil {
		return "", fmt.Errorf("build etcd's benchmark: %w", err)
	}
	path, _, _ := strings.Cut(etcdTool, "@")
	binary := filepath.Join(module, "benchmark")
	for _, args := range [][]string{
		{"mod", "init", "example.com/tool"},
		{"get", etcdTool},
		{"build", "-o", binary, path},
	} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = module
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build etcd's benchmark: go %s: %w\n%s", args[0], err, output)
		}
	}
	return binary, nil
}

// waitUp returns when each member says that it sees a leader.
func (e *etcd) waitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(scrapePause)
	defer ticker.Stop()
	for _, endpoint := range e.endpoints {
		for {
			err := healthy(ctx, endpoint)
			if err == nil {
				break
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return fmt.Errorf("etcd: the members do not come up: %w", err)
			}
		}
	}
	return nil
}

// healthy asks a member how it is; without a leader it answers 503.
func healthy(ctx context.Context, endpoint string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+"/health", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", endpoint, response.Status)
	}
	return nil
}

func (e *etcd) pids() []int {
	var pids []int
	for _, member := range e.members {
		pids = append(pids, member.Process.Pid)
	}
	return pids
}

// stop ends the members and waits for them. Etcd ends by the signal that it was sent.
func (e *etcd) stop() error {
	var errs []error
	for _, member := range e.members {
		errs = append(errs, member.Process.Signal(syscall.SIGTERM))
	}
	for _, member := range e.members {
		err := member.Wait()
		if status, ok := member.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
