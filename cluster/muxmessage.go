package cluster

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// maxAppendBytes bounds the entries of one append, unless a single entry is
// larger. The library bounds only their number.
const maxAppendBytes = 4 << 20

// messageKind says what a message asks for. It is on the wire.
type messageKind byte

const (
	messageHeartbeat  messageKind = 0 // has a frame of its own
	messageAppend     messageKind = 1
	messageVote       messageKind = 2
	messagePreVote    messageKind = 3
	messageTicket     messageKind = 4
	messageTimeoutNow messageKind = 5
	messageSnapshot   messageKind = 6
)

// message is a request of one replica to another. Which fields count depends on
// its kind. The library's headers are not in it: the receiver makes them from
// the sender that the connection and the frame's address name, so that no
// replica can speak for another.
type message struct {
	kind  messageKind
	term  uint64
	index uint64 // before the entries of an append; else last of the sender's log, or of the snapshot
	at    uint64 // the term of the entry at index

	commit  uint64      // append
	entries []*raft.Log // append

	transfer bool   // vote: the leader asked for this election
	ticket   uint64 // timeout-now

	snapshot snapshotHead
}

// snapshotHead is what only the message of a snapshot has.
type snapshotHead struct {
	version       raft.SnapshotVersion
	configuration []byte
	configuredAt  uint64 // index
	size          int64  // bytes that follow the frame
}

// size bounds the bytes of the encoded message.
func (m *message) size() int {
	n := 2 + 8*binary.MaxVarintLen64 + len(m.snapshot.configuration)
	for _, entry := range m.entries {
		n += entrySize(entry)
	}
	return n
}

func entrySize(entry *raft.Log) int {
	return 1 + 5*binary.MaxVarintLen64 + len(entry.Extensions) + len(entry.Data)
}

func appendMessage(dst []byte, m *message) []byte {
	dst = append(dst, byte(m.kind))
	dst = binary.AppendUvarint(dst, m.term)
	dst = binary.AppendUvarint(dst, m.index)
	dst = binary.AppendUvarint(dst, m.at)
	switch m.kind {
	case messageAppend:
		dst = binary.AppendUvarint(dst, m.commit)
		dst = binary.AppendUvarint(dst, uint64(len(m.entries)))
		for _, entry := range m.entries {
			dst = appendEntry(dst, entry)
		}
	case messageVote:
		var transfer byte
		if m.transfer {
			transfer = 1
		}
		dst = append(dst, transfer)
	case messageTimeoutNow:
		dst = binary.AppendUvarint(dst, m.ticket)
	case messageSnapshot:
		dst = binary.AppendUvarint(dst, uint64(m.snapshot.version))
		dst = binary.AppendUvarint(dst, m.snapshot.configuredAt)
		dst = binary.AppendUvarint(dst, uint64(m.snapshot.size))
		dst = append(dst, m.snapshot.configuration...)
	default: // nothing more
	}
	return dst
}

func appendEntry(dst []byte, entry *raft.Log) []byte {
	dst = append(dst, byte(entry.Type))
	dst = binary.AppendUvarint(dst, entry.Index)
	dst = binary.AppendUvarint(dst, entry.Term)
	var at int64
	if !entry.AppendedAt.IsZero() {
		at = entry.AppendedAt.UnixNano()
	}
	dst = binary.AppendUvarint(dst, uint64(at))
	dst = binary.AppendUvarint(dst, uint64(len(entry.Extensions)))
	dst = append(dst, entry.Extensions...)
	dst = binary.AppendUvarint(dst, uint64(len(entry.Data)))
	return append(dst, entry.Data...)
}

