package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newDrainCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Hand a node's shards over, before it is stopped",
		Long: `Hand all shards that the node owns over to others, and return when that is done. From
then on the node is not ready and owns nothing, but still passes clients' calls on.
Its replicas stay: no data moves. It is undone by a restart of the node.

SIGTERM does the same by itself; this is for who wants to look before the stop.`,
		Args: noArgs,
	}
	flags := addAdminFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := flags.open(cmd, s)
		if err != nil {
			return err
		}
		var d drainage
		if err := client.call(cmd.Context(), http.MethodPost, "/drain", &d); err != nil {
			return err
		}
		if flags.output.json() {
			return writeJSON(s.stdout, d)
		}
		_, err = fmt.Fprintf(s.stdout, "The node at %s is drained: it owns %d shards. It may be stopped.\n", client.address, d.Owned)
		return err
	}
	return cmd
}
