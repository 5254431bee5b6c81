package actor

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"time"
)

// DefaultKeyTTL is how long the answer to a call with a key is kept.
const DefaultKeyTTL = 24 * time.Hour

const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotency-Replayed"
	maxRequestKey  = 255 // bytes of a key, without quotes
)

// Fingerprint tells a request from another one with the same key: SHA-256 of its
// method, its path with the query, and its body.
type Fingerprint [sha256.Size]byte

// requestKey is the key under which a call takes effect once, however often its
// client sends it.
type requestKey struct {
	text        string
	fingerprint Fingerprint
}

// hasRequestKey says whether the call has a key that counts. Calls that are
// harmless to repeat, and those for a socket, have none.
func hasRequestKey(r *http.Request, socket SocketID) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return len(r.Header[headerKey]) > 0 && socket == SocketID{}
	default:
		return false
	}
}

// requestKeyOf gives the key of a call, nil if it has none.
func requestKeyOf(r *http.Request, socket SocketID, body []byte) (*requestKey, error) {
	if !hasRequestKey(r, socket) {
		return nil, nil
	}
	values := r.Header[headerKey]
	if len(values) != 1 {
		return nil, ErrRequestKey
	}
	text, ok := parseRequestKey(values[0])
	if !ok {
		return nil, ErrRequestKey
	}
	return &requestKey{text: text, fingerprint: fingerprintOf(r, body)}, nil
}

// parseRequestKey reads a key: a string of RFC 8941, in quotes, or visible ASCII
// without quotes, backslashes and commas. Both forms of the same text are the same key.
func parseRequestKey(value string) (text string, ok bool) {
	inner, quoted := strings.CutPrefix(value, `"`)
	if quoted {
		text, ok = unquote(inner)
	} else {
		text, ok = value, !strings.ContainsFunc(value, notBare)
	}
	return text, ok && text != "" && len(text) <= maxRequestKey
}

func notBare(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"\,`, c) }

// unquote reads the rest of a string after its first quote.
func unquote(inner string) (string, bool) {
	var text strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c < ' ' || c > '~':
			return "", false
		case c == '"':
			return text.String(), i == len(inner)-1
		case c == '\\':
			if i++; i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return "", false
			}
			text.WriteByte(inner[i])
		default:
			text.WriteByte(c)
		}
	}
	return "", false
}

func fingerprintOf(r *http.Request, body []byte) (f Fingerprint) {
	hash := sha256.New()
	var length [8]byte
	for _, field := range []string{r.Method, r.URL.RequestURI()} {
		binary.BigEndian.PutUint64(length[:], uint64(len(field)))
		hash.Write(length[:])
		hash.Write([]byte(field))
	}
	hash.Write(body)
	hash.Sum(f[:0])
	return f
}

// readKeyedBody reads the body of a call with a key. Its fingerprint needs all of
// it, so it is never streamed.
func (h *Host) readKeyedBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > bodyBytes {
		return nil, ErrKeyedBody
	}
	h.bytes.Add(bodyBytes)
	defer h.bytes.Add(-bodyBytes)
	if r.ContentLength >= 0 {
		return readWhole(w, r)
	}
	rc := http.NewResponseController(w)
	timed := rc.SetReadDeadline(time.Now().Add(bodyTimeout)) == nil
	whole, err := io.ReadAll(io.LimitReader(r.Body, bodyBytes+1))
	switch {
	case err != nil:
		return nil, bodyError(err)
	case len(whole) > bodyBytes:
		return nil, ErrKeyedBody
	case timed:
		_ = rc.SetReadDeadline(time.Time{})
	}
	return whole, nil
}
