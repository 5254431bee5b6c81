package placement

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// NodeID is the name of a node. It stays with the node's data directory while
// addresses change.
type NodeID string

// Member is a node that may hold shards: one of the cluster's table, never one
// that only gossip knows.
type Member struct {
	ID NodeID
	// Zone is what may fail at once, such as a rack or a data centre. Nodes
	// without a zone count as being in one zone together.
	Zone string
}

// Gateways gives the members that hold no copy of any shard of wanted: they only
// pass requests on. There are some when a cluster has more nodes than shards.
func Gateways(members []Member, wanted [][]NodeID) []NodeID {
	holds := holding(wanted)
	var gateways []NodeID
	for _, m := range sorted(members) {
		if !holds[m.ID] {
			gateways = append(gateways, m.ID)
		}
	}
	return gateways
}

// holders gives the members among which copies are spread: all of them, or as
// many as there are shards. Members that hold something come before those that
// hold nothing, so that a join takes nobody's place. They are in an order of
// their own that does not depend on what they hold.
func holders(shards int, members []Member, now [][]NodeID) []Member {
	holds := holding(now)
	ranked := sorted(members)
	slices.SortStableFunc(ranked, func(a, b Member) int {
		return cmp.Or(truth(holds[b.ID])-truth(holds[a.ID]), byHash(a, b))
	})
	ranked = ranked[:min(len(ranked), max(shards, Copies))]
	slices.SortStableFunc(ranked, byHash)
	return ranked
}

func byHash(a, b Member) int { return cmp.Compare(hash(0, a.ID), hash(0, b.ID)) }

func holding(sets [][]NodeID) map[NodeID]bool {
	holds := make(map[NodeID]bool)
	for _, set := range sets {
		for _, id := range set {
			holds[id] = true
		}
	}
	return holds
}

// sorted gives the members by name, each name once.
func sorted(members []Member) []Member {
	s := slices.Clone(members)
	slices.SortFunc(s, func(a, b Member) int {
		return cmp.Or(strings.Compare(string(a.ID), string(b.ID)), strings.Compare(a.Zone, b.Zone))
	})
	return slices.CompactFunc(s, func(a, b Member) bool { return a.ID == b.ID })
}

// hash mixes a number and a node. Like the ring's hash it is XXH64, which gives
// the same on every architecture and in every version of the program: with
// another function nodes of two versions would wish for different placements.
func hash(number int, id NodeID) uint64 {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 64), uint64(number))
	return xxhash.Sum64(append(key, id...))
}
