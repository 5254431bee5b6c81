package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// maxReplicas bounds --replicas; it is far more than a cluster has nodes.
const maxReplicas = 1 << 20

func newScaleDownCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scale-down",
		Short: "Decommission the members beyond a number, before their machines are taken away",
		Long: `Decommission every member whose name is the prefix and a number that is not below
--replicas, the highest first, and return when all have left: then their machines, or
the pods of a StatefulSet, may be taken away without loss.

All of them are asked to leave before the first has left, so that no data moves twice.
Nothing is done if fewer than three nodes would be left (--force does it nevertheless),
and if one is refused those asked before are taken back. Nothing to do is success. It
may be run again at any time, also after it has run into its time-out: a decommission
that was begun goes on by itself.

--admin may be an address of all nodes: it does not matter that some of them leave.`,
		Example: `  holdfast scale-down --prefix holdfast- --replicas 3     # holdfast-3 and higher leave`,
		Args:    noArgs,
	}
	flags := addAdminFlags(cmd)
	prefix := cmd.Flags().String("prefix", "", "what the members' names begin with, before the number")
	replicas := cmd.Flags().Int("replicas", 0, "how many stay: those with numbers below it")
	force := cmd.Flags().Bool("force", false, "also if fewer than three nodes are left")
	timeout := cmd.Flags().Duration("timeout", 10*time.Minute, "how long to wait until all have left")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := errors.Join(
			validateRange("replicas", *replicas, 1, maxReplicas),
			validateRange("timeout", *timeout, time.Second, 24*time.Hour),
			validatePrefix(*prefix),
		); err != nil {
			return &usageError{err}
		}
		client, err := flags.open(cmd, s)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		d := scaleDown{
			onlooker: client.watch(), prefix: *prefix, replicas: *replicas, force: *force, tell: s.stdout,
			decommission: client.decommission, recommission: client.recommission,
		}
		if flags.output.json() {
			d.tell = io.Discard
		}
		left, err := d.run(ctx)
		if err != nil {
			return err
		}
		if flags.output.json() {
			return writeJSON(s.stdout, scaledDown{Nodes: left})
		}
		return nil
	}
	return cmd
}

// scaledDown is what a scale-down has come to. Its JSON form is stable.
type scaledDown struct {
	Nodes []departure `json:"nodes"` // that have left, the highest number first
}

func validatePrefix(prefix string) error {
	if prefix == "" {
		return errors.New("--prefix is empty: want what the members' names begin with, as \"holdfast-\" of holdfast-0")
	}
	if validateName(prefix+"0") != nil {
		return fmt.Errorf("--prefix is %q: no member's name can begin so", prefix)
	}
	return nil
}
