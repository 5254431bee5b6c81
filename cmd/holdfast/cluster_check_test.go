package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

// ownerless is how long a shard may be without an owner once all faults are over.
const ownerless = 3 * time.Second

// closing ends the faults and the load and gives what is wrong with the cluster.
func (s *simulation) closing(l *simLoad) error {
	s.calm()
	for _, n := range s.nodes {
		if n.host == nil {
			n.begin()
		}
	}
	errs := []error{s.eventually("owners of all shards", ownerless, s.owned)}
	for name, n := range s.nodes {
		if err := n.wait(time.Minute); err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", name, err))
		}
	}
	time.Sleep(time.Second)
	errs = append(errs, l.stop(), s.lastLook(l))
	errs = append(errs, s.eventually("equal replicas", 30*time.Second, s.equal), s.ledger.check(), s.watch.check())
	return errors.Join(errs...)
}

// lastLook reads every object through every node, so that the ledger has what is
// left of each, and looks for alarms that did not ring.
func (s *simulation) lastLook(l *simLoad) error {
	time.Sleep(2 * alarmAfter)
	c := l.client(1000, habit{patience: simPatience})
	c.load = &simLoad{sim: s, ctx: s.t.Context()}
	defer c.http.CloseIdleConnections()
	var errs []error
	for _, door := range s.up() {
		for i := range simObjects {
			errs = append(errs, c.look(door, fmt.Sprint("Counter/", i), ask{verb: "get"}), c.look(door, fmt.Sprint("EventStore/", i), ask{verb: "list"}))
			for _, key := range []string{"a", "b"} {
				errs = append(errs, c.look(door, fmt.Sprint("Probe/", i), ask{verb: "get", key: key}))
			}
		}
	}
	errs = append(errs, c.settle(s.up()[0]), l.replays(c, s.random), l.checkPairs(c), l.rooms(c))
	l.clear()
	for object, due := range l.alarms {
		errs = append(errs, s.eventually("alarm of "+object, 10*time.Second, func() error {
			var answer probeAnswer
			if err := c.fetch(s.up()[0], http.MethodGet, object+"/rang", "", &answer); err != nil {
				return err
			}
			if answer.Pending || answer.Due < due {
				return fmt.Errorf("due at %d, the last that rang was due at %d", due, answer.Due)
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// look reads through a node. It may be refused now and then, and not for long.
func (c *simClient) look(door, object string, a ask) error {
	return c.load.sim.eventually("read "+object+" through "+door, 5*time.Second, func() error {
		if f := c.do(door, object, a); f != fateKnown {
			return fmt.Errorf("fate %v", f)
		}
		return nil
	})
}

// settle tells the ledger what each object that keeps its history has in the end.
func (c *simClient) settle(door string) error {
	var errs []error
	for i := range simObjects {
		var probe probeAnswer
		object := fmt.Sprint("Probe/", i)
		errs = append(errs, c.fetch(door, http.MethodGet, object+"/history", "", &probe))
		errs = append(errs, c.load.sim.ledger.settle(object, probe.Values))

		object = fmt.Sprint("EventStore/", i)
		log, err := c.call(door, object, ask{verb: "list"})
		errs = append(errs, err, c.load.sim.ledger.settle(object, strings.Fields(log.text)))
	}
	return errors.Join(errs...)
}

// equal says whether all replicas of each shard are at one index with one state,
// and no node has anything of a shard that it holds no replica of.
func (s *simulation) equal() error {
	for shard := range placement.ShardID(simShards) {
		var first *replicaState
		for _, name := range s.up() {
			state, err := s.nodes[name].node.replicaState(shard)
			switch {
			case err != nil:
				return fmt.Errorf("%s: shard %d: %w", name, shard, err)
			case state == nil:
				continue
			case first == nil:
				first = state
			case first.index != state.index:
				return fmt.Errorf("%s: shard %d is at index %d, another replica at %d", name, shard, state.index, first.index)
			case first.sum != state.sum:
				return fmt.Errorf("%s: shard %d has another state at index %d than another replica", name, shard, state.index)
			}
		}
		if first == nil {
			return fmt.Errorf("shard %d is nowhere", shard)
		}
	}
	return nil
}

// replicaState is what a node has of a shard.
type replicaState struct {
	index uint64
	sum   [sha256.Size]byte
}

// replicaState gives nil if the node holds no replica of the shard.
func (n *Node) replicaState(shard placement.ShardID) (*replicaState, error) {
	at := slices.IndexFunc(n.cluster.Status().Shards, func(st cluster.ShardStatus) bool { return st.Shard == shard })
	index, _, err := n.store.Position(uint32(shard))
	if err != nil || at < 0 {
		if index > 0 {
			err = errors.New("there is state without a replica")
		}
		return nil, err
	}
	picture, err := n.store.Snapshot(uint32(shard))
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	_, err = picture.WriteTo(hash)
	state := &replicaState{index: index, sum: [sha256.Size]byte(hash.Sum(nil))}
	return state, errors.Join(err, picture.Close())
}
