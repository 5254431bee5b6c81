package transport

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
)

// Operation does or shows what an operator asks for. What it gives is sent as JSON.
type Operation func(r *http.Request) (any, error)

// OperatorError says to an operator why an operation was not done, and what to do.
type OperatorError struct {
	Status  int // of HTTP
	Code    string
	Message string
	Err     error // for the log; may be nil
}

func (e *OperatorError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return e.Message
}

func (e *OperatorError) Unwrap() error { return e.Err }

// operate serves an operation. Those that change something are in the log.
func operate(do Operation, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			log.Info("an operator asks", "method", r.Method, "path", r.URL.Path, "query", r.URL.RawQuery, "remote", r.RemoteAddr)
		}
		answer, err := do(r)
		if err != nil {
			refuse(w, r, log, err)
			return
		}
		body, err := json.MarshalIndent(answer, "", "  ")
		if err != nil {
			refuse(w, r, log, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(body, '\n')) // the operator has gone
	})
}

// refuse answers an operator with an error of the same shape as clients get, and
// logs it under the same ID. Nothing may have been written before.
func refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	id := newErrorID()
	told, ok := errors.AsType[*OperatorError](err)
	level := slog.LevelInfo
	if !ok {
		told = &OperatorError{Status: http.StatusInternalServerError, Code: "internal", Message: "The node failed. Its log has the details under this id."}
		level = slog.LevelError
	}
	log.Log(r.Context(), level, "operation refused or failed", "error_id", id, "status", told.Status, "code", told.Code,
		"method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr, "error", err)
	body, _ := json.MarshalIndent(errorBody{errorDetail{told.Code, told.Message, id}}, "", "  ") // three strings always marshal
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if told.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(told.Status)
	_, _ = w.Write(append(body, '\n')) // the operator has gone
}

// explainMisses answers for the paths and methods that the mux does not have.
func explainMisses(mux *http.ServeMux, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		miss, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		verdict := &missWriter{header: w.Header()}
		miss.ServeHTTP(verdict, r)
		err := &OperatorError{Status: http.StatusNotFound, Code: "not_found", Message: "There is nothing here. See docs/operating.md for what there is; objects are on the clients' address."}
		if verdict.status == http.StatusMethodNotAllowed {
			err = &OperatorError{Status: verdict.status, Code: "method_not_allowed", Message: "This path takes " + w.Header().Get("Allow") + " only."}
		}
		refuse(w, r, log, err)
	})
}

// missWriter keeps the header and the status of the mux's own answer and drops the text.
type missWriter struct {
	header http.Header
	status int
}

func (m *missWriter) Header() http.Header         { return m.header }
func (m *missWriter) Write(p []byte) (int, error) { return len(p), nil }
func (m *missWriter) WriteHeader(status int)      { m.status = status }
