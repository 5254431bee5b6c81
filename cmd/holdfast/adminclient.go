package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-dev/holdfast/cluster"
)

const (
	// adminCallTimeout is longer than the longest operation, a drain.
	adminCallTimeout = time.Minute
	// maxAdminAnswerBytes is more than the overview of the largest cluster.
	maxAdminAnswerBytes = 64 << 20
)

// answerError is the answer of a node that did not do what it was asked.
type answerError struct {
	status  int
	code    string
	message string
	id      string // under which the node's log has more
}

func (e *answerError) Error() string {
	return fmt.Sprintf("the node answers: %s (%s, status %d, id %s)", e.message, e.code, e.status, e.id)
}

// adminFlags are what every command for operators takes.
type adminFlags struct {
	address   string
	tokenFile string
	output    *outputFlag
}

func addAdminFlags(cmd *cobra.Command) *adminFlags {
	f := &adminFlags{address: defaultConfig().Admin}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.address, "admin", f.address, "where the node to ask serves operators, its own --admin")
	flags.StringVar(&f.tokenFile, "admin-token-file", f.tokenFile, "file with the token of that node's --admin-token-file")
	f.output = addOutputFlag(flags)
	return f
}

// open checks the flags and gives the node to ask. A flag that the command line
// left alone is as the environment says, which is that of the node: address and
// token only, since nothing else of a command should come from afar.
func (f *adminFlags) open(cmd *cobra.Command, s surroundings) (*adminClient, error) {
	for name, value := range map[string]*string{"admin": &f.address, "admin-token-file": &f.tokenFile} {
		if text, ok := s.lookupEnv(environmentName(name)); ok && !cmd.Flags().Changed(name) {
			*value = text
		}
	}
	f.address = strings.TrimSuffix(strings.TrimPrefix(f.address, "http://"), "/")
	if err := validateAddress("admin", f.address); err != nil {
		return nil, &usageError{err}
	}
	if err := f.output.validate(); err != nil {
		return nil, &usageError{err}
	}
	token, err := loadAdminToken(f.tokenFile)
	if err != nil {
		return nil, err
	}
	// Without idle connections there is nothing to close.
	return &adminClient{address: dialable(f.address), token: token, http: &http.Client{
		Timeout: adminCallTimeout, Transport: &http.Transport{DisableKeepAlives: true},
	}}, nil
}

// dialable replaces a host that means all addresses of a machine, which is how a
// node in a container listens, by this machine's own.
func dialable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// adminClient asks one node's operator API.
type adminClient struct {
	address string
	token   string
	http    *http.Client
}

func (c *adminClient) overview(ctx context.Context) (cluster.Overview, error) {
	var o cluster.Overview
	return o, c.call(ctx, http.MethodGet, "/cluster", &o)
}

// ask sends a question to the node.
func (c *adminClient) ask(ctx context.Context, method, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask the node at %s: %w", c.address, err)
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		err = withoutURL(err)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask the node at %s: %w", c.address, ctx.Err())
		}
		return nil, fmt.Errorf("no node answers at %s: %w; if one runs, name the address of its --admin with --admin", c.address, err)
	}
	return response, nil
}

// call asks the node and reads its answer into that value.
func (c *adminClient) call(ctx context.Context, method, path string, into any) error {
	response, err := c.ask(ctx, method, path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAdminAnswerBytes))
	if err != nil {
		return fmt.Errorf("ask the node at %s: read its answer: %w", c.address, err)
	}
	if response.StatusCode != http.StatusOK {
		return explainAnswer("what answers at "+c.address+" (--admin)", response.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("what answers at %s is no node of a version that this command knows: %w", c.address, err)
	}
	return nil
}

// withoutURL takes the address out of an error of a client, where the text around
// it has it already.
func withoutURL(err error) error {
	if failure, ok := errors.AsType[*url.Error](err); ok {
		return failure.Err
	}
	return err
}

// explainAnswer makes an error of an answer that is none of success.
func explainAnswer(who string, status int, body []byte) error {
	var answer struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			ID      string `json:"id"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error.Code == "" {
		return fmt.Errorf("%s, with status %d, is no node", who, status)
	}
	e := answer.Error
	return &answerError{status: status, code: e.Code, message: e.Message, id: e.ID}
}
