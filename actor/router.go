package actor

import (
	"context"
	"net/http"
)

// Router reaches objects wherever they are. A Host is the Router of a node that
// is alone; on a node of a cluster the network has one, which comes back to this
// node's Host for the objects that the node owns.
type Router interface {
	// Dispatch runs one call as Host.Dispatch does.
	Dispatch(w http.ResponseWriter, r *http.Request, target Target, socket SocketID) error

	// Message hands over a message of a socket as Host.Message does. It does not
	// block if ctx has ended.
	Message(ctx context.Context, object ID, socket SocketID, number uint64, m Message) error

	// SocketClosed tells of the end of a socket as Host.SocketClosed does. It does not block.
	SocketClosed(object ID, socket SocketID, info CloseInfo, cause error)
}

// Route makes r the way from this host's objects to others. It is called before
// the first SetOwnership; without it the host itself is the way.
func (h *Host) Route(r Router) { h.router = r }

// errand runs f, which reaches another object by way of the router, on a
// goroutine that Close waits for.
func (h *Host) errand(f func()) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ending {
		return ErrClosing
	}
	h.wg.Go(f)
	return nil
}
