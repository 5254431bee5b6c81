package main

import (
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/objects/suite"
)

// The classes, served by the binary as users run it.
func TestSuiteOnBinary(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := startProcess(t, dir)
	suite.Run(t, suite.Target{
		URL: func() string { return p.clients },
		Restart: func() {
			if code := p.stop(t, syscall.SIGTERM); code != 0 {
				t.Errorf("exit code after SIGTERM = %d, want 0\n%s", code, p.stderr)
			}
			p = startProcess(t, dir)
		},
	})
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0\n%s", code, p.stderr)
	}
}

// The classes, a node and a bubble for each case, so that days pass in no time.
func TestSuiteInBubble(t *testing.T) {
	t.Parallel()
	for _, c := range suite.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemMachine(t)
				m.start()
				c.Run(t, suite.Target{
					URL:     func() string { return m.url },
					Dial:    m.network.dial,
					Elapse:  time.Sleep,
					Restart: m.restart,
				})
			})
		})
	}
}
