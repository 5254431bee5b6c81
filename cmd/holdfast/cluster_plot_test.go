package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// plot is what happens to a simulation, chosen by its seed.
type plot struct {
	sim   *simulation
	quiet bool // no faults, and no call may fail
	load  *simLoad
	story []string // what happened, for whoever has to find out why
	ends  []func() // of faults that have begun
}

// Lengths of a plot.
const (
	plotFaults = 6
	faultLeast = 200 * time.Millisecond
	faultMost  = 3 * time.Second
)

func (p *plot) tell(format string, args ...any) {
	p.story = append(p.story, fmt.Sprintf("%8.3f  ", time.Since(p.sim.begun).Seconds())+fmt.Sprintf(format, args...))
}

// String tells the story.
func (p *plot) String() string { return strings.Join(p.story, "\n") }

// chance says yes in one of n cases.
func (p *plot) chance(n int) bool { return p.sim.random.IntN(n) == 0 }

// between gives a time.
func (p *plot) between(least, most time.Duration) time.Duration {
	return least + time.Duration(p.sim.random.Int64N(int64(most-least)))
}

// pick gives one of the nodes that serve, or "".
func (p *plot) pick() string {
	up := p.sim.up()
	if len(up) == 0 {
		return ""
	}
	return up[p.sim.random.IntN(len(up))]
}

// troubles lets faults come and go, some of them at the same time.
func (p *plot) troubles(count int) {
	if p.quiet {
		return
	}
	for range count {
		if name := p.pick(); name != "" {
			p.ends = append(p.ends, p.trouble(name))
		}
		time.Sleep(p.between(faultLeast, faultMost))
		for len(p.ends) > 0 && (len(p.ends) > 1 || !p.chance(3)) {
			p.endOldest()
		}
	}
	for len(p.ends) > 0 {
		p.endOldest()
	}
}

func (p *plot) endOldest() {
	end := p.ends[0]
	p.ends = p.ends[1:]
	end()
}

// trouble begins a fault around a node and gives what ends it.
func (p *plot) trouble(name string) (end func()) {
	kinds := []func(string) func(){
		p.apart, p.deaf, p.mute, p.slow, p.slowHome, p.lossy, p.broken,
		p.killed, p.powerless, p.restarted, p.forgetful, p.forgetful, p.stalled,
	}
	return kinds[p.sim.random.IntN(len(kinds))](name)
}

// around changes the weather between a node and all others.
func (p *plot) around(name string, out, in func(*weather)) {
	for other := range p.sim.nodes {
		if other == name {
			continue
		}
		p.sim.network.set(name, other, out)
		p.sim.network.set(other, name, in)
	}
}

// weathered changes the weather around a node until the end.
func (p *plot) weathered(what, name string, out, in func(*weather)) func() {
	p.tell("%s %s", name, what)
	p.around(name, out, in)
	usual := p.sim.network.usual
	return func() {
		p.tell("%s is well again", name)
		p.around(name, func(w *weather) { *w = usual }, func(w *weather) { *w = usual })
	}
}

func same(*weather)         {}
func cutOff(w *weather)     { w.cut = true }
func overtaking(w *weather) { w.jitter, w.loss = 40*time.Millisecond, 0.15 }

func (p *plot) late() func(*weather) {
	d := p.between(20*time.Millisecond, 450*time.Millisecond)
	return func(w *weather) { w.delay = d }
}

func (p *plot) apart(name string) func() { return p.weathered("is cut off", name, cutOff, cutOff) }

func (p *plot) deaf(name string) func() { return p.weathered("hears nobody", name, same, cutOff) }

func (p *plot) mute(name string) func() {
	return p.weathered("is heard by nobody", name, cutOff, same)
}

func (p *plot) slow(name string) func() {
	return p.weathered("is far away", name, p.late(), p.late())
}

// slowHome makes only the way to the node long, and then cuts it off: answers
// to what it sent are still coming.
func (p *plot) slowHome(name string) func() {
	end := p.weathered("hears late", name, same, p.late())
	time.Sleep(p.between(faultLeast, faultMost/2))
	p.tell("%s is heard by nobody", name)
	p.around(name, cutOff, same)
	return end
}

func (p *plot) lossy(name string) func() {
	return p.weathered("has bad lines", name, overtaking, overtaking)
}

// broken breaks all connections of a node.
func (p *plot) broken(name string) func() {
	p.tell("all connections of %s break", name)
	p.sim.nodes[name].host.breakAll()
	return func() {}
}

func (p *plot) killed(name string) func()    { return p.crashed(name, false) }
func (p *plot) powerless(name string) func() { return p.crashed(name, true) }

