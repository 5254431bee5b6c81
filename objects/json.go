package objects

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf16"

	"github.com/holdfast-dev/holdfast/actor"
)

// maxBodyBytes bounds a request body, so that what is made of it and a few fields
// more fits into one value.
const maxBodyBytes = actor.MaxValueBytes - 16<<10

// value is a JSON value as its author wrote it: key order and the text of
// numbers and strings stay as they are. nil is a value that is not there.
type value = json.RawMessage

// object is a JSON object as its author wrote it.
type object []member

type member struct {
	name  string
	value value
}

// readObject reads a request body. It comes first in a handler: a large body may
// have to wait for the client, and other events run meanwhile.
func readObject(r *http.Request) (object, error) {
	data, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		// A client that is cut off while it sends may never see the answer.
		_, _ = io.CopyN(io.Discard, r.Body, maxBodyBytes)
		return nil, &bodyError{http.StatusRequestEntityTooLarge, "body_too_large", "The request body is larger than this class takes."}
	case err != nil:
		return nil, &bodyError{http.StatusBadRequest, "bad_body", "The request body could not be read."}
	}
	return parseObject(data)
}

// parseObject parses JSON. A value that has no members, like a number, is an
// object without members; null is as bad as text that is no JSON.
func parseObject(data []byte) (object, error) {
	data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	if !json.Valid(data) || string(bytes.TrimSpace(data)) == "null" {
		return nil, &bodyError{http.StatusBadRequest, "bad_json", "The request body must be a JSON object."}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return nil, err
	}
	var o object
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string) // valid JSON has strings there
		m := member{name: name}
		if err := decoder.Decode(&m.value); err != nil {
			return nil, err
		}
		o = append(o, m)
	}
	return o, nil
}

// get gives the value of a member, or nil. Of several with the same name the
// last counts.
func (o object) get(name string) value {
	for _, m := range slices.Backward(o) {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// set changes the last member of that name in place, or adds one.
func (o *object) set(name string, v value) {
	for i := len(*o) - 1; i >= 0; i-- {
		if (*o)[i].name == name {
			(*o)[i].value = v
			return
		}
	}
	*o = append(*o, member{name, v})
}

// text gives the value of a member that is a string of proper Unicode.
func (o object) text(name string) (string, bool) { return textOf(o.get(name)) }

// number gives the value of a member that is a finite number.
func (o object) number(name string) (float64, bool) { return numberOf(o.get(name)) }

// integer gives the value of a member that is a whole number of at most 53 bits.
func (o object) integer(name string) (int, bool) {
	n, ok := o.number(name)
	if !ok || n != math.Trunc(n) || math.Abs(n) > 1<<53-1 {
		return 0, false
	}
	return int(n), true
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(encode(m.name))
		out.WriteByte(':')
		out.Write(m.value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func textOf(v value) (string, bool) {
	var s string
	if len(v) == 0 || v[0] != '"' || hasLoneSurrogate(v) || json.Unmarshal(v, &s) != nil {
		return "", false
	}
	return s, true
}

func numberOf(v value) (float64, bool) {
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(v), 64)
	return n, err == nil
}

// truthy says what JavaScript's `if (v)` would.
func truthy(v value) bool {
	if n, ok := numberOf(v); ok {
		return n != 0
	}
	switch string(v) {
	case "", "null", "false", `""`:
		return false
	}
	return true
}

// hasLoneSurrogate says whether a JSON string has an escape for half of a
// surrogate pair, which no UTF-8 text can hold.
func hasLoneSurrogate(v value) bool {
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(v[i:])
		switch {
		case !ok:
			i++ // a short escape such as \n or \\
		case !utf16.IsSurrogate(unit):
			i += 5
		default:
			low, _ := escapedUnit(v[i+6:])
			if utf16.DecodeRune(unit, low) == '\uFFFD' {
				return true
			}
			i += 11
		}
	}
	return false
}

// escapedUnit gives the code unit of an escape \uXXXX at the start of s.
func escapedUnit(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(unit), err == nil
}
