package actor_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

func TestALostBatchIsSeenByNobody(t *testing.T) {
	var d diary
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: routes{"/put": put, "/value": value}.serve,
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantBody(b.begin("/put?key=k", "before"), "the first write", "")
		d.want(t, "start")
		b.Committer.Hold()
		lost := b.begin("/put?key=k", "lost")
		reader := b.begin("/value?key=k", "")
		after := b.begin("/put?key=k2", "lost too")
		b.Committer.SetFate(func(*actortest.Commit) actortest.Fate { return actortest.Refuse })
		b.Committer.Release()
		b.wantErr(lost, "the lost write", actor.ErrRefused)
		b.wantErr(reader, "the read of it", actor.ErrRefused)
		b.wantErr(after, "the write after it", actor.ErrRefused)
		b.Committer.SetFate(nil)
		b.Committer.NextOwnership()
		b.wantBody(b.begin("/value?key=k", ""), "the value", "before")
		b.wantBody(b.begin("/value?key=k2", ""), "the second value", "-")
		d.want(t, "start")
	})
}

type fateCase struct {
	name string
	path string
	// lose is the number of the batch that meets the fate, counted from 1.
	lose    int
	refused error // what the caller learns if that batch is refused
	unknown error // and if its outcome is unknown
}

func TestWhatACallerLearnsOfALostBatch(t *testing.T) {
	class := behavior{serve: routes{
		"/put":  put,
		"/read": value,
		"/flush": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if err := s.Storage().Put(r.Context(), "a", nil); err != nil {
				return err
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			return s.Storage().Put(r.Context(), "b", nil)
		},
		"/sync": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			if err := s.Storage().Put(r.Context(), "a", nil); err != nil {
				return err
			}
			if err := s.Storage().Sync(r.Context()); err != nil {
				return err
			}
			return s.Storage().Put(r.Context(), "b", nil)
		},
		"/outside": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			if err := s.Outside(r.Context(), func(context.Context) error { return nil }); err != nil {
				return err
			}
			return s.Storage().Put(r.Context(), "b", nil)
		},
		"/call": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			ns, _ := s.Namespace("Thing")
			inner, _ := http.NewRequest(http.MethodGet, "/read?key=k", http.NoBody)
			if _, err := ns.Unique().Do(r.Context(), inner); err != nil {
				return err
			}
			return s.Storage().Put(r.Context(), "b", nil)
		},
	}.serve}.class()
	refused, unknown := actor.ErrRefused, actor.ErrOutcomeUnknown
	for _, c := range []fateCase{
		{"the only batch", "/put?key=k", 1, refused, unknown},
		{"the first batch of two", "/flush", 1, refused, unknown},
		{"the second batch of two", "/flush", 2, unknown, unknown},
		{"the batch before a sync", "/sync", 1, refused, unknown},
		{"the batch after a sync", "/sync", 2, unknown, unknown},
		{"the batch after an outside function", "/outside", 1, unknown, unknown},
		{"the batch after a call", "/call", 1, unknown, unknown},
	} {
		for fate, want := range map[actortest.Fate]error{
			actortest.Refuse: c.refused, actortest.LoseDropped: c.unknown, actortest.LoseApplied: c.unknown,
		} {
			inBubble(t, class, func(b *bubble) {
				b.Committer.Hold()
				b.Committer.SetFate(loseBatch(c.lose, fate))
				call := b.begin(c.path, "v")
				reader := b.begin("/read?key=k", "")
				b.Committer.Release()
				synctest.Wait()
				if status, _ := call.Seen(); status != 0 && c.path == "/flush" && c.lose == 2 {
					want = nil // the head has left: the answer is broken off
				}
				synctest.Wait()
				switch {
				case want == nil && call.Err() == nil:
					t.Errorf("%s, fate %d: the answer that broke off ended well", c.name, fate)
				case want != nil:
					b.wantErr(call, fmt.Sprintf("%s, fate %d", c.name, fate), want)
				}
				if c.path == "/put?key=k" {
					// It changed nothing, so trying it again is safe, whatever became of the write.
					b.wantErr(reader, "the read on top of "+c.name, actor.ErrRefused)
				}
				b.Committer.SetFate(nil)
				b.Committer.NextOwnership()
				b.wantBody(b.begin("/read?key=none", ""), "the next call", "-")
			})
		}
	}
}

