package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// maxKnownReplicas bounds the replica IDs that a port keeps in parsed form.
const maxKnownReplicas = 64

// raftPort is the raft.Transport of one replica. The library makes it shut down
// with the replica.
type raftPort struct {
	// Fixed after newRaftPort.
	mux      *raftMux
	group    groupID
	me       replicaID
	id       raft.ServerID // me, as the library writes it
	opened   time.Duration // by the clock of leases
	consumer chan raft.RPC // unbuffered: what was received is being processed
	closed   chan struct{} // closed by Close
	closer   sync.Once
	lease    *lease
	progress progress // of the other replicas, while this one leads
	tickets  tickets
	inbox    inbox

	hooks   atomic.Pointer[raftHooks]
	handler atomic.Pointer[func(raft.RPC)] // of heartbeats

	promised atomic.Pointer[time.Time] // when a pre-vote was last granted

	// changing is held while the library processes what may change its term or its
	// leader; heartbeats then do not pass it by.
	changing sync.RWMutex
	// inside is an append or a snapshot of the present leader that the library's
	// main loop is processing; nil: none.
	inside atomic.Pointer[processing]
	// elected is the only term for which this replica may ask for votes in the name
	// of a leader who hands over.
	elected atomic.Uint64

	mu    sync.Mutex // guards the following field
	known map[raft.ServerID]replicaID
}

// raftHooks are what the transport has to know about the replica. None of them
// may block: some are called with locks held.
type raftHooks struct {
	state         func() raft.RaftState
	term          func() uint64
	leader        func() raft.ServerID
	lastContact   func() time.Time
	configuration func() raft.Configuration
}

func newRaftPort(m *raftMux, group groupID, me replicaID) *raftPort {
	p := &raftPort{
		mux: m, group: group, me: me, id: me.serverID(), opened: m.cfg.clock(),
		consumer: make(chan raft.RPC), closed: make(chan struct{}),
		lease: newLease(m.cfg.timeout), known: make(map[raft.ServerID]replicaID),
	}
	p.inbox.process = p.process
	return p
}

// attach tells the port whose transport it is. Before that every request of
// others is refused.
func (p *raftPort) attach(r *raft.Raft) {
	p.hooks.Store(&raftHooks{
		state: r.State,
		term:  r.CurrentTerm,
		leader: func() raft.ServerID {
			_, id := r.LeaderWithID()
			return id
		},
		lastContact:   r.LastContact,
		configuration: func() raft.Configuration { return r.GetConfiguration().Configuration() },
	})
}

// leads proves that the replica led its group in that term at a moment after the
// call began, and that nobody else did. The time is read first, then the state,
// then the term: a leadership that was regained in between does not count.
func (p *raftPort) leads(term uint64) bool {
	hooks := p.hooks.Load()
	if hooks == nil {
		return false
	}
	now := p.mux.cfg.clock()
	if hooks.state() != raft.Leader || hooks.term() != term {
		return false
	}
	var space [16]raft.ServerID
	voters := space[:0]
	for _, server := range hooks.configuration().Servers {
		if server.Suffrage == raft.Voter {
			voters = append(voters, server.ID)
		}
	}
	return p.lease.holds(term, voters, p.id, now)
}

// endLease ends the lease for the rest of the term, which must happen before a
// leadership transfer is begun.
func (p *raftPort) endLease(term uint64) { p.lease.end(term) }

// acknowledged notes for the lease that an append was answered with success.
func (p *raftPort) acknowledged(c *call) {
	sent := c.sent
	if p.mux.cfg.faults.leaseFromAnswer {
		sent = p.mux.cfg.clock()
	}
	p.lease.record(c.id, c.message.term, sent)
	matched := uint64(0)
	if c.message.kind == messageAppend {
		matched = c.message.index + uint64(len(c.message.entries))
	}
	p.progress.record(c.id, c.message.term, matched)
}

// follower says of another replica whether it answers this leader, and the last
// entry of this leader's log that it is known to have.
func (p *raftPort) follower(id raft.ServerID) (healthy bool, matched uint64) {
	hooks := p.hooks.Load()
	if hooks == nil {
		return false, 0
	}
	matched, heard := p.progress.get(id, hooks.term())
	return time.Since(heard) < healthyTimeouts*p.mux.cfg.timeout, matched
}

// heard says when another replica last answered this leader; zero: not in this term.
func (p *raftPort) heard(id raft.ServerID) time.Time {
	hooks := p.hooks.Load()
	if hooks == nil {
		return time.Time{}
	}
	_, heard := p.progress.get(id, hooks.term())
	return heard
}

