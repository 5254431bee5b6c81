package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// How clients treat connections.
const (
	connectTimeout     = 2 * time.Second
	callsPerConnection = 50               // then it dials anew, and may reach another node
	retryPause         = time.Second      // before a call that did not run is made again, if nobody says for how long
	maxRetryPause      = 5 * time.Second  // whatever Retry-After says
	maxAnswerBytes     = 16 << 20         // more is no answer to what is asked here
	idleTimeout        = 90 * time.Second // of a connection
)

// fate is what a client knows of its call.
type fate int

const (
	fateDone    fate = iota
	fateRefused      // it certainly did not run
	fateUnknown      // nobody knows
	fateWrong        // an answer that no client should get; what the call did is unknown
)

// outcome is how a call ended.
type outcome struct {
	fate       fate
	cause      string        // why it is not done
	retryAfter time.Duration // of what did not run
	body       []byte
}

// client makes calls at one door over a connection of its own, one at a time.
type client struct {
	url     string
	timeout time.Duration
	http    *http.Client
	calls   int
}

func newClient(url string, timeout time.Duration) *client {
	dialer := &net.Dialer{Timeout: min(connectTimeout, timeout)}
	return &client{url: url, timeout: timeout, http: &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, MaxConnsPerHost: 1, IdleConnTimeout: idleTimeout},
	}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// do makes a call and says how it ended.
func (c *client) do(ctx context.Context, method, path, body string) outcome {
	if c.calls++; c.calls%callsPerConnection == 0 {
		c.http.CloseIdleConnections()
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return outcome{fate: fateWrong, cause: err.Error()}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.broken(err, sent.Load())
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return c.broken(err, true)
	}
	return answered(response, answer)
}

// broken says how a call without an answer ended. Only one of which nothing was
// sent certainly did not run.
func (c *client) broken(err error, sent bool) outcome {
	var network *net.OpError
	switch {
	case !sent, errors.As(err, &network) && network.Op == "dial":
		return outcome{fate: fateRefused, cause: causeOfDial(err), retryAfter: retryPause}
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{fate: fateUnknown, cause: "no answer in " + c.timeout.String()}
	}
	return outcome{fate: fateUnknown, cause: "connection lost"}
}

// causeOfDial says why there is no connection.
func causeOfDial(err error) string {
	var network net.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		return "no such name"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &network) && network.Timeout():
		return "cannot connect in time"
	}
	return "cannot connect"
}

// answered says what an answer means.
func answered(response *http.Response, body []byte) outcome {
	if response.StatusCode == http.StatusOK {
		return outcome{fate: fateDone, body: body}
	}
	var made struct{ Error struct{ Code string } }
	_ = json.Unmarshal(body, &made) // what is no JSON is none of the runtime's errors, and has no code
	o := outcome{fate: fateWrong, cause: strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", made.Error.Code))}
	switch response.StatusCode {
	case http.StatusServiceUnavailable:
		o.fate, o.retryAfter = fateRefused, retryPause
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
			o.retryAfter = min(time.Duration(seconds)*time.Second, maxRetryPause)
		}
	case http.StatusInsufficientStorage:
		o.fate, o.retryAfter = fateRefused, retryPause
	case http.StatusGatewayTimeout:
		o.fate = fateUnknown
	}
	return o
}
