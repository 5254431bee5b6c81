package actor_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// Conformance case 2

func TestNothingLeavesBeforeTheWritesThatItFollows(t *testing.T) {
	var d diary
	class := behavior{
		serve: routes{
			"/called": func(*actor.State, http.ResponseWriter, *http.Request) error { d.add("called"); return nil },
			"/answer": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				defer fmt.Fprint(w, "ok")
				return s.Storage().Put(r.Context(), "k", nil)
			},
			"/stream": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				if err := s.Storage().Put(r.Context(), "k", nil); err != nil {
					return err
				}
				fmt.Fprint(w, "head")
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
				if err := s.Storage().Put(r.Context(), "k2", nil); err != nil {
					return err
				}
				fmt.Fprint(w, "-tail")
				return nil
			},
			"/socket": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				socket, err := s.AcceptSocket(w, r, actor.SocketOptions{})
				if err != nil {
					return err
				}
				return socket.SendText(r.Context(), "hello")
			},
			"/call": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				if err := s.Storage().Put(r.Context(), "k", nil); err != nil {
					return err
				}
				ns, _ := s.Namespace("Thing")
				stub, _ := ns.Named("other")
				inner, _ := http.NewRequest(http.MethodGet, "/called", http.NoBody)
				_, err := stub.Do(r.Context(), inner)
				return err
			},
			"/alarm": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				return s.Storage().SetAlarm(r.Context(), time.Now().Add(time.Second))
			},
			"/has-alarm": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				_, ok, err := s.Storage().Alarm(r.Context())
				fmt.Fprint(w, ok)
				return err
			},
		}.serve,
		alarm: func(ctx context.Context, s *actor.State, info actor.AlarmInfo) error {
			d.add("alarm-%d", info.RetryCount)
			return s.Storage().Put(ctx, "alarm", nil)
		},
		message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
			if err := s.Storage().Put(ctx, "k", nil); err != nil {
				return err
			}
			if err := s.Broadcast(ctx, actor.Message{Kind: actor.Text, Data: []byte("to all")}, actor.BroadcastOptions{}); err != nil {
				return err
			}
			if text == "close" {
				return socket.Close(ctx, 4000, "bye")
			}
			return socket.SendText(ctx, text)
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		call := b.begin("/answer", "")
		if call.Over() {
			t.Error("the answer left before the write was committed")
		}
		b.Committer.Step(1)
		b.wantBody(call, "the answer", "ok")

		call = b.begin("/stream", "")
		if status, body := call.Seen(); status != 0 {
			t.Errorf("seen before the first write was committed: %d %q", status, body)
		}
		b.Committer.Step(1)
		synctest.Wait()
		if status, body := call.Seen(); status != 200 || body != "head" {
			t.Errorf("seen after the first write was committed: %d %q, want 200 head", status, body)
		}
		b.Committer.Step(1)
		b.wantBody(call, "the whole answer", "head-tail")

		g := b.NewGateway()
		socket, call := g.Begin(b.thing, "/socket", nil)
		synctest.Wait()
		if call.Over() || len(g.Frames()) != 0 {
			t.Errorf("before the accept was committed: over %t, frames %v", call.Over(), g.Frames())
		}
		b.Committer.Step(1)
		synctest.Wait()
		if got := strings.Join(socket.Received(), " "); got != "hello" {
			t.Errorf("received %q, want hello", got)
		}
		for _, text := range []string{"one", "close"} {
			before := len(g.Frames())
			if err := socket.Send(text); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := len(g.Frames()) - before; n != 0 {
				t.Errorf("%d frames before the write of %q was committed: %+v", n, text, g.Frames()[before:])
			}
			b.Committer.Step(1)
			synctest.Wait()
			if n := len(g.Frames()) - before; n != 3 {
				t.Errorf("%d frames after the write of %q was committed, want 3: %+v", n, text, g.Frames()[before:])
			}
		}
		if info, ok := socket.Closed(); !ok || info.Code != 4000 {
			t.Errorf("closed %+v, %t, want 4000", info, ok)
		}

		d.take()
		call = b.begin("/call", "")
		d.want(t, "")
		b.Committer.Step(1)
		b.wantBody(call, "the call", "")
		d.want(t, "called")

		call = b.begin("/alarm", "")
		b.Committer.Step(1)
		b.wantBody(call, "setting the alarm", "")
		pass(10 * time.Second)
		d.want(t, "alarm-0")
		// The run is over, its end is not durable: it is not there for the object,
		// whatever reads that waits, and a crash would run it again.
		call = b.begin("/has-alarm", "")
		if call.Over() {
			t.Error("an answer left that shows an end which is not durable")
		}
		b.Crash(nil)
		d.want(t, "alarm-0")
		b.wantBody(b.begin("/has-alarm", ""), "an alarm after its run was committed", "false")
	})
}

