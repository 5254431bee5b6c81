package placement

import (
	"fmt"
	"testing"
)

// TestRingHomes covers every size that a ring can have: the library panics where
// its own bound leaves no room.
func TestRingHomes(t *testing.T) {
	for shards := MinShards; shards <= MaxShards; shards *= 2 {
		for n := 1; n <= shards; n++ {
			homes := ringHomes(shards, sorted(nodes(n)))
			count := make([]int, n)
			for _, home := range homes {
				count[home]++
			}
			bound := ceilDiv(5*(shards/n), 4)
			for node, c := range count {
				if c > bound {
					t.Errorf("ring of %d shards, %d nodes: node %d is home of %d, want at most %d", shards, n, node, c, bound)
				}
			}
		}
	}
}

// TestRingKeepsNamesApart guards against names that are beginnings of others,
// whose points the library would take for one another's.
func TestRingKeepsNamesApart(t *testing.T) {
	points := make(map[uint64]string)
	for _, m := range nodes(300) {
		for i := range ringPoints {
			name := ringMember{name: string(m.ID) + ringEnd}.String()
			key := ringHasher{}.Sum64([]byte(fmt.Sprintf("%s%d", name, i)))
			if other := points[key]; other != "" {
				t.Fatalf("point %d of %s is a point of %s, want all apart", i, name, other)
			}
			points[key] = name
		}
	}
}
