package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/holdfast-dev/holdfast/placement"
)

const (
	// stewardPause is the time between two looks while something moves, stewardRest
	// while all is as wanted.
	stewardPause = 250 * time.Millisecond
	stewardRest  = 5 * time.Second
	// maxStewardCalls bounds the calls to other nodes that are on their way.
	maxStewardCalls = 16
)

// steward brings the control group and the shards to what the table wants, one
// step at a time for each group, while this node leads the control group. What
// it knows beyond the table it finds out anew; so it may be replaced at any moment.
type steward struct {
	// Fixed after newSteward.
	control *control
	peers   *peers
	node    string
	grace   time.Duration
	rest    time.Duration                                 // stewardRest, or the heartbeat time-out if that is longer, as in virtual time
	own     func(context.Context, peerRequest) peerAnswer // what others are asked by a call
	change  func(context.Context, replicaChange) error
	events  *Events
	log     *slog.Logger
	faults  faults
	wake    chan struct{} // one slot: something may have to be done
	cancel  context.CancelFunc
	running sync.WaitGroup

	// Owned by run.
	gone    map[string]time.Time // nodes that are not alive, since when
	fresh   map[uint64]bool      // numbers of replicas of which no owner has been told yet
	lost    map[uint64]bool      // numbers of replicas that are no good any more
	stopped map[uint64]bool      // numbers of replicas that take part no more, but are whole
	willing map[string]bool      // nodes that say that they may get a leadership
	at      look                 // the present one
	placed  string               // the nodes over which the shards were spread last
	said    map[placement.ShardID]placement.StepKind

	mu       sync.Mutex // guards the following field
	progress Moves
}

// Moves is what the control leader is doing to bring all shards where they
// belong. It is empty on other nodes.
type Moves struct {
	// Leading says that this node leads the control group.
	Leading bool
	// Steps are those of the last look, by shard.
	Steps []Move
	// Ownerless is how many shards nobody proved to own at the last look.
	Ownerless int
	// Settled says that nothing is to be done.
	Settled bool
}

// Move is the step that a shard is at.
type Move struct {
	Shard placement.ShardID
	Step  placement.StepKind
	Node  placement.NodeID
}

func newSteward(n *Node) *steward {
	return &steward{
		control: n.control, peers: n.peers, node: n.Name(), grace: n.cfg.Network.GracePeriod,
		rest: max(stewardRest, time.Duration(n.table.HeartbeatMS)*time.Millisecond),
		own:  n.answer, change: n.changeReplica, events: &n.cfg.Events, log: n.cfg.Log, faults: n.cfg.faults, wake: make(chan struct{}, 1),
	}
}

func (s *steward) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.running.Go(func() { s.run(ctx) })
}

func (s *steward) close() {
	s.cancel()
	s.running.Wait()
}

// changed makes the steward look again. It does not block.
func (s *steward) changed() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// moves gives the progress as of the last look.
func (s *steward) moves() Moves {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

func (s *steward) run(ctx context.Context) {
	for ctx.Err() == nil {
		if s.control.raft.State() != raft.Leader {
			s.publish(Moves{})
			select {
			case <-s.control.raft.LeaderCh():
			case <-ctx.Done():
			}
			continue
		}
		// Everything that an earlier leader has decided comes first.
		term := s.control.raft.CurrentTerm()
		if err := s.control.raft.Barrier(0).Error(); err != nil {
			s.pause(ctx, stewardPause)
			continue
		}
		s.lead(ctx, term)
	}
}

// lead looks and acts until this node does not lead any more in that term.
func (s *steward) lead(ctx context.Context, term uint64) {
	s.gone, s.fresh = make(map[string]time.Time), make(map[uint64]bool)
	s.lost, s.stopped = make(map[uint64]bool), make(map[uint64]bool)
	s.placed, s.said = "", make(map[placement.ShardID]placement.StepKind)
	told := newMoveLog(s.log)
	for s.at = (look{Term: term, Number: 1}); ctx.Err() == nil && s.leads(); s.at.Number++ {
		moves, err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the control leader could not do a step", "error", err)
		}
		moves.Leading = true
		moves.Settled = moves.Settled && err == nil
		told.note(moves, time.Now())
		s.publish(moves)
		if moves.Settled {
			s.pause(ctx, s.rest)
		} else {
			s.pause(ctx, stewardPause)
		}
	}
}

// leads says whether this node still leads in the term of its looks.
func (s *steward) leads() bool {
	return s.control.raft.State() == raft.Leader && s.control.raft.CurrentTerm() == s.at.Term
}

// prove proves that this node led the control group, in the term of its looks, at
// a moment after the call began.
func (s *steward) prove() error {
	if err := s.control.raft.Barrier(0).Error(); err != nil {
		return fmt.Errorf("cluster: prove leadership of the control group: %w", err)
	}
	if !s.leads() {
		return errNoLeader
	}
	return nil
}

func (s *steward) publish(m Moves) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = m
}

func (s *steward) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.wake:
	case <-ctx.Done():
	}
}

// look does what is to be done now: marks, the control group, the wish, and a
// step of each shard.
func (s *steward) look(ctx context.Context) (Moves, error) {
	alive := s.alive()
	if err := s.markNodes(alive); err != nil {
		return Moves{}, err
	}
	kind, err := s.stepControl()
	if err != nil {
		return Moves{}, err
	}
	if err := s.place(); err != nil {
		return Moves{}, err
	}
	moves, err := s.stepShards(ctx, s.reports(ctx, alive))
	moves.Settled = moves.Settled && kind == placement.StepNone
	return moves, err
}

