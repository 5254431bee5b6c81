// Package cluster runs this node's part of the cluster: the control group, which
// knows the nodes and the wanted replicas, and one Raft group for each shard,
// which replicates opaque commands to a StateMachine. Ownership of a shard is
// Raft leadership past its Open entry, and nothing else.
package cluster
