package placement

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// TestShardOfKnown pins the rule: it is part of the disk format.
func TestShardOfKnown(t *testing.T) {
	for _, tt := range []struct {
		id     string // first bytes; the rest is 0xff, which must not matter
		shards int
		want   ShardID
	}{
		{"0000000000000000", 32, 0},
		{"0000000000000001", 32, 1},
		{"000000000000001f", 32, 31},
		{"0000000000000020", 32, 0},
		{"8000000000000007", 8, 7},
		{"ffffffffffffffff", 256, 255},
		{"ffffffffffffffff", 1, 0},
		{"0123456789abcdef", 32, 15},
		{"0123456789abcdef", 256, 239},
	} {
		var id [32]byte
		for i := range id {
			id[i] = 0xff
		}
		if _, err := hex.Decode(id[:8], []byte(tt.id)); err != nil {
			t.Fatal(err)
		}
		if got := ShardOf(id, tt.shards); got != tt.want {
			t.Errorf("ShardOf(%s…, %d) = %d, want %d", tt.id, tt.shards, got, tt.want)
		}
	}
}

// TestShardOfSplits: with twice the shards each object is in one of the two that
// its shard becomes.
func TestShardOfSplits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		var id [32]byte
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		for shards := MinShards; shards < MaxShards; shards *= 2 {
			before, after := ShardOf(id, shards), ShardOf(id, 2*shards)
			if after != before && after != before+ShardID(shards) {
				t.Fatalf("ShardOf(%x, %d) = %d, and of %d shards %d", id, shards, before, 2*shards, after)
			}
		}
	}
}

func TestShardOfIsEven(t *testing.T) {
	const objects, shards = 64000, DefaultShards
	rng := rand.New(rand.NewPCG(2, 2))
	var counts [shards]int
	for range objects {
		var id [32]byte
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		counts[ShardOf(id, shards)]++
	}
	for shard, count := range counts {
		if want := objects / shards; count < want*9/10 || count > want*11/10 {
			t.Errorf("shard %d has %d of %d objects, want about %d", shard, count, objects, want)
		}
	}
}

func TestValidateShards(t *testing.T) {
	for shards := -1; shards <= 2*MaxShards; shards++ {
		want := false
		for good := MinShards; good <= MaxShards; good *= 2 {
			want = want || shards == good
		}
		if err := ValidateShards(shards); (err == nil) != want {
			t.Errorf("ValidateShards(%d) = %v, want ok %v", shards, err, want)
		}
	}
	if err := ValidateShards(DefaultShards); err != nil {
		t.Errorf("ValidateShards(DefaultShards) = %v", err)
	}
}
