package objects

import (
	"context"
	"iter"

	"github.com/holdfast-dev/holdfast/actor"
)

// scanEntries bounds how many entries scan holds at a time. Sixteen of the
// largest values are within actor.MaxListBytes.
const scanEntries = 16

// scan gives the JSON values of a range of keys, in their order. It reads a few
// at a time, since the range may be larger than memory.
func scan[T any](ctx context.Context, storage *actor.Storage, opt actor.ListOptions) iter.Seq2[actor.TypedEntry[T], error] {
	return func(yield func(actor.TypedEntry[T], error) bool) {
		opt.Limit = scanEntries
		for {
			entries, err := actor.List[T](ctx, storage, opt)
			if err != nil {
				yield(actor.TypedEntry[T]{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if len(entries) < scanEntries {
				return
			}
			opt.Start, opt.StartAfter = "", entries[len(entries)-1].Key
		}
	}
}
