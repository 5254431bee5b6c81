package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

const (
	departurePause = time.Second
	// departurePatience is how long the node that is asked may be away, for a restart
	// say, before waiting ends with an error.
	departurePatience = 30 * time.Second
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
		d := departure{}
		path := fmt.Sprintf("/nodes/%s/decommission?force=%t", url.PathEscape(args[0]), *force)
		if err := client.call(cmd.Context(), http.MethodPost, path, &d); err != nil {
			return err
		}
		if *wait {
			w := farewell{overview: client.overview, pause: departurePause, patience: departurePatience}
			if flags.output != "json" {
				w.tell = s.stdout
			}
			if d, err = w.wait(cmd.Context(), d); err != nil {
				return err
			}
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
		var d departure
		if err := client.call(cmd.Context(), http.MethodPost, "/nodes/"+url.PathEscape(args[0])+"/recommission", &d); err != nil {
			return err
		}
		return writeDeparture(s.stdout, flags.output, d)
	}
	return cmd
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

func writeDeparture(w io.Writer, output string, d departure) error {
	if output == "json" {
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

// farewell waits until a node has left.
type farewell struct {
	overview func(context.Context) (cluster.Overview, error)
	tell     io.Writer // progress; nil: nobody
	pause    time.Duration
	patience time.Duration
}

var errStays = errors.New("the node stays in the cluster: somebody has taken the decommission back")

// wait returns when the cluster does not know the node any more, or says that it
// has left.
func (f farewell) wait(ctx context.Context, d departure) (departure, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	said, heard := -1, time.Now()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return d, errors.New("stopped waiting; the decommission goes on")
		}
		o, err := f.overview(ctx)
		switch {
		case err == nil:
			heard = time.Now()
			d = departureOf(o, d.Node)
		case time.Since(heard) > f.patience:
			return d, fmt.Errorf("the decommission goes on, but how far it is cannot be seen: %w", err)
		}
		switch {
		case d.State == "left":
			return d, nil
		case d.State != "leaving":
			return d, errStays
		case d.Replicas != said && f.tell != nil:
			said = d.Replicas
			if _, err := fmt.Fprintf(f.tell, "%s is leaving: %d replicas are left on it\n", d.Node, d.Replicas); err != nil {
				return d, err
			}
		}
		timer.Reset(f.pause)
	}
}

func departureOf(o cluster.Overview, name placement.NodeID) departure {
	for _, n := range o.Nodes {
		if n.Name == name {
			return departure{Node: name, State: n.State, Replicas: n.Replicas}
		}
	}
	return departure{Node: name, State: "left"}
}
