package transport

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"strconv"

	"github.com/holdfast-dev/holdfast/actor"
)

// Errors that the door itself makes.
var (
	// ErrClosed means that the server or gateway was told to stop; nothing ran.
	ErrClosed = errors.New("transport: stopping")

	errMethod     = errors.New("transport: method not allowed on this path")
	errOrigin     = errors.New("transport: origin not allowed to open a socket")
	errHandshake  = errors.New("transport: not a WebSocket handshake of version 13")
	errBodySlow   = fmt.Errorf("transport: request body stalled: %w", os.ErrDeadlineExceeded)
	errBodyLarge  = errors.New("transport: request body larger than this node takes")
	errNoUpgrade  = errors.New("transport: answer 101 to a request that is not a WebSocket handshake")
	errNotOpened  = errors.New("transport: answer 101 without an accepted socket")
	errHandedOver = errors.New("transport: the connection has become a WebSocket")
)

// problem is what a client learns of an error.
type problem struct {
	status  int
	code    string
	message string
}

// problemOf is the one place where errors become statuses. Three promises hold:
// a 503 or 507 certainly changed nothing and may be tried again; a 504 may or may
// not have taken effect; any other status says nothing about it, but that the
// codes about an Idempotency-Key, answer_too_large excepted, mean that this call did nothing. The order of
// the lines matters: an error that is also unknown is unknown, and one that is a
// special kind of another comes before it.
func problemOf(err error) problem {
	var fault *actor.FaultError
	var quarantined *actor.QuarantineError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, actor.ErrOutcomeUnknown):
		return problem{http.StatusGatewayTimeout, "outcome_unknown", "It is not known whether the call took effect. Look before you try again."}
	case errors.As(err, &fault):
		return problem{http.StatusInternalServerError, "object_failed", "The object's code failed. The node's log has the details under this id."}
	case errors.Is(err, actor.ErrHandlerTimeout):
		return problem{http.StatusInternalServerError, "handler_timeout", "The object's code did not end in time."}
	case errors.Is(err, actor.ErrAborted):
		return problem{http.StatusInternalServerError, "aborted", "The object ended itself while it handled the call."}
	case errors.Is(err, actor.ErrAnswerTooLarge):
		return problem{http.StatusInternalServerError, "answer_too_large", "The answer is too large to be kept under an Idempotency-Key, so the call's last writes were dropped. Ask for less, or call without a key."}

	case errors.Is(err, actor.ErrMailboxFull):
		return problem{http.StatusServiceUnavailable, "mailbox_full", "The object has too many calls waiting. Nothing was done; try again."}
	case errors.As(err, &quarantined):
		return problem{http.StatusServiceUnavailable, "quarantined", "The object has failed, or harmed its node, again and again: it rests. Nothing was done; try again when Retry-After has passed."}
	case errors.Is(err, actor.ErrOverloaded):
		return problem{http.StatusServiceUnavailable, "overloaded", "The node has too much to do. Nothing was done; try again."}
	case errors.Is(err, actor.ErrNotOwner):
		return problem{http.StatusServiceUnavailable, "not_owner", "No node owns the object right now. Nothing was done; try again."}
	case errors.Is(err, actor.ErrClosing), errors.Is(err, ErrClosed):
		return problem{http.StatusServiceUnavailable, "closing", "The node is stopping. Nothing was done; try again."}
	case errors.Is(err, actor.ErrStorageFull):
		return problem{http.StatusInsufficientStorage, "storage_full", "The node's disk is full. Nothing was done."}
	case errors.Is(err, actor.ErrRefused):
		return problem{http.StatusServiceUnavailable, "refused", "The call's writes were refused. Nothing was done; try again."}

	case errors.Is(err, actor.ErrPartiallyApplied):
		return problem{http.StatusConflict, "partially_applied", "A call with this Idempotency-Key has begun and broke off; some of it may have taken effect. Nothing was done now. Look, and use a new key for what is left to do."}
	case errors.Is(err, actor.ErrKeyInProgress):
		return problem{http.StatusConflict, "idempotency_in_progress", "A call with this Idempotency-Key is running. Nothing was done; try again for its answer."}
	case errors.Is(err, actor.ErrKeyReused):
		return problem{http.StatusUnprocessableEntity, "idempotency_key_reused", "This Idempotency-Key belongs to a call with another method, path or body. Nothing was done."}
	case errors.Is(err, actor.ErrTooManyRequestKeys):
		return problem{http.StatusTooManyRequests, "too_many_idempotency_keys", "The object keeps as many answers under Idempotency-Keys as it may. Nothing was done; try again when some have expired."}
	case errors.Is(err, actor.ErrRequestKey):
		return problem{http.StatusBadRequest, "bad_idempotency_key", "An Idempotency-Key is one string of 1 to 255 visible ASCII characters, in quotes or without."}
	case errors.Is(err, actor.ErrKeyedBody):
		return problem{http.StatusRequestEntityTooLarge, "body_too_large", "A call with an Idempotency-Key has a body of at most 1 MiB."}

	case errors.Is(err, actor.ErrBodyTimeout), errors.Is(err, errBodySlow):
		return problem{http.StatusRequestTimeout, "body_timeout", "The request body did not arrive in time."}
	case errors.As(err, &tooLarge), errors.Is(err, errBodyLarge):
		return problem{http.StatusRequestEntityTooLarge, "body_too_large", "The request body is larger than this node takes."}
	case errors.Is(err, actor.ErrBody):
		return problem{http.StatusBadRequest, "bad_body", "The request body could not be read."}
	case errors.Is(err, actor.ErrUnknownClass):
		return problem{http.StatusNotFound, "unknown_class", "There is no class of that name."}
	case errors.Is(err, actor.ErrBadName):
		return problem{http.StatusBadRequest, "bad_name", "An object's name is 1 to 1024 bytes of valid UTF-8, percent-encoded."}
	case errors.Is(err, actor.ErrBadID):
		return problem{http.StatusBadRequest, "bad_id", "That is not the ID of an object of this class in this cluster."}
	case errors.Is(err, errNoRoute):
		return problem{http.StatusNotFound, "not_found", "Objects are at /objects/{class}/{name}/ and /ids/{class}/{id}/."}
	case errors.Is(err, errMethod):
		return problem{http.StatusMethodNotAllowed, "method_not_allowed", "POST here makes a new ID."}
	case errors.Is(err, errOrigin):
		return problem{http.StatusForbidden, "origin_not_allowed", "Pages of this origin may not open sockets here."}
	case errors.Is(err, actor.ErrSession):
		return problem{http.StatusBadRequest, "bad_session_key", "A session key is 22 to 64 letters, digits, '-' or '_': 128 random bits, given once."}
	case errors.Is(err, errHandshake):
		return problem{http.StatusBadRequest, "bad_handshake", "A WebSocket opens with GET, no body, Sec-WebSocket-Version 13 and a Sec-WebSocket-Key of 16 bytes."}
	}
	return problem{http.StatusInternalServerError, "internal", "The node failed. Its log has the details under this id."}
}

