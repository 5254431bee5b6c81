package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// Nodes ask each other for what is neither gossip nor Raft: one request and one
// answer on a connection of its own. Both are a frame (length, 4 bytes) of a
// version byte and JSON.

const (
	// peerVersion is the newest form of requests and answers.
	peerVersion = 1
	// maxPeerBytes bounds a request and an answer. The largest is an answer about
	// all shards.
	maxPeerBytes = 1 << 20
	// peerTimeout bounds a call. The longest is a change of replicas.
	peerTimeout = 10 * time.Second
)

// peerRequest is what a node asks of another. Exactly one field is set.
type peerRequest struct {
	Promise *promiseRequest `json:"promise,omitempty"`
	Join    *joinCommand    `json:"join,omitempty"`
	Leave   *leaveRequest   `json:"leave,omitempty"`
	Known   *knownRequest   `json:"known,omitempty"`
	// Owned asks, at that look, what the node knows about the shards that it owns.
	Owned  *look          `json:"owned,omitempty"`
	Change *replicaChange `json:"change,omitempty"`
	// View asks what the node would say of itself to an operator.
	View *struct{} `json:"view,omitempty"`
}

// peerAnswer has what was asked for, or why not.
type peerAnswer struct {
	Refused string `json:"refused,omitempty"`
	// Later says that the refusal is of this moment: it is worth asking again.
	Later bool `json:"later,omitempty"`
	// Leader is whom to ask instead, if the request was for the control leader.
	Leader string `json:"leader,omitempty"`

	Promise *promiseAnswer `json:"promise,omitempty"`
	Join    *joinAnswer    `json:"join,omitempty"`
	Known   *knownAnswer   `json:"known,omitempty"`
	Owned   []shardReport  `json:"owned,omitempty"`
	// Draining says that this node shall get no leadership any more.
	Draining bool `json:"draining,omitempty"`
	// Lost are the numbers of this node's replicas that are no good any more.
	Lost []uint64 `json:"lost,omitempty"`
	// Stopped are those that wait for an operator: they shall get neither vote nor
	// leadership.
	Stopped []uint64 `json:"stopped,omitempty"`

	View *nodeView `json:"view,omitempty"`
}

// leaveRequest asks the control leader to decommission a node.
type leaveRequest struct {
	Node  placement.NodeID `json:"node"`
	Force bool             `json:"force,omitempty"`
	Undo  bool             `json:"undo,omitempty"`
}

var (
	// errPeerCall ends a call whose other end says what this version does not know.
	errPeerCall = errors.New("cluster: peer call: not what a peer says")
	// errPeerRefused is the answer of a peer that did not do what it was asked.
	errPeerRefused = errors.New("cluster: peer call: refused")
)

func encodePeer(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cluster: peer call: encode: %w", err)
	}
	if len(body)+1 > maxPeerBytes {
		return nil, fmt.Errorf("cluster: peer call: message of %d bytes, want at most %d", len(body), maxPeerBytes)
	}
	data := binary.BigEndian.AppendUint32(make([]byte, 0, len(body)+5), uint32(len(body)+1))
	return append(append(data, peerVersion), body...), nil
}

func decodePeer(data []byte, v any) error {
	if len(data) == 0 || data[0] != peerVersion {
		return fmt.Errorf("%w: %w", errPeerCall, ErrUnknownVersion)
	}
	if err := json.Unmarshal(data[1:], v); err != nil {
		return fmt.Errorf("%w: %w", errPeerCall, err)
	}
	return nil
}

// callPeer asks a node, and gives its answer. Whether a request without an answer
// was carried out is unknown.
func (m *raftMux) callPeer(ctx context.Context, node string, q peerRequest) (peerAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	data, err := encodePeer(q)
	if err != nil {
		return peerAnswer{}, err
	}
	conn, err := m.dialPeer(ctx, node, lanePeer)
	if err != nil {
		return peerAnswer{}, err
	}
	defer conn.Close()                                      //nolint:errcheck // the answer is all
	stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // it only has to end
	defer stop()
	if _, err := conn.Write(data); err != nil {
		return peerAnswer{}, fmt.Errorf("cluster: peer call to %s: %w", node, err)
	}
	data, err = readFrame(bufio.NewReader(conn), nil, maxPeerBytes)
	if err != nil {
		return peerAnswer{}, fmt.Errorf("cluster: peer call to %s: %w", node, err)
	}
	var a peerAnswer
	if err := decodePeer(data, &a); err != nil {
		return peerAnswer{}, err
	}
	if a.Refused != "" {
		return a, fmt.Errorf("%w by %s: %s", errPeerRefused, node, a.Refused)
	}
	return a, nil
}

// answerPeer serves one call.
func (m *raftMux) answerPeer(conn net.Conn, r io.Reader) error {
	ctx, cancel := context.WithTimeout(m.ctx, peerTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil
	}
	data, err := readFrame(bufio.NewReader(r), nil, maxPeerBytes)
	if err != nil {
		return nil
	}
	var q peerRequest
	if err := decodePeer(data, &q); err != nil {
		return err
	}
	answer := peerAnswer{Refused: "this node answers no calls"}
	if m.cfg.answer != nil {
		answer = m.cfg.answer(ctx, q)
	}
	if data, err = encodePeer(answer); err != nil {
		return err
	}
	conn.Write(data) //nolint:errcheck // whoever asked has gone
	return nil
}
