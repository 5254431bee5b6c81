package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// Scenes in which an owner or a gateway is lost while something is on its way.

// every is all nodes of a scene.
func every() []string { return []string{"a", "b", "c"} }

// successor waits until another node than the one owns the shard.
func (p *plot) successor(shard placement.ShardID, of string, limit time.Duration) error {
	return p.sim.eventually(fmt.Sprintf("another owner of shard %d than %s", shard, of), limit, func() error {
		if now := p.sim.owner(shard); now == "" || now == of {
			return errors.New("none")
		}
		return nil
	})
}

// lostOwner has guests talk in a room while its owner is lost, or the link to it,
// before owner and gateways have told each other what came.
func (p *plot) lostOwner() error {
	who, err := p.castAround("Room/0")
	if err != nil {
		return err
	}
	p.conversation(who.object)
	for range 4 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		time.Sleep(p.between(200*time.Millisecond, 500*time.Millisecond))
		p.halfHeard(who)
		if p.chance(3) {
			p.broken(who.owner)
		} else {
			p.crashed(who.owner, false)
			p.start(who.owner)
		}
		p.sim.calm()
		time.Sleep(time.Second)
	}
	return nil
}

// conversation has guests talk in a room.
func (p *plot) conversation(room string) {
	const talkers = 5
	var habits []habit
	for range talkers {
		habits = append(habits, talker(room, sceneThink, 0))
	}
	p.load = p.sim.loadOf(every(), habits...)
}

// movedOwner has a room's shard move while guests talk and what the last owner
// sent is on its way for longer than the news that there is another, who is asked
// for the same.
func (p *plot) movedOwner() error {
	who, err := p.castAround("Room/0")
	if err != nil {
		return err
	}
	p.conversation(who.object)
	for range 4 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		at := p.sim.random.IntN(len(who.others))
		gateway, heir := who.others[at], who.others[1-at]
		p.load.ask(gateway)
		p.tell("%s owns %s and is heard late by %s, where all guests are, as that is by %s", who.owner, who.object, gateway, heir)
		late := func(w *weather) { w.delay = 60 * time.Millisecond }
		p.sim.network.set(who.owner, gateway, late)
		p.sim.network.set(gateway, heir, late)
		time.Sleep(p.between(300*time.Millisecond, 500*time.Millisecond))
		p.restarted(who.owner)
		p.start(who.owner)
		p.sim.calm()
		time.Sleep(time.Second)
	}
	return nil
}

// halfHeard has an owner and a gateway lose each other in one direction for a moment.
func (p *plot) halfHeard(who cast) {
	from, to := who.owner, who.others[p.sim.random.IntN(len(who.others))]
	if p.chance(2) {
		from, to = to, from
	}
	p.tell("%s owns %s, and %s does not hear %s", who.owner, who.object, to, from)
	p.sim.network.cut(from, to, true)
	time.Sleep(p.between(20*time.Millisecond, 200*time.Millisecond))
}

// lostGateway has guests with a session whose gateways do not reach them, and
// then end.
func (p *plot) lostGateway() error {
	who, err := p.castAround("Room/0")
	if err != nil {
		return err
	}
	const guests = 4
	var habits []habit
	for range guests {
		habits = append(habits, returner(who.object, 2*sceneThink))
	}
	p.load = p.sim.loadOf(every(), habits...)
	for range 4 {
		time.Sleep(p.between(400*time.Millisecond, 800*time.Millisecond))
		door := p.pick()
		p.tell("clients do not hear %s", door)
		for id := range guests {
			p.sim.network.cut(door, fmt.Sprint("client", id), true)
		}
		time.Sleep(p.between(20*time.Millisecond, 200*time.Millisecond))
		switch p.sim.random.IntN(4) {
		case 0:
			p.broken(door)
		case 1:
			p.restarted(door)
		default:
			p.crashed(door, false)
		}
		p.start(door)
		for id := range guests {
			p.sim.network.cut(door, fmt.Sprint("client", id), false)
		}
		if err := p.reach(every()); err != nil {
			return err
		}
	}
	return nil
}

// pairs has clients make calls in two steps under a key, and takes the owner away
// in between; the last entries of its log arrive one by one.
func (p *plot) pairs() error {
	who, err := p.castAround("Pair/0")
	if err != nil {
		return err
	}
	const clients = 8
	var habits []habit
	for range clients {
		habits = append(habits, habit{sceneThink, simPatience, func(c *simClient) { c.doPair("Pair/0") }})
	}
	p.load = p.sim.loadOf(every(), habits...)
	for range 5 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		time.Sleep(p.between(200*time.Millisecond, 400*time.Millisecond))
		p.lossy(who.owner)
		time.Sleep(p.between(50*time.Millisecond, 150*time.Millisecond))
		p.crashed(who.owner, false)
		p.start(who.owner)
		p.sim.calm()
		if err := p.reach(every()); err != nil {
			return err
		}
	}
	return nil
}

// promptly is how long a shard may be without an owner after the last one's
// process has ended; what the library does by itself takes longer.
const promptly = 800 * time.Millisecond

// prompts ends processes of owners.
func (p *plot) prompts() error {
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	p.audience(who.object, every()...)
	for range 4 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		p.crashed(who.owner, false)
		began := time.Now()
		if err := p.successor(who.shard, who.owner, promptly); err != nil {
			return err
		}
		p.tell("the next owner is there after %v", time.Since(began))
		p.start(who.owner)
		if err := p.reach(every()); err != nil {
			return err
		}
	}
	return nil
}

// stalledDisk has disks of owners hang, whose processes and lines are well.
func (p *plot) stalledDisk() error {
	const limit = 3 * time.Second
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	p.audience(who.object, every()...)
	for range 2 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		time.Sleep(p.between(100*time.Millisecond, 400*time.Millisecond))
		end := p.stalled(who.owner)
		err := p.successor(who.shard, who.owner, limit)
		time.Sleep(p.between(0+1, 500*time.Millisecond))
		end()
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
	}
	return nil
}

// halfInstalled has a replica so far behind that it gets a snapshot, and takes
// its node's power at one of the syncs that follow.
func (p *plot) halfInstalled() error {
	const syncs = 6
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	p.audience(who.object, every()...)
	for range 3 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		behind := who.others[p.sim.random.IntN(len(who.others))]
		p.tell("%s is cut off", behind)
		p.around(behind, cutOff, cutOff)
		time.Sleep(3 * time.Second)
		at := p.sim.random.IntN(syncs)
		sprung := p.sim.nodes[behind].disk.hangAfter("snapshots", at)
		p.sim.calm()
		timer := time.NewTimer(5 * time.Second)
		select {
		case <-sprung:
			p.tell("%s loses its power at sync %d of a snapshot", behind, at)
		case <-timer.C:
			p.tell("%s gets no snapshot", behind)
		}
		timer.Stop()
		p.crashed(behind, true)
		p.start(behind)
		if err := p.whole(behind); err != nil {
			return err
		}
		if err := p.reach(every()); err != nil {
			return err
		}
	}
	return nil
}

// whole waits for a node to serve and says whether it could open all that it has.
func (p *plot) whole(name string) error {
	n := p.sim.nodes[name]
	if err := n.wait(time.Minute); err != nil {
		return fmt.Errorf("node %s: %w", name, err)
	}
	for _, shard := range n.node.cluster.Status().Shards {
		if shard.Stopped != nil {
			return fmt.Errorf("%s: shard %d: %w", name, shard.Shard, shard.Stopped)
		}
	}
	return nil
}
