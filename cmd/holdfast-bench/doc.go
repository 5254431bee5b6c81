// Command holdfast-bench measures a node against the bare machine: durable
// increments against an empty net/http handler, one increment against one
// fdatasync of the same disk, the fan-out of a chat message against a bare loop
// of socket writes, and the memory of objects and sockets. What is compared runs
// in turns, so that a noisy machine disturbs both sides alike; the figures to
// read are the ratios.
//
// It is a black box: it builds and starts the real binary, and the bare servers
// are processes of their own too, so that all of them pay for the same client.
package main
