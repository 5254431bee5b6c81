package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/holdfast-dev/holdfast/placement"
)

// Scenes are plots that lead straight to a moment which seeds meet too seldom.

// cast is who plays in a scene around one object.
type cast struct {
	object string
	shard  placement.ShardID
	owner  string
	others []string
}

// castAround forms a cluster of three and finds the owner of an object.
func (p *plot) castAround(object string) (cast, error) {
	if err := p.sim.form("a", "b", "c"); err != nil {
		return cast{}, err
	}
	return p.castNow(object)
}

// castNow finds the owner of an object as it is now.
func (p *plot) castNow(object string) (cast, error) {
	class, name, _ := strings.Cut(object, "/")
	ids, _ := p.sim.nodes[p.pick()].node.host.IDs(class)
	id, err := ids.Named(name)
	if err != nil {
		return cast{}, err
	}
	who := cast{object: object, shard: placement.ShardID(shardOfObject(id))}
	err = p.sim.eventually("an owner of "+object, 10*time.Second, func() error {
		if who.owner = p.sim.owner(who.shard); who.owner == "" {
			return errors.New("nobody")
		}
		return nil
	})
	who.others = slices.DeleteFunc([]string{"a", "b", "c"}, func(name string) bool { return name == who.owner })
	return who, err
}

// Paces of a scene's clients.
const (
	sceneThink    = 12 * time.Millisecond
	scenePatience = 100 * time.Millisecond // then a call that waits for a lost owner makes room for one to the next
)

// reader reads an object through one node.
func reader(object, door string) habit {
	return habit{sceneThink, scenePatience, func(c *simClient) { c.do(door, object, ask{verb: "get", key: "a"}) }}
}

// writer writes it through any of the doors that are open.
func writer(object string) habit {
	return habit{sceneThink, scenePatience, func(c *simClient) {
		if door := c.door(); door != "" {
			c.do(door, object, ask{"put", "a", c.newValue()})
		}
	}}
}

// audience reads an object through every node, and writes it through open doors.
func (p *plot) audience(object string, doors ...string) {
	habits := []habit{writer(object), writer(object), writer(object)}
	for _, door := range []string{"a", "b", "c"} {
		habits = append(habits, reader(object, door))
	}
	p.load = p.sim.loadOf(doors, habits...)
}

// deposed cuts owners off in the middle of everything.
func (p *plot) deposed() error {
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	p.audience(who.object, "a", "b", "c")
	for range 6 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		time.Sleep(p.between(100*time.Millisecond, 400*time.Millisecond))
		end := p.apart(who.owner)
		time.Sleep(p.between(1100*time.Millisecond, 1500*time.Millisecond))
		end()
	}
	return nil
}

// lateAnswers has answers to an owner long on their way when it falls silent, so
// that the others elect a new one while it still hears from them. Nobody writes
// before: a read waits for every write that it has seen.
func (p *plot) lateAnswers() error {
	const late = 440 * time.Millisecond
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	p.audience(who.object)
	for range 3 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		p.tell("%s owns %s", who.owner, who.object)
		end := p.weathered("hears late", who.owner, same, func(w *weather) { w.delay = late })
		time.Sleep(p.between(time.Second, 1500*time.Millisecond))
		p.around(who.owner, cutOff, same)
		time.Sleep(late - time.Millisecond)
		p.around(who.owner, cutOff, cutOff)
		p.tell("%s is cut off, the others are written to", who.owner)
		p.load.ask(who.others...)
		time.Sleep(p.between(time.Second, 1200*time.Millisecond))
		p.load.ask()
		end()
		time.Sleep(time.Second)
	}
	return nil
}

// restartedVoter has one follower not hear of its leader, and then the other one
// restart, which then knows of none either, while the leader is cut off.
func (p *plot) restartedVoter() error {
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	p.audience(who.object)
	for range 6 {
		if who, err = p.castNow(who.object); err != nil {
			return err
		}
		candidate, voter := who.others[0], who.others[1]
		if p.chance(2) {
			candidate, voter = voter, candidate
		}
		p.tell("%s owns %s, and %s does not hear it", who.owner, who.object, candidate)
		p.sim.network.cut(who.owner, candidate, true)
		time.Sleep(p.between(900*time.Millisecond, 1800*time.Millisecond))
		p.around(who.owner, cutOff, cutOff)
		p.crashed(voter, false)
		p.start(voter)
		p.load.ask(candidate)
		time.Sleep(p.between(1200*time.Millisecond, 1500*time.Millisecond))
		p.load.ask()
		if err := p.reach([]string{"a", "b", "c"}); err != nil {
			return err
		}
	}
	return nil
}

// wipedVoter has a replica lose all that it had, so that only one of three has
// what was acknowledged while the third was away, and takes that one away.
func (p *plot) wipedVoter() error {
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	away, wiped := who.others[0], who.others[1] // a founded the groups: without a trace of one it would found it again
	p.audience(who.object, "a", "b", "c")
	time.Sleep(time.Second)
	p.tell("%s owns %s, %s is cut off", who.owner, who.object, away)
	p.around(away, cutOff, cutOff)
	time.Sleep(2 * time.Second)
	p.tell("%s crashes, %s loses its replicas, %s is back", who.owner, wiped, away)
	p.sim.nodes[who.owner].crash(true)
	p.sim.nodes[wiped].crash(false)
	if err := p.sim.nodes[wiped].wipe(); err != nil {
		return err
	}
	p.sim.calm()
	p.start(wiped)
	time.Sleep(6 * time.Second)
	p.start(who.owner)
	time.Sleep(2 * time.Second)
	return nil
}

// wipe empties the replicas of a node that is down, logs and states. All else
// that the node knows stays.
func (n *simNode) wipe() error {
	for dir, keys := range map[string][2]string{"/data/log": {"g", "h"}, "/data/state": {"", "\xff\xff"}} {
		db, err := pebble.Open(dir, &pebble.Options{FS: n.disk, FormatMajorVersion: pebble.FormatNewest, Logger: quietPebble{}})
		if err != nil {
			return err
		}
		if err := errors.Join(db.DeleteRange([]byte(keys[0]), []byte(keys[1]), pebble.Sync), db.Close()); err != nil {
			return err
		}
	}
	return nil
}

// quietPebble says nothing.
type quietPebble struct{}

func (quietPebble) Infof(string, ...any)            {}
func (quietPebble) Errorf(string, ...any)           {}
func (quietPebble) Fatalf(text string, args ...any) { panic(fmt.Sprintf(text, args...)) }

// crowd has many clients write at once, so that several entries are in flight.
func (p *plot) crowd() error {
	who, err := p.castAround("Probe/0")
	if err != nil {
		return err
	}
	const writers = 12
	var habits []habit
	for range writers {
		habits = append(habits, writer(who.object))
	}
	p.load = p.sim.loadOf([]string{"a", "b", "c"}, habits...)
	time.Sleep(6 * time.Second)
	return nil
}
