package cluster

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-dev/holdfast/placement"
)

// muxVersion is the newest form of what nodes say to each other about Raft
// groups. It stands in the hello; frames, messages and answers follow it.
const muxVersion = 1

// Bounds of the wire.
const (
	// maxFrameBytes bounds a frame. A larger message is cut into several, so that
	// other groups get their turn in between.
	maxFrameBytes = 256 << 10
	// maxMessageBytes bounds a message of several frames.
	maxMessageBytes = 64 << 20
	// maxOpenMessages bounds the messages of one connection of which some frames
	// have been sent and some not.
	maxOpenMessages = 16
	// maxHeartbeats bounds the heartbeats in a frame.
	maxHeartbeats = 1024
	// maxHelloBytes bounds the first frame of a connection.
	maxHelloBytes = 256
	// frameOverhead bounds the bytes of a frame of a message that are not message.
	frameOverhead = 4 + 1 + 8 + 5*binary.MaxVarintLen64
)

// errMuxFrame ends a connection whose peer says something that this node does
// not understand.
var errMuxFrame = errors.New("cluster: raft connection: not what a peer says")

// groupID names a Raft group among nodes: 0 is the control group, 1 and up are
// the shards from 0.
type groupID uint32

const (
	controlGroup groupID = 0
	groupCount           = placement.MaxShards + 1
)

func shardGroup(shard placement.ShardID) groupID { return groupID(shard) + 1 }

// shard gives the shard of the group, if it is not the control group.
func (g groupID) shard() (placement.ShardID, bool) {
	return placement.ShardID(g) - 1, g != controlGroup
}

// laneUse says what a connection carries.
type laneUse byte

const (
	laneControl  laneUse = 1 // heartbeats, votes, tickets
	laneAppends  laneUse = 2
	laneSnapshot laneUse = 3 // one snapshot
	lanePeer     laneUse = 4 // one call between nodes
)

// hello is the first frame of a connection: who dialled, whom it means, and
// what for. Its form is fixed for all versions: version, use, name, directory,
// name; both names have a length byte.
type hello struct {
	use       laneUse
	node      string
	directory directoryID
	means     string
}

func appendHello(dst []byte, h hello) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, muxVersion, byte(h.use), byte(len(h.node)))
	dst = append(dst, h.node...)
	dst = append(dst, h.directory[:]...)
	dst = append(dst, byte(len(h.means)))
	dst = append(dst, h.means...)
	return endFrame(dst, start)
}

func decodeHello(data []byte) (hello, error) {
	r := reader{rest: data}
	version, use := r.octet(), laneUse(r.octet())
	if r.bad || version != muxVersion {
		return hello{}, fmt.Errorf("cluster: hello of version %d: %w", version, ErrUnknownVersion)
	}
	h := hello{use: use, node: string(r.take(int(r.octet())))}
	copy(h.directory[:], r.take(len(h.directory)))
	h.means = string(r.take(int(r.octet())))
	if r.bad || len(r.rest) > 0 || h.use < laneControl || h.use > lanePeer {
		return hello{}, fmt.Errorf("%w: hello of %d bytes", errMuxFrame, len(data))
	}
	if err := errors.Join(validateName(h.node), validateName(h.means)); err != nil {
		return hello{}, fmt.Errorf("%w: hello: %w", errMuxFrame, err)
	}
	return h, nil
}

// frameKind says what is in a frame.
type frameKind byte

const (
	frameMessage    frameKind = 1 // address, ID, a whole message
	frameFirst      frameKind = 2 // address, ID, bytes of the whole message, its beginning
	frameMore       frameKind = 3 // address, ID, the next bytes
	frameHeartbeats frameKind = 4 // count, then address, ID and term of each
	frameAnswers    frameKind = 5 // count, then ID and answer of each
)

// muxAddress says from which replica to which one a frame goes. Node and
// directory of the sender are the hello's, the receiver's node is this one.
type muxAddress struct {
	group     groupID
	directory directoryID // the receiver's
	to        uint64      // the receiver's number
	from      uint64      // the sender's number
}

// frame is a decoded frame of a message. IDs are unique on a connection.
type frame struct {
	kind    frameKind
	address muxAddress
	id      uint64
	total   uint64 // of a frameFirst: bytes of the message
	body    []byte // aliases the frame
}

// heartbeat is one of a frameHeartbeats.
type heartbeat struct {
	address muxAddress
	id      uint64
	term    uint64
}

// beginFrame adds the head of a frame, whose length endFrame fills in.
func beginFrame(dst []byte, kind frameKind) []byte {
	return append(dst, 0, 0, 0, 0, byte(kind))
}

// endFrame completes the frame that begins at start.
func endFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

func appendAddress(dst []byte, a muxAddress) []byte {
	dst = binary.AppendUvarint(dst, uint64(a.group))
	dst = append(dst, a.directory[:]...)
	dst = binary.AppendUvarint(dst, a.to)
	return binary.AppendUvarint(dst, a.from)
}

func (r *reader) address() muxAddress {
	group := r.uvarint()
	if group >= groupCount {
		r.bad = true
		return muxAddress{}
	}
	a := muxAddress{group: groupID(group)}
	copy(a.directory[:], r.take(len(a.directory)))
	a.to, a.from = r.uvarint(), r.uvarint()
	return a
}

// octet reads one byte.
func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// take reads n bytes, which alias the buffer.
func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

// decodeFrame reads what a frame of a message has in front of the message.
func decodeFrame(data []byte) (frame, error) {
	r := reader{rest: data}
	f := frame{kind: frameKind(r.octet())}
	f.address, f.id = r.address(), r.uvarint()
	if f.kind == frameFirst {
		f.total = r.uvarint()
	}
	f.body = r.rest
	if r.bad || f.kind > frameMore || f.kind < frameMessage || f.total > maxMessageBytes {
		return frame{}, fmt.Errorf("%w: frame of kind %d with %d bytes", errMuxFrame, f.kind, len(data))
	}
	return f, nil
}

func appendHeartbeat(dst []byte, h heartbeat) []byte {
	dst = appendAddress(dst, h.address)
	dst = binary.AppendUvarint(dst, h.id)
	return binary.AppendUvarint(dst, h.term)
}

// decodeHeartbeats adds the heartbeats of a frame to dst.
func decodeHeartbeats(dst []heartbeat, data []byte) ([]heartbeat, error) {
	r := reader{rest: data}
	if kind := frameKind(r.octet()); kind != frameHeartbeats {
		r.bad = true
	}
	count := r.uvarint()
	if count > maxHeartbeats {
		r.bad = true
	}
	for i := uint64(0); i < count && !r.bad; i++ {
		dst = append(dst, heartbeat{address: r.address(), id: r.uvarint(), term: r.uvarint()})
	}
	if r.bad || len(r.rest) > 0 {
		return dst[:0], fmt.Errorf("%w: heartbeats in %d bytes", errMuxFrame, len(data))
	}
	return dst, nil
}

// readFrame reads one frame of at most limit bytes into buf, or into a new
// buffer where buf is too small.
func readFrame(r *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return buf[:0], err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > uint32(limit) {
		return buf[:0], fmt.Errorf("%w: frame of %d bytes", errMuxFrame, n)
	}
	if int(n) > cap(buf) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(r, buf)
	return buf, err
}
