package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// An outcome is a refusal only if the call certainly did not run.
func TestOutcomes(t *testing.T) {
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/200":
			fmt.Fprint(w, "body")
		case "/503":
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"error":{"code":"closing"}}`)
		case "/503-for-long":
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/507":
			w.WriteHeader(http.StatusInsufficientStorage)
		case "/504":
			w.WriteHeader(http.StatusGatewayTimeout)
			fmt.Fprint(w, `{"error":{"code":"outcome_unknown"}}`)
		case "/500":
			http.Error(w, "no JSON", http.StatusInternalServerError)
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/half":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
		case "/never":
			<-held
		}
	}))
	defer server.Close()
	defer close(held)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tests := []struct {
		url   string
		fate  fate
		cause string
		after time.Duration
	}{
		{server.URL + "/200", fateDone, "", 0},
		{server.URL + "/503", fateRefused, "503 closing", 3 * time.Second},
		{server.URL + "/503-for-long", fateRefused, "503", maxRetryPause},
		{server.URL + "/507", fateRefused, "507", retryPause},
		{server.URL + "/504", fateUnknown, "504 outcome_unknown", 0},
		{server.URL + "/500", fateWrong, "500", 0},
		{server.URL + "/404", fateDone, "", 0},
		{server.URL + "/cut", fateUnknown, "connection lost", 0},
		{server.URL + "/half", fateUnknown, "connection lost", 0},
		{server.URL + "/never", fateUnknown, "no answer in 300ms", 0},
		{gone.URL + "/", fateRefused, "connection refused", retryPause},
	}
	for _, test := range tests {
		c := newClient(test.url, 300*time.Millisecond)
		o := c.do(t.Context(), http.MethodPost, "", "{}")
		if o.fate != test.fate || o.cause != test.cause || o.retryAfter != test.after {
			t.Errorf("%s ends as %d %q %v, want %d %q %v", test.url, o.fate, o.cause, o.retryAfter, test.fate, test.cause, test.after)
		}
		c.close()
	}
}

func TestCauseOfDial(t *testing.T) {
	dial := func(err error) error { return &url.Error{Op: "Post", Err: &net.OpError{Op: "dial", Err: err}} }
	for want, err := range map[string]error{
		"no such name":           dial(&net.DNSError{IsNotFound: true}),
		"connection refused":     dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
		"cannot connect in time": dial(os.ErrDeadlineExceeded),
		"cannot connect":         dial(os.NewSyscallError("connect", syscall.ENETUNREACH)),
	} {
		if got := causeOfDial(err); got != want {
			t.Errorf("causeOfDial(%v) = %s, want %s", err, got, want)
		}
	}
}

// A client keeps its connection for a while, and then dials anew.
func TestConnections(t *testing.T) {
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := newClient(server.URL, time.Second)
	defer c.close()
	for range 2*callsPerConnection + 1 {
		if o := c.do(t.Context(), http.MethodGet, "/", ""); o.fate != fateDone {
			t.Fatalf("do = %+v", o)
		}
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d calls took %d connections, want 3", 2*callsPerConnection+1, n)
	}
}
