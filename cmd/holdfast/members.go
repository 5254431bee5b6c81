package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-dev/holdfast/cluster"
)

func newMembersCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the nodes of the cluster",
		Long: `List the nodes of the cluster, as one node sees them.

STATE is up, down, silent (alive, but it did not answer within a second), draining,
leaving (it is being decommissioned), left, or gone (down for longer than the grace
period). OWNED is how many shards a node owns, HOMES how many it shall own. What a
node did not say is shown as ?.`,
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
			return writeJSON(s.stdout, o.Nodes)
		}
		var t table
		t.add("NAME", "ZONE", "STATE", "START", "ADDRESS", "OWNED", "HOMES", "REPLICAS")
		for _, n := range o.Nodes {
			t.add(n.Name, n.Zone, memberState(n), n.Start, n.Address, orUnknown(n.Owned), n.Homes, n.Replicas)
		}
		return t.write(s.stdout)
	}
	return cmd
}

// memberState is the one word that matters most about a node.
func memberState(n cluster.NodeOverview) string {
	switch {
	case n.State == "left" || n.State == "gone":
		return n.State
	case !n.Alive:
		return "down"
	case !n.Answered:
		return "silent"
	case n.State == "leaving":
		return n.State
	case n.Draining != nil && *n.Draining:
		return "draining"
	default:
		return "up"
	}
}

// orUnknown shows a number that nobody may have told.
func orUnknown[T int | uint64](n *T) string {
	if n == nil {
		return "?"
	}
	return strconv.FormatUint(uint64(*n), 10)
}
