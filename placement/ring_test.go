package placement

import (
	"fmt"
	"testing"
)

// TestRingHomes covers what the library panics on: too little room for its own
// bound. Above 32 shards it takes samples, and arithmetic does for the rest.
func TestRingHomes(t *testing.T) {
	for shards := MinShards; shards <= MaxShards; shards *= 2 {
		for n := 1; n <= shards; n++ {
			bound := ceilDiv(5*(shards/n), 4)
			if n*bound < shards {
				t.Errorf("ring of %d shards, %d nodes: room for %d homes", shards, n, n*bound)
			}
			if shards > 32 && n > 8 && n != shards/3 && n != shards {
				continue
			}
			count := make([]int, n)
			for _, home := range ringHomes(shards, sorted(nodes(n))) {
				count[home]++
			}
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
