package transport

import (
	"context"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	// attachWait bounds how long an owner may take to prove that it is the owner.
	attachWait = 5 * time.Second
	// searchPause is the time between two attempts, at first; it doubles up to maxSearchPause.
	searchPause    = 25 * time.Millisecond
	maxSearchPause = time.Second
)

// searchLocked makes sure that somebody looks for the room's owner.
func (r *room) searchLocked() {
	if !r.search {
		r.search = r.relay.spawn(r.find)
	}
}

// find asks whoever may be the owner to attach the room's sockets until one
// proves that it is. When the relay's patience is over the clients are let go; the
// search goes on, because the object has to hear of it.
func (r *room) find() {
	patience := time.NewTimer(r.relay.cfg.Patience)
	defer patience.Stop()
	r.calm()
	for pause := searchPause; ; pause = min(2*pause, maxSearchPause) {
		owner, ok, changed := r.relay.resolver.Owner(r.id.object)
		if ok && r.tryOwner(owner) {
			return
		}
		if r.found() {
			return
		}
		again := time.NewTimer(pause)
		select {
		case <-changed:
		case <-again.C:
		case <-patience.C:
			r.giveUp()
		case <-r.relay.ctx.Done():
			again.Stop()
			return
		}
		again.Stop()
	}
}

// calm keeps a way that is lost again as soon as it is found from being asked
// without a pause.
func (r *room) calm() {
	r.mu.Lock()
	again := time.Until(r.settled.Add(searchPause))
	r.mu.Unlock()
	wait(r.relay.ctx, again)
}

// tryOwner asks one node; true when the search is over.
func (r *room) tryOwner(owner Owner) bool {
	select {
	case r.relay.search <- struct{}{}:
		defer func() { <-r.relay.search }()
	case <-r.relay.ctx.Done():
		return true
	}
	to, err := r.relay.wayTo(r.relay.ctx, owner)
	if err != nil {
		r.relay.log.Debug("an owner of sockets cannot be reached", "object", r.id.object.String(), "owner", owner.Node, "error", err)
		return false
	}
	answer, a := r.ask(to)
	if answer == nil {
		return r.found()
	}
	r.attach(to, a)
	if to.broken() { // it may have been told of that before it was asked
		r.withLock(func() { r.lostLocked(to) })
	}
	timer := time.NewTimer(attachWait)
	defer timer.Stop()
	select {
	case <-answer:
	case <-timer.C:
		r.withLock(func() {
			if r.asked == to {
				r.answeredLocked()
			}
		})
	case <-r.relay.ctx.Done():
		return true
	}
	return r.found()
}

// ask notes that this way is asked to attach the room; there is nothing to wait
// for if it is the room's way already.
func (r *room) ask(to way) (answer <-chan struct{}, a attach) {
	r.withLock(func() {
		r.answeredLocked()
		if r.way == to {
			return
		}
		a.last = r.settledLocked()
		for id, s := range r.seats {
			if s.opening == nil {
				a.sockets = append(a.sockets, id)
			}
		}
		if len(a.sockets) == 0 {
			return
		}
		r.asked, r.answer = to, make(chan struct{})
		answer = r.answer
	})
	return answer, a
}

// found says whether the search is over: there is a way, which is not known to be
// wrong, or nothing to look for.
func (r *room) found() (over bool) {
	owner, ok, _ := r.relay.resolver.Owner(r.id.object)
	over = true
	r.withLock(func() {
		over = r.way != nil && (!ok || r.way.leadsTo(owner)) || !r.wantedLocked()
		if over {
			r.search = false
		}
	})
	return over
}

// wantedLocked says whether a socket of the room needs an owner.
func (r *room) wantedLocked() bool {
	for _, s := range r.seats {
		if s.opening == nil {
			return true
		}
	}
	return false
}

// giveUp ends the room's sockets, unless there is a way, which is as good as any.
func (r *room) giveUp() {
	const code, reason = websocket.CloseTryAgainLater, "the object has no owner"
	var ended []actor.SocketID
	r.withLock(func() {
		for id, s := range r.seats {
			if r.way == nil && s.opening == nil && !s.gone {
				ended = append(ended, id)
				r.closeLocked(id, closing{info: actor.CloseInfo{Code: code, Reason: reason}})
			}
		}
	})
	r.relay.cfg.Events.socketsGivenUp(len(ended))
	r.end(ended, reason)
}

// withLock calls f with the room's lock held, unless the room is forgotten.
func (r *room) withLock(f func()) {
	r.relay.rooms.with(r.id, nil, func(now *room) {
		if now == r {
			f()
		}
	})
}

// watch keeps an eye on the news of the room's owner: an object may move while
// nothing is sent. Rooms of one shard share a channel, and a goroutine.
func (rl *Relay) watch(r *room) {
	owner, ok, changed := rl.resolver.Owner(r.id.object)
	r.withLock(func() {
		rl.register(r, changed)
		if r.way != nil && ok && !r.way.leadsTo(owner) {
			r.searchLocked()
		}
	})
}

func (rl *Relay) register(r *room, changed <-chan struct{}) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	rl.unwatchLocked(r)
	if rl.closed {
		return
	}
	if rl.watched[changed] == nil {
		rl.watched[changed] = make(map[*room]struct{})
		rl.running.Go(func() { rl.await(changed) })
	}
	rl.watched[changed][r] = struct{}{}
	r.watched = changed
}

// await looks at the rooms again when there is news.
func (rl *Relay) await(changed <-chan struct{}) {
	select {
	case <-changed:
	case <-rl.ctx.Done():
	}
	rl.mu.Lock()
	rooms := rl.watched[changed]
	delete(rl.watched, changed)
	for r := range rooms {
		r.watched = nil
	}
	rl.mu.Unlock()
	if rl.ctx.Err() != nil {
		return
	}
	for r := range rooms {
		rl.watch(r)
	}
}

func (rl *Relay) unwatch(r *room) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	rl.unwatchLocked(r)
}

func (rl *Relay) unwatchLocked(r *room) {
	if r.watched != nil {
		delete(rl.watched[r.watched], r)
		r.watched = nil
	}
}

// wayTo gives the way to a node, which it makes if need be.
func (rl *Relay) wayTo(ctx context.Context, owner Owner) (way, error) {
	if owner.Local {
		return rl.local, nil
	}
	return rl.link(ctx, owner.Node)
}
