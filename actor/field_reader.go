package actor

import "encoding/binary"

// fieldReader takes fields off the front of an encoded value. After the first
// field that is not there or is not canonical everything is zero and done
// reports false, so a decoder checks once, at its end. What it gives aliases data.
type fieldReader struct {
	data []byte
	bad  bool
}

// done says whether every field was good and nothing is left over.
func (r *fieldReader) done() bool { return !r.bad && len(r.data) == 0 }

func (r *fieldReader) fail() {
	r.bad = true
	r.data = nil
}

func (r *fieldReader) byte() byte {
	if len(r.data) == 0 {
		r.fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// fixed gives the next n bytes, nil if there are fewer.
func (r *fieldReader) fixed(n int) []byte {
	if n > len(r.data) {
		r.fail()
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

// uvarint refuses the longer spellings of a number: a value has one encoding,
// so replicas and checks may compare bytes.
func (r *fieldReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || (n > 1 && r.data[n-1] == 0) {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *fieldReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// bytes gives a length and that many bytes. A length beyond limit or beyond the
// rest of the data fails before anything is allocated for it.
func (r *fieldReader) bytes(limit int) []byte {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail()
		return nil
	}
	return r.fixed(int(n))
}

// text is bytes as a string of its own.
func (r *fieldReader) text(limit int) string { return string(r.bytes(limit)) }

// optional gives nil for 0, and otherwise a length plus one and that many bytes.
func (r *fieldReader) optional(limit int) []byte {
	n := r.uvarint()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(limit) {
		r.fail()
		return nil
	}
	return r.fixed(int(n - 1))
}

// count gives a number of elements of at least size bytes each, so that no
// number in the data makes a decoder allocate much more than the data has.
func (r *fieldReader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.data)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendOptional is what fieldReader.optional reads.
func appendOptional(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b))+1)
	return append(dst, b...)
}