// courted says when another replica was last told that it would get this one's
// vote; zero: never.
func (p *raftPort) courted() time.Time {
	if at := p.promised.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// replica parses an ID and keeps the result.
func (p *raftPort) replica(id raft.ServerID) (replicaID, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, ok := p.known[id]; ok {
		return r, nil
	}
	r, err := parseReplicaID(id)
	if err != nil {
		return replicaID{}, err
	}
	if len(p.known) == maxKnownReplicas {
		clear(p.known)
	}
	p.known[id] = r
	return r, nil
}

// start gives the message to the lane. finish is called once if there is no error.
func (p *raftPort) start(id raft.ServerID, m message, timeout time.Duration, gone <-chan struct{}, finish func(*call)) error {
	to, err := p.replica(id)
	if err != nil {
		return err
	}
	peer, err := p.mux.peer(to.node)
	if err != nil {
		return err
	}
	l := peer.control
	if m.kind == messageAppend {
		l = peer.appends
	}
	return l.enqueue(&call{
		port: p, to: to, id: id, message: m, deadline: time.Now().Add(timeout), gone: gone, finish: finish,
	})
}

// do sends the message and waits for the answer.
func (p *raftPort) do(id raft.ServerID, m message, timeout time.Duration) (muxAnswer, error) {
	done := make(chan *call, 1)
	err := p.start(id, m, timeout, nil, func(c *call) { done <- c })
	if err != nil {
		return muxAnswer{}, err
	}
	c := <-done
	return c.answer, c.err
}

// Consumer implements raft.Transport.
func (p *raftPort) Consumer() <-chan raft.RPC { return p.consumer }

// LocalAddr implements raft.Transport.
func (p *raftPort) LocalAddr() raft.ServerAddress { return p.me.address() }

// SetHeartbeatHandler implements raft.Transport.
func (p *raftPort) SetHeartbeatHandler(handler func(raft.RPC)) { p.handler.Store(&handler) }

// EncodePeer gives the whole replica ID, so that the record of a vote names the
// replica that got it, and not another one on the same node.
func (p *raftPort) EncodePeer(id raft.ServerID, _ raft.ServerAddress) []byte { return []byte(id) }

// DecodePeer gives the address of a replica that EncodePeer has written.
func (p *raftPort) DecodePeer(data []byte) raft.ServerAddress { return raft.ServerAddress(data) }

// AppendEntries implements raft.Transport. It sends as many entries as one append
// may have and shortens args to them: the library looks there for what was sent.
func (p *raftPort) AppendEntries(id raft.ServerID, _ raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	timeout := p.mux.cfg.timeout
	if !isHeartbeat(args) {
		timeout = appendTimeout
		args.Entries = firstEntries(args.Entries)
	}
	answer, err := p.do(id, messageOfAppend(args), timeout)
	if err != nil {
		return err
	}
	*resp = answer.appendResponse()
	return nil
}

func (a muxAnswer) appendResponse() raft.AppendEntriesResponse {
	return raft.AppendEntriesResponse{Term: a.term, LastLog: a.number, Success: a.ok, NoRetryBackoff: a.noRetryBackoff}
}

// RequestVote implements raft.Transport. The mark that makes others vote although
// they have a leader is passed on only in the election for which that leader gave
// its consent.
func (p *raftPort) RequestVote(id raft.ServerID, _ raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if p.mux.cfg.silent(p.group) {
		return errSilent
	}
	answer, err := p.do(id, message{
		kind: messageVote, term: args.Term, index: args.LastLogIndex, at: args.LastLogTerm,
		transfer: args.LeadershipTransfer && args.Term == p.elected.Load(),
	}, p.mux.cfg.timeout)
	if err != nil {
		return err
	}
	*resp = raft.RequestVoteResponse{Term: answer.term, Granted: answer.ok}
	return nil
}

// errSilent keeps a replica from standing for election that would have to fall
// silent as leader.
var errSilent = errors.New("cluster: raft call: this replica is silent")

// RequestPreVote implements raft.WithPreVote.
func (p *raftPort) RequestPreVote(id raft.ServerID, _ raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if p.mux.cfg.silent(p.group) {
		return errSilent
	}
	answer, err := p.do(id, message{
		kind: messagePreVote, term: args.Term, index: args.LastLogIndex, at: args.LastLogTerm,
	}, p.mux.cfg.timeout)
	if err != nil {
		return err
	}
	*resp = raft.RequestPreVoteResponse{Term: answer.term, Granted: answer.ok}
	return nil
}

// TimeoutNow implements raft.Transport. It ends the lease of the term, should the
// group have forgotten to, and gets a ticket first.
func (p *raftPort) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, _ *raft.TimeoutNowRequest, _ *raft.TimeoutNowResponse) error {
	hooks := p.hooks.Load()
	if hooks == nil {
		return errCallAbandoned
	}
	term := hooks.term()
	if hooks.state() != raft.Leader {
		return errCallAbandoned
	}
	p.lease.end(term)
	answer, err := p.do(id, message{kind: messageTicket, term: term}, p.mux.cfg.timeout)
	if err != nil {
		return fmt.Errorf("cluster: get a ticket of %s: %w", id, err)
	}
	_, err = p.do(id, message{kind: messageTimeoutNow, term: term, ticket: answer.number}, ticketLife)
	return err
}

// AppendEntriesPipeline implements raft.Transport.
func (p *raftPort) AppendEntriesPipeline(id raft.ServerID, _ raft.ServerAddress) (raft.AppendPipeline, error) {
	return newAppendPipeline(p, id), nil
}

// InstallSnapshot implements raft.Transport.
func (p *raftPort) InstallSnapshot(id raft.ServerID, _ raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	start := time.Now()
	answer, err := p.sendSnapshot(id, message{
		kind: messageSnapshot, term: args.Term, index: args.LastLogIndex, at: args.LastLogTerm,
		snapshot: snapshotHead{
			version: args.SnapshotVersion, configuration: args.Configuration,
			configuredAt: args.ConfigurationIndex, size: args.Size,
		},
	}, data)
	if shard, ok := p.group.shard(); ok {
		told := err
		if err == nil && !answer.ok {
			told = errSnapshotRefused
		}
		p.mux.cfg.events.snapshotSent(shard, args.Size, time.Since(start), told)
	}
	if err != nil {
		return err
	}
	*resp = raft.InstallSnapshotResponse{Term: answer.term, Success: answer.ok}
	return nil
}

// Close implements raft.WithClose: the replica is not here any more. It returns
// when nothing waits for the library.
func (p *raftPort) Close() error {
	p.closer.Do(func() { close(p.closed) })
	p.mux.ports[p.group].CompareAndSwap(p, nil)
	p.inbox.close()
	return nil
}
