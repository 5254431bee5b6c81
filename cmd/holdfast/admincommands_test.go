package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-dev/holdfast/cluster"
)

// overviewOf gives a cluster of three nodes of which the third is down, and three
// shards: one whole, one that moves and one in that state.
func overviewOf(worst cluster.Condition) cluster.Overview {
	yes, no, owned, lag := true, false, 2, uint64(7)
	o := cluster.Overview{
		ClusterID: "c0ffee", SeenBy: "n1", State: worst,
		Nodes: []cluster.NodeOverview{
			{Name: "n1", Zone: "z", State: "in", Alive: true, Answered: true, Start: 3, Address: "127.0.0.1:7000", Owned: &owned, Homes: 1, Replicas: 3, Draining: &no, StorageFull: &yes, LeadsControl: &yes},
			{Name: "n2", State: "leaving", Alive: true, Answered: false, Start: 1, Address: "127.0.0.1:7001", Homes: 1, Replicas: 3},
			{Name: "n3", State: "in", Homes: 1, Replicas: 3},
		},
		Shards: []cluster.ShardOverview{
			{Shard: 0, State: cluster.ConditionOK, Owner: "n1", Ownership: 9, Term: 2, Wanted: nodeIDs("n1"), Replicas: []cluster.ReplicaOverview{{Node: "n1", Role: cluster.RoleVoter, Healthy: &yes, Lag: &lag}}},
			{Shard: 1, State: cluster.ConditionMoving, Owner: "n1", Ownership: 4, Term: 5, Wanted: nodeIDs("n2", "n1"), Step: &cluster.StepOverview{Step: "promote", Node: "n2"}, Replicas: []cluster.ReplicaOverview{
				{Node: "n1", Role: cluster.RoleVoter, Healthy: &yes, Lag: &lag}, {Node: "n2", Role: cluster.RoleNonvoter, Healthy: &no}, {Node: "n3", Role: cluster.RoleOutside},
			}},
			{Shard: 2, State: worst, Wanted: nodeIDs("n3")},
		},
	}
	return o
}

// fakeNode answers as a node's admin address does, and notes what it was asked.
type fakeNode struct {
	*httptest.Server

	mu    sync.Mutex // guards the following field
	asked []string
}

