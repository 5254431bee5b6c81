package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// load is a closed loop of requests over several connections, which are spread
// evenly over the addresses.
type load struct {
	addresses []string
	clients   int
	path      func(client, request int) string

	// unavailable is how many answers may say that the write is not done, or that
	// nobody knows: on a machine that is short of CPU time leaders change.
	unavailable int
}

// outcome is what a turn of a load brought.
type outcome struct {
	rate        float64 // requests a second that were done
	latencies   []time.Duration
	unavailable int // answers 503 and 504
}

// errUnavailable is an answer 503 or 504.
var errUnavailable = errors.New("unavailable")

// run sends requests, each connection one at a time and at least one, until the
// time is over. The client does as little as HTTP allows: what it costs is the
// same for all that is compared, and dilutes the ratio.
func (l load) run(ctx context.Context, length time.Duration) (outcome, error) {
	var (
		group   sync.WaitGroup
		mu      sync.Mutex // guards errs and result while clients run
		errs    []error
		result  outcome
		started = time.Now()
	)
	for client := range l.clients {
		group.Go(func() {
			one, err := l.client(ctx, client, started.Add(length))
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
			result.latencies = append(result.latencies, one.latencies...)
			result.unavailable += one.unavailable
		})
	}
	group.Wait()
	result.rate = float64(len(result.latencies)) / time.Since(started).Seconds()
	return result, errors.Join(errs...)
}

func (l load) client(ctx context.Context, client int, end time.Time) (result outcome, err error) {
	connection, err := dial(ctx, l.addresses[client%len(l.addresses)])
	if err != nil {
		return outcome{}, err
	}
	defer connection.Close() //nolint:errcheck // the turn is over
	for request := 0; ; request++ {
		begin := time.Now()
		err := connection.post(l.path(client, request))
		now := time.Now()
		switch {
		case err == nil:
			result.latencies = append(result.latencies, now.Sub(begin))
		case errors.Is(err, errUnavailable) && result.unavailable < l.unavailable:
			result.unavailable++
		default:
			return outcome{}, err
		}
		if now.After(end) {
			return result, nil
		}
	}
}

// connection speaks the least of HTTP/1.1 that a server answers.
type connection struct {
	net.Conn

	address string
	answers *bufio.Reader
	request bytes.Buffer
}

func dial(ctx context.Context, address string) (*connection, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, address: address, answers: bufio.NewReader(c)}, nil
}

// post sends a request without a body and waits for its answer, which must be 200.
func (c *connection) post(path string) error {
	return c.do(http.MethodPost, path)
}

func (c *connection) do(method, path string) error {
	c.request.Reset()
	fmt.Fprintf(&c.request, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", method, path, c.address)
	if _, err := c.Write(c.request.Bytes()); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	line, err := c.answers.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	status := string(bytes.TrimSpace(line))
	if err := c.skipRest(); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	switch {
	case strings.HasPrefix(status, "HTTP/1.1 200 "):
		return nil
	case strings.HasPrefix(status, "HTTP/1.1 503 "), strings.HasPrefix(status, "HTTP/1.1 504 "):
		return fmt.Errorf("%s %s: %w: answered %q", method, path, errUnavailable, status)
	default:
		return fmt.Errorf("%s %s: answered %q", method, path, status)
	}
}

// skipRest reads an answer to its end, from behind its first line.
func (c *connection) skipRest() error {
	length := 0
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	_, err := io.CopyN(io.Discard, c.answers, int64(length))
	return err
}
