package placement

import (
	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

// Parameters of the ring. Each is part of what all nodes must agree on.
const (
	ringPoints = 20   // of each member
	ringLoad   = 1.25 // times the average, rounded up, is the most that a member gets
)

// ringHomes gives for each shard the index of the member that the ring prefers
// as its home. There must be 1 to shards members, sorted and each once: the
// library panics beyond, and its result depends on their order where points meet.
//
// The library allows a member ceil(1.25 × floor(shards/members)) homes, which is
// at least floor(shards/members) + 1, so there is always room for all shards.
func ringHomes(shards int, members []Member) []int {
	points := make([]consistent.Member, len(members))
	for i, m := range members {
		points[i] = ringMember{name: string(m.ID) + ringEnd, index: i}
	}
	ring := consistent.New(points, consistent.Config{
		Hasher:            ringHasher{},
		PartitionCount:    shards,
		ReplicationFactor: ringPoints,
		Load:              ringLoad,
	})
	homes := make([]int, shards)
	for shard := range homes {
		member, ok := ring.GetPartitionOwner(shard).(ringMember)
		if !ok {
			panic("placement: the ring gave a member that it was not given")
		}
		homes[shard] = member.index
	}
	return homes
}

// ringEnd ends the name of a member on the ring. The library makes the points of
// a member by appending numbers to its name, so that without an end point 10 of
// node-1 were point 0 of node-11. Names of nodes have no slash.
const ringEnd = "/"

type ringMember struct {
	name  string
	index int
}

func (m ringMember) String() string { return m.name }

type ringHasher struct{}

func (ringHasher) Sum64(key []byte) uint64 { return xxhash.Sum64(key) }
