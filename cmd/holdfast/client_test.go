package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// dialFunc reaches a node's network.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newClient makes an HTTP client of its own; nil dials the real network.
func newClient(t *testing.T, dial dialFunc) *http.Client {
	t.Helper()
	const connections = 256
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: connections}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// statusError is an answer that is not a 200.
type statusError struct {
	method, url string
	status      int
	body        string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.method, e.url, e.status, e.body)
}

// tryCall gives the body of a 200, and an error for anything else.
func tryCall(ctx context.Context, client *http.Client, method, url, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{method: method, url: url, status: response.StatusCode, body: string(answer)}
	}
	return answer, nil
}

func post(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	body, err := tryCall(t.Context(), client, http.MethodPost, url, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	body, err := tryCall(t.Context(), client, http.MethodGet, url, "")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
