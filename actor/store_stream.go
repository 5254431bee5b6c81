package actor

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The stream of a shard's state: the magic with the version, then frames, each
// with the length of its payload (4 bytes), a checksum (4) and the payload. The
// checksum is CRC-32C over the payloads of this frame and of all before it, so
// that none can be missing or out of place. A payload begins with its kind:
//
//	1  records in ascending order of their keys: length of the key, the key
//	   without its shard, length of the value, the value
//	2  the end: number of records, index of the last log entry in the state
//
// Numbers in payloads are unsigned varints, the others big endian.
const (
	streamMagic = "HFS"
	// streamVersion is the newest form. A reader that meets another one refuses it.
	streamVersion = 1

	frameRecords byte = 1
	frameEnd     byte = 2

	frameHeadBytes = 8
	// streamFrameBytes closes a frame of records.
	streamFrameBytes = 64 << 10
	// maxStreamFrame bounds a frame that is read: one full but for a byte and the
	// longest record.
	maxStreamFrame = 64 << 20
)

// streamWriter writes a stream. Whoever has finished calls end.
type streamWriter struct {
	out     io.Writer
	written int64
	crc     uint32
	frame   []byte // frameHeadBytes of room, then the payload so far
	records uint64
}

func newStreamWriter(out io.Writer) (*streamWriter, error) {
	w := &streamWriter{out: out}
	w.begin(frameRecords)
	return w, w.write(append([]byte(streamMagic), streamVersion))
}

func (w *streamWriter) begin(kind byte) {
	w.frame = append(append(w.frame[:0], make([]byte, frameHeadBytes)...), kind)
}

func (w *streamWriter) write(data []byte) error {
	n, err := w.out.Write(data)
	w.written += int64(n)
	return err
}

// record adds a record. key comes without its shard.
func (w *streamWriter) record(key, value []byte) error {
	w.frame = binary.AppendUvarint(w.frame, uint64(len(key)))
	w.frame = append(w.frame, key...)
	w.frame = binary.AppendUvarint(w.frame, uint64(len(value)))
	w.frame = append(w.frame, value...)
	w.records++
	if len(w.frame) < streamFrameBytes {
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	w.begin(frameRecords)
	if cap(w.frame) > 4*streamFrameBytes {
		w.frame = append([]byte(nil), w.frame...)
	}
	return nil
}

func (w *streamWriter) flush() error {
	payload := w.frame[frameHeadBytes:]
	if len(payload) > maxStreamFrame {
		return fmt.Errorf("a record of %d bytes is too long for a stream", len(payload))
	}
	w.crc = crc32.Update(w.crc, castagnoli(), payload)
	binary.BigEndian.PutUint32(w.frame, uint32(len(payload)))
	binary.BigEndian.PutUint32(w.frame[4:], w.crc)
	return w.write(w.frame)
}

func (w *streamWriter) end(index uint64) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.begin(frameEnd)
	w.frame = binary.AppendUvarint(w.frame, w.records)
	w.frame = binary.AppendUvarint(w.frame, index)
	return w.flush()
}

// streamReader reads a stream and believes nothing: after any error nothing of
// it may be used.
type streamReader struct {
	in      *bufio.Reader
	crc     uint32
	payload bytes.Buffer
	records uint64
	last    []byte // key of the record before
}

var errStream = fmt.Errorf("%w: stream of a shard", ErrCorruptState)

func newStreamReader(in io.Reader) (*streamReader, error) {
	r := &streamReader{in: bufio.NewReader(in)}
	head := make([]byte, len(streamMagic)+1)
	if _, err := io.ReadFull(r.in, head); err != nil {
		return nil, brokenOff(err)
	}
	if string(head[:len(streamMagic)]) != streamMagic {
		return nil, fmt.Errorf("%w: it is something else", errStream)
	}
	if version := head[len(streamMagic)]; version != streamVersion {
		return nil, fmt.Errorf("%w: stream of version %d, this program knows %d", ErrStoreVersion, version, streamVersion)
	}
	return r, nil
}

// next reads a frame and gives its records to visit, which must not keep them.
// done is set at the end of the stream, with the index that it names.
func (r *streamReader) next(visit func(key, value []byte) error) (index uint64, done bool, err error) {
	payload, err := r.frame()
	if err != nil {
		return 0, false, err
	}
	switch payload[0] {
	case frameRecords:
		return 0, false, r.visit(payload[1:], visit)
	case frameEnd:
		index, err = r.end(payload[1:])
		return index, err == nil, err
	default:
		return 0, false, fmt.Errorf("%w: frame of kind %d", errStream, payload[0])
	}
}

func (r *streamReader) frame() ([]byte, error) {
	var head [frameHeadBytes]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, brokenOff(err)
	}
	length := binary.BigEndian.Uint32(head[:])
	if length == 0 || length > maxStreamFrame {
		return nil, fmt.Errorf("%w: frame of %d bytes", errStream, length)
	}
	// The buffer grows with what is there, not with what was announced.
	r.payload.Reset()
	if n, err := io.CopyN(&r.payload, r.in, int64(length)); err != nil {
		return nil, fmt.Errorf("after %d of %d bytes of a frame: %w", n, length, brokenOff(err))
	}
	r.crc = crc32.Update(r.crc, castagnoli(), r.payload.Bytes())
	if binary.BigEndian.Uint32(head[4:]) != r.crc {
		return nil, fmt.Errorf("%w: checksum", errStream)
	}
	return r.payload.Bytes(), nil
}

func (r *streamReader) visit(rest []byte, visit func(key, value []byte) error) error {
	for len(rest) > 0 {
		var key, value []byte
		var ok bool
		if key, rest, ok = cutBytes(rest); !ok || len(key) == 0 {
			return fmt.Errorf("%w: key of record %d", errStream, r.records)
		}
		if value, rest, ok = cutBytes(rest); !ok {
			return fmt.Errorf("%w: value of record %d", errStream, r.records)
		}
		if bytes.Compare(key, r.last) <= 0 {
			return fmt.Errorf("%w: record %d is out of order", errStream, r.records)
		}
		r.last = append(r.last[:0], key...)
		r.records++
		if err := visit(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (r *streamReader) end(payload []byte) (uint64, error) {
	records, n := binary.Uvarint(payload)
	if n <= 0 {
		return 0, fmt.Errorf("%w: end", errStream)
	}
	index, m := binary.Uvarint(payload[n:])
	if m <= 0 || n+m != len(payload) || records != r.records || index == 0 {
		return 0, fmt.Errorf("%w: end after %d records", errStream, r.records)
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("%w: more after its end", errStream)
	}
	return index, nil
}

// cutBytes takes a length and that many bytes off the front.
func cutBytes(data []byte) (value, rest []byte, ok bool) {
	length, n := binary.Uvarint(data)
	if n <= 0 || length > uint64(len(data)-n) {
		return nil, nil, false
	}
	data = data[n:]
	return data[:length:length], data[length:], true
}

// brokenOff says that a stream ended too early; other errors are the source's own.
func brokenOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it breaks off", errStream)
	}
	return err
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
