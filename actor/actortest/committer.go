package actortest

import (
	"sync"

	"github.com/holdfast-dev/holdfast/actor"
)

// Fate is what becomes of a batch.
type Fate int

// What becomes of a batch.
const (
	Apply        Fate = iota // applied, and answered so
	Refuse                   // certainly not applied
	LoseApplied              // applied, but the answer is unknown
	LoseDropped              // not applied, and the answer is unknown
	AckUnapplied             // a fault: answered as applied, and dropped
	Tear                     // a fault: half of its writes are applied, and the answer is unknown
)

// Commit is a batch on its way.
type Commit struct {
	Object actor.ID
	Batch  *actor.Batch
	data   []byte
	own    uint64
	done   func(error)
}

// Committer makes batches durable in a Store of this process. By default each
// is applied at once, on a goroutine that Close waits for.
type Committer struct {
	store *actor.Store
	shard func(actor.ID) uint32

	mu         sync.Mutex // guards the following fields
	cond       sync.Cond
	ownership  uint64
	refused    error               // answer of Ownership, if not nil
	foreign    func(actor.ID) bool // objects that another node owns; nil: none
	unproved   error               // answer of Prove, if not nil
	proofsHeld bool
	proofs     []func() // that are held
	held       bool
	fate       func(*Commit) Fate
	lost       uint64 // newest ownership of which a batch was not applied
	queue      []*Commit
	index      map[uint32]uint64
	steps      int  // batches that may be applied although held
	crashed    bool // nothing is applied any more
	closed     bool
	wg         sync.WaitGroup
}

func newCommitter(shard func(actor.ID) uint32) *Committer {
	c := &Committer{shard: shard, ownership: 1, index: make(map[uint32]uint64)}
	c.cond.L = &c.mu
	c.wg.Go(c.run)
	return c
}

// Ownership implements actor.Committer.
func (c *Committer) Ownership(object actor.ID) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.foreign != nil && c.foreign(object) {
		return 0, actor.ErrNotOwner
	}
	return c.ownership, c.refused
}

// Prove implements actor.Committer.
func (c *Committer) Prove(_ actor.ID, ownership uint64, done func(error)) {
	c.mu.Lock()
	if c.proofsHeld {
		c.proofs = append(c.proofs, func() { done(c.proof(ownership)) })
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	done(c.proof(ownership))
}

func (c *Committer) proof(ownership uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unproved != nil {
		return c.unproved
	}
	if ownership != c.ownership {
		return actor.ErrNotOwner
	}
	return nil
}

// HoldProofs lets proofs wait until ReleaseProofs.
func (c *Committer) HoldProofs() { c.set(func() { c.proofsHeld = true }) }

// StepProofs answers the proofs that were asked for so far, and gives their number.
func (c *Committer) StepProofs() int {
	var proofs []func()
	c.set(func() { proofs, c.proofs = c.proofs, nil })
	for _, answer := range proofs {
		answer()
	}
	return len(proofs)
}

// ReleaseProofs ends HoldProofs.
func (c *Committer) ReleaseProofs() {
	c.set(func() { c.proofsHeld = false })
	c.StepProofs()
}

// Commit implements actor.Committer.
func (c *Committer) Commit(object actor.ID, ownership uint64, data []byte, done func(error)) {
	batch, err := actor.DecodeBatch(data)
	if err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, &Commit{Object: object, Batch: batch, data: data, own: ownership, done: done})
	c.cond.Broadcast()
}

func (c *Committer) run() {
	for {
		c.mu.Lock()
		for !c.closed && (c.held && c.steps == 0 || len(c.queue) == 0) {
			c.cond.Wait()
		}
		if len(c.queue) == 0 {
			c.mu.Unlock()
			return
		}
		next := c.queue[0]
		c.queue = c.queue[1:]
		if c.held {
			c.steps--
		}
		fate := c.fateLocked(next)
		c.mu.Unlock()
		next.done(c.execute(next, fate))
	}
}

func (c *Committer) fateLocked(next *Commit) Fate {
	switch {
	case c.crashed:
		return LoseDropped
	case next.own != c.ownership || next.own <= c.lost:
		return Refuse
	}
	fate := Apply
	if c.fate != nil {
		fate = c.fate(next)
	}
	if fate != Apply && fate != AckUnapplied {
		c.lost = next.own
	}
	return fate
}

func (c *Committer) execute(next *Commit, fate Fate) error {
	switch fate {
	case Refuse:
		return actor.ErrRefused
	case LoseDropped:
		return actor.ErrOutcomeUnknown
	case AckUnapplied:
		return nil
	case Tear:
		torn := *next.Batch
		torn.Writes, torn.Alarm = torn.Writes[:len(torn.Writes)/2], actor.AlarmChange{}
		next.data = torn.Append(nil)
	case Apply, LoseApplied:
	}
	shard := c.shard(next.Object)
	c.mu.Lock()
	c.index[shard]++
	index := c.index[shard]
	c.mu.Unlock()
	if err := c.store.Apply(shard, [][]byte{next.data}, index, nil); err != nil {
		panic(err)
	}
	if fate != Apply {
		return actor.ErrOutcomeUnknown
	}
	return nil
}

// Hold keeps all batches from being applied until Release.
func (c *Committer) Hold() { c.set(func() { c.held = true }) }

// Step lets the next n batches be applied although Hold was called.
func (c *Committer) Step(n int) { c.set(func() { c.steps += n }) }

// Release ends Hold.
func (c *Committer) Release() { c.set(func() { c.held, c.steps = false, 0 }) }

// SetFate decides what becomes of each batch; nil applies all.
func (c *Committer) SetFate(fate func(*Commit) Fate) { c.set(func() { c.fate = fate }) }

// SetOwnership changes the ownership number.
func (c *Committer) SetOwnership(ownership uint64) { c.set(func() { c.ownership = ownership }) }

// Refuse makes Ownership fail; nil ends that.
func (c *Committer) Refuse(err error) { c.set(func() { c.refused = err }) }

// Own says which objects this node owns; another node has the others.
func (c *Committer) Own(owns func(actor.ID) bool) {
	c.set(func() { c.foreign = func(object actor.ID) bool { return !owns(object) } })
}

// Unproved makes Prove fail; nil ends that.
func (c *Committer) Unproved(err error) { c.set(func() { c.unproved = err }) }

func (c *Committer) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.cond.Broadcast()
}

// Waiting gives the number of batches that are not applied yet.
func (c *Committer) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

func (c *Committer) crash() { c.set(func() { c.crashed, c.held = true, false }) }

func (c *Committer) close() {
	c.set(func() { c.closed, c.held = true, false })
	c.wg.Wait()
}

// NextOwnership begins a new ownership, as an owner does after a batch was lost.
func (c *Committer) NextOwnership() { c.set(func() { c.ownership++ }) }
