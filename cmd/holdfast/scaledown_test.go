package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// row is a cluster of members in a row, of which the address of all reaches now one
// and now another. It does what a control leader does: a node leaves in its own time.
type row struct {
	nodes    []cluster.NodeOverview
	asked    int      // questions so far; each goes to the next node
	log      []string // what was changed
	refuse   string   // a node that may not leave
	deaf     int      // so many questions find nobody
	together int      // most nodes that were leaving at the same time
	frozen   bool     // nobody gets on with leaving
}

func newRow(names ...string) *row {
	r := &row{}
	for _, name := range names {
		r.nodes = append(r.nodes, cluster.NodeOverview{Name: placement.NodeID(name), State: "in", Replicas: 6})
	}
	return r
}

var errAway = errors.New("connection refused")

func (r *row) overview(context.Context) (cluster.Overview, error) {
	if r.deaf > 0 {
		r.deaf--
		return cluster.Overview{}, errAway
	}
	leaving := 0
	for i := range r.nodes {
		if n := &r.nodes[i]; n.State == "leaving" {
			leaving++
			switch {
			case r.frozen:
			case n.Replicas == 0:
				n.State = "left"
			default:
				n.Replicas--
			}
		}
	}
	r.together = max(r.together, leaving)
	r.asked++
	witness := r.nodes[r.asked%len(r.nodes)]
	o := cluster.Overview{SeenBy: witness.Name, Nodes: slices.Clone(r.nodes)}
	if witness.State == "left" { // which it does not know: its picture is from before
		for i := range o.Nodes {
			o.Nodes[i].State = "leaving"
			o.Nodes[i].Replicas = 0
		}
	}
	return o, nil
}

func (r *row) set(name placement.NodeID, verb, state string) (departure, error) {
	for i := range r.nodes {
		if n := &r.nodes[i]; n.Name == name && n.State != "left" {
			if string(name) == r.refuse && state == "leaving" {
				return departure{}, &answerError{status: http.StatusConflict, code: "refused", message: "Refused: not this one."}
			}
			r.log = append(r.log, verb+" "+string(name))
			n.State = state
			return departure{Node: name, State: state, Replicas: n.Replicas}, nil
		}
	}
	return departure{}, &answerError{status: http.StatusNotFound, code: "unknown_node"}
}

func (r *row) scaleDown(replicas int, force bool) (scaleDown, *bytes.Buffer) {
	out := new(bytes.Buffer)
	return scaleDown{
		onlooker: testOnlooker(r.overview), prefix: "h-", replicas: replicas, force: force, tell: out,
		decommission: func(_ context.Context, node placement.NodeID, _ bool) (departure, error) {
			if r.deaf > 0 {
				r.deaf--
				return departure{}, errAway
			}
			return r.set(node, "let go", "leaving")
		},
		recommission: func(_ context.Context, node placement.NodeID) (departure, error) {
			return r.set(node, "take back", "in")
		},
	}, out
}

func TestScaleDown(t *testing.T) {
	five := []string{"h-0", "h-1", "h-2", "h-3", "h-4"}
	twelve := []string{"h-0", "h-1", "h-2", "h-3", "h-9", "h-10", "h-11", "other"}
	for _, tc := range []struct {
		name     string
		nodes    []string
		replicas int
		force    bool
		prepare  func(*row)
		log      []string // of changes
		want     string   // in the output, or in the error
		fails    bool
	}{
		{name: "two of five", nodes: five, replicas: 3, log: []string{"let go h-4", "let go h-3"}, want: "h-4, h-3: left the cluster"},
		{name: "highest number first", nodes: twelve, replicas: 4, log: []string{"let go h-11", "let go h-10", "let go h-9"}, want: "h-11, h-10, h-9: left"},
		{name: "nothing to do", nodes: five, replicas: 5, want: "h-5 or higher: there is nothing to do"},
		{name: "fewer than there are to be", nodes: five, replicas: 9, want: "nothing to do"},
		{name: "others' names", nodes: []string{"h-0", "h-1", "h-2", "h-03", "h-x", "h-3-4", "hh-7"}, replicas: 3, want: "nothing to do"},
		{name: "wrong prefix", nodes: []string{"a-0", "a-1", "a-7"}, replicas: 3, want: "the members are a-0, a-1, a-7", fails: true},
		{name: "too few would be left", nodes: five, replicas: 2, want: "2 of 5 nodes would be left", fails: true},
		{name: "forced", nodes: five, replicas: 2, force: true, log: []string{"let go h-4", "let go h-3", "let go h-2"}, want: "left the cluster"},
		{name: "nobody would be left", nodes: []string{"h-1", "h-2"}, replicas: 1, force: true, want: "no node would be left", fails: true},
		{name: "a later one is refused", nodes: five, replicas: 3, prepare: func(r *row) { r.refuse = "h-3" }, log: []string{"let go h-4", "take back h-4"}, want: "not this one. (refused, status 409, id ). h-4: let go before and taken back", fails: true},
		{name: "again after a time-out", nodes: five, replicas: 3, prepare: func(r *row) { r.nodes[4].State = "leaving" }, log: []string{"let go h-3"}, want: "h-4, h-3: left"},
		{name: "again at the end", nodes: five, replicas: 3, prepare: func(r *row) { r.nodes[4].State, r.nodes[3].State = "left", "leaving" }, want: "h-3: left"},
		{name: "again when all is done", nodes: five, replicas: 3, prepare: func(r *row) { r.nodes[4].State, r.nodes[3].State = "left", "left" }, want: "nothing to do"},
		{name: "nobody answers for a while", nodes: five, replicas: 3, prepare: func(r *row) { r.deaf = 20 }, log: []string{"let go h-4", "let go h-3"}, want: "left"},
		{name: "nobody answers", nodes: five, replicas: 3, prepare: func(r *row) { r.deaf = 1000 }, want: errAway.Error(), fails: true},
		{name: "it does not get on", nodes: five, replicas: 3, prepare: func(r *row) { r.frozen = true }, log: []string{"let go h-4", "let go h-3"}, want: "the decommission goes on; run this again", fails: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRow(tc.nodes...)
				if tc.prepare != nil {
					tc.prepare(r)
				}
				d, out := r.scaleDown(tc.replicas, tc.force)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				_, err := d.run(ctx)
				if (err != nil) != tc.fails || !slices.Equal(r.log, tc.log) || !strings.Contains(fmt.Sprint(out, err), tc.want) {
					t.Errorf("scale-down = %v, %q, changes %q, want %q in it, changes %q", err, out, r.log, tc.want, tc.log)
				}
				if err == nil && r.together < len(tc.log) {
					t.Errorf("%d nodes left at a time, want all %d: no data shall move twice", r.together, len(tc.log))
				}
			})
		})
	}
}