func loseBatch(number int, fate actortest.Fate) func(*actortest.Commit) actortest.Fate {
	seen := 0
	return func(*actortest.Commit) actortest.Fate {
		if seen++; seen == number {
			return fate
		}
		return actortest.Apply
	}
}

func TestAnAnswerBehindAnotherEventsLostBatchIsUnknownIfItWrote(t *testing.T) {
	class := behavior{serve: routes{
		"/put": put,
		"/sync": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			if err := s.Storage().Put(r.Context(), "a", []byte("v")); err != nil {
				return err
			}
			return s.Storage().Sync(r.Context())
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		syncing := b.begin("/sync", "")
		other := b.begin("/put?key=k", "v") // its batch is sealed while the first one syncs
		b.Committer.SetFate(loseBatch(2, actortest.Refuse))
		b.Committer.Step(2)
		b.wantErr(other, "the refused write", actor.ErrRefused)
		// The synced write is committed, and the answer came after the other's batch.
		b.wantErr(syncing, "the call with a committed write", actor.ErrOutcomeUnknown)
		if v := b.stored("a"); v != "v" {
			t.Errorf("the committed write is %q, want v", v)
		}
	})
}

func TestALostOwnership(t *testing.T) {
	gate := newDoor()
	class := behavior{serve: routes{
		"/put": put, "/value": value,
		"/wait": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			err := gate.outside(r.Context(), s)
			if !errors.Is(err, actor.ErrEnded) {
				t.Errorf("Outside over the end of an ownership = %v, want ErrEnded", err)
			}
			if err := s.Storage().Put(r.Context(), "late", nil); !errors.Is(err, actor.ErrEnded) {
				t.Errorf("Put after the end of an ownership = %v, want ErrEnded", err)
			}
			return nil
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		own := func(n uint64) {
			b.Committer.SetOwnership(n)
			for shard := range uint32(4) {
				b.Host.SetOwnership(shard, n)
			}
			synctest.Wait()
		}
		waiting := b.begin("/wait", "")
		b.Committer.Hold()
		write := b.begin("/put?key=k", "v")
		read := b.begin("/value?key=k", "")
		b.Committer.Refuse(actor.ErrNotOwner)
		own(0)
		// Its batch was handed over and has no answer yet: nobody can tell.
		b.wantErr(write, "the write under way", actor.ErrOutcomeUnknown)
		b.wantErr(read, "the read under way", actor.ErrNotOwner)
		b.wantErr(waiting, "the call that waits outside", actor.ErrOutcomeUnknown)
		b.wantErr(b.begin("/value?key=k", ""), "a call without an owner", actor.ErrNotOwner)
		b.Committer.Release()
		gate.open()
		synctest.Wait()
		b.Committer.Refuse(nil)
		own(2)
		b.wantBody(b.begin("/value?key=late", ""), "what the old activation wrote", "-")
		b.wantBody(b.begin("/put?key=k", "new"), "a write of the new owner", "")
	})
}

func TestCallsThatDidNotBeginOutliveAnOwnership(t *testing.T) {
	gate := newDoor()
	var d diary
	class := behavior{
		start: func(context.Context, *actor.State) error { d.add("start"); return nil },
		serve: func(s *actor.State, _ http.ResponseWriter, r *http.Request) {
			d.add("%s", r.URL.Path)
			if r.URL.Path == "/hold" {
				_ = s.BlockConcurrencyWhile(r.Context(), func(ctx context.Context) error { return gate.outside(ctx, s) })
			}
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		holding := b.begin("/hold", "")
		var queued []*actortest.Call
		for i := range 4 {
			queued = append(queued, b.begin(fmt.Sprintf("/%d", i), ""))
		}
		b.Committer.NextOwnership()
		b.Host.SetOwnership(0, 2)
		b.Host.SetOwnership(1, 2)
		b.Host.SetOwnership(2, 2)
		b.Host.SetOwnership(3, 2)
		for i, c := range queued {
			b.wantBody(c, fmt.Sprintf("call %d", i), "")
		}
		b.wantErr(holding, "the call that ran", actor.ErrOutcomeUnknown)
		gate.open()
		d.want(t, "start /hold start /0 /1 /2 /3")
	})
}
