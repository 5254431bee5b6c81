package cluster

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// recordVersion is the newest form of an entry in the log database.
const recordVersion = 1

// recordOverhead bounds the bytes of a record that are not data or extensions.
const recordOverhead = 2 + 4*binary.MaxVarintLen64

// appendRecord adds the stored form of a Raft log entry to dst: version, type,
// varints for term, time of appending (nanoseconds since 1970, 0 if unset) and
// the length of the extensions, the extensions, the data. The index is the key.
func appendRecord(dst []byte, l *raft.Log) []byte {
	dst = append(dst, recordVersion, byte(l.Type))
	dst = binary.AppendUvarint(dst, l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	dst = binary.AppendUvarint(dst, uint64(at))
	dst = binary.AppendUvarint(dst, uint64(len(l.Extensions)))
	dst = append(dst, l.Extensions...)
	return append(dst, l.Data...)
}

// decodeRecord reads a record into l, whose byte slices alias data.
func decodeRecord(data []byte, index uint64, l *raft.Log) error {
	if len(data) < 2 {
		return fmt.Errorf("cluster: decode log record %d: %w", index, ErrCorrupt)
	}
	if data[0] != recordVersion {
		return fmt.Errorf("cluster: decode log record %d of version %d: %w", index, data[0], ErrUnknownVersion)
	}
	if data[1] > byte(raft.LogConfiguration) {
		return fmt.Errorf("cluster: decode log record %d of type %d: %w", index, data[1], ErrUnknownVersion)
	}
	r := reader{rest: data[2:]}
	term, at, extensions := r.uvarint(), r.uvarint(), r.bytes()
	if r.bad {
		return fmt.Errorf("cluster: decode log record %d: %w", index, ErrCorrupt)
	}
	*l = raft.Log{Index: index, Term: term, Type: raft.LogType(data[1])}
	if at != 0 {
		l.AppendedAt = time.Unix(0, int64(at))
	}
	if len(extensions) > 0 {
		l.Extensions = extensions
	}
	if len(r.rest) > 0 {
		l.Data = r.rest
	}
	return nil
}
