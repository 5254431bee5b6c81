package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the operator's server. Its answers are small and its clients few.
const (
	adminHeaderBytes  = 16 << 10
	adminTimeout      = 10 * time.Second
	adminWriteTimeout = 30 * time.Second // profiles have that and what they were asked to take
	adminScrapes      = 4                // at a time; beyond it 503
)

// Health answers the operator's questions. Each function returns nil for yes and
// otherwise the reason, which the operator sees; ctx ends with the question.
type Health struct {
	Live    func(ctx context.Context) error // the node's loops turn; no means: restart it
	Ready   func(ctx context.Context) error // clients should be sent here
	Started func(ctx context.Context) error // the start is over; until then Live is not asked
}

// AdminConfig says what an operator's server serves.
type AdminConfig struct {
	Health  Health
	Metrics prometheus.Gatherer
	// Operations by their pattern for http.ServeMux, as "POST /drain".
	Operations map[string]Operation
	// Token has to come with everything but health and metrics. If it is empty,
	// they are served on loopback only.
	Token string
}

// Admin is the operator's HTTP server: health, metrics, operations and profiles.
// Health and metrics are for everybody who reaches it.
type Admin struct {
	http *http.Server
}

// NewAdmin makes a server that serves nothing until Serve.
func NewAdmin(cfg AdminConfig, log *slog.Logger) *Admin {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", answerHealth(cfg.Health.Live))
	mux.HandleFunc("GET /readyz", answerHealth(cfg.Health.Ready))
	mux.HandleFunc("GET /startupz", answerHealth(cfg.Health.Started))
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		MaxRequestsInFlight: adminScrapes,
	}))
	guard := newAdminGuard(cfg.Token, log)
	for pattern, operation := range cfg.Operations {
		mux.Handle(pattern, guard.protect(operate(operation, log)))
	}
	for path, profile := range map[string]http.HandlerFunc{
		"":        pprof.Index, // and all profiles by their names
		"cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.Handle("GET /debug/pprof/"+path, guard.protect(profile))
	}
	return &Admin{http: &http.Server{
		Handler:           guard.sameOrigin(explainMisses(mux, log)),
		BaseContext:       func(l net.Listener) context.Context { return withListener(context.Background(), l.Addr()) },
		ReadHeaderTimeout: adminTimeout,
		ReadTimeout:       adminTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminWriteTimeout,
		MaxHeaderBytes:    adminHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Serve accepts connections from l until Shutdown, which makes it return nil. It
// closes l.
func (a *Admin) Serve(l net.Listener) error {
	err := a.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("transport: serve operators on %s: %w", l.Addr(), err)
}

// Shutdown lets questions under way finish until ctx ends and cuts off the rest.
func (a *Admin) Shutdown(ctx context.Context) error {
	if err := a.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("transport: let operators finish: %w", err), a.http.Close())
	}
	return nil
}

func answerHealth(check func(ctx context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := check(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, err.Error()+"\n") // the operator has gone
			return
		}
		_, _ = io.WriteString(w, "ok\n") // the operator has gone
	}
}