// Problems gives all codes that problemOf knows, for whoever counts them.
func Problems() []string {
	return []string{
		"outcome_unknown", "object_failed", "handler_timeout", "aborted", "answer_too_large",
		"mailbox_full", "quarantined", "overloaded", "not_owner", "closing", "storage_full", "refused",
		"partially_applied", "idempotency_in_progress", "idempotency_key_reused", "too_many_idempotency_keys", "bad_idempotency_key",
		"body_timeout", "body_too_large", "bad_body", "unknown_class", "bad_name", "bad_id", "not_found",
		"method_not_allowed", "origin_not_allowed", "bad_session_key", "bad_handshake", "internal",
	}
}

// errorBody is the shape of every error that the runtime makes.
type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	ID      string `json:"id"`
}

// writeError answers with what problemOf says and logs the error, which the
// client does not see, under the same ID. Nothing may have been written before.
func writeError(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	p := problemOf(err)
	id := newErrorID()
	if fault, ok := errors.AsType[*actor.FaultError](err); ok {
		id = fault.ID
	}
	if a, ok := w.(*answer); ok {
		a.problem = p.code
	}
	level := p.level()
	if shed(err) {
		level = slog.LevelDebug // there may be very many of them
	}
	log.Log(r.Context(), level, "request refused or failed", "error_id", id,
		"status", p.status, "code", p.code, "method", r.Method, "remote", r.RemoteAddr, "error", err)

	body, _ := json.Marshal(errorBody{errorDetail{p.code, p.message, id}}) // three strings always marshal
	h := w.Header()
	clear(h) // what the object has set is not part of this answer
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	switch p.status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.FormatInt(retryAfter(err), 10))
	case http.StatusTooManyRequests:
		h.Set("Retry-After", "60")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodPost)
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge:
		h.Set("Connection", "close") // the rest of the body is not worth reading
	}
	if errors.Is(err, errHandshake) {
		h.Set("Sec-Websocket-Version", "13") // RFC 6455 4.4: tell the version that is spoken here
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(append(body, '\n')) // a client that has gone learns nothing more
}

// retryAfter gives the seconds after which a refused call may be tried again.
func retryAfter(err error) int64 {
	if q, ok := errors.AsType[*actor.QuarantineError](err); ok {
		return max(1, int64(math.Ceil(q.Wait.Seconds())))
	}
	return 1
}

// level is low for what clients cause and high only for what an operator must look at.
func (p problem) level() slog.Level {
	switch p.status {
	case http.StatusInternalServerError, http.StatusInsufficientStorage:
		return slog.LevelError
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func newErrorID() string {
	var id [8]byte
	rand.Read(id[:]) // never fails: it ends the process instead
	return hex.EncodeToString(id[:])
}
