package actor

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// keyedAnswer is an answer as it is kept under the key of its call.
type keyedAnswer struct {
	status int
	header http.Header
	body   []byte
}

// keyedAnswerVersion is the first byte of an encoded answer:
//
//	version 1: version, status, number of header fields, of each in ascending
//	           order of names: name, number of values, the values; then the body
const keyedAnswerVersion = 1

// minFieldBytes is the least size of a header field.
const minFieldBytes = 2

func (a *keyedAnswer) append(dst []byte) []byte {
	dst = append(dst, keyedAnswerVersion)
	dst = binary.AppendUvarint(dst, uint64(a.status))
	dst = binary.AppendUvarint(dst, uint64(len(a.header)))
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		dst = appendText(dst, name)
		dst = binary.AppendUvarint(dst, uint64(len(a.header[name])))
		for _, value := range a.header[name] {
			dst = appendText(dst, value)
		}
	}
	return append(dst, a.body...)
}

// decodeKeyedAnswer is the inverse of append. The body aliases data.
func decodeKeyedAnswer(data []byte) (*keyedAnswer, error) {
	r := fieldReader{data: data}
	if r.byte() != keyedAnswerVersion {
		r.fail()
	}
	status := r.uvarint()
	if status < 200 || status > 999 {
		r.fail()
	}
	a := &keyedAnswer{status: int(status), header: make(http.Header)}
	last := ""
	for i := range r.count(minFieldBytes) {
		name := r.text(maxTextBytes)
		if i > 0 && name <= last {
			r.fail()
		}
		last = name
		a.header[name] = readTags(&r)
	}
	a.body, r.data = r.data, nil
	if !r.done() {
		return nil, fmt.Errorf("%w: kept answer %x", ErrCorruptState, data[:min(len(data), 64)])
	}
	return a, nil
}

// replay gives the answer as it is given again.
func (a *keyedAnswer) replay() part {
	header := a.header.Clone()
	header.Set(headerReplayed, "true")
	return part{status: a.status, header: header, body: a.body, end: true}
}