func (p *plot) crashed(name string, power bool) func() {
	p.tell("%s crashes, power loss: %v", name, power)
	p.sim.nodes[name].crash(power)
	if p.chance(3) {
		p.start(name)
	}
	return func() { p.start(name) }
}

// restarted stops a node in order.
func (p *plot) restarted(name string) func() {
	p.tell("%s stops", name)
	p.sim.nodes[name].stop()
	return func() { p.start(name) }
}

func (p *plot) start(name string) {
	if n := p.sim.nodes[name]; n.host == nil {
		p.tell("%s starts", name)
		n.begin()
	}
}

// stalled lets nothing that a node writes reach its disk.
func (p *plot) stalled(name string) func() {
	p.tell("the disk of %s hangs", name)
	disk := p.sim.nodes[name].disk
	disk.hang()
	return func() {
		p.tell("the disk of %s goes on", name)
		disk.proceed()
	}
}

// forgetful cuts an owner off, and crashes a node that has just voted for
// another, or is about to, so that it starts at once without a memory of whom it
// followed.
func (p *plot) forgetful(name string) func() {
	end := p.apart(name)
	up := slices.DeleteFunc(p.sim.up(), func(other string) bool { return other == name })
	time.Sleep(p.between(300*time.Millisecond, 900*time.Millisecond))
	if len(up) == 0 {
		return end
	}
	voter := up[p.sim.random.IntN(len(up))]
	if p.sim.nodes[voter].running() != nil {
		p.crashed(voter, p.chance(2))
		p.start(voter)
	}
	return end
}

// threeNodes plays with a cluster of a fixed size.
func (p *plot) threeNodes() error {
	if err := p.sim.form("a", "b", "c"); err != nil {
		return err
	}
	p.load = p.sim.load("a", "b", "c")
	p.troubles(plotFaults)
	return nil
}

// growth plays with a cluster that grows from one node to three and five and
// shrinks to three again.
func (p *plot) growth() error {
	if err := p.sim.form("a"); err != nil {
		return err
	}
	p.load = p.sim.load("a")
	p.load.demand(p.quiet)
	names := []string{"a", "b", "c", "d", "e"}
	for _, size := range []int{3, 5} {
		for _, name := range names[size-2 : size] {
			p.tell("%s joins", name)
			p.sim.add(name, 0, names[:size]...).begin()
		}
		p.load.ask(names[:size]...)
		p.troubles(1)
		if err := p.reach(names[:size]); err != nil {
			return err
		}
	}
	for range 2 {
		leaves := names[p.sim.random.IntN(len(names))]
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == leaves })
		p.load.ask(names...)
		p.tell("%s shall leave", leaves)
		p.sim.network.lives.end(leaves, true) // a gateway that is no node any more is over
		if err := p.decommission(names[0], leaves); err != nil {
			return err
		}
		p.troubles(1)
	}
	if err := p.reach(names); err != nil {
		return err
	}
	return p.letGo(names)
}

// reach waits, with all faults over, until the cluster is of those nodes.
func (p *plot) reach(names []string) error {
	p.sim.calm()
	for name := range p.sim.nodes {
		p.start(name)
	}
	err := p.sim.eventually(fmt.Sprint("a cluster of ", names), 2*time.Minute, func() error { return p.sim.settled(names...) })
	p.tell("the cluster is of %v", names)
	return err
}

func (p *plot) decommission(by, name string) error {
	return p.sim.eventually("decommission "+name, time.Minute, func() error {
		node := p.sim.nodes[by].running()
		if node == nil {
			return fmt.Errorf("%s does not serve", by)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return node.cluster.Decommission(ctx, placement.NodeID(name), false)
	})
}

// letGo stops the nodes that have left.
func (p *plot) letGo(stay []string) error {
	for name, n := range p.sim.nodes {
		if slices.Contains(stay, name) {
			continue
		}
		if err := p.emptied(n); err != nil {
			return err
		}
		n.stop()
		delete(p.sim.nodes, name)
	}
	return nil
}

// emptied checks that a node that has left holds nothing any more. One that was
// away when it was let go hears of it at its next start, which fails.
func (p *plot) emptied(n *simNode) error {
	err := p.sim.eventually(n.name+" gives its replicas up", 10*time.Second, func() error {
		if node := n.running(); node != nil && len(node.cluster.Status().Shards) > 0 {
			return fmt.Errorf("it holds %d", len(node.cluster.Status().Shards))
		}
		return nil
	})
	if err == nil {
		return nil
	}
	p.tell("%s does not know that it has left, and starts again", n.name)
	n.crash(false)
	n.begin()
	if n.wait(time.Minute) == nil {
		return fmt.Errorf("a node that has left starts: %w", err)
	}
	return nil
}
