package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// defaultControl is where `mark` and `finish` look for a run.
const defaultControl = "127.0.0.1:8099"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "holdfast-load: %v\n", err)
		}
		os.Exit(exitCode(err))
	}
}

// exitNoticed is the exit code of a run that kept every promise, and whose clients
// noticed a planned step.
const exitNoticed = 2

func exitCode(err error) int {
	if onlyNoticed(err) {
		return exitNoticed
	}
	return 1
}

// onlyNoticed says whether nothing worse is among joined errors.
func onlyNoticed(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok { // what is wrapped otherwise is one error
		return !slices.ContainsFunc(all.Unwrap(), func(err error) bool { return !onlyNoticed(err) })
	}
	_, noticed := errors.AsType[*noticedError](err)
	return noticed
}

// dispatch runs what the command line asks for.
func dispatch(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 0 {
		return run(ctx, args, out, progress)
	}
	switch args[0] {
	case "mark":
		return mark(ctx, args[1:], out)
	case "finish":
		return finish(ctx, args[1:], out)
	}
	return run(ctx, args, out, progress)
}

// options are what a run can be told.
type options struct {
	urls     urlList
	objects  int           // half counters, half logs; each has a client at every door
	every    time.Duration // pace of each client and of each member of a room
	sockets  int           // members of chat rooms, over all doors
	timeout  time.Duration // of a call
	duration time.Duration // 0 = until it is told to end
	control  string        // where marks are taken; "" = nowhere
	output   string
}

// urlList is a flag that may be given several times.
type urlList []string

// String implements flag.Value.
func (u *urlList) String() string { return fmt.Sprint([]string(*u)) }

// Set implements flag.Value.
func (u *urlList) Set(value string) error {
	*u = append(*u, value)
	return nil
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("holdfast-load", flag.ContinueOnError)
	flags.Var(&o.urls, "url", "a door: where clients are served, as http://127.0.0.1:8080; may be repeated")
	flags.IntVar(&o.objects, "objects", 40, "counters and logs; each has a client at every door")
	flags.DurationVar(&o.every, "every", time.Second, "pace of each client")
	flags.IntVar(&o.sockets, "sockets", 0, fmt.Sprintf("members of chat rooms of %d, spread over the doors", roomMembers))
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long a client waits for an answer")
	flags.DurationVar(&o.duration, "duration", 0, "length of the run; 0 = until finish, SIGTERM or Ctrl-C")
	flags.StringVar(&o.control, "control", "", "address for mark and finish, as "+defaultControl+"; whoever reaches it may use it")
	flags.StringVar(&o.output, "o", "table", "form of the report: table or json")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	var errs []error
	if flags.NArg() > 0 {
		errs = append(errs, fmt.Errorf("there is no command %q: want mark, finish or only flags", flags.Arg(0)))
	}
	if len(o.urls) == 0 {
		errs = append(errs, errors.New("--url is missing: say where the cluster is, as --url http://127.0.0.1:8080"))
	}
	if o.objects < 1 || o.sockets < 0 || o.every <= 0 || o.timeout <= 0 || o.duration < 0 {
		errs = append(errs, errors.New("--objects, --every and --timeout must be above 0, --sockets and --duration not below"))
	}
	return o, errors.Join(append(errs, checkOutput(o.output))...)
}

// run loads a cluster until it is over and reports.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	l, err := newLoad(o, progress)
	if err != nil {
		return err
	}
	control, err := openControl(ctx, o.control, l)
	if err != nil {
		return err
	}
	r := l.run(ctx)
	return errors.Join(r.write(out, o.output), control.close(), r.err())
}