// Conformance case 3

func TestAnOutputWaitsForNoLaterWrite(t *testing.T) {
	class := behavior{serve: routes{
		"/": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			return s.Storage().Put(r.Context(), "k", []byte(r.URL.Query().Get("v")))
		},
		"/stream": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if err := s.Storage().Put(r.Context(), "a", nil); err != nil {
				return err
			}
			fmt.Fprint(w, "a")
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			return s.Storage().Put(r.Context(), "b", nil)
		},
		"/call": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if err := s.Storage().Put(r.Context(), "a", nil); err != nil {
				return err
			}
			ns, _ := s.Namespace("Thing")
			stub, _ := ns.Named("other")
			inner, _ := http.NewRequest(http.MethodGet, "/read", http.NoBody)
			call, err := stub.Start(r.Context(), inner)
			if err != nil {
				return err
			}
			if err := s.Storage().Put(r.Context(), "b", nil); err != nil {
				return err
			}
			if _, err = call.Response(r.Context()); err == nil {
				fmt.Fprint(w, "answered")
			}
			return err
		},
		"/read": func(_ *actor.State, w http.ResponseWriter, _ *http.Request) error {
			_, err := fmt.Fprint(w, "read")
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		first, second := b.begin("/?v=1", ""), b.begin("/?v=2", "")
		b.Committer.Step(1)
		b.wantBody(first, "the answer that waits for the first write", "")
		if second.Over() {
			t.Error("the answer of the second write left with the first")
		}
		b.Committer.Step(1)
		b.wantBody(second, "the second answer", "")

		call := b.begin("/stream", "")
		b.Committer.Step(1)
		synctest.Wait()
		if status, body := call.Seen(); status != 200 || body != "a" {
			t.Errorf("seen with a committed and b not: %d %q, want 200 a", status, body)
		}
		b.Committer.Step(1)
		b.wantBody(call, "the stream", "a")

		// The call leaves after a; its answer comes while b is not committed.
		call = b.begin("/call", "")
		b.Committer.Step(1)
		synctest.Wait()
		if n := b.Committer.Waiting(); n != 1 {
			t.Fatalf("%d batches wait, want the second one", n)
		}
		if call.Over() {
			t.Error("the answer left before b was committed")
		}
		b.Committer.Step(1)
		b.wantBody(call, "the call", "answered")
	})
}

func TestAReadThatSawAnUncommittedWriteWaitsForIt(t *testing.T) {
	class := behavior{serve: routes{"/put": put, "/value": value}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.Hold()
		write := b.begin("/put?key=k", "v")
		read, other := b.begin("/value?key=k", ""), b.begin("/value?key=other", "")
		if read.Over() || other.Over() {
			t.Error("a read was answered before the write that it followed")
		}
		b.Committer.Release()
		b.wantBody(write, "the write", "")
		b.wantBody(read, "the read", "v")
		b.wantBody(other, "the read of another key", "-")
	})
}

// Conformance case 34

