package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The measurement starts its own program as a bare server; here that is the test.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == roleEmpty || os.Args[1] == roleFanOut) {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A measurement too short to mean anything comes to its end and fills the table.
func TestMeasure(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{
		"-dir", t.TempDir(), "-rounds", "1", "-slice", "20ms", "-clients", "4", "-sockets", "10", "-objects", "50",
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"1000 objects", "1 object", "fdatasync", "10 sockets",
		"bytes per active idle object", "bytes per evicted object", "bytes per idle socket",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
}

// A load counts what was answered, and an answer that is not a 200 ends it.
func TestLoad(t *testing.T) {
	answered := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		answered++
		w.Write([]byte(strings.Repeat("x", answered)))
	}))
	defer server.Close()
	address := server.Listener.Addr().String()

	good := load{addresses: []string{address}, clients: 1, path: func(int, int) string { return "/good" }}
	result, err := good.run(t.Context(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.latencies) == 0 || len(result.latencies) != answered || result.rate <= 0 {
		t.Errorf("%d latencies at %v/s, want %d", len(result.latencies), result.rate, answered)
	}
	bad := load{addresses: []string{address}, clients: 1, path: func(int, int) string { return "/bad" }}
	if _, err := bad.run(t.Context(), time.Minute); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("load that is refused = %v, want an error with the status", err)
	}
	bad.unavailable = 3
	if _, err := bad.run(t.Context(), time.Minute); err == nil {
		t.Error("load that is refused more often than it may be is no error")
	}
	bad.unavailable = 1 << 30
	if result, err := bad.run(t.Context(), 20*time.Millisecond); err != nil || result.unavailable == 0 || len(result.latencies) != 0 {
		t.Errorf("load that may be refused: %d refused, %d done, %v", result.unavailable, len(result.latencies), err)
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.values, got, test.want)
		}
	}
}
