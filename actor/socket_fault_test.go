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
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

func TestAFailureAfterAcceptIsSeenByTheClient(t *testing.T) {
	class := behavior{serve: routes{
		"/panic": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			if err := accept(s, w, r); err != nil {
				return err
			}
			panic("on purpose")
		},
		"/socket": accept,
		"/count": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			sockets, err := s.Sockets(r.Context(), "")
			fmt.Fprint(w, len(sockets))
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		_, call := g.Begin(b.thing, "/panic", nil)
		b.wantFault(call, "the panicking request")
		b.Committer.SetFate(func(*actortest.Commit) actortest.Fate { return actortest.Refuse })
		_, call = g.Begin(b.thing, "/socket", nil)
		b.wantErr(call, "a request whose accept is refused", actor.ErrRefused)
		b.Committer.SetFate(nil)
		b.Committer.NextOwnership()
		want(t, "frames", len(g.Frames()), 0)
		want(t, "open sockets", b.get("/count"), "0")
	})
}

func TestSocketsEndWithTheirGateway(t *testing.T) {
	var d diary
	class := chatty(&d, behavior{
		serve: routes{"/socket": accept, "/": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			sockets, err := s.Sockets(r.Context(), "")
			d.add("sockets=%d", len(sockets))
			return err
		}}.serve,
		closed: func(ctx context.Context, s *actor.State, socket *actor.Socket, info actor.CloseInfo) error {
			a, _ := socket.Attachment(ctx)
			d.add("closed-%s:%d:%t", a, info.Code, info.Clean)
			return nil
		},
	}).class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		for i := range 3 {
			g.Dial(b.thing, fmt.Sprintf("/socket?attachment=%d", i))
		}
		b.Restart()
		b.NewGateway()
		d.take()
		b.get("/")
		d.want(t, "start closed-0:1006:false closed-1:1006:false closed-2:1006:false sockets=0")
		pass(time.Hour)
		b.get("/")
		d.want(t, "start sockets=0")
	})
}

func TestAFailingSocketHandlerDoesNotComeBack(t *testing.T) {
	var d diary
	failures := map[string]func(ctx context.Context, s *actor.State){
		"panic": func(context.Context, *actor.State) { panic("on purpose") },
		"abort": func(ctx context.Context, s *actor.State) { s.Abort(ctx, actor.AbortOptions{}) },
		"hang":  func(context.Context, *actor.State) { sleep(time.Minute) },
	}
	for name, broken := range failures {
		class := chatty(&d, behavior{
			message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
				d.add("%s", text)
				if text == "bad" {
					_ = s.Storage().Put(ctx, "k", nil)
					_ = socket.SendText(ctx, "never")
					broken(ctx, s)
				}
				return socket.SendText(ctx, "re:"+text)
			},
			closed: func(ctx context.Context, s *actor.State, _ *actor.Socket, _ actor.CloseInfo) error {
				d.add("closed")
				broken(ctx, s)
				return nil
			},
		}).class()
		inBubble(t, class, func(b *bubble) {
			s := b.NewGateway().Dial(b.thing, "/socket")
			b.send(s, "bad")
			pass(2 * time.Minute)
			b.send(s, "good")
			d.want(t, "start bad start good")
			wantReceived(t, s, "re:good")
			want(t, name+": acknowledged", fmt.Sprint(s.Acked()), "[1 2]")
			want(t, name+": the write of the failed handler", b.stored("k"), "-")
			_, closed := s.Closed()
			want(t, name+": the socket was closed", closed, false)

			s.Close(actor.CloseInfo{Code: 1000}, nil)
			pass(2 * time.Minute)
			b.get("/")
			d.want(t, "closed start")
			if sockets, _ := b.Store().Sockets(b.thing.ID); len(sockets) != 0 {
				t.Errorf("%s: the Store still has the closed socket", name)
			}
		})
	}
}

