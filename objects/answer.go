package objects

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-dev/holdfast/actor"
)

// refusal is an error that the client is told as it stands: as a plain text
// answer, or as an error message on its socket. Nothing has changed.
type refusal struct {
	status int
	text   string
}

// Error implements error.
func (r *refusal) Error() string { return "objects: refused: " + r.text }

// Refusals that several classes share.
var (
	errNotFound = &refusal{http.StatusNotFound, "Not found"}
	errInvalid  = &refusal{http.StatusBadRequest, "Invalid request"}
)

// bodyError is a request body that cannot be used, whatever the class. It is
// answered in the shape of the runtime's own errors.
type bodyError struct {
	status  int
	code    string
	message string
}

// Error implements error.
func (e *bodyError) Error() string { return "objects: request body: " + e.message }

// respond answers a request with what route gives: a value as JSON, or an error.
func respond(w http.ResponseWriter, r *http.Request, route func(*http.Request) (any, error)) {
	value, err := route(r)
	if err != nil {
		respondError(w, err)
		return
	}
	writeAnswer(w, http.StatusOK, "application/json", encode(value))
}

// respondError answers with a refusal. Any other error is one of the runtime,
// and what the event has written so far may be half of what it meant: the panic
// drops it, ends the activation and gives the caller an ID that the log has too.
func respondError(w http.ResponseWriter, err error) {
	var refused *refusal
	var body *bodyError
	switch {
	case errors.As(err, &refused):
		writeAnswer(w, refused.status, "text/plain;charset=UTF-8", []byte(refused.text))
	case errors.As(err, &body):
		var id [8]byte
		rand.Read(id[:])
		type detail struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			ID      string `json:"id"`
		}
		writeAnswer(w, body.status, "application/json", encode(struct {
			Error detail `json:"error"`
		}{detail{body.code, body.message, hex.EncodeToString(id[:])}}))
	default:
		panic(err)
	}
}

func writeAnswer(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error means that the client is gone: nobody is left to be told
}

// encode gives a value as JSON without changing what users wrote: no escapes for
// HTML, and json.RawMessage as it is. Only values that always encode come here,
// so an error is a bug.
func encode(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Errorf("objects: encode %T: %w", value, err))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// asRefusal turns the error of a limit of storage or sockets into a refusal: it
// is the client that asked for too much.
func asRefusal(err error, refused *refusal) error {
	for _, limit := range []error{
		actor.ErrKey, actor.ErrValueTooLarge, actor.ErrBatchTooLarge, actor.ErrAttachmentTooLarge, actor.ErrFrameTooLarge,
	} {
		if errors.Is(err, limit) {
			return refused
		}
	}
	return err
}
