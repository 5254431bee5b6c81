package transport

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

func TestProblemOf(t *testing.T) {
	met := make(map[string]bool)
	for _, tc := range []struct {
		err    error
		status int
		code   string
	}{
		{actor.ErrOutcomeUnknown, 504, "outcome_unknown"},
		{errors.Join(actor.ErrRefused, actor.ErrOutcomeUnknown), 504, "outcome_unknown"},
		{&actor.FaultError{ID: "f"}, 500, "object_failed"},
		{actor.ErrHandlerTimeout, 500, "handler_timeout"},
		{actor.ErrAborted, 500, "aborted"},
		{actor.ErrMailboxFull, 503, "mailbox_full"},
		{&actor.QuarantineError{Wait: time.Minute}, 503, "quarantined"},
		{actor.ErrStuck, 503, "overloaded"},
		{errBusy, 503, "overloaded"},
		{actor.ErrOverloaded, 503, "overloaded"},
		{actor.ErrNotOwner, 503, "not_owner"},
		{actor.ErrClosing, 503, "closing"},
		{ErrClosed, 503, "closing"},
		{actor.ErrRefused, 503, "refused"},
		{actor.ErrStorageFull, 507, "storage_full"},
		{actor.ErrAnswerTooLarge, 500, "answer_too_large"},
		{actor.ErrPartiallyApplied, 409, "partially_applied"},
		{actor.ErrKeyInProgress, 409, "idempotency_in_progress"},
		{actor.ErrKeyReused, 422, "idempotency_key_reused"},
		{actor.ErrTooManyRequestKeys, 429, "too_many_idempotency_keys"},
		{actor.ErrRequestKey, 400, "bad_idempotency_key"},
		{actor.ErrKeyedBody, 413, "body_too_large"},
		{actor.ErrBodyTimeout, 408, "body_timeout"},
		{errBodySlow, 408, "body_timeout"},
		{&http.MaxBytesError{Limit: 1}, 413, "body_too_large"},
		{errBodyLarge, 413, "body_too_large"},
		{actor.ErrBody, 400, "bad_body"},
		{fmt.Errorf("%w: %w", actor.ErrBody, errBodySlow), 408, "body_timeout"},
		{actor.ErrUnknownClass, 404, "unknown_class"},
		{actor.ErrBadName, 400, "bad_name"},
		{actor.ErrBadID, 400, "bad_id"},
		{errNoRoute, 404, "not_found"},
		{errMethod, 405, "method_not_allowed"},
		{errOrigin, 403, "origin_not_allowed"},
		{actor.ErrSession, 400, "bad_session_key"},
		{errHandshake, 400, "bad_handshake"},
		{errors.New("anything else"), 500, "internal"},
	} {
		err := fmt.Errorf("actor: dispatch: %w", tc.err)
		if got := problemOf(err); got.status != tc.status || got.code != tc.code || got.message == "" {
			t.Errorf("problemOf(%v) = %d %s %q, want %d %s", err, got.status, got.code, got.message, tc.status, tc.code)
		}
		met[tc.code] = true
	}
	for _, code := range Problems() {
		if !met[code] {
			t.Errorf("Problems() has %q, which stands for no error above", code)
		}
		delete(met, code)
	}
	for code := range met {
		t.Errorf("Problems() lacks %q", code)
	}
}

func TestWriteError(t *testing.T) {
	for _, tc := range []struct {
		err    error
		header http.Header // expected, besides the content type
	}{
		{actor.ErrNotOwner, http.Header{"Retry-After": {"1"}}},
		{&actor.QuarantineError{Wait: 29100 * time.Millisecond}, http.Header{"Retry-After": {"30"}}},
		{actor.ErrOutcomeUnknown, http.Header{"Retry-After": nil}},
		{actor.ErrStorageFull, http.Header{"Retry-After": nil}},
		{actor.ErrTooManyRequestKeys, http.Header{"Retry-After": {"60"}}},
		{actor.ErrKeyedBody, http.Header{"Connection": {"close"}}},
		{errMethod, http.Header{"Allow": {"POST"}}},
		{errHandshake, http.Header{"Sec-Websocket-Version": {"13"}}},
		{actor.ErrBodyTimeout, http.Header{"Connection": {"close"}}},
		{errors.New("the secret path /var/lib"), nil},
	} {
		var logs strings.Builder
		w := httptest.NewRecorder()
		w.Header().Set("Set-Cookie", "of-the-object")
		r := httptest.NewRequest(http.MethodGet, "/objects/C/n", http.NoBody)
		writeError(w, r, slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug})), tc.err)

		var body errorBody
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("body for %v = %q: %v", tc.err, w.Body, err)
		}
		if p := problemOf(tc.err); w.Code != p.status || body.Error.Code != p.code {
			t.Errorf("answer to %v = %d %s, want %d %s", tc.err, w.Code, body.Error.Code, p.status, p.code)
		}
		if id := body.Error.ID; len(id) != 16 || !strings.Contains(logs.String(), "error_id="+id) || !strings.Contains(logs.String(), tc.err.Error()) {
			t.Errorf("log of %v = %q, want the error and the ID %q", tc.err, logs.String(), id)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("body for %v = %q, want no internal text", tc.err, w.Body)
		}
		if got := w.Header().Get("Content-Type"); got != "application/json" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("header for %v = %v, want JSON and nothing of the object", tc.err, w.Header())
		}
		for name, want := range tc.header {
			if got := w.Header()[name]; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s for %v = %v, want %v", name, tc.err, got, want)
			}
		}
	}
}

func TestFaultKeepsItsID(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	writeError(w, r, slog.New(slog.DiscardHandler), fmt.Errorf("run: %w", &actor.FaultError{ID: "abc123"}))
	if !strings.Contains(w.Body.String(), `"id":"abc123"`) {
		t.Errorf("body = %s, want the fault's own ID", w.Body)
	}
}
