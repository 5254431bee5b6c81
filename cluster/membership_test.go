package cluster

import (
	"testing"

	"github.com/hashicorp/raft"
)

func TestMembership(t *testing.T) {
	voter := func(id raft.ServerID) raft.Server { return raft.Server{ID: id} }
	nonvoter := func(id raft.ServerID) raft.Server { return raft.Server{ID: id, Suffrage: raft.Nonvoter} }
	for _, tt := range []struct {
		name                    string
		servers                 []raft.Server
		alone, followers, peers bool
	}{
		{"none", nil, false, false, false},
		{"the only one", []raft.Server{voter("me")}, true, false, false},
		{"with a non-voter", []raft.Server{voter("me"), nonvoter("a")}, true, true, false},
		{"with a voter", []raft.Server{voter("me"), voter("a")}, false, true, true},
		{"not a voter", []raft.Server{nonvoter("me"), voter("a")}, false, true, true},
		{"not there any more", []raft.Server{voter("a")}, false, true, true},
	} {
		m := newMembership(raft.Configuration{Servers: tt.servers}, 1, "me")
		if m.alone != tt.alone || m.followers != tt.followers || m.peers != tt.peers {
			t.Errorf("%s: alone %v, followers %v, peers %v, want %v, %v, %v", tt.name, m.alone, m.followers, m.peers, tt.alone, tt.followers, tt.peers)
		}
	}
}

// TestRankOf: those that are left get different ranks from 0 on, and not the same
// in every shard.
func TestRankOf(t *testing.T) {
	c := raft.Configuration{Servers: []raft.Server{
		{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "n", Suffrage: raft.Nonvoter},
	}}
	for shard := range 6 {
		var seen [3]int
		for _, id := range []raft.ServerID{"a", "b", "d"} {
			seen[rankOf(c, id, "c", shard)]++
		}
		if seen != [3]int{1, 1, 1} {
			t.Errorf("shard %d: ranks are given %v times, want once each", shard, seen)
		}
	}
	if rankOf(c, "a", "c", 0) == rankOf(c, "a", "c", 1) {
		t.Error("a has the same rank in two neighbouring shards")
	}
	if got := rankOf(c, "n", "c", 0); got != -1 {
		t.Errorf("rankOf a non-voter = %d, want -1", got)
	}
}