func TestScaleDownCommand(t *testing.T) {
	o := overviewOf(cluster.ConditionOK)
	o.Nodes[1].State = "in" // of three, one is to go
	node := newFakeNode(t, http.StatusOK, o)
	code, stdout, stderr := command(t, nil, "scale-down", "--prefix", "n", "--replicas", "3", "--admin", node.address())
	if code != exitFailure || !strings.Contains(stderr, "refused: without n3 2 of 3 nodes would be left") || stdout != "" || len(node.asked) != 1 {
		t.Errorf("scale-down of three = %d, %q, %q, asked %q, want it refused at the first look", code, stdout, stderr, node.asked)
	}
	code, stdout, _ = command(t, nil, "scale-down", "--prefix", "n", "--replicas", "4", "--admin", node.address())
	if code != 0 || !strings.Contains(stdout, "nothing to do") {
		t.Errorf("scale-down with nothing to do = %d, %q", code, stdout)
	}
	code, stdout, _ = command(t, nil, "scale-down", "--prefix", "n", "--replicas", "4", "-o", "json", "--admin", node.address())
	var done scaledDown
	if err := json.Unmarshal([]byte(stdout), &done); code != 0 || err != nil || done.Nodes == nil || len(done.Nodes) != 0 {
		t.Errorf("scale-down -o json with nothing to do = %d, %q, %v", code, stdout, err)
	}
	for _, args := range [][]string{
		{},
		{"--prefix", "n"},
		{"--replicas", "3"},
		{"--prefix", "n/", "--replicas", "3"},
		{"--prefix", "n", "--replicas", "-1"},
		{"--prefix", "n", "--replicas", "3", "--timeout", "0s"},
		{"--prefix", "n", "--replicas", "3", "n4"},
	} {
		if code, _, stderr := command(t, nil, append([]string{"scale-down"}, args...)...); code != exitUsage {
			t.Errorf("scale-down %v = %d, %q, want %d", args, code, stderr, exitUsage)
		}
	}
}

// Five real processes become three, asked at an address of all of them, as a
// Kubernetes service is: those that leave answer, too.
func TestScaleDownOfProcesses(t *testing.T) {
	c := startProcesses(t, 5, "--shards", "8")
	turn := make(chan int, 1)
	turn <- 0
	service := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		i := <-turn
		turn <- i + 1
		node, err := url.Parse(c.nodes[i%len(c.nodes)].operators)
		if err != nil {
			t.Error(err)
		}
		r.SetURL(node)
	}})
	defer service.Close()
	environment := map[string]string{"HOLDFAST_ADMIN": service.URL}
	await(t, "a whole cluster", func() error { return statusOf(t, environment, 0, cluster.ConditionOK) })
	client := newClient(t, nil)
	post(t, client, c.url(4)+"/objects/Counter/a/increment")

	code, stdout, stderr := command(t, environment, "scale-down", "--prefix", "node-", "--replicas", "2")
	if code != exitFailure || !strings.Contains(stderr, "1 of 5 nodes would be left") {
		t.Errorf("scale-down to one = %d, %q, %q, want it refused", code, stdout, stderr)
	}
	code, stdout, stderr = command(t, environment, "scale-down", "--prefix", "node-", "--replicas", "4")
	if code != 0 || !strings.Contains(stdout, "node-5, node-4: left the cluster") {
		t.Fatalf("scale-down = %d, %q, %q", code, stdout, stderr)
	}
	if code, stdout, stderr := command(t, environment, "scale-down", "--prefix", "node-", "--replicas", "4"); code != 0 || !strings.Contains(stdout, "nothing to do") {
		t.Errorf("scale-down once more = %d, %q, %q", code, stdout, stderr)
	}
	for _, i := range []int{3, 4} {
		if code := c.nodes[i].stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of node-%d = %d\n%s", i+1, code, c.nodes[i].stderr)
		}
	}
	if got := post(t, client, c.url(0)+"/objects/Counter/a/increment"); got != `{"value":2}` {
		t.Errorf("increment after the scale-down = %s, want 2", got)
	}
}
