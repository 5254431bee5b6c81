package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-dev/holdfast/cluster"
)

func newShardsCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shards",
		Short: "List the shards with owners, replicas and moves under way",
		Long: `List the shards with their owners, replicas and moves under way, as one node sees
them.

STATE is ok, moving, reduced (served, but a replica is missing), unknown, no_owner or
no_majority. A replica in REPLICAS is a voter, or marked: + non-voter, ~ not in the
group (to be added or thrown away), ! does not answer the owner, stands still or has stopped. LAG is
how many log entries the slowest of them is behind what the owner has committed; ? is
what a node did not say.`,
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
		if flags.output.json() {
			return writeJSON(s.stdout, o.Shards)
		}
		var t table
		t.add("SHARD", "STATE", "OWNER", "TERM", "HOME", "REPLICAS", "LAG", "MOVE")
		for _, shard := range o.Shards {
			home, move := "", ""
			if len(shard.Wanted) > 0 {
				home = string(shard.Wanted[0])
			}
			if shard.Step != nil {
				move = strings.TrimSpace(shard.Step.Step + " " + string(shard.Step.Node))
			}
			term := orUnknown(&shard.Term)
			if shard.Owner == "" {
				term = "?"
			}
			t.add(shard.Shard, shard.State, shard.Owner, term, home, replicaNames(shard.Replicas), slowest(shard.Replicas), move)
		}
		return t.write(s.stdout)
	}
	return cmd
}

func replicaNames(replicas []cluster.ReplicaOverview) string {
	names := make([]string, len(replicas))
	for i, r := range replicas {
		names[i] = string(r.Node)
		switch r.Role {
		case cluster.RoleNonvoter:
			names[i] += "+"
		case cluster.RoleOutside:
			names[i] += "~"
		}
		if r.Stopped != "" || r.Stalled || r.Healthy != nil && !*r.Healthy {
			names[i] += "!"
		}
	}
	return strings.Join(names, ",")
}

// slowest gives the greatest lag, or that one is not known.
func slowest(replicas []cluster.ReplicaOverview) string {
	var most uint64
	for _, r := range replicas {
		if r.Role == cluster.RoleOutside {
			continue
		}
		if r.Lag == nil {
			return "?"
		}
		most = max(most, *r.Lag)
	}
	return orUnknown(&most)
}
