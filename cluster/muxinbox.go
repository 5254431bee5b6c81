package cluster

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Bounds of what waits for one replica. Beyond them requests are refused.
const (
	maxInboxRequests = 64
	maxInboxBytes    = 32 << 20 // unless it is a single request
)

// inbound is a request that was received.
type inbound struct {
	message *message
	sender  []byte // as EncodePeer gives it
	bytes   int    // held in memory
	reader  io.Reader
	reply   func(muxAnswer) // must not block
}

// inbox holds what was received for one replica and hands it over in order, one
// at a time. Its worker lives only while there is something, so that an idle
// replica has no goroutine, and a stuck one holds up nobody else.
type inbox struct {
	process func(*inbound) muxAnswer // fixed

	working sync.WaitGroup

	mu      sync.Mutex // guards the following fields
	waiting []*inbound
	bytes   int
	busy    bool // the worker lives
	closed  bool
}

// put takes the request, or says why not.
func (b *inbox) put(in *inbound) refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return refusedReplica
	}
	if len(b.waiting) == maxInboxRequests || b.bytes > 0 && b.bytes+in.bytes > maxInboxBytes {
		return refusedBusy
	}
	b.waiting = append(b.waiting, in)
	b.bytes += in.bytes
	if !b.busy {
		b.busy = true
		b.working.Go(b.work)
	}
	return refusedNot
}

func (b *inbox) work() {
	for in := b.next(); in != nil; in = b.next() {
		in.reply(b.process(in))
		b.processed(in)
	}
}

// next gives the oldest request. After nil the worker must end.
func (b *inbox) next() *inbound {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.busy, b.waiting = false, nil
		return nil
	}
	in := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	return in
}

func (b *inbox) processed(in *inbound) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= in.bytes
}

// close refuses what comes and waits until what has come has been answered, which
// must not wait for anybody any more.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.working.Wait()
}

// processing is a request that the library's main loop has taken.
type processing struct {
	ask  chan chan bool // the worker answers with whether the main loop is still at it
	over chan struct{}  // closed when it is not
}

// goesOn says whether the main loop was at the request during the whole time up
// to this call. That there is no response yet is known for sure only to the worker,
// who takes it.
func (p *processing) goesOn() bool {
	answer := make(chan bool, 1)
	select {
	case p.ask <- answer:
		return <-answer
	case <-p.over:
		return false
	}
}

// process gives a request to the library and waits for its answer.
func (p *raftPort) process(in *inbound) muxAnswer {
	switch in.message.kind {
	case messageVote, messagePreVote:
		return p.processVote(in)
	case messageTimeoutNow:
		return p.processTimeoutNow(in)
	default:
		return p.processAppend(in)
	}
}

// processAppend lets heartbeats of the same leader pass by while the library is
// busy with the append or the snapshot: that can take long, and the leader must
// not be taken for dead meanwhile.
func (p *raftPort) processAppend(in *inbound) muxAnswer {
	same := p.follows(raft.ServerID(in.sender), in.message.term)
	if !same {
		p.changing.Lock()
		defer p.changing.Unlock()
	}
	return p.deliver(in, nil, same)
}

// processVote grants nothing that this replica cannot know. A leader of whom it
// does not know after its start may hold a lease for one more heartbeat time-out.
// A replica without a configuration would elect anybody. And one whose disk is
// stalled must not make itself needed.
func (p *raftPort) processVote(in *inbound) muxAnswer {
	cfg := &p.mux.cfg
	if cfg.clock()-p.opened < cfg.timeout && !cfg.faults.voteAtOnce {
		return muxAnswer{refused: refusedYoung}
	}
	hooks := p.hooks.Load()
	if len(hooks.configuration().Servers) == 0 && !cfg.faults.voteEmpty {
		return muxAnswer{refused: refusedEmpty}
	}
	if cfg.silent(p.group) {
		return muxAnswer{refused: refusedSilent}
	}
	p.changing.Lock()
	defer p.changing.Unlock()
	answer := p.deliver(in, nil, false)
	if cfg.silent(p.group) {
		return muxAnswer{refused: refusedSilent}
	}
	if answer.ok && in.message.kind == messagePreVote {
		now := time.Now()
		p.promised.Store(&now)
	}
	return answer
}

