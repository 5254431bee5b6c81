package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes: a mistake on the command line can be told from a node that failed,
// and a cluster that is not well from a question that failed.
const (
	exitFailure  = 1
	exitUsage    = 2
	exitDegraded = 3
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		// From here on signals have their default effect again: a second one ends
		// the process at once, however long a graceful stop takes.
		signal.Stop(signals)
		cancel()
	}()
	os.Exit(execute(ctx, os.Args[1:], surroundings{
		lookupEnv: os.LookupEnv,
		stdout:    os.Stdout,
		stderr:    os.Stderr,
		die:       func() { os.Exit(exitFailure) },
	}))
}

// surroundings are what a command has of its process.
type surroundings struct {
	lookupEnv func(name string) (string, bool)
	stdout    io.Writer // what was asked for
	stderr    io.Writer // log and errors
	die       func()    // ends the process at once; does not return
}

// execute runs one command line and gives the exit code.
func execute(ctx context.Context, args []string, s surroundings) int {
	root := newRootCommand(s)
	root.SetArgs(args)
	root.SetOut(s.stdout)
	root.SetErr(s.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	root.PrintErrf("holdfast: %v\n", err)
	if _, usage := errors.AsType[*usageError](err); usage {
		root.PrintErrln("Run 'holdfast --help' for the flags.")
		return exitUsage
	}
	if errors.Is(err, errDegraded) {
		return exitDegraded
	}
	return exitFailure
}

// usageError is a mistake in how the command was called.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// noArgs refuses arguments, as a mistake of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return &usageError{err}
	}
	return nil
}

func newRootCommand(s surroundings) *cobra.Command {
	root := newServeCommand(s)
	root.Use = "holdfast"
	root.Short = "Serve durable objects"
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(newServeCommand(s), newStatusCommand(s), newMembersCommand(s), newShardsCommand(s), newHealthCommand(s), newDrainCommand(s),
		newDecommissionCommand(s), newRecommissionCommand(s), newScaleDownCommand(s), newUnquarantineCommand(s), newCheckCommand(s),
		newMakeSecretCommand(s), newVersionCommand(s))
	return root
}