// decodeMessage reads a message, whose byte slices alias data.
func decodeMessage(data []byte) (*message, error) {
	r := reader{rest: data}
	m := &message{kind: messageKind(r.octet()), term: r.uvarint(), index: r.uvarint(), at: r.uvarint()}
	switch m.kind {
	case messageAppend:
		m.commit = r.uvarint()
		m.entries = r.entries()
	case messageVote:
		transfer := r.octet()
		m.transfer = transfer == 1
		r.bad = r.bad || transfer > 1
	case messagePreVote, messageTicket: // nothing more
	case messageTimeoutNow:
		m.ticket = r.uvarint()
	case messageSnapshot:
		m.snapshot.version = raft.SnapshotVersion(r.uvarint())
		m.snapshot.configuredAt = r.uvarint()
		m.snapshot.size = int64(r.uvarint())
		m.snapshot.configuration = r.take(len(r.rest))
		r.bad = r.bad || m.snapshot.size < 0 || m.snapshot.version < raft.SnapshotVersionMin || m.snapshot.version > raft.SnapshotVersionMax
	default:
		r.bad = true
	}
	if r.bad || len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: message of kind %d with %d bytes", errMuxFrame, m.kind, len(data))
	}
	return m, nil
}

func (r *reader) entries() []*raft.Log {
	count := r.uvarint()
	// An entry takes six bytes at least: a count beyond the rest is a lie, and
	// believing it would allocate without bound.
	if count > uint64(len(r.rest))/6 {
		r.bad, r.rest = true, nil
		return nil
	}
	if count == 0 {
		return nil
	}
	logs := make([]raft.Log, count)
	entries := make([]*raft.Log, count)
	for i := range logs {
		l := &logs[i]
		l.Type = raft.LogType(r.octet())
		l.Index, l.Term = r.uvarint(), r.uvarint()
		if at := r.uvarint(); at != 0 {
			l.AppendedAt = time.Unix(0, int64(at))
		}
		if extensions := r.bytes(); len(extensions) > 0 {
			l.Extensions = extensions
		}
		if data := r.bytes(); len(data) > 0 {
			l.Data = data
		}
		if r.bad || l.Type > raft.LogConfiguration {
			r.bad, r.rest = true, nil
			return nil
		}
		entries[i] = l
	}
	return entries
}

// request is the message as the library takes it. peer is the sender as
// EncodePeer gives it.
func (m *message) request(peer []byte) any {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: peer, Addr: peer}
	switch m.kind {
	case messageHeartbeat, messageAppend:
		return &raft.AppendEntriesRequest{
			RPCHeader: header, Term: m.term,
			PrevLogEntry: m.index, PrevLogTerm: m.at, Entries: m.entries, LeaderCommitIndex: m.commit,
		}
	case messageVote:
		return &raft.RequestVoteRequest{
			RPCHeader: header, Term: m.term,
			LastLogIndex: m.index, LastLogTerm: m.at, LeadershipTransfer: m.transfer,
		}
	case messagePreVote:
		return &raft.RequestPreVoteRequest{RPCHeader: header, Term: m.term, LastLogIndex: m.index, LastLogTerm: m.at}
	case messageTimeoutNow:
		return &raft.TimeoutNowRequest{RPCHeader: header}
	case messageSnapshot:
		return &raft.InstallSnapshotRequest{
			RPCHeader: header, SnapshotVersion: m.snapshot.version, Term: m.term,
			LastLogIndex: m.index, LastLogTerm: m.at,
			Configuration: m.snapshot.configuration, ConfigurationIndex: m.snapshot.configuredAt, Size: m.snapshot.size,
		}
	default: // messageTicket: the transport answers it
		return nil
	}
}

// isHeartbeat says whether an append is one of the library's heartbeats, which
// say nothing but the term.
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return r.Term != 0 && r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}

func messageOfAppend(r *raft.AppendEntriesRequest) message {
	if isHeartbeat(r) {
		return message{kind: messageHeartbeat, term: r.Term}
	}
	return message{
		kind: messageAppend, term: r.Term, index: r.PrevLogEntry, at: r.PrevLogTerm,
		commit: r.LeaderCommitIndex, entries: r.Entries,
	}
}

// firstEntries gives as many entries as fit into one append, at least one.
func firstEntries(entries []*raft.Log) []*raft.Log {
	total := 0
	for i, entry := range entries {
		total += entrySize(entry)
		if i > 0 && total > maxAppendBytes {
			return entries[:i]
		}
	}
	return entries
}
