package actor_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// The end of an ownership and the answers of its batches may come in any order.
// Whoever is told that nothing happened can rely on it, and as long as the
// answers come first each caller is told what became of its own batch.
func TestALossAndTheAnswersOfItsBatches(t *testing.T) {
	// The fate of the second of three batches, and what its caller is told if the answer comes first.
	fates := map[actortest.Fate]error{
		actortest.Apply: nil, actortest.Refuse: actor.ErrRefused,
		actortest.LoseApplied: actor.ErrOutcomeUnknown, actortest.LoseDropped: actor.ErrOutcomeUnknown,
	}
	for fate, told := range fates {
		for _, answersFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("fate %d, answers first %t", fate, answersFirst), func(t *testing.T) {
				inBubble(t, behavior{serve: routes{"/put": put}.serve}.class(), func(b *bubble) {
					b.Committer.Hold()
					b.Committer.SetFate(loseBatch(2, fate))
					var calls []*actortest.Call
					for i := range 3 {
						calls = append(calls, b.begin(fmt.Sprintf("/put?key=%d", i), "v"))
					}
					b.Committer.Refuse(actor.ErrNotOwner) // from now on nobody is let in
					end := func() {
						for shard := range uint32(4) {
							b.Host.SetOwnership(shard, 0)
						}
						synctest.Wait()
					}
					answer := func() { b.Committer.Release(); synctest.Wait() }
					if answersFirst {
						answer()
						end()
						b.wantErr(calls[0], "the batch before", nil)
						b.wantErr(calls[1], "the batch itself", told)
						b.wantErr(calls[2], "the batch behind", told)
					} else {
						end()
						answer()
					}
					for i, c := range calls {
						there := b.stored(fmt.Sprint(i)) != "-"
						switch err := c.Err(); {
						case err == nil && !there:
							t.Errorf("write %d was acknowledged and is not there", i)
						case err != nil && !errors.Is(err, actor.ErrOutcomeUnknown) && there:
							t.Errorf("write %d = %v, and it is there", i, err)
						}
					}
				})
			})
		}
	}
}
