package cluster

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/holdfast-dev/holdfast/placement"
)

// hintVersion is the newest form of hints in gossip.
const hintVersion = 1

// hintRetransmit is the library's multiplier: a hint is sent to about
// hintRetransmit × log(nodes) others, and the regular exchange of state spreads the rest.
const hintRetransmit = 3

// Hint says who owned a shard when somebody last looked. It may be stale: an
// owner refuses what is not its own.
type Hint struct {
	Shard     placement.ShardID
	Node      placement.NodeID
	Ownership uint64 // the greater number is the newer hint
}

// hints are the newest hints of all shards. They spread by gossip and by the
// answers of owners.
type hints struct {
	queue memberlist.TransmitLimitedQueue
	news  func(placement.ShardID) // called for each hint that is news; must not block

	mu      sync.Mutex // guards byShard
	byShard map[placement.ShardID]Hint
}

func newHints(nodes func() int, news func(placement.ShardID)) *hints {
	return &hints{
		queue:   memberlist.TransmitLimitedQueue{NumNodes: nodes, RetransmitMult: hintRetransmit},
		news:    news,
		byShard: make(map[placement.ShardID]Hint),
	}
}

// owner gives the newest hint of a shard.
func (h *hints) owner(shard placement.ShardID) (Hint, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hint, ok := h.byShard[shard]
	return hint, ok
}

// learn takes a hint from an answer, and says whether it was news.
func (h *hints) learn(hint Hint) bool {
	h.mu.Lock()
	now, ok := h.byShard[hint.Shard]
	fresh := !ok || now.Ownership < hint.Ownership
	if fresh {
		h.byShard[hint.Shard] = hint
	}
	h.mu.Unlock()
	if fresh {
		h.news(hint.Shard)
	}
	return fresh
}

// announce spreads a hint that is certain: this node owns the shard.
func (h *hints) announce(hint Hint) {
	if h.learn(hint) {
		h.queue.QueueBroadcast(hintBroadcast{shard: hint.Shard, message: appendHints(nil, []Hint{hint})})
	}
}

func (h *hints) broadcasts(overhead, limit int) [][]byte {
	return h.queue.GetBroadcasts(overhead, limit)
}

func (h *hints) all() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Hint, 0, len(h.byShard))
	for _, hint := range h.byShard {
		list = append(list, hint)
	}
	return appendHints(nil, list)
}

// merge takes hints from gossip. What cannot be read is dropped: a hint is never needed.
func (h *hints) merge(message []byte) {
	list, err := decodeHints(message)
	if err != nil {
		return
	}
	for _, hint := range list {
		h.learn(hint)
	}
}

// appendHints adds the encoded form: a version byte, the count, and for each
// shard, ownership and the node behind its length.
func appendHints(dst []byte, list []Hint) []byte {
	dst = append(dst, hintVersion)
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, hint := range list {
		dst = binary.AppendUvarint(dst, uint64(hint.Shard))
		dst = binary.AppendUvarint(dst, hint.Ownership)
		dst = appendBatch(dst, []byte(hint.Node))
	}
	return dst
}

var errHints = errors.New("cluster: hints that this version does not know")

func decodeHints(data []byte) ([]Hint, error) {
	if len(data) == 0 || data[0] != hintVersion {
		return nil, errHints
	}
	r := reader{rest: data[1:]}
	count := r.uvarint()
	if count > placement.MaxShards {
		return nil, errHints
	}
	list := make([]Hint, 0, count)
	for range count {
		shard, ownership, node := r.uvarint(), r.uvarint(), string(r.bytes())
		if shard >= placement.MaxShards || ownership == 0 || validateName(node) != nil {
			return nil, errHints
		}
		list = append(list, Hint{Shard: placement.ShardID(shard), Ownership: ownership, Node: placement.NodeID(node)})
	}
	if r.bad || len(r.rest) > 0 {
		return nil, errHints
	}
	return list, nil
}

// hintBroadcast is a hint on its way. A newer one of the same shard takes its place.
type hintBroadcast struct {
	shard   placement.ShardID
	message []byte
}

// Invalidates implements memberlist.Broadcast.
func (b hintBroadcast) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(hintBroadcast)
	return ok && o.shard == b.shard
}

// Message implements memberlist.Broadcast.
func (b hintBroadcast) Message() []byte { return b.message }

// Finished implements memberlist.Broadcast.
func (b hintBroadcast) Finished() {}
