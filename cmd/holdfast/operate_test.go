package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
)

// await tries until f gives nil.
func await(t *testing.T, what string, f func() error) {
	t.Helper()
	const pause, limit = 50 * time.Millisecond, 30 * time.Second
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v: %v", what, limit, err)
		}
		<-ticker.C
	}
}

// statusOf runs `status` and wants that exit code and that state.
func statusOf(t *testing.T, environment map[string]string, code int, states ...cluster.Condition) error {
	t.Helper()
	got, stdout, stderr := command(t, environment, "status", "-o", "json")
	var s clusterSummary
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		return fmt.Errorf("status = %d, %q, %q: %w", got, stdout, stderr, err)
	}
	if got != code || !slices.Contains(states, s.State) {
		return fmt.Errorf("status = %d, %+v, want %d and %v", got, s, code, states)
	}
	return nil
}

// TestOperate does with three real processes what an operator does.
func TestOperate(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("an-admin-token-for-a-test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := startProcesses(t, 3, "--admin-token-file", token)
	admin := func(i int) string { return strings.TrimPrefix(c.nodes[i].operators, "http://") }
	environment := map[string]string{"HOLDFAST_ADMIN": admin(0), "HOLDFAST_ADMIN_TOKEN_FILE": token}
	client := newClient(t, nil)

	await(t, "a whole cluster", func() error { return statusOf(t, environment, 0, cluster.ConditionOK) })
	await(t, "homes own", func() error {
		_, stdout, _ := command(t, environment, "members")
		if lines := strings.Count(stdout, " up "); lines != 3 {
			return fmt.Errorf("members:\n%s", stdout)
		}
		return nil
	})
	code, stdout, stderr := command(t, environment, "shards")
	if lines := strings.Count(stdout, " node-1,node-2,node-3 "); code != 0 || lines != 32 {
		t.Errorf("shards = %d, %q, %d shards on three nodes, want 32:\n%s", code, stderr, lines, stdout)
	}
	if code, _, stderr := command(t, nil, "status", "--admin", admin(0)); code != exitFailure || !strings.Contains(stderr, "--admin-token-file") {
		t.Errorf("status without a token = %d, %q, want %d and what to do", code, stderr, exitFailure)
	}

	if code, _, stderr := command(t, environment, "drain", "--admin", admin(2)); code != 0 {
		t.Fatalf("drain = %d, %s", code, stderr)
	}
	if _, err := tryCall(t.Context(), client, http.MethodGet, c.nodes[2].operators+"/readyz", ""); err == nil || !strings.Contains(err.Error(), "draining") {
		t.Errorf("readyz of a drained node = %v, want it to be draining", err)
	}
	await(t, "a cluster with a drained node", func() error { return statusOf(t, environment, 0, cluster.ConditionOK, cluster.ConditionMoving) })

	for node, want := range map[string]string{"node-3": "force", "node-4": "node-4"} {
		if code, _, stderr := command(t, environment, "decommission", node); code != exitFailure || !strings.Contains(stderr, want) {
			t.Errorf("decommission %s = %d, %q, want %d and %q", node, code, stderr, exitFailure, want)
		}
	}
	code, stdout, stderr = command(t, environment, "decommission", "node-3", "--force", "--wait")
	if code != 0 || !strings.Contains(stdout, "node-3 has left") {
		t.Fatalf("decommission --force --wait = %d, %q, %q", code, stdout, stderr)
	}
	await(t, "the node knows that it is out", func() error {
		_, err := tryCall(t.Context(), client, http.MethodGet, c.nodes[2].operators+"/readyz", "")
		if err == nil || !strings.Contains(err.Error(), "decommissioned") {
			return fmt.Errorf("readyz = %w", err)
		}
		return nil
	})
	await(t, "a cluster of two", func() error { return statusOf(t, environment, 0, cluster.ConditionOK) })

	// One of two holds the only vote of its shards: nobody can take them.
	if code, _, stderr := command(t, environment, "drain", "--admin", admin(1)); code != exitFailure || !strings.Contains(stderr, "still owns") {
		t.Errorf("drain of one of two = %d, %q, want %d and what it still owns", code, stderr, exitFailure)
	}
	c.nodes[1].kill(t)
	await(t, "the loss is noticed", func() error {
		return statusOf(t, environment, exitDegraded, cluster.ConditionUnknown, cluster.ConditionNoMajority)
	})
	for _, i := range []int{0, 2} {
		if code := c.nodes[i].stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of node %d = %d\n%s", i+1, code, c.nodes[i].stderr)
		}
	}
	for i, p := range c.nodes {
		log := p.stderr.String()
		if strings.Contains(log, "an-admin-token") {
			t.Errorf("the token is in the log of node %d", i+1)
		}
		if lines := strings.Count(log, "shard moves"); lines > 0 {
			t.Errorf("the log of node %d has %d lines of single steps", i+1, lines)
		}
	}
}

// A node by itself answers its operator without further ado, on loopback.
func TestOperateAlone(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "data"), "--name", "solo")
	environment := map[string]string{"HOLDFAST_ADMIN": strings.TrimPrefix(p.operators, "http://")}
	if err := statusOf(t, environment, 0, cluster.ConditionOK); err != nil {
		t.Error(err)
	}
	code, stdout, stderr := command(t, environment, "members")
	if want := "solo  -     up     1      -        32     32     32"; code != 0 || !strings.Contains(stdout, want) {
		t.Errorf("members = %d, %q,\n%swant %q", code, stderr, stdout, want)
	}
	client := newClient(t, nil)
	post(t, client, p.clients+"/objects/Counter/a/increment")
	var v nodeView
	if err := json.Unmarshal([]byte(get(t, client, p.operators+"/node")), &v); err != nil || v.Name != "solo" || v.Ready != "ok" || v.Live != "ok" || v.Objects != 1 || len(v.Replicas) != 32 || v.Replicas[31].Ownership == 0 {
		t.Errorf("GET /node = %+v, %v", v, err)
	}
	profile := get(t, client, p.operators+"/debug/pprof/heap")
	if !bytes.HasPrefix([]byte(profile), []byte{0x1f, 0x8b}) {
		t.Errorf("GET /debug/pprof/heap = %.20q, want a profile", profile)
	}
	if code, _, stderr := command(t, environment, "decommission", "solo", "--force"); code != exitFailure || !strings.Contains(stderr, "no node would be left") {
		t.Errorf("decommission of the only node = %d, %q", code, stderr)
	}
	if code, _, stderr := command(t, environment, "drain"); code != exitFailure || !strings.Contains(stderr, "still owns 32") {
		t.Errorf("drain of the only node = %d, %q", code, stderr)
	}
	// What it has, it goes on serving.
	if got := post(t, client, p.clients+"/objects/Counter/a/increment"); got != `{"value":2}` {
		t.Errorf("increment = %s, want 2", got)
	}
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code = %d\n%s", code, p.stderr)
	}
}

// While a node waits for its peers it is live and tells its operator so.
func TestOperateWhileWaiting(t *testing.T) {
	m := newMachine(t)
	n := &Node{log: m.parts.Log}
	for pattern, operation := range n.operations() {
		method, path, _ := strings.Cut(pattern, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, "http://node"+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := operation(request)
		if pattern == "GET /node" {
			if v, ok := answer.(nodeView); !ok || err != nil || v.Live != "ok" || !strings.Contains(v.Ready, "starting") {
				t.Errorf("%s while the node starts = %+v, %v", pattern, answer, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), "starting") {
			t.Errorf("%s while the node starts = %+v, %v, want to be told to wait", pattern, answer, err)
		}
	}
}
