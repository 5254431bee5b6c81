package actor

import "sync"

// gateways are those whose clients' sockets can be reached now.
type gateways struct {
	mu      sync.Mutex // guards the following fields
	byStart map[uint64]Gateway
	orphans map[SocketID]CloseInfo // closes that could not be told to their objects yet
}

func newGateways() *gateways {
	return &gateways{byStart: make(map[uint64]Gateway), orphans: make(map[SocketID]CloseInfo)}
}

func (g *gateways) add(start uint64, gateway Gateway) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.byStart[start] = gateway
}

func (g *gateways) get(start uint64) Gateway {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.byStart[start]
}

// orphan remembers a socket whose close could not be told to its object. The
// object learns of it at the start of its next activation. There is at most one
// for each socket that the gateways held.
func (g *gateways) orphan(socket SocketID, info CloseInfo) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.orphans[socket] = info
}

// gone says whether a socket that the Store knows is gone, and how it ended: as
// an orphan, or with its gateway.
func (g *gateways) gone(socket SocketID) (CloseInfo, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if info, ok := g.orphans[socket]; ok {
		delete(g.orphans, socket)
		return info, true
	}
	if g.byStart[socket.Gateway()] != nil {
		return CloseInfo{}, false
	}
	return CloseInfo{Code: closeLost, Reason: "the node that held the connection is gone"}, true
}
