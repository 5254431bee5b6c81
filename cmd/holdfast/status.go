package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// maxProblems bounds what the table shows; JSON has all.
const maxProblems = 10

// errDegraded makes `status` end with its own exit code.
var errDegraded = errors.New("the cluster is degraded: some shards may not be served")

// clusterSummary is the cluster in a few lines. Its JSON form is stable.
type clusterSummary struct {
	ClusterID string                    `json:"cluster_id"`
	SeenBy    placement.NodeID          `json:"seen_by"`
	State     cluster.Condition         `json:"state"`
	Nodes     int                       `json:"nodes"`
	NodesUp   int                       `json:"nodes_up"` // alive and answering
	Shards    int                       `json:"shards"`
	ByState   map[cluster.Condition]int `json:"shards_by_state"`
	Problems  []string                  `json:"problems"`
}

func newStatusCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the cluster is",
		Long: `Say how the cluster is, as one node sees it, in a few lines.

The exit code is 3 if a shard has no owner, or none that is known. A cluster with a
node that is down is not degraded as long as the others serve all shards.`,
		Args: noArgs,
	}
	flags := addAdminFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := flags.open(cmd, s)
		if err != nil {
			return err
		}
		o, err := client.overview(cmd.Context())
		if err != nil {
			return err
		}
		if err := summarize(o).write(s.stdout, flags.output); err != nil {
			return err
		}
		if o.State.Degraded() {
			return errDegraded
		}
		return nil
	}
	return cmd
}

func summarize(o cluster.Overview) clusterSummary {
	s := clusterSummary{
		ClusterID: o.ClusterID, SeenBy: o.SeenBy, State: o.State, Nodes: len(o.Nodes), Shards: len(o.Shards),
		ByState: make(map[cluster.Condition]int), Problems: []string{},
	}
	for _, node := range o.Nodes {
		if node.Alive && node.Answered {
			s.NodesUp++
		}
		s.Problems = append(s.Problems, nodeProblems(node)...)
	}
	for _, shard := range o.Shards {
		s.ByState[shard.State]++
		s.Problems = append(s.Problems, shardProblems(shard)...)
	}
	return s
}

func nodeProblems(n cluster.NodeOverview) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch {
	case n.State == "gone":
		say("node %s is down for longer than the grace period: others take its replicas", n.Name)
	case !n.Alive && n.State != "left":
		say("node %s is down", n.Name)
	case n.Alive && !n.Answered:
		say("node %s does not answer", n.Name)
	}
	if n.State == "leaving" {
		say("node %s is being decommissioned: %d replicas are left on it", n.Name, n.Replicas)
	}
	if n.Draining != nil && *n.Draining {
		say("node %s is draining, or drained", n.Name)
	}
	if n.StorageFull != nil && *n.StorageFull {
		say("node %s has too little disk space: it refuses writes", n.Name)
	}
	if n.LogStalled != nil && *n.LogStalled {
		say("node %s has a disk that does not answer: others take its shards", n.Name)
	}
	return problems
}

func shardProblems(s cluster.ShardOverview) (problems []string) {
	switch s.State {
	case cluster.ConditionNoOwner:
		problems = append(problems, fmt.Sprintf("shard %d has no owner, and a majority to elect one", s.Shard))
	case cluster.ConditionNoMajority:
		problems = append(problems, fmt.Sprintf("shard %d has no owner, and no majority to elect one: start the nodes that are down", s.Shard))
	case cluster.ConditionUnknown:
		problems = append(problems, fmt.Sprintf("shard %d may have no owner: a node that may be it does not answer", s.Shard))
	default:
	}
	for _, r := range s.Replicas {
		if r.Stalled {
			problems = append(problems, fmt.Sprintf("shard %d: the state on %s stands still: its disk does not answer", s.Shard, r.Node))
		}
		if r.Stopped != "" {
			problems = append(problems, fmt.Sprintf("shard %d: the replica on %s has stopped: %s", s.Shard, r.Node, r.Stopped))
		}
	}
	if s.Step != nil && s.Step.Step == placement.StepLost.String() {
		problems = append(problems, fmt.Sprintf("shard %d: a majority of its replicas has lost its disks", s.Shard))
	}
	return problems
}

func (s clusterSummary) write(w io.Writer, output *outputFlag) error {
	if output.json() {
		return writeJSON(w, s)
	}
	var states []string
	for _, c := range cluster.Conditions() {
		if count := s.ByState[c]; count > 0 {
			states = append(states, fmt.Sprintf("%d %s", count, c))
		}
	}
	var t table
	t.add("cluster", s.ClusterID)
	t.add("seen by", s.SeenBy)
	t.add("state", s.State)
	t.add("nodes", fmt.Sprintf("%d of %d up", s.NodesUp, s.Nodes))
	t.add("shards", fmt.Sprintf("%d: %s", s.Shards, strings.Join(states, ", ")))
	for i, problem := range s.Problems {
		if i == maxProblems {
			t.add("problem", fmt.Sprintf("and %d more: -o json shows all", len(s.Problems)-i))
			break
		}
		t.add("problem", problem)
	}
	return t.write(w)
}
