package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
)

func TestUnquarantine(t *testing.T) {
	view := quarantineView{Objects: []quarantinedView{{Class: "ChatRoom", Name: "a/b", ID: "c0ffee", Strikes: 2, Until: time.Unix(0, 0).UTC()}}}
	done := pardoned{Class: "ChatRoom", Name: "a/b", ID: "c0ffee"}
	for args, tc := range map[string]struct {
		answer     any
		path, want string
	}{
		"":                         {view, "GET /quarantine", "a/b"},
		" -o json":                 {view, "GET /quarantine", `"until": "1970-01-01T00:00:00Z"`},
		" ChatRoom a/b":            {done, "POST /objects/ChatRoom/a%2Fb/clear-quarantine", "ChatRoom a/b has no strikes any more"},
		" ChatRoom --id c0ffee":    {pardoned{Class: "ChatRoom", ID: "c0ffee"}, "POST /ids/ChatRoom/c0ffee/clear-quarantine", "ChatRoom c0ffee has no strikes"},
		" ChatRoom a/b -o json":    {done, "POST /objects/ChatRoom/a%2Fb/clear-quarantine", `"id": "c0ffee"`},
		" ChatRoom größe --id=":    {done, "POST /objects/ChatRoom/gr%C3%B6%C3%9Fe/clear-quarantine", "no strikes"},
		" ChatRoom a/b -o table -": {nil, "", ""},
	} {
		node := newFakeNode(t, http.StatusOK, tc.answer)
		code, stdout, stderr := command(t, nil, append([]string{"unquarantine", "--admin", node.address()}, strings.Fields(args)...)...)
		if tc.path == "" {
			if code != exitUsage {
				t.Errorf("unquarantine%s = %d, %q, want %d", args, code, stderr, exitUsage)
			}
			continue
		}
		if code != 0 || !strings.Contains(stdout, tc.want) || len(node.asked) != 1 || node.asked[0] != tc.path {
			t.Errorf("unquarantine%s = %d, %q, %q after %q, want %q after %q", args, code, stdout, stderr, node.asked, tc.want, tc.path)
		}
	}
	for _, args := range [][]string{{"ChatRoom"}, {"ChatRoom", "a", "--id", "c0ffee"}, {"--id", "c0ffee"}} {
		if code, _, stderr := command(t, nil, append([]string{"unquarantine"}, args...)...); code != exitUsage || !strings.Contains(stderr, "CLASS") {
			t.Errorf("unquarantine %q = %d, %q, want %d and what it wants", args, code, stderr, exitUsage)
		}
	}
}

// TestStatusTellsWhatStandsStill: in words, for the node and for the replica.
func TestStatusTellsWhatStandsStill(t *testing.T) {
	o, yes := overviewOf(cluster.ConditionOK), true
	o.Nodes[0].LogStalled = &yes
	o.Shards[0].Replicas[0].Stalled = true
	node := newFakeNode(t, http.StatusOK, o)
	code, stdout, stderr := command(t, nil, "status", "--admin", node.address())
	for _, want := range []string{"node n1 has a disk that does not answer", "shard 0: the state on n1 stands still"} {
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("status = %d, %q, %q, want %q", code, stdout, stderr, want)
		}
	}
	if _, stdout, _ := command(t, nil, "shards", "--admin", node.address()); !strings.Contains(stdout, " n1! ") {
		t.Errorf("shards:\n%s\nwant n1 marked", stdout)
	}
}
