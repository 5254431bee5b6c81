package actor_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// A proof of the ownership may take its time. Until it has come nothing leaves
// that only reads, and it serves only what was made before it was asked for.
func TestALateProof(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "released before the proof": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, handler(func(*actor.State, http.ResponseWriter, *http.Request) {}), func(b *bubble) {
				if broken {
					b.Host.Break(actor.FaultUnproved)
				}
				wantVariant(t, checkLateProof(b), broken)
			})
		})
	}
}

func checkLateProof(b *bubble) error {
	b.Committer.HoldProofs()
	defer b.Committer.ReleaseProofs()
	var calls []*actortest.Call
	over := func() (n int) {
		synctest.Wait()
		for _, c := range calls {
			if c.Over() {
				n++
			}
		}
		return n
	}
	for range 3 {
		calls = append(calls, b.begin("/", ""))
	}
	for step, wanted := range []struct{ proofs, over int }{{1, 1}, {1, 3}, {1, 4}, {0, 4}} {
		if step == 1 {
			calls = append(calls, b.begin("/", "")) // the second proof is on its way already
		}
		if n, proofs := over(), b.Committer.StepProofs(); proofs != wanted.proofs || over() != wanted.over {
			return fmt.Errorf("%w: step %d: %d proofs, and %d calls over after %d, want %v", errVariant, step, proofs, over(), n, wanted)
		}
	}
	return nil
}

// What an object sends while proofs are on their way arrives in its order.
func TestALateProofKeepsTheOrder(t *testing.T) {
	for name, broken := range map[string]bool{"sound": false, "the first one goes last": true} {
		t.Run(name, func(t *testing.T) {
			class := behavior{
				serve: routes{"/socket": accept}.serve,
				message: func(ctx context.Context, _ *actor.State, socket *actor.Socket, _ string) error {
					for i := range 5 {
						if err := socket.SendText(ctx, fmt.Sprint(i)); err != nil {
							return err
						}
					}
					return nil
				},
			}.class()
			inBubble(t, class, func(b *bubble) {
				if broken {
					b.Host.Break(actor.FaultReordered)
				}
				socket := b.NewGateway().Dial(b.thing, "/socket")
				b.Committer.HoldProofs()
				b.send(socket, "go")
				synctest.Wait()
				for b.Committer.StepProofs() > 0 {
					synctest.Wait()
				}
				var err error
				if got := fmt.Sprint(socket.Received()); got != "[0 1 2 3 4]" {
					err = fmt.Errorf("%w: frames %s", errVariant, got)
				}
				wantVariant(t, err, broken)
			})
		})
	}
}

// A proof that is refused late ends the activation: callers are refused, whoever
// had an effect gets unknown, and the next activation serves what did not begin.
func TestALateRefusalOfAProof(t *testing.T) {
	outside := newDoor()
	class := behavior{serve: routes{
		"/read": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
		"/effect": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return outside.outside(r.Context(), s)
		},
		"/write": put,
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		outside.open()
		b.get("/read")
		b.Committer.HoldProofs()
		read, effect := b.begin("/read", ""), b.begin("/effect", "")
		wrote := b.begin("/write?key=k", "v") // its commit would prove it, but it keeps its place
		want(t, "calls that are over before the proof", read.Over() || effect.Over() || wrote.Over(), false)
		b.Committer.Unproved(actor.ErrNotOwner)
		b.Committer.ReleaseProofs()
		b.wantErr(read, "the read", actor.ErrNotOwner)
		b.wantErr(effect, "the call that was outside", actor.ErrOutcomeUnknown)
		b.wantErr(wrote, "the write that was committed behind it", actor.ErrOutcomeUnknown)
		b.Committer.Unproved(nil)
		b.get("/read")
		want(t, "the write", b.stored("k"), "v")
	})
}

// A proof that comes after its activation has ended softly still lets its outputs
// go; one that comes after its activation was lost changes nothing.
func TestAProofAfterTheEnd(t *testing.T) {
	class := behavior{serve: routes{
		"/read":  func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
	}.serve}.class()
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost %t", lost), func(t *testing.T) {
			inBubble(t, class, func(b *bubble) {
				b.get("/read")
				b.Committer.HoldProofs()
				read := b.begin("/read", "")
				if lost {
					b.Committer.NextOwnership()
					for shard := range uint32(4) {
						b.Host.SetOwnership(shard, 2)
					}
					b.wantErr(read, "a read of an ownership that is over", actor.ErrNotOwner)
				} else {
					b.wantFault(b.begin("/panic", ""), "the panicking call")
					want(t, "the read is over", read.Over(), false)
				}
				next := b.begin("/read", "")
				pass(time.Second)
				want(t, "the next read is over before its proof", next.Over(), false)
				b.Committer.ReleaseProofs()
				if !lost {
					b.wantBody(read, "the read", "")
				}
				b.wantBody(next, "the next read", "")
			})
		})
	}
}
