// Package cluster runs this node's part of the cluster: the control group, which
// knows the nodes and the wanted replicas, and one Raft group for each shard,
// which replicates opaque commands to a StateMachine. Ownership of a shard is
// Raft leadership past its Open entry, and nothing else.
//
// A process opens its Node, opens the state machine in the Node's StateDir, and
// starts the Node on it. From then on Ownership gives the number under which the
// node may act for a shard, Propose makes batches durable under that number, and
// Confirm proves that it still held. Close ends the Node before the state machine.
//
// DESIGN.md tells how it works, what a crash at any moment leaves, and what the
// forms on disk are.
package cluster
