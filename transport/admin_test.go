package transport

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// adminScene is an operator's server that serves until the test ends.
type adminScene struct {
	t    *testing.T
	http *http.Transport
	log  *logBuffer
}

const testToken = "a token of 24 characters"

// newAdminScene serves on a network with a token, or without.
func newAdminScene(t *testing.T, where network, token string) *adminScene {
	t.Helper()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "holdfast_test_total", Help: "A test."})
	registry.MustRegister(counter)
	counter.Add(3)
	yes := func(context.Context) error { return nil }
	s := &adminScene{t: t, log: &logBuffer{}}
	a := NewAdmin(AdminConfig{
		Health: Health{
			Live:    yes,
			Ready:   func(context.Context) error { return errors.New("2 of 32 shards have no owner") },
			Started: yes,
		},
		Metrics: registry, Token: token,
		Operations: map[string]Operation{
			"GET /show":          func(*http.Request) (any, error) { return map[string]int{"answer": 42}, nil },
			"POST /do/{name}/it": func(r *http.Request) (any, error) { return r.PathValue("name"), nil },
			"POST /refuse": func(*http.Request) (any, error) {
				return nil, &OperatorError{Status: http.StatusServiceUnavailable, Code: "later", Message: "Try again.", Err: errors.New("detail for the log")}
			},
			"POST /fail": func(*http.Request) (any, error) { return nil, errors.New("detail for the log") },
		},
	}, slog.New(slog.NewTextHandler(s.log, nil)))
	l, dial := where(t)
	served := make(chan error, 1)
	go func() { served <- a.Serve(l) }()
	s.http = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		if err := a.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return s
}

// call makes a request with header fields in pairs of name and value. Host is one of them.
func (s *adminScene) call(method, path string, header ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://127.0.0.1"+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.http.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

func TestAdmin(t *testing.T) {
	s := newAdminScene(t, loopback, "")
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
		{"GET", "/show", 200, `"answer": 42`},
		{"POST", "/do/a%20b/it", 200, `"a b"`},
		{"POST", "/refuse", 503, `"code": "later"`},
		{"POST", "/fail", 500, `"code": "internal"`},
		{"POST", "/livez", 405, `takes GET, HEAD only`},
		{"GET", "/refuse", 405, `takes POST only`},
		{"GET", "/", 404, `"code": "not_found"`},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/heap?debug=1", 200, "heap profile"},
		{"GET", "/debug/pprof/cmdline", 200, "transport"},
		{"GET", "/debug/pprof/symbol", 200, "num_symbols"},
	} {
		resp, body := s.call(tc.method, tc.path)
		if resp.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s %s = %d %q, want %d %q", tc.method, tc.path, resp.StatusCode, body, tc.status, tc.want)
		}
		if strings.Contains(body, "detail for the log") {
			t.Errorf("%s %s = %q: what is for the log is in the answer", tc.method, tc.path, body)
		}
	}
	// Who reads an error finds it in the log by its ID.
	_, body := s.call("POST", "/fail")
	var e errorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.ID == "" || !strings.Contains(s.log.String(), e.Error.ID) {
		t.Errorf("POST /fail = %q, %v, want an ID that is in the log\n%s", body, err, s.log)
	}
	if !strings.Contains(s.log.String(), "detail for the log") || !strings.Contains(s.log.String(), "an operator asks") {
		t.Errorf("the log lacks details, or who asked:\n%s", s.log)
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