// processTimeoutNow makes this replica stand for election without delay if its
// leader asks for it with a valid ticket. The main loop must take the request
// before the ticket is too old. Should the replica have changed its term at the
// last moment all the same, it asks for votes without the leader's name: see elected.
func (p *raftPort) processTimeoutNow(in *inbound) muxAnswer {
	p.changing.Lock()
	defer p.changing.Unlock()
	leader, term := raft.ServerID(in.sender), in.message.term
	left := p.tickets.take(in.message.ticket, term, leader, p.mux.cfg.clock())
	if left <= 0 || !p.follows(leader, term) {
		return muxAnswer{refused: refusedTicket}
	}
	p.elected.Store(term + 1)
	timer := time.NewTimer(left)
	defer timer.Stop()
	return p.deliver(in, timer.C, false)
}

// giveTicket answers a leader that wants to hand over to this replica.
func (p *raftPort) giveTicket(m *message, sender []byte) muxAnswer {
	leader := raft.ServerID(sender)
	if p.mux.cfg.silent(p.group) {
		return muxAnswer{refused: refusedSilent}
	}
	if p.mux.cfg.declines() || !p.follows(leader, m.term) {
		return muxAnswer{refused: refusedTicket}
	}
	return muxAnswer{ok: true, term: m.term, number: p.tickets.give(m.term, leader, p.mux.cfg.clock())}
}

// follows says whether the replica is a follower of that leader in that term.
func (p *raftPort) follows(leader raft.ServerID, term uint64) bool {
	hooks := p.hooks.Load()
	return hooks.state() == raft.Follower && hooks.term() == term && hooks.leader() == leader
}

// deliver hands the request to the library's main loop, unless late comes first.
func (p *raftPort) deliver(in *inbound, late <-chan time.Time, passable bool) muxAnswer {
	response := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{Command: in.message.request(in.sender), Reader: in.reader, RespChan: response}
	select {
	case p.consumer <- rpc:
	case <-late:
		return muxAnswer{refused: refusedTicket}
	case <-p.closed:
		return muxAnswer{refused: refusedReplica}
	}
	work := &processing{ask: make(chan chan bool), over: make(chan struct{})}
	defer close(work.over)
	if passable {
		p.inside.Store(work)
		defer p.inside.Store(nil)
	}
	for {
		select {
		case r := <-response:
			return answerOf(r)
		case answer := <-work.ask:
			select {
			case r := <-response:
				answer <- false
				return answerOf(r)
			default:
				answer <- true
			}
		case <-p.closed:
			return muxAnswer{refused: refusedReplica}
		}
	}
}

// passHeartbeat processes a heartbeat on the caller's goroutine, next to the
// library's main loop, so that no disk delays it. With false it has to take its
// turn in the inbox.
//
// The library allows this at any time, but does not synchronise it with its main
// loop. A replica that is just becoming a candidate, or that is voting, could have
// its term set back or promise the leader what it does not keep. So it is done only while the
// main loop cannot do such a thing: the replica follows this very leader, nothing that could
// change that is being processed, and the main loop cannot find the leader silent,
// either because it heard from him within half of the time-out or because it is
// busy with something from him. If that did not hold until the end, the answer
// is kept back: a lease must not rest on it.
func (p *raftPort) passHeartbeat(request *raft.AppendEntriesRequest, response chan raft.RPCResponse) (muxAnswer, bool) {
	hooks, handler := p.hooks.Load(), p.handler.Load()
	if handler == nil || !p.changing.TryRLock() {
		return muxAnswer{}, false
	}
	defer p.changing.RUnlock()
	start := time.Now()
	half := p.mux.cfg.timeout / 2
	quiet := start.Sub(hooks.lastContact()) < half
	inside := p.inside.Load()
	busy := !quiet && inside != nil && inside.goesOn()
	if !quiet && !busy || !p.follows(raft.ServerID(request.ID), request.Term) {
		return muxAnswer{}, false
	}
	(*handler)(raft.RPC{Command: request, RespChan: response})
	select {
	case r := <-response:
		if quiet && time.Since(start) < half || busy && inside.goesOn() {
			return answerOf(r), true
		}
		return muxAnswer{refused: refusedBusy}, true
	default: // the library does not respond when it is shutting down
		return muxAnswer{refused: refusedReplica}, true
	}
}
