package transport

import (
	"context"

	"github.com/holdfast-dev/holdfast/actor"
)

// RelaySockets makes relay the way of sockets. It is called before the first
// Dispatch; without it sockets reach objects of this node only.
func (rt *Router) RelaySockets(relay *Relay) { rt.relay = relay }

// Message implements Dispatcher. It does not wait for anything: what is on its
// way is bounded by the gateway's windows.
func (rt *Router) Message(ctx context.Context, object actor.ID, socket actor.SocketID, number uint64, m actor.Message) error {
	if rt.relay == nil {
		return rt.local.Message(ctx, object, socket, number, m)
	}
	return rt.relay.Message(object, socket, number, m)
}

// SocketLeft implements Sessions.
func (rt *Router) SocketLeft(object actor.ID, socket actor.SocketID, info actor.CloseInfo) {
	if rt.relay == nil {
		rt.local.SocketClosed(object, socket, info, nil)
		return
	}
	rt.relay.SocketLeft(object, socket, info)
}

// Confirmed implements Sessions.
func (rt *Router) Confirmed(object actor.ID, socket actor.SocketID, number uint64) {
	if rt.relay != nil {
		rt.relay.Confirmed(object, socket, number)
	}
}

// SocketClosed implements Dispatcher: it is told until the object knows.
func (rt *Router) SocketClosed(object actor.ID, socket actor.SocketID, info actor.CloseInfo, cause error) {
	if rt.relay == nil {
		rt.local.SocketClosed(object, socket, info, cause)
		return
	}
	rt.relay.SocketClosed(object, socket, info, cause)
}
