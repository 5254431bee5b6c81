package main

import (
	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/transport"
)

// faults are deliberate mistakes of a node's parts.
type faults struct {
	cluster []cluster.Fault
	actor   actor.Fault
	relay   transport.Fault
}
