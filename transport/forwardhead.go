package transport

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-dev/holdfast/actor"
)

// forwardWholeBytes bounds a call that is sent in one write, body included. The
// owner's server takes that much in with the head, whatever it makes of the body.
const forwardWholeBytes = 4 << 10

var errForwardForm = fmt.Errorf("%w: transport: the call cannot be written as an HTTP request", actor.ErrRefused)

// outgoing is a call as it goes to another node.
type outgoing struct {
	request *http.Request
	target  actor.Target
	socket  actor.SocketID // zero: none is asked for

	length int64 // of the body, 0: there is none, negative: unknown
	asks   bool  // the body is sent only if the owner wants it
}

func newOutgoing(r *http.Request, target actor.Target, socket actor.SocketID) outgoing {
	out := outgoing{request: r, target: target, socket: socket, length: r.ContentLength}
	if r.Body == nil || r.Body == http.NoBody {
		out.length = 0
	}
	out.asks = out.length < 0 || out.length > replayBytes // a refusal must come before the body is gone
	return out
}

// compose appends the call as far as it is sent in one write. whole says that
// this is all of it. Nothing has been sent, so after an error it did not run.
func (out *outgoing) compose(buf []byte) (_ []byte, whole bool, err error) {
	if buf, err = out.appendHead(buf); err != nil {
		return buf, false, err
	}
	if out.length == 0 || out.length < 0 || int64(len(buf))+out.length > forwardWholeBytes {
		return buf, out.length == 0, nil
	}
	head := len(buf)
	buf = append(buf, make([]byte, out.length)...)
	if _, err := io.ReadFull(out.request.Body, buf[head:]); err != nil {
		return buf, false, fmt.Errorf("%w: %w", actor.ErrBody, err)
	}
	return buf, true, nil
}

// appendHead appends the head. Path and query are those that the object sees.
func (out *outgoing) appendHead(buf []byte) ([]byte, error) {
	r := out.request
	method, uri := r.Method, r.URL.RequestURI()
	if method == "" {
		method = http.MethodGet
	}
	if !isToken(method) || !strings.HasPrefix(uri, "/") || !isWord(uri) || !isText(r.RemoteAddr) {
		return buf, errForwardForm
	}
	buf = append(append(append(buf, method...), ' '), uri...)
	buf = append(buf, " HTTP/1.1\r\n"...)
	buf = appendField(buf, "Host", hostField(r.Host))
	buf, err := out.appendClientFields(buf)
	if err != nil {
		return buf, err
	}
	buf = out.appendOwnFields(buf)
	buf = out.appendBodyFields(buf)
	return append(buf, "\r\n"...), nil
}

// appendClientFields appends what the client sent, except what is about its own
// connection and what only nodes may say.
func (out *outgoing) appendClientFields(buf []byte) ([]byte, error) {
	for key, values := range out.request.Header {
		if !isToken(key) || !allText(values) {
			return buf, errForwardForm
		}
		key = http.CanonicalHeaderKey(key)
		switch key {
		case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Trailer",
			headerClass, headerObject, headerName, headerSocket, headerClient, headerError, headerSwitch, headerPlace, headerOwner:
			continue
		case "Upgrade":
			if out.socket != (actor.SocketID{}) {
				continue
			}
		case "Expect":
			if out.asks {
				continue
			}
		}
		for _, value := range values {
			buf = appendField(buf, key, value)
		}
	}
	return buf, nil
}

func (out *outgoing) appendOwnFields(buf []byte) []byte {
	buf = appendField(buf, headerClass, out.target.Class)
	buf = appendField(buf, headerObject, out.target.ID.String())
	buf = appendField(buf, headerClient, out.request.RemoteAddr)
	if place, ok := actor.PlaceOf(out.request.Context()); ok {
		buf = appendField(buf, headerPlace, formatPlace(place))
	}
	if out.target.Name != "" {
		buf = appendField(buf, headerName, url.PathEscape(out.target.Name))
	}
	if out.socket != (actor.SocketID{}) {
		// The link's connection stays HTTP; the socket's messages go another way.
		buf = appendField(buf, headerSocket, out.socket.String())
		buf = appendField(buf, headerSwitch, out.request.Header.Get("Upgrade"))
	}
	return buf
}

func (out *outgoing) appendBodyFields(buf []byte) []byte {
	switch {
	case out.length > 0 || out.length == 0 && hasBodyByNature(out.request.Method):
		buf = append(buf, "Content-Length: "...)
		buf = append(strconv.AppendInt(buf, out.length, 10), "\r\n"...)
	case out.length < 0:
		buf = append(buf, "Transfer-Encoding: chunked\r\n"...)
		for key := range out.request.Trailer {
			if key = http.CanonicalHeaderKey(key); isToken(key) {
				buf = appendField(buf, "Trailer", key)
			}
		}
	}
	if out.asks {
		buf = append(buf, "Expect: 100-continue\r\n"...)
	}
	return buf
}

// hasBodyByNature says whether a request of the method says how long its body is
// even if it has none.
func hasBodyByNature(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func appendField(buf []byte, key, value string) []byte {
	buf = append(append(buf, key...), ": "...)
	return append(append(buf, value...), "\r\n"...)
}

// hostField gives the host as servers take it. One that an object has made up
// may be anything.
func hostField(host string) string {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-.:[]_~", c) >= 0:
		default:
			return url.QueryEscape(host)
		}
	}
	return host
}

// isToken says whether s can be a method or the name of a field. An object's own
// calls may have any; one with a line break would forge fields or calls.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// isWord says whether s has neither spaces nor control characters.
func isWord(s string) bool { return isText(s) && !strings.ContainsAny(s, " \t") }

func allText(values []string) bool {
	return !slices.ContainsFunc(values, func(value string) bool { return !isText(value) })
}

// isText says whether s can be the value of a field.
func isText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
