package actor

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// gatewayLook is the time between two looks at gateways that are missing.
	gatewayLook = time.Second
	// sessionPatience is how long a socket whose gateway is over waits for its
	// client to resume its session, from when the gateway was first missed.
	sessionPatience = 30 * time.Second
)

// gateways are those whose clients' sockets can be reached now, and what is
// known of the others.
//
// A gateway is connected, missing or over. The sockets of one that is missing
// stay open: it may come back, or another owner be connected to it. Frames for
// them go nowhere, because whoever holds the clients' ends has lost the way to this
// node too: it comes back to attach them, and gets the kept ones then.
type gateways struct {
	over func(start uint64) bool // nil: every gateway that is not connected is over
	wake chan struct{}           // one slot: a gateway is missing

	mu      sync.RWMutex // guards the following fields
	byStart map[uint64]Gateway
	missing map[uint64]*absence    // objects here may have sockets of theirs
	orphans map[SocketID]CloseInfo // closes that could not be told to their objects yet
}

// absence is the time that a gateway is missing.
type absence struct {
	since time.Time
	told  bool // it is over, and its sockets without a session are closed
}

func newGateways(over func(start uint64) bool) *gateways {
	return &gateways{
		over: over, wake: make(chan struct{}, 1),
		byStart: make(map[uint64]Gateway), missing: make(map[uint64]*absence), orphans: make(map[SocketID]CloseInfo),
	}
}

func (g *gateways) add(start uint64, gateway Gateway) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.byStart[start] = gateway
	delete(g.missing, start)
}

// remove makes a gateway missing, unless another took its place.
func (g *gateways) remove(start uint64, gateway Gateway) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byStart[start] == gateway {
		delete(g.byStart, start)
		g.missLocked(start)
	}
}

func (g *gateways) missLocked(start uint64) *absence {
	a := g.missing[start]
	if a == nil {
		a = &absence{since: time.Now()}
		g.missing[start] = a
	}
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return a
}

func (g *gateways) get(start uint64) Gateway {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.byStart[start]
}

// deliver gives a frame to the gateway of that start, if it is connected.
func (g *gateways) deliver(start uint64, object ID, frame Frame) {
	if gateway := g.get(start); gateway != nil {
		gateway.Deliver(object, frame)
	}
}

// attaches says whether a gateway may ask for frames again.
func (g *gateways) attaches(start uint64) bool {
	gateway := g.get(start)
	if gateway == nil {
		return g.over != nil
	}
	_, ok := gateway.(Attacher)
	return ok
}

// tellEnded lets the gateways know that the ownership of some objects has ended.
func (g *gateways) tellEnded(of func(ID) bool) {
	var told []Attacher
	g.mu.RLock()
	for _, gateway := range g.byStart {
		if attacher, ok := gateway.(Attacher); ok {
			told = append(told, attacher)
		}
	}
	g.mu.RUnlock()
	for _, attacher := range told {
		attacher.OwnershipEnded(of)
	}
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
// an orphan, or with its gateway. One with a session may be resumed for a while.
func (g *gateways) gone(conn SocketID, session bool) (CloseInfo, bool) {
	start := conn.Gateway()
	g.mu.Lock()
	info, orphan := g.orphans[conn]
	delete(g.orphans, conn)
	connected := g.byStart[start] != nil
	g.mu.Unlock()
	switch {
	case orphan:
		return info, true
	case connected:
		return CloseInfo{}, false
	}
	over := g.isOver(start)
	if over && !session {
		return gatewayLost(), true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byStart[start] != nil {
		return CloseInfo{}, false
	}
	a := g.missLocked(start)
	return gatewayLost(), over && time.Since(a.since) >= sessionPatience
}

// isOver says whether a gateway will never be connected again.
func (g *gateways) isOver(start uint64) bool {
	return start == 0 || g.get(start) == nil && (g.over == nil || g.over(start))
}

func gatewayLost() CloseInfo {
	return CloseInfo{Code: closeLost, Reason: "the node that held the connection is gone"}
}

// overGateway is one that is over; late says that its sessions' time is up, too.
type overGateway struct {
	start uint64
	late  bool
}

// nowOver gives the missing gateways that are over: each once, and once more when
// its sessions' time is up. waiting says that there may be others later.
func (g *gateways) nowOver() (over []overGateway, waiting bool) {
	g.mu.RLock()
	starts := slices.Collect(maps.Keys(g.missing))
	g.mu.RUnlock()
	starts = slices.DeleteFunc(starts, func(start uint64) bool { return !g.isOver(start) })
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, start := range starts {
		a := g.missing[start]
		if a == nil {
			continue // it has come back
		}
		late := time.Since(a.since) >= sessionPatience
		if late {
			delete(g.missing, start)
		}
		if late || !a.told {
			a.told = true
			over = append(over, overGateway{start, late})
		}
	}
	return over, len(g.missing) > 0
}

// watchGateways tells the objects in memory when a missing gateway is over;
// those that are not in memory learn it when they are loaded. It ends with Close.
func (h *Host) watchGateways() {
	timer := time.NewTimer(gatewayLook)
	defer timer.Stop()
	for {
		select {
		case <-h.gateways.wake:
		case <-h.closed:
			return
		}
		for waiting := true; waiting; {
			timer.Reset(gatewayLook)
			select {
			case <-timer.C:
			case <-h.closed:
				return
			}
			var over []overGateway
			over, waiting = h.gateways.nowOver()
			for _, gateway := range over {
				h.loseGateway(gateway)
			}
		}
	}
}

// loseGateway closes the sockets of a gateway that is over, as far as their
// objects are in memory, and unless their clients may still resume their sessions.
func (h *Host) loseGateway(gateway overGateway) {
	h.mu.Lock()
	all := make([]*activation, 0, len(h.table))
	for _, act := range h.table {
		all = append(all, act)
	}
	h.mu.Unlock()
	for _, act := range all {
		act.mu.Lock()
		var lost []SocketID
		if act.sockets.at[gateway.start] > 0 {
			for _, socket := range act.sockets.list {
				if socket.conn.Gateway() == gateway.start && (gateway.late || socket.session == Session{}) {
					lost = append(lost, socket.conn)
				}
			}
		}
		act.mu.Unlock()
		for _, id := range lost {
			h.SocketClosed(act.target.ID, id, gatewayLost(), nil)
		}
	}
}
