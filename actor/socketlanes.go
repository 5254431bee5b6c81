package actor

// lanes lets the messages of one socket in one by one: the next is queued for
// the gate only when the event of the one before has ended. A lane exists while
// an event of its socket is queued or runs.
type lanes map[SocketID]*lane

type lane struct {
	waiting queue[*event]
}

// admit says whether ev may be queued for the gate now; otherwise its lane keeps it.
func (l *lanes) admit(ev *event) bool {
	if ev.socket == (SocketID{}) {
		return true
	}
	if busy, ok := (*l)[ev.socket]; ok {
		busy.waiting.push(ev)
		return false
	}
	if *l == nil {
		*l = make(lanes)
	}
	(*l)[ev.socket] = &lane{}
	return true
}

// next gives the event that follows ev, which is over, in its lane.
func (l *lanes) next(ev *event) *event {
	busy, ok := (*l)[ev.socket]
	if !ok {
		return nil
	}
	if follower := busy.waiting.pop(); follower != nil {
		return follower
	}
	delete(*l, ev.socket)
	return nil
}

// takeAll empties the lanes: those events of queued that did not begin, each
// with the followers in its lane, then the followers of events that began.
func (l *lanes) takeAll(queued []*event) []*event {
	var all []*event
	for _, ev := range queued {
		if !ev.began.IsZero() {
			continue // it comes back from an outside wait, and learns from act.done
		}
		all = append(all, ev)
		if busy, ok := (*l)[ev.socket]; ok {
			all = append(all, busy.waiting.takeAll()...)
		}
	}
	for _, busy := range *l {
		all = append(all, busy.waiting.takeAll()...)
	}
	*l = nil
	return all
}
