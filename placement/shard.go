package placement

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Bounds of the number of shards of a cluster. It is a power of two, so that a
// later version may split each shard in two by looking at one more bit.
const (
	MinShards     = 1
	MaxShards     = 256
	DefaultShards = 32
)

// ShardID numbers a fixed slice of the object key space, from 0 to the number
// of shards of the cluster minus one. Each shard has one Raft group.
type ShardID uint32

// ShardOf gives the shard of the object with that ID: its first 8 bytes, big
// endian, modulo shards. The rule is part of the disk format: data is keyed by
// shard, so a changed rule loses objects.
func ShardOf(id [32]byte, shards int) ShardID {
	return ShardID(binary.BigEndian.Uint64(id[:8]) % uint64(shards))
}

// ValidateShards says whether a cluster may be created with that many shards.
func ValidateShards(shards int) error {
	if shards < MinShards || shards > MaxShards || bits.OnesCount(uint(shards)) != 1 {
		return fmt.Errorf("placement: number of shards %d: want a power of two from %d to %d", shards, MinShards, MaxShards)
	}
	return nil
}