func TestAMessageWhoseBatchIsLostEndsItsSocket(t *testing.T) {
	for fate, code := range map[actortest.Fate]int{actortest.Refuse: 1013, actortest.LoseDropped: 1011, actortest.LoseApplied: 1011} {
		var d diary
		class := chatty(&d, behavior{message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
			if text == "write" {
				_ = s.Storage().Put(ctx, "k", nil)
			}
			return socket.SendText(ctx, "never")
		}}).class()
		inBubble(t, class, func(b *bubble) {
			g := b.NewGateway()
			writer, reader, idle := g.Dial(b.thing, "/socket"), g.Dial(b.thing, "/socket"), g.Dial(b.thing, "/socket")
			b.Committer.Hold()
			b.send(writer, "write")
			b.send(reader, "read") // it saw the lost write
			b.Committer.SetFate(loseBatch(1, fate))
			b.Committer.Release()
			synctest.Wait()
			b.Committer.NextOwnership()
			for name, s := range map[string]*actortest.Socket{"writer": writer, "reader": reader} {
				wantReceived(t, s, "")
				want(t, name+": acknowledged", fmt.Sprint(s.Acked()), "[]")
				info, ok := s.Closed()
				wanted := map[bool]int{true: code, false: 1013}[name == "writer"]
				want(t, fmt.Sprintf("fate %d, %s: closed", fate, name), fmt.Sprint(ok, info.Code), fmt.Sprint(true, wanted))
			}
			if _, closed := idle.Closed(); closed {
				t.Errorf("fate %d: a socket without a lost message was closed", fate)
			}
			b.get("/")
			// Each is told until its end is committed, which the lost ownership refuses.
			if n := strings.Count(d.take(), "closed:"); n < 2 {
				t.Errorf("fate %d: %d closes were told to the object, want 2 or more", fate, n)
			}
			if sockets, _ := b.Store().Sockets(b.thing.ID); len(sockets) != 1 {
				t.Errorf("fate %d: the Store has %d sockets, want 1", fate, len(sockets))
			}
		})
	}
}

func TestAFailingSocketHandlerWhoseAmendsAreLost(t *testing.T) {
	for fate, code := range map[actortest.Fate]int{actortest.Refuse: 1013, actortest.LoseDropped: 1011} {
		var d diary
		class := chatty(&d, behavior{message: func(context.Context, *actor.State, *actor.Socket, string) error {
			panic("on purpose")
		}}).class()
		inBubble(t, class, func(b *bubble) {
			s := b.NewGateway().Dial(b.thing, "/socket")
			b.Committer.SetFate(loseBatch(1, fate))
			b.send(s, "bad")
			b.Committer.NextOwnership()
			info, ok := s.Closed()
			want(t, fmt.Sprintf("fate %d: closed", fate), fmt.Sprint(ok, info.Code), fmt.Sprint(true, code))
			want(t, fmt.Sprintf("fate %d: acknowledged", fate), fmt.Sprint(s.Acked()), "[]")
			b.get("/")
			if sockets, _ := b.Store().Sockets(b.thing.ID); len(sockets) != 0 {
				t.Errorf("fate %d: the Store has %d sockets, want none", fate, len(sockets))
			}
		})
	}
}

func TestACloseWhoseBatchIsLost(t *testing.T) {
	for _, fate := range []actortest.Fate{actortest.Refuse, actortest.LoseDropped} {
		var d diary
		inBubble(t, chatty(&d, behavior{}).class(), func(b *bubble) {
			s := b.NewGateway().Dial(b.thing, "/socket")
			b.Committer.SetFate(loseBatch(1, fate))
			s.Close(actor.CloseInfo{Code: 1001, Reason: "away", Clean: true}, nil)
			synctest.Wait()
			b.Committer.NextOwnership()
			b.get("/")
			d.want(t, "start closed:1001:away:true start closed:1001:away:true")
			if sockets, _ := b.Store().Sockets(b.thing.ID); len(sockets) != 0 {
				t.Errorf("fate %d: the Store has %d sockets, want none", fate, len(sockets))
			}
		})
	}
}

func TestMessagesKeepTheirOrderOverAPanic(t *testing.T) {
	var d diary
	class := chatty(&d, behavior{message: func(ctx context.Context, s *actor.State, _ *actor.Socket, text string) error {
		d.add("%s", text)
		if text == "bad" {
			_ = s.Outside(ctx, func(context.Context) error { sleep(time.Second); return nil })
			panic("on purpose")
		}
		return s.Storage().Put(ctx, "k", []byte(text))
	}}).class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		one, two := g.Dial(b.thing, "/socket"), g.Dial(b.thing, "/socket")
		b.send(one, "bad")
		wanted := "start bad two start"
		b.send(two, "two")
		for i := range 50 {
			b.send(one, fmt.Sprint(i))
			wanted += fmt.Sprint(" ", i)
		}
		pass(time.Minute)
		d.want(t, wanted)
		want(t, "messages acknowledged", len(one.Acked()), 51)
	})
}
