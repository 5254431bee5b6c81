// Package placement decides who should hold what. It is pure: no I/O, no
// clock, no goroutine, no randomness, so that every node that starts from the
// same facts comes to the same answer.
//
// [ShardOf] gives the shard of an object. [Wanted] gives the nodes that shall
// hold each shard, of which the first is its home. [Next] gives the one change
// that brings a shard's Raft group nearer to that.
package placement
