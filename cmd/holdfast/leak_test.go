package main

import (
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// A leader of hashicorp/raft v1.8.0 that is deposed while it hands over to a
// follower that is behind leaves two goroutines: leadershipTransfer sends to a
// replication that has ended, and its watcher waits for it. Nothing else may stay.
const (
	leakedTransfer = "github.com/hashicorp/raft.(*Raft).leadershipTransfer"
	leakedWatcher  = "github.com/hashicorp/raft.(*Raft).leaderLoop.func2"
)

func libraryLeaks() []goleak.Option {
	return []goleak.Option{goleak.IgnoreAnyFunction(leakedTransfer), goleak.IgnoreAnyFunction(leakedWatcher)}
}

// bubbleName gives what the goroutines of this bubble have in their heads.
func bubbleName() string {
	buf := make([]byte, 256)
	head, _, _ := strings.Cut(string(buf[:runtime.Stack(buf, false)]), "\n")
	at := strings.Index(head, "synctest bubble ")
	if at < 0 {
		return ""
	}
	return strings.TrimSuffix(head[at:], ":")
}

// forgiveLibrary takes the panic of a bubble that goroutines were left in, and
// passes it on unless they are the library's.
func forgiveLibrary(t *testing.T, bubble string, panicked any) {
	t.Helper()
	if panicked == nil {
		return
	}
	buf := make([]byte, 16<<20)
	left := 0
	for goroutine := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		head, stack, _ := strings.Cut(goroutine, "\n")
		if bubble == "" || !strings.HasSuffix(head, bubble+":") {
			continue
		}
		left++
		if !strings.Contains(stack, leakedTransfer+"(") && !strings.Contains(stack, leakedWatcher+"(") {
			panic(panicked)
		}
	}
	if left == 0 {
		panic(panicked)
	}
	t.Logf("the library left %d goroutines behind", left)
}