// alive gives the nodes of the table that gossip sees, with the very directory
// that the table has.
func (s *steward) alive() map[string]bool {
	alive := make(map[string]bool)
	for name, node := range s.control.table().Nodes {
		directory, err := parseDirectoryID(node.DirectoryID)
		alive[name] = err == nil && s.peers.members.living(directory)
	}
	alive[s.node] = true
	return alive
}

// markNodes marks nodes that are gone for too long, if others can take their
// replicas; those that are back; and those that have nothing left to leave.
func (s *steward) markNodes(alive map[string]bool) error {
	t := s.control.table()
	maps.DeleteFunc(s.gone, func(name string, _ time.Time) bool { return alive[name] })
	in := len(t.members())
	for _, name := range slices.Sorted(maps.Keys(t.Nodes)) {
		node := t.Nodes[name]
		if _, seen := s.gone[name]; !alive[name] && !seen {
			s.gone[name] = time.Now()
		}
		next := node.State
		switch {
		case node.State == nodeGone && alive[name]:
			next = nodeIn
		case node.State == nodeIn && !alive[name] && time.Since(s.gone[name]) >= s.grace && in > placement.Copies:
			next = nodeGone
			in--
		case node.State == nodeLeaving && t.empty(name):
			next = nodeLeft
		}
		if next == node.State {
			continue
		}
		s.log.Info("a node changes its state", "node", name, "from", node.State, "to", next)
		if err := s.control.propose(command{Mark: &markCommand{Node: name, DirectoryID: node.DirectoryID, State: next}}); err != nil {
			return err
		}
	}
	return nil
}

// empty says whether a node neither has nor shall have a replica of a shard.
func (t *table) empty(name string) bool {
	for _, shard := range t.Shards {
		if slices.Contains(shard.Wanted, name) || slices.ContainsFunc(shard.Replicas, func(r tableReplica) bool { return r.Node == name }) {
			return false
		}
	}
	return true
}

// place spreads the shards anew when the nodes have changed.
func (s *steward) place() error {
	t := s.control.table()
	members := t.members()
	over := fmt.Sprint(members)
	if len(members) == 0 || over == s.placed {
		return nil
	}
	now := t.wanted()
	c := &placeCommand{}
	for i, set := range placement.Wanted(len(t.Shards), members, now) {
		if slices.Equal(set, now[i]) {
			continue
		}
		p := placedShard{Shard: placement.ShardID(i)}
		for _, node := range set {
			p.Wanted = append(p.Wanted, string(node))
		}
		c.Shards = append(c.Shards, p)
	}
	if len(c.Shards) > 0 {
		s.log.Info("shards are to be spread anew", "nodes", len(members), "shards", len(c.Shards))
		if err := s.control.propose(command{Place: c}); err != nil {
			return err
		}
	}
	s.placed = over
	if gateways := placement.Gateways(members, s.control.table().wanted()); len(gateways) > 0 {
		s.log.Warn("there are more nodes than shards: some only pass requests on", "nodes", fmt.Sprint(gateways))
	}
	if len(members) == 2 {
		s.log.Warn("with two nodes each shard has one voter: the loss of that node stops the shard until it is back")
	}
	return nil
}

// reports asks all living nodes what they know about the shards that they own.
// Of two who say that they own a shard the later ownership counts, and of those
// who know no owner the newest configuration.
func (s *steward) reports(ctx context.Context, alive map[string]bool) map[placement.ShardID]ownedShard {
	var mu sync.Mutex
	owned := make(map[placement.ShardID]ownedShard)
	add := func(node string, reports []shardReport) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range reports {
			if now, ok := owned[r.Shard]; !ok || now.report.Ownership < r.Ownership ||
				now.report.Ownership == r.Ownership && now.report.Configuration < r.Configuration {
				owned[r.Shard] = ownedShard{node: node, report: r}
			}
		}
	}
	clear(s.lost)
	clear(s.stopped)
	s.willing = make(map[string]bool)
	question := peerRequest{Owned: &s.at}
	take := func(name string, answer peerAnswer) {
		add(name, answer.Owned)
		mu.Lock()
		defer mu.Unlock()
		s.willing[name] = !answer.Draining
		for _, number := range answer.Lost {
			s.lost[number] = true
		}
		for _, number := range answer.Stopped {
			s.stopped[number] = true
		}
	}
	take(s.node, s.own(ctx, question))
	var asking sync.WaitGroup
	slots := make(chan struct{}, maxStewardCalls)
	for name := range s.control.table().Nodes {
		if name == s.node || !alive[name] {
			continue
		}
		asking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answer, err := s.peers.call(ctx, name, question)
			if err != nil {
				s.log.Debug("a node does not say which shards it owns", "node", name, "error", err)
				return
			}
			take(name, answer)
		})
	}
	asking.Wait()
	return owned
}

// ownedShard is the report of a shard with the node that it is from.
type ownedShard struct {
	node   string
	report shardReport
}

// send makes a change through the owner of the shard.
func (s *steward) send(ctx context.Context, owner string, c replicaChange) error {
	if owner == s.node {
		ctx, cancel := context.WithTimeout(ctx, peerTimeout) // as if it were a call
		defer cancel()
		return s.change(ctx, c)
	}
	_, err := s.peers.call(ctx, owner, peerRequest{Change: &c})
	return err
}

var errNoLeader = errors.New("cluster: the control group has no leader that this node knows")