func newFakeNode(t *testing.T, status int, answers ...any) *fakeNode {
	t.Helper()
	f := &fakeNode{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asked = append(f.asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")))
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(answers[min(len(f.asked), len(answers))-1]); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeNode) address() string { return strings.TrimPrefix(f.URL, "http://") }

func TestStatusTable(t *testing.T) {
	for worst, wantCode := range map[cluster.Condition]int{
		cluster.ConditionOK: 0, cluster.ConditionMoving: 0, cluster.ConditionReduced: 0,
		cluster.ConditionUnknown: exitDegraded, cluster.ConditionNoOwner: exitDegraded, cluster.ConditionNoMajority: exitDegraded,
	} {
		node := newFakeNode(t, http.StatusOK, overviewOf(worst))
		code, stdout, stderr := command(t, nil, "status", "--admin", node.address())
		if code != wantCode || (stderr != "") != (code != 0) {
			t.Errorf("status of a cluster that is %s: exit code %d, %q, want %d", worst, code, stderr, wantCode)
		}
		for _, want := range []string{"c0ffee", "state    " + string(worst), "1 of 3 up", "node n2 is being decommissioned: 3 replicas", "node n2 does not answer", "node n3 is down", "node n1 has too little disk space"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("status lacks %q:\n%s", want, stdout)
			}
		}
		var s clusterSummary
		code, stdout, _ = command(t, nil, "status", "-o", "json", "--admin", node.address())
		if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != wantCode || s.State != worst || s.Nodes != 3 || s.NodesUp != 1 || s.Shards != 3 || s.ByState[worst] == 0 {
			t.Errorf("status -o json = %d, %+v, %v, want %d and state %s", code, s, err, wantCode, worst)
		}
	}
}

func TestMembersAndShardsTables(t *testing.T) {
	node := newFakeNode(t, http.StatusOK, overviewOf(cluster.ConditionNoMajority))
	for name, want := range map[string]string{
		"members": `NAME  ZONE  STATE   START  ADDRESS         OWNED  HOMES  REPLICAS
n1    z     up      3      127.0.0.1:7000  2      1      3
n2    -     silent  1      127.0.0.1:7001  ?      1      3
n3    -     down    0      -               ?      1      3
`,
		"shards": `SHARD  STATE        OWNER  TERM  HOME  REPLICAS     LAG  MOVE
0      ok           n1     2     n1    n1           7    -
1      moving       n1     5     n2    n1,n2+!,n3~  ?    promote n2
2      no_majority  -      ?     n3    -            0    -
`,
	} {
		code, stdout, stderr := command(t, map[string]string{"HOLDFAST_ADMIN": node.address()}, name)
		if code != 0 || stdout != want {
			t.Errorf("%s = %d, %s, and\n%swant\n%s", name, code, stderr, stdout, want)
		}
	}
	var nodes []cluster.NodeOverview
	_, stdout, _ := command(t, nil, "members", "-o", "json", "--admin", node.address())
	if err := json.Unmarshal([]byte(stdout), &nodes); err != nil || len(nodes) != 3 || nodes[1].Owned != nil || *nodes[0].Owned != 2 {
		t.Errorf("members -o json = %+v, %v", nodes, err)
	}
	var shards []cluster.ShardOverview
	_, stdout, _ = command(t, nil, "shards", "-o", "json", "--admin", node.address())
	if err := json.Unmarshal([]byte(stdout), &shards); err != nil || len(shards) != 3 || shards[1].Replicas[1].Lag != nil {
		t.Errorf("shards -o json = %+v, %v", shards, err)
	}
}

// The JSON of an overview is a promise: names and what nil means stay.
func TestOverviewForm(t *testing.T) {
	o := overviewOf(cluster.ConditionOK)
	o.Nodes, o.Shards = o.Nodes[2:], o.Shards[1:2]
	o.Shards[0].Replicas = o.Shards[0].Replicas[1:2]
	got, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"cluster_id":"c0ffee","seen_by":"n1","state":"ok",` +
		`"nodes":[{"name":"n3","zone":"","state":"in","alive":false,"answered":false,"start":0,"address":"","homes":1,"replicas":3,"owned":null,"draining":null,"storage_full":null,"log_stalled":null,"leads_control":null}],` +
		`"shards":[{"shard":1,"state":"moving","owner":"n1","ownership":4,"term":5,"wanted":["n2","n1"],` +
		`"replicas":[{"node":"n2","number":0,"role":"non_voter","healthy":false,"applied":null,"lag":null,"stopped":"","stalled":false}],"step":{"step":"promote","node":"n2"}}]}`
	if string(got) != want {
		t.Errorf("an overview is\n%s\nwant\n%s", got, want)
	}
}

func TestDecommissionCommands(t *testing.T) {
	token := "0123456789abcdef"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args   []string
		answer any
		asked  string
		want   string
	}{
		{[]string{"decommission", "n2"}, departure{"n2", "leaving", 21}, "POST /nodes/n2/decommission?force=false", "21 replicas are left"},
		{[]string{"decommission", "n2", "--force"}, departure{"n2", "leaving", 21}, "POST /nodes/n2/decommission?force=true", "21 replicas"},
		{[]string{"recommission", "n2", "-o", "json"}, departure{"n2", "in", 21}, "POST /nodes/n2/recommission", `"state": "in"`},
		{[]string{"drain"}, drainage{Draining: true}, "POST /drain", "drained"},
	} {
		node := newFakeNode(t, http.StatusOK, tc.answer)
		environment := map[string]string{"HOLDFAST_ADMIN_TOKEN_FILE": file, "HOLDFAST_FORCE": "true", "HOLDFAST_OUTPUT": "json"}
		code, stdout, stderr := command(t, environment, append(tc.args, "--admin", node.address())...)
		if want := tc.asked + " Bearer " + token; code != 0 || !strings.Contains(stdout, tc.want) || len(node.asked) != 1 || node.asked[0] != want {
			t.Errorf("%v = %d, %q, %q, asked %q, want %q in it and %q asked", tc.args, code, stdout, stderr, node.asked, tc.want, want)
		}
	}
}

func TestAdminCommandErrors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	closed.Close()
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("too short"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses := newFakeNode(t, http.StatusConflict, map[string]any{"error": map[string]string{"code": "refused", "message": "Refused: there are only three.", "id": "abc"}})
	stranger := newFakeNode(t, http.StatusNotFound, "hello")
	for _, tc := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"status", "--admin", nobody}, exitFailure, []string{nobody, "refused", "--admin"}},
		{[]string{"status", "--admin", "nowhere"}, exitUsage, []string{"--admin"}},
		{[]string{"status", "-o", "xml"}, exitUsage, []string{"--output"}},
		{[]string{"status", "now"}, exitUsage, []string{"now"}},
		{[]string{"status", "--admin-token-file", short}, exitFailure, []string{"--admin-token-file", "16"}},
		{[]string{"status", "--admin-token-file", "/does/not/exist"}, exitFailure, []string{"--admin-token-file", "/does/not/exist"}},
		{[]string{"decommission"}, exitUsage, []string{"name of one node"}},
		{[]string{"decommission", "a/b"}, exitUsage, []string{"a/b"}},
		{[]string{"recommission", "a", "b"}, exitUsage, []string{"name of one node"}},
		{[]string{"decommission", "n2", "--admin", refuses.address()}, exitFailure, []string{"there are only three", "refused", "abc"}},
		{[]string{"drain", "--admin", stranger.address()}, exitFailure, []string{stranger.address(), "--admin"}},
	} {
		code, stdout, stderr := command(t, nil, tc.args...)
		if code != tc.code || stdout != "" {
			t.Errorf("%v = %d, %q, want %d", tc.args, code, stdout, tc.code)
		}
		for _, want := range tc.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%v: %q, want %q in it", tc.args, stderr, want)
			}
		}
		if strings.Contains(stderr, "too short") {
			t.Errorf("%v: %q tells the secret", tc.args, stderr)
		}
	}
}

func TestHealthCommand(t *testing.T) {
	answers := map[string]string{"/livez": "ok", "/readyz": "draining: start the node again", "/startupz": "ok"}
	door := fakeDoor(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if answers[r.URL.Path] != "ok" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(answers[r.URL.Path] + "\n"))
	})
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"health"}, exitFailure, "ready: draining: start the node again"},
		{[]string{"health", "live"}, 0, "live: ok"},
		{[]string{"health", "started", "-o", "json"}, 0, `"answer": "ok"`},
	} {
		code, stdout, stderr := command(t, map[string]string{"HOLDFAST_ADMIN": door}, tc.args...)
		if code != tc.code || !strings.Contains(stdout, tc.want) || (stderr != "") != (code != 0) {
			t.Errorf("%v = %d, %q, %q, want %d and %q", tc.args, code, stdout, stderr, tc.code, tc.want)
		}
	}
	if code, _, stderr := command(t, nil, "health", "well"); code != exitUsage {
		t.Errorf("health well = %d, %q, want %d", code, stderr, exitUsage)
	}
	stranger := fakeDoor(t, writes(http.StatusNotFound, "no such page"))
	if code, _, stderr := command(t, nil, "health", "--admin", stranger); code != exitFailure || !strings.Contains(stderr, "no node") {
		t.Errorf("health of a stranger = %d, %q, want %d", code, stderr, exitFailure)
	}
}

func TestDialable(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:8081": "127.0.0.1:8081", ":8081": "127.0.0.1:8081", "[::]:8081": "127.0.0.1:8081",
		"10.1.2.3:8081": "10.1.2.3:8081", "node:8081": "node:8081",
	} {
		if got := dialable(address); got != want {
			t.Errorf("dialable(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, stdout, stderr := command(t, nil, "completion", shell)
		if code != 0 || !strings.Contains(stdout, "holdfast") {
			t.Errorf("completion %s = %d, %d bytes, %q", shell, code, len(stdout), stderr)
		}
	}
	_, stdout, _ := command(t, nil, "__complete", "d")
	for _, want := range []string{"decommission", "drain"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("completion of d = %q, want %s in it", stdout, fmt.Sprintf("%q", want))
		}
	}
}
