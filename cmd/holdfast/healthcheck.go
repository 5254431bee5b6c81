package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	// healthTimeout is longer than a node that hangs takes to say so.
	healthTimeout = 5 * time.Second
	// maxHealthBytes is more than a reason has.
	maxHealthBytes = 64 << 10
)

// healthQuestions are what a node can be asked, with the paths on its --admin.
func healthQuestions() map[string]string {
	return map[string]string{"live": "/livez", "ready": "/readyz", "started": "/startupz"}
}

func newHealthCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health [QUESTION]",
		Short: "Ask one node whether it is well, as a health check of a container does",
		Long: `Ask the node at --admin whether clients may be sent to it (ready, if nothing else is
said), whether its loops turn (live) or whether its start is over (started). The exit
code is 0 for yes. No token is needed. It is for health checks where there is no curl;
'holdfast status' says how the cluster is.`,
		Example: `  holdfast health
  holdfast health live --admin 127.0.0.1:8081`,
		ValidArgs: []string{"live\tits loops turn", "ready\tclients may be sent to it", "started\tits start is over"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && healthQuestions()[args[0]] == "" {
				return &usageError{errors.New("health wants live, ready or started, or nothing")}
			}
			return nil
		},
	}
	flags := addAdminFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := flags.open(cmd, s)
		if err != nil {
			return err
		}
		question := slices.Concat(args, []string{"ready"})[0]
		reason, err := client.health(cmd.Context(), healthQuestions()[question])
		if err != nil {
			return err
		}
		answer := healthAnswer{Question: question, Answer: reason}
		if flags.output.json() {
			err = writeJSON(s.stdout, answer)
		} else {
			_, err = fmt.Fprintf(s.stdout, "%s: %s\n", question, reason)
		}
		if err == nil && reason != "ok" {
			err = fmt.Errorf("the node is not %s", question)
		}
		return err
	}
	return cmd
}

// healthAnswer is what a node says. Its JSON form is stable.
type healthAnswer struct {
	Question string `json:"question"`
	Answer   string `json:"answer"` // "ok", or why not
}

// health gives "ok" or the reason why not.
func (c *adminClient) health(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	response, err := c.ask(ctx, http.MethodGet, path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealthBytes))
	if err != nil {
		return "", fmt.Errorf("ask the node at %s: read its answer: %w", c.address, err)
	}
	reason := strings.TrimSpace(string(body))
	yes := response.StatusCode == http.StatusOK && reason == "ok"
	no := response.StatusCode == http.StatusServiceUnavailable && strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain")
	if !yes && !no {
		return "", explainAnswer("what answers at "+c.address+" (--admin)", response.StatusCode, body)
	}
	return reason, nil
}
