// Command holdfast-bench measures nodes from outside.
//
//	holdfast-bench           one node against the bare machine
//	holdfast-bench cluster   three nodes against three members of etcd
//	holdfast-bench idle      what three nodes cost that nobody uses
//
// The first compares durable increments with an empty net/http handler, one
// increment with one fdatasync of the same disk, and the fan-out of a chat
// message with a bare loop of socket writes, and gives the memory of objects
// and sockets. The second compares durable increments over HTTP with etcd's
// puts, made by etcd's own benchmark tool. What is compared runs in turns, so
// that a noisy machine disturbs both sides alike; the figures to read are the
// ratios.
//
// It is a black box: it builds and starts the real binary, and what that is
// compared with are processes of their own too.
package main
