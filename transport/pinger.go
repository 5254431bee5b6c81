package transport

import "time"

// ping is the gateway's one pinger. It looks at one part of the table after the
// other, each once in PingInterval, so that no socket needs a timer and the
// pings of many sockets are spread out. It ends when there is no socket.
func (g *Gateway) ping() {
	tick := time.NewTicker(g.cfg.PingInterval / tableSlots)
	defer tick.Stop()
	for slot := 0; ; slot = (slot + 1) % tableSlots {
		select {
		case <-tick.C:
		case <-g.ctx.Done():
			return
		}
		g.mu.Lock()
		if g.open == 0 {
			g.pinging = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		for _, s := range g.sockets.slots[slot].list() {
			s.look()
		}
	}
}

// look takes a peer for lost if nothing came since the ping of the last look,
// and pings it otherwise. While the reader waits for the object nobody listens,
// so silence means nothing.
func (s *socket) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil || s.ending != nil || s.busy.Load() {
		return
	}
	if heard := s.heard.Swap(false); s.pinged && !heard {
		s.endLocked(&ending{info: lostInfo("no answer to a ping"), back: true}, nil)
		return
	}
	s.pinged, s.ping = true, true
	s.startWriterLocked()
}
