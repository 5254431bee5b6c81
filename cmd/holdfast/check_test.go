package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// fakeDoor answers as the clients' address of a node does, for one counter.
func fakeDoor(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(server.Close)
	return server.URL
}

func writes(status int, body string) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestCheckCommand(t *testing.T) {
	var tries atomic.Int64
	keys := make(chan string, 8)
	first := fakeDoor(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/ids/Counter":
			writes(http.StatusCreated, `{"id":"abc"}`)(w, r)
		case r.Method == http.MethodPost && r.URL.Path == "/ids/Counter/abc/increment":
			keys <- r.Header.Get("Idempotency-Key")
			if tries.Add(1) == 1 {
				writes(http.StatusGatewayTimeout, `{"error":{"code":"outcome_unknown","message":"?","id":"x"}}`)(w, r)
				return
			}
			writes(http.StatusOK, `{"value":1}`)(w, r)
		default:
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
	})
	good := fakeDoor(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/ids/Counter/abc/get" {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		writes(http.StatusOK, `{"value":1}`)(w, r)
	})
	code, stdout, stderr := command(t, nil, "check", first, good, strings.TrimPrefix(good, "http://")+"/", "-o", "json")
	var done checked
	if err := json.Unmarshal([]byte(stdout), &done); code != 0 || err != nil || done.ID != "abc" || done.Value != 1 || done.Made != first || len(done.Read) != 2 || done.Read[1] != good {
		t.Errorf("check = %d, %q, %q", code, stdout, stderr)
	}
	if a, b := <-keys, <-keys; a == "" || a != b {
		t.Errorf("a write was tried with keys %q and %q, want one for both", a, b)
	}

	for _, tc := range []struct {
		second string
		want   []string
	}{
		{fakeDoor(t, writes(http.StatusOK, `{"value":0}`)), []string{"the counter is 0, but 1 was written"}},
		{fakeDoor(t, writes(http.StatusBadRequest, `{"error":{"code":"bad_id","message":"Not of this cluster.","id":"x"}}`)), []string{"read through", "Not of this cluster"}},
		{fakeDoor(t, writes(http.StatusNotFound, `no such page`)), []string{"no success in time", "404", "no node"}},
		{fakeDoor(t, writes(http.StatusServiceUnavailable, `{"error":{"code":"not_owner","message":"No owner.","id":"x"}}`)), []string{"no success in time", "No owner"}},
	} {
		tries.Store(1)
		code, stdout, stderr := command(t, nil, "check", "--timeout", "1s", first, good, tc.second)
		if code != exitFailure || !strings.Contains(stdout, "read it through "+good) {
			t.Errorf("check = %d, %q, want %d and what was done before", code, stdout, exitFailure)
		}
		for _, want := range append(tc.want, tc.second) {
			if !strings.Contains(stderr, want) {
				t.Errorf("check: %q, want %q in it", stderr, want)
			}
		}
		<-keys
	}
	for _, args := range [][]string{{}, {"ftp://a"}, {"http://a/objects"}, {"http://"}, {"a", "--timeout", "0s"}, {"a", "-o", "xml"}} {
		if code, _, stderr := command(t, nil, append([]string{"check"}, args...)...); code != exitUsage {
			t.Errorf("check %v = %d, %q, want %d", args, code, stderr, exitUsage)
		}
	}
}

// A real node passes, by itself too.
func TestCheckOfANode(t *testing.T) {
	p := startProcess(t, filepath.Join(t.TempDir(), "data"))
	code, stdout, stderr := command(t, nil, "check", p.clients)
	if code != 0 || !strings.Contains(stdout, "read it through "+p.clients) || !strings.Contains(stdout, "serve the same object") {
		t.Errorf("check = %d, %q, %q", code, stdout, stderr)
	}
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code = %d\n%s", code, p.stderr)
	}
}
