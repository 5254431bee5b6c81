package main

import (
	"net/http"

	"github.com/holdfast-dev/holdfast/placement"
)

// nodeView is what a node says of itself. Its JSON form is stable, as that of the
// overview is.
type nodeView struct {
	Name      string `json:"name"` // "" until the data directory is open
	ClusterID string `json:"cluster_id"`
	Version   string `json:"version"`
	Start     uint64 `json:"start"`
	// Ready and Live are "ok", or why not.
	Ready         string        `json:"ready"`
	Live          string        `json:"live"`
	Draining      bool          `json:"draining"`
	Ailing        string        `json:"ailing"` // why it drained itself, or ""
	StorageFull   bool          `json:"storage_full"`
	LogStalled    bool          `json:"log_stalled"` // the disk of its log does not answer
	Objects       int           `json:"objects"`     // in memory
	InFlightBytes int64         `json:"in_flight_bytes"`
	Replicas      []replicaView `json:"replicas"`
}

// replicaView is one replica that the node holds.
type replicaView struct {
	Shard     placement.ShardID `json:"shard"`
	Raft      string            `json:"raft"`      // Follower, Candidate, Leader or Shutdown
	Ownership uint64            `json:"ownership"` // 0: another node owns the shard, or none
	Term      uint64            `json:"term"`
	Applied   uint64            `json:"applied"`  // last log entry in the state
	Snapshot  uint64            `json:"snapshot"` // last entry in the state when it was last made durable
	FirstLog  uint64            `json:"first_log"`
	LastLog   uint64            `json:"last_log"`
	Stopped   string            `json:"stopped"` // why it takes part no more, or ""
	Stalled   bool              `json:"stalled"` // its state stands still although entries are committed
}

func (n *Node) showNode(r *http.Request) (any, error) {
	v := nodeView{Version: readBuild().Version, Ready: verdict(n.ready(r.Context())), Live: verdict(n.live(r.Context())), Replicas: []replicaView{}}
	if !n.opened.Load() {
		return v, nil
	}
	s := n.cluster.Status()
	v.Name, v.ClusterID, v.Start = s.Name, s.ClusterID, s.StartNumber
	v.Draining, v.StorageFull, v.InFlightBytes = n.cluster.Draining(), s.StorageFull, s.InFlightBytes
	v.Ailing, v.LogStalled = n.ailing.why(), s.LogStalled
	v.Objects = n.host.Stats().Activations
	for _, shard := range s.Shards {
		replica := replicaView{
			Shard: shard.Shard, Raft: shard.State, Ownership: shard.Ownership, Term: shard.Term,
			Applied: shard.AppliedIndex, Snapshot: shard.SnapshotIndex, FirstLog: shard.FirstIndex, LastLog: shard.LastIndex, Stalled: shard.Stalled,
		}
		if shard.Stopped != nil {
			replica.Stopped = shard.Stopped.Error()
		}
		v.Replicas = append(v.Replicas, replica)
	}
	return v, nil
}

func verdict(err error) string {
	if err != nil {
		return err.Error()
	}
	return "ok"
}
