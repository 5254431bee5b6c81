package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestAdmin(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "holdfast_test_total", Help: "A test."})
	registry.MustRegister(counter)
	counter.Add(3)
	yes := func(context.Context) error { return nil }
	a := NewAdmin(Health{
		Live:    yes,
		Ready:   func(context.Context) error { return errors.New("2 of 32 shards have no owner") },
		Started: yes,
	}, registry, slog.New(slog.DiscardHandler))
	l, dial := loopback(t)
	served := make(chan error, 1)
	go func() { served <- a.Serve(l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	for _, tc := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/livez", 200, "ok\n"},
		{"HEAD", "/livez", 200, ""},
		{"GET", "/startupz", 200, "ok\n"},
		{"GET", "/readyz", 503, "2 of 32 shards have no owner\n"},
		{"GET", "/metrics", 200, "holdfast_test_total 3"},
		{"POST", "/livez", 405, ""},
		{"GET", "/", 404, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tc.method, "http://node"+tc.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tc.status || !strings.Contains(string(body), tc.want) {
			t.Errorf("%s %s = %d %q, %v, want %d %q", tc.method, tc.path, resp.StatusCode, body, err, tc.status, tc.want)
		}
	}
	transport.CloseIdleConnections()
	if err := a.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestConfigs(t *testing.T) {
	for _, tc := range []struct {
		name   string
		errs   []string
		config interface{ Validate() error }
	}{
		{"defaults of the server", nil, &ServerConfig{}},
		{"defaults of the gateway", nil, &GatewayConfig{}},
		{"origins", nil, &GatewayConfig{Origins: []string{"*", "https://app.example.com", "http://localhost:3000"}}},
		{"server", []string{"HeaderBytes -1", "IdleTimeout -1s"}, &ServerConfig{HeaderBytes: -1, IdleTimeout: -1e9}},
		{"gateway", []string{"MessageBytes 33554433", "PingInterval", `origin "app.example.com"`, `origin "https://x/y"`}, &GatewayConfig{
			MessageBytes: MaxMessageBytes + 1, PingInterval: -1, Origins: []string{"app.example.com", "https://x/y"},
		}},
	} {
		err := tc.config.Validate()
		if (err == nil) != (len(tc.errs) == 0) {
			t.Errorf("%s: Validate = %v, want %q", tc.name, err, tc.errs)
			continue
		}
		for _, want := range tc.errs {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: Validate = %v, want %q in it", tc.name, err, want)
			}
		}
	}
}
