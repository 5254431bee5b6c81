package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	maxMarkBytes   = 200
	controlTimeout = 10 * time.Second
	finishTimeout  = verifyTimeout + time.Minute
)

// control lets somebody else say when a step begins and when the run is over.
type control struct {
	server *http.Server
	done   chan error
}

// openControl listens at an address; at "" it does nothing.
func openControl(ctx context.Context, address string, l *load) (*control, error) {
	if address == "" {
		return &control{}, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--control: %w", err)
	}
	c := &control{done: make(chan error, 1), server: &http.Server{Handler: controlHandler(l), ReadHeaderTimeout: controlTimeout}}
	go func() { c.done <- c.server.Serve(listener) }()
	return c, nil
}

// close lets those who wait for the report have it.
func (c *control) close() error {
	if c.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	err := c.server.Shutdown(ctx)
	if served := <-c.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func controlHandler(l *load) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mark", func(w http.ResponseWriter, r *http.Request) {
		name, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMarkBytes))
		if err != nil || strings.TrimSpace(string(name)) == "" {
			http.Error(w, "the name of a step has 1 to 200 bytes", http.StatusBadRequest)
			return
		}
		line := l.tally.line()
		l.tally.mark(strings.TrimSpace(string(name)), r.URL.Query().Has("planned"))
		_, _ = fmt.Fprintln(w, line) // who asks and leaves has the mark all the same
	})
	mux.HandleFunc("POST /finish", func(w http.ResponseWriter, r *http.Request) {
		l.stop()
		select {
		case <-l.over:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(l.report) // who does not take it finds it in the log
		case <-r.Context().Done():
		}
	})
	return mux
}

// mark tells a run that a step begins, and prints how the last one went.
func mark(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("holdfast-load mark", flag.ContinueOnError)
	address := flags.String("control", defaultControl, "where the run takes marks")
	planned := flags.Bool("planned", false, "no client of the first door may notice the step: calls that fail are a mistake")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("mark wants one name, of the step that begins")
	}
	path := "/mark"
	if *planned {
		path += "?planned"
	}
	answer, err := tellControl(ctx, *address, path, flags.Arg(0), controlTimeout)
	if err == nil {
		_, err = out.Write(answer)
	}
	return err
}

// finish ends a run and prints its report.
func finish(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("holdfast-load finish", flag.ContinueOnError)
	address := flags.String("control", defaultControl, "where the run takes marks")
	output := flags.String("o", "table", "form of the report: table or json")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := checkOutput(*output); err != nil {
		return err
	}
	answer, err := tellControl(ctx, *address, "/finish", "", finishTimeout)
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("the report cannot be read: %w", err)
	}
	return errors.Join(r.write(out, *output), r.err())
}

func tellControl(ctx context.Context, address, path, body string, timeout time.Duration) ([]byte, error) {
	c := newClient("http://"+address, timeout)
	defer c.close()
	switch o := c.do(ctx, http.MethodPost, path, body); o.fate {
	case fateDone:
		return o.body, nil
	case fateRefused:
		return nil, fmt.Errorf("no run takes marks at %s (%s): start one with --control %[1]s", address, o.cause)
	default:
		return nil, fmt.Errorf("the run at %s says %s", address, o.cause)
	}
}
