package actor

import (
	"errors"
	"net/http"
	"time"
)

// Bounds of what an object keeps for calls with a key. Answers are never dropped
// before they expire, since a retry would run again: at a bound new keys are refused.
const (
	MaxRequestKeys      = 10_000
	MaxRequestKeyBytes  = 64 << 20  // of all records of an object; checked before a call, so its own may exceed it
	MaxKeyedAnswerBytes = 64 << 10  // body of an answer that is kept
	maxKeyedHeaderBytes = 16 << 10  // and its header
	maxKeyedChangeBytes = 128 << 10 // at least what a change takes in a batch
)

// keyedCalls are the calls with a key that the Store does not show yet: they
// run, or the batch with their answer is under way. It is guarded by the
// activation's mutex.
type keyedCalls struct {
	calls  map[string]*keyedCall
	sealed queue[*keyedCall] // in order of their batches
}

type keyedCall struct {
	key    *requestKey
	answer []byte // encoded; nil while the call runs
	batch  uint64 // that records the answer, once it is sealed
}

// commit forgets the calls whose answer the Store has now.
func (k *keyedCalls) commit(number uint64) {
	for c := k.sealed.peek(); c != nil && (*c).batch <= number; c = k.sealed.peek() {
		delete(k.calls, (*c).key.text)
		k.sealed.pop()
	}
}

// claim says whether an event's call is to run. A call whose key was used before
// does not: it is answered by what is known of the key. That reveals state, so it
// leaves through the output gate as every answer does.
func (act *activation) claim(ev *event, a *answer) (run bool) {
	if ev.key == nil {
		return true
	}
	before, verdict := act.lookUp(ev.key)
	act.mu.Lock()
	defer act.unlock()
	if act.ended { // the event was told
		return false
	}
	act.host.events.keyed(keyedVerdict(before != nil, verdict))
	switch {
	case before != nil && act.host.fault == FaultEagerReplay:
		a.push(before.replay())
		return false
	case before != nil || verdict != nil:
		act.emitLocked(ev, func(err error) {
			switch {
			case err != nil:
				a.fail(err)
			case verdict != nil:
				a.fail(verdict)
			default:
				a.push(before.replay())
			}
		})
		return false
	}
	if act.keyed.calls == nil {
		act.keyed.calls = make(map[string]*keyedCall)
	}
	act.keyed.calls[ev.key.text] = &keyedCall{key: ev.key}
	// From here on the event has something to commit, whatever it does: its first
	// batch says that it has started, or what its answer is.
	act.changes.key = &KeyedChange{Op: KeyedStarted, Key: ev.key.text, Fingerprint: ev.key.fingerprint}
	return true
}

// keyedVerdict puts what lookUp says into a word.
func keyedVerdict(replayed bool, err error) KeyedVerdict {
	switch {
	case replayed:
		return KeyedReplayed
	case err == nil:
		return KeyedRuns
	case errors.Is(err, ErrKeyInProgress):
		return KeyedInProgress
	case errors.Is(err, ErrPartiallyApplied):
		return KeyedPartial
	case errors.Is(err, ErrKeyReused):
		return KeyedReused
	case errors.Is(err, ErrTooManyRequestKeys):
		return KeyedNoRoom
	default:
		return KeyedUnknown
	}
}

// lookUp says what is known of a key: its answer, why the call must not run, or
// nothing. The caller's event holds the gate, so no call begins or ends meanwhile.
func (act *activation) lookUp(key *requestKey) (*keyedAnswer, error) {
	act.mu.Lock()
	call, open := act.keyed.calls[key.text], len(act.keyed.calls)
	act.mu.Unlock()
	if call != nil {
		return act.known(key, call.key.fingerprint, call.answer, ErrKeyInProgress)
	}
	record, ok, err := act.host.store.Keyed(act.target.ID, key.text)
	switch {
	case err != nil:
		return nil, act.fault("could not read the record of a request key", err.Error(), "")
	case !ok:
		return nil, act.roomForKey(open)
	case record.Expires <= time.Now().UnixMilli():
		return nil, nil
	}
	return act.known(key, record.Fingerprint, record.Answer, ErrPartiallyApplied)
}

// known compares a call with the one that used its key before.
func (act *activation) known(key *requestKey, fingerprint Fingerprint, answer []byte, unanswered error) (*keyedAnswer, error) {
	switch {
	case key.fingerprint != fingerprint && act.host.fault != FaultOneFingerprint:
		return nil, ErrKeyReused
	case answer == nil && act.host.fault == FaultRerun:
		return nil, nil
	case answer == nil:
		return nil, unanswered
	}
	before, err := decodeKeyedAnswer(answer)
	if err != nil {
		return nil, act.fault("could not read the answer under a request key", err.Error(), "")
	}
	return before, nil
}

// roomForKey checks the bounds before one more key is used; open ones may be
// counted twice for a moment.
func (act *activation) roomForKey(open int) error {
	totals, err := act.host.store.KeyedTotals(act.target.ID)
	if err != nil {
		return act.fault("could not count an object's request keys", err.Error(), "")
	}
	if totals.Keys+uint64(open) >= uint64(act.host.maxKeys) || totals.Bytes >= uint64(act.host.maxKeyBytes) {
		return ErrTooManyRequestKeys
	}
	return nil
}

// answeredLocked puts the answer of a call with a key into the event's last batch.
func (act *activation) answeredLocked(ev *event, p part) {
	if ev.key == nil {
		return
	}
	encoded := (&keyedAnswer{status: p.status, header: p.header, body: p.body}).append(nil)
	act.keyed.calls[ev.key.text].answer = encoded
	act.changes.key = &KeyedChange{Op: KeyedAnswered, Key: ev.key.text, Fingerprint: ev.key.fingerprint, Answer: encoded}
}

// recordKeyLocked moves the change of a key into the batch that is being sealed.
func (act *activation) recordKeyLocked(b *Batch) {
	change := act.changes.key
	if change == nil {
		return
	}
	change.Expires = time.Now().Add(act.host.keyTTL).UnixMilli()
	b.Keyed = []KeyedChange{*change}
	if change.Op == KeyedAnswered {
		call := act.keyed.calls[change.Key]
		call.batch = act.view.current
		act.keyed.sealed.push(call)
	}
}

// keyRoomLocked gives what the batch must leave free for the answer of the event
// that holds the gate.
func (act *activation) keyRoomLocked() int {
	if act.holder == nil || act.holder.key == nil {
		return 0
	}
	return maxKeyedChangeBytes
}

// keyCommitted has the records of a committed batch removed in their time.
func (act *activation) keyCommitted(b []KeyedChange) {
	for i := range b {
		act.host.keySweeper.times.set(act.host.shardOf(act.target.ID), b[i].Expires)
	}
}

// answerEarly is the mistake of FaultEarlyAnswer.
func (act *activation) answerEarly(b *Batch) {
	if len(b.Keyed) > 0 && b.Keyed[0].Op == KeyedAnswered {
		early := &Batch{Object: b.Object, Keyed: b.Keyed}
		act.host.committer.Commit(b.Object, act.ownership, early.Append(nil), func(error) {})
	}
}

// tooLarge ends the activation of a call with a key whose answer cannot be kept:
// what it wrote since its last outside wait is dropped, as after a panic, since a
// retry must not find the writes without the answer.
func (w *responseWriter) tooLarge() error {
	w.act.end(ErrAnswerTooLarge, w.ev)
	return ErrAnswerTooLarge
}

func headerBytes(h http.Header) (n int) {
	for name, values := range h {
		n += len(name)
		for _, value := range values {
			n += len(value) + 2
		}
	}
	return n
}