func TestSyncWaitsForEarlierWritesOnly(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/sync": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			if err := s.Storage().Put(r.Context(), "a", nil); err != nil {
				return err
			}
			err := s.Storage().Sync(r.Context())
			d.add("synced:%v", err)
			return err
		},
		"/put": put,
		"/read": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Storage().Sync(r.Context())
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/read") // with nothing to wait for
		b.Committer.Hold()
		syncing := b.begin("/sync", "")
		later := b.begin("/put?key=b", "v")
		d.want(t, "")
		b.Committer.Step(1)
		d.want(t, "synced:<nil>")
		if later.Over() {
			t.Error("the later write was answered before it was committed")
		}
		b.Committer.Release()
		b.wantBody(syncing, "the call that syncs", "")
		b.wantBody(later, "the later write", "")
	})
}

func TestWithoutProofOfOwnershipNothingLeaves(t *testing.T) {
	class := behavior{
		serve: routes{
			"/put": put, "/value": value,
			"/socket": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
				_, err := s.AcceptSocket(w, r, actor.SocketOptions{})
				return err
			},
		}.serve,
		message: func(ctx context.Context, _ *actor.State, socket *actor.Socket, text string) error {
			return socket.SendText(ctx, text)
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		b.wantBody(b.begin("/put?key=k", "v"), "the write", "")
		s := b.NewGateway().Dial(b.thing, "/socket")
		b.Committer.Unproved(actor.ErrNotOwner)
		b.wantErr(b.begin("/value?key=k", ""), "a read without proof", actor.ErrNotOwner)
		b.wantErr(b.begin("/value?key=none", ""), "a read of nothing without proof", actor.ErrNotOwner)
		if err := s.Send("x"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := s.Received(); len(got) != 0 {
			t.Errorf("received %q without proof", got)
		}
		b.wantBody(b.begin("/put?key=k", "w"), "a write, which is its own proof,", "")
		b.Committer.Unproved(nil)
		b.wantBody(b.begin("/value?key=k", ""), "the read with proof", "w")
	})
}

// Conformance case 4

// fateCase is a call whose caller must learn neither too much nor too little.

// loseBatch gives one batch its fate, counted from 1, and applies the others.

// An output that was bound to writes which a transaction took back does not wait

// for a batch that never comes.

func TestAnOutputOfATransactionThatWasUndone(t *testing.T) {
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket" {
			_ = accept(s, w, r)
			return
		}
		_ = s.Storage().Transaction(r.Context(), func(ctx context.Context, tx *actor.Transaction) error {
			defer tx.Rollback()
			if err := tx.Put(ctx, "k", nil); err != nil {
				return err
			}
			return s.Broadcast(ctx, actor.Message{Kind: actor.Text, Data: []byte("anyway")}, actor.BroadcastOptions{})
		})
	}}.class()
	inBubble(t, class, func(b *bubble) {
		socket := b.NewGateway().Dial(b.thing, "/socket")
		b.wantBody(b.begin("/", ""), "the call", "")
		wantReceived(t, socket, "anyway")
	})
}

// An answer that is written at once leaves at once, with its length, however large
// it is: in parts, the last of them could lose the ownership after the first has left.
func TestALargeAnswerLeavesAtOnce(t *testing.T) {
	const size = 1 << 20
	class := behavior{serve: routes{"/": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
		if err := s.Storage().Put(r.Context(), "k", nil); err != nil {
			return err
		}
		_, err := w.Write(make([]byte, size))
		return err
	}}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.Committer.HoldProofs() // the write is one, and a further part would need another
		call := b.begin("/", "")
		synctest.Wait()
		want(t, "the call is over", call.Over(), true)
		b.Committer.ReleaseProofs()
		resp, body, err := call.Wait()
		if err != nil || len(body) != size || resp.Header.Get("Content-Length") != fmt.Sprint(size) {
			t.Errorf("answer = %d bytes of %d, %v, header %v, want all of them with their length", len(body), size, err, resp.Header)
		}
	})
}
