package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	checkPause = 500 * time.Millisecond
	// checkCallTimeout bounds one try.
	checkCallTimeout = 10 * time.Second
	// maxCheckAnswerBytes is more than a counter or an error says.
	maxCheckAnswerBytes = 64 << 10
)

func newCheckCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check URL...",
		Short: "Make an object through one node and read it through others",
		Long: `Make an object of the class Counter at the first address, change it there, read it at
each of the others, and compare. The addresses are those for clients (--http), of nodes
or of what stands before them. A node that is just starting, or a shard that has no owner
yet, is asked again until --timeout.

The object stays; it takes a few bytes, and nobody else has its name.`,
		Example: `  holdfast check http://127.0.0.1:8080 http://127.0.0.1:8180`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{errors.New("check wants the addresses of one or more nodes, as http://127.0.0.1:8080")}
			}
			return nil
		},
	}
	output := addOutputFlag(cmd.Flags())
	timeout := cmd.Flags().Duration("timeout", 30*time.Second, "how long to try")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		nodes, err := parseNodeURLs(args)
		if err = errors.Join(err, output.validate(), validateRange("timeout", *timeout, time.Second, time.Hour)); err != nil {
			return &usageError{err}
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		c := checker{http: &http.Client{Timeout: checkCallTimeout, Transport: &http.Transport{DisableKeepAlives: true}}, tell: s.stdout}
		if output.json() {
			c.tell = io.Discard
		}
		done, err := c.run(ctx, nodes)
		if err != nil {
			return err
		}
		if output.json() {
			return writeJSON(s.stdout, done)
		}
		_, err = fmt.Fprintln(s.stdout, "All addresses serve the same object.")
		return err
	}
	return cmd
}

// parseNodeURLs makes base URLs of addresses, which may lack "http://".
func parseNodeURLs(args []string) (nodes []string, err error) {
	for _, arg := range args {
		text := strings.TrimSuffix(arg, "/")
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, parseErr := url.Parse(text)
		if parseErr != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Scheme != "http" && u.Scheme != "https" {
			err = errors.Join(err, fmt.Errorf("%q is no address of a node: want one as http://127.0.0.1:8080", arg))
		}
		nodes = append(nodes, text)
	}
	return nodes, err
}

// checked is what a check has done. Its JSON form is stable.
type checked struct {
	Class string   `json:"class"`
	ID    string   `json:"id"`
	Value int64    `json:"value"`
	Made  string   `json:"made"` // through this address
	Read  []string `json:"read"` // through these
}

// checker makes an object and looks whether everybody sees it.
type checker struct {
	http *http.Client
	tell io.Writer
}

func (c checker) run(ctx context.Context, nodes []string) (checked, error) {
	done := checked{Class: "Counter", Made: nodes[0]}
	var made struct{ ID string }
	if err := c.call(ctx, http.MethodPost, nodes[0]+"/ids/"+done.Class, http.StatusCreated, &made); err != nil {
		return done, fmt.Errorf("make an object through %s: %w", nodes[0], err)
	}
	done.ID = made.ID
	path := "/ids/" + done.Class + "/" + url.PathEscape(done.ID)
	var counter struct{ Value int64 }
	if err := c.call(ctx, http.MethodPost, nodes[0]+path+"/increment", http.StatusOK, &counter); err != nil {
		return done, fmt.Errorf("write through %s: %w", nodes[0], err)
	}
	if counter.Value != 1 {
		return done, fmt.Errorf("write through %s: the new counter is %d after one increment, want 1", nodes[0], counter.Value)
	}
	done.Value = counter.Value
	if err := c.say("made and changed object %s through %s", done.ID, nodes[0]); err != nil {
		return done, err
	}
	others := nodes[1:]
	if len(others) == 0 {
		others = nodes
	}
	for _, node := range others {
		counter.Value = 0
		if err := c.call(ctx, http.MethodGet, node+path+"/get", http.StatusOK, &counter); err != nil {
			return done, fmt.Errorf("read through %s what was written through %s: %w", node, nodes[0], err)
		}
		if counter.Value != done.Value {
			return done, fmt.Errorf("read through %s: the counter is %d, but %d was written and acknowledged through %s", node, counter.Value, done.Value, nodes[0])
		}
		if err := c.say("read it through %s", node); err != nil {
			return done, err
		}
		done.Read = append(done.Read, node)
	}
	return done, nil
}

func (c checker) say(format string, args ...any) error {
	_, err := fmt.Fprintf(c.tell, format+"\n", args...)
	return err
}

// call tries until there is an answer that is final. All tries have the same
// Idempotency-Key, so that a write whose answer was lost is not done twice.
func (c checker) call(ctx context.Context, method, address string, want int, into any) error {
	key := rand.Text()
	for {
		err := c.try(ctx, method, address, key, want, into)
		if answer, ok := errors.AsType[*answerError](err); err == nil || ok && answer.status != http.StatusServiceUnavailable && answer.status != http.StatusGatewayTimeout {
			return err
		}
		timer := time.NewTimer(checkPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("no success in time; the last try: %w", err)
		}
	}
}

func (c checker) try(ctx context.Context, method, address, key string, want int, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return err
	}
	if method == http.MethodPost {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCheckAnswerBytes))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != want {
		return explainAnswer("what answers", response.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("what answers is no node: %w", err)
	}
	return nil
}
