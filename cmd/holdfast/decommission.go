package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/holdfast-dev/holdfast/placement"
)

func newDecommissionCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "decommission NODE",
		Short: "Move all data away from a node, which then leaves the cluster",
		Long: `Move all replicas away from a node, which then leaves the cluster for good. It serves
clients until then, and after that it may be stopped and its data directory deleted.

It is refused where fewer than three nodes would be left, because the loss of one of
two can stop or lose shards; --force does it nevertheless. A node that has left comes
back with an empty data directory only.`,
		Example: `  holdfast decommission node-3 --wait
  holdfast recommission node-3                 # as long as it has not left`,
		Args: oneNode,
	}
	flags := addAdminFlags(cmd)
	force := cmd.Flags().Bool("force", false, "also if fewer than three nodes are left")
	wait := cmd.Flags().Bool("wait", false, "return when the node has left, and tell how far it is")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := flags.open(cmd, s)
		if err != nil {
			return err
		}
		d, err := client.decommission(cmd.Context(), placement.NodeID(args[0]), *force)
		if err != nil {
			return err
		}
		if *wait {
			w := farewell{onlooker: client.watch()}
			if !flags.output.json() {
				w.tell = s.stdout
			}
			left, err := w.wait(cmd.Context(), []placement.NodeID{d.Node})
			if err != nil {
				return err
			}
			d = left[0]
		}
		return writeDeparture(s.stdout, flags.output, d)
	}
	return cmd
}

func newRecommissionCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recommission NODE",
		Short: "Take a decommission back that is not over yet",
		Args:  oneNode,
	}
	flags := addAdminFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := flags.open(cmd, s)
		if err != nil {
			return err
		}
		d, err := client.recommission(cmd.Context(), placement.NodeID(args[0]))
		if err != nil {
			return err
		}
		return writeDeparture(s.stdout, flags.output, d)
	}
	return cmd
}

func (c *adminClient) decommission(ctx context.Context, node placement.NodeID, force bool) (d departure, err error) {
	path := fmt.Sprintf("/nodes/%s/decommission?force=%t", url.PathEscape(string(node)), force)
	return d, c.call(ctx, http.MethodPost, path, &d)
}

func (c *adminClient) recommission(ctx context.Context, node placement.NodeID) (d departure, err error) {
	return d, c.call(ctx, http.MethodPost, "/nodes/"+url.PathEscape(string(node))+"/recommission", &d)
}

// oneNode wants the name of a node, and refuses anything else as a mistake of usage.
func oneNode(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return &usageError{fmt.Errorf("%s wants the name of one node: 'holdfast members' lists them", cmd.Name())}
	}
	if args[0] == "" || validateName(args[0]) != nil {
		return &usageError{fmt.Errorf("%q is no name of a node: 'holdfast members' lists them", args[0])}
	}
	return nil
}

func writeDeparture(w io.Writer, output *outputFlag, d departure) error {
	if output.json() {
		return writeJSON(w, d)
	}
	var err error
	switch d.State {
	case "left":
		_, err = fmt.Fprintf(w, "%s has left the cluster. It may be stopped, and its data deleted.\n", d.Node)
	case "leaving":
		_, err = fmt.Fprintf(w, "%s is leaving: %d replicas are left on it. 'holdfast members' tells how far it is.\n", d.Node, d.Replicas)
	default:
		_, err = fmt.Fprintf(w, "%s is in the cluster again, with %d replicas.\n", d.Node, d.Replicas)
	}
	return err
}
