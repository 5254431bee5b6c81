package transport

// RelayStats is a picture of a node's sockets and their ways to owners. Its parts
// are of slightly different moments.
type RelayStats struct {
	Rooms         int // objects whose sockets this node holds
	ParkedSockets int // sockets of clients that have no way to an owner now
	OwnerLinks    int // socket links to owners on other nodes
	GatewayLinks  int // socket links of gateways on other nodes
	QueuedBytes   int // that wait at this node's ends of all links
}

// Stats goes through all rooms, so ask seldom.
func (rl *Relay) Stats() (s RelayStats) {
	for _, r := range rl.rooms.all() {
		s.Rooms++
		s.ParkedSockets += r.parked()
	}
	rl.mu.Lock()
	defer rl.mu.Unlock()
	for _, l := range rl.links {
		if l.socketConn != nil && !l.broken() {
			s.OwnerLinks++
			s.QueuedBytes += l.queue.size()
		}
	}
	for l := range rl.inbound {
		if !l.broken() {
			s.GatewayLinks++
			s.QueuedBytes += l.queue.size()
		}
	}
	return s
}

// parked gives how many of the room's sockets wait for an owner.
func (r *room) parked() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.way != nil {
		return 0
	}
	for _, s := range r.seats {
		if s.opening == nil && !s.gone {
			n++
		}
	}
	return n
}
