package actor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// accept is the route that accepts a socket with the tags and the attachment in the query.

func accept(s *actor.State, w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	opt := actor.SocketOptions{Tags: q["tag"], Protocol: q.Get("protocol")}
	if q.Has("attachment") {
		opt.Attachment = []byte(q.Get("attachment"))
	}
	_, err := s.AcceptSocket(w, r, opt)
	return err
}

// chatty is a class with sockets that writes what it sees into the diary.

func chatty(d *diary, more behavior) behavior {
	if more.start == nil {
		more.start = func(context.Context, *actor.State) error { d.add("start"); return nil }
	}
	if more.serve == nil {
		more.serve = routes{"/socket": accept, "/": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil }}.serve
	}
	if more.closed == nil {
		more.closed = func(_ context.Context, _ *actor.State, _ *actor.Socket, info actor.CloseInfo) error {
			d.add("closed:%d:%s:%t", info.Code, info.Reason, info.Clean)
			return nil
		}
	}
	if more.message == nil {
		more.message = func(_ context.Context, _ *actor.State, _ *actor.Socket, text string) error {
			d.add("%s", text)
			return nil
		}
	}
	return more
}

func (b *bubble) send(s *actortest.Socket, text string) {
	b.t.Helper()
	if err := s.Send(text); err != nil {
		b.t.Errorf("Send(%q) = %v", text, err)
	}
	synctest.Wait()
}

func wantReceived(t *testing.T, s *actortest.Socket, want string) {
	t.Helper()
	synctest.Wait()
	if got := strings.Join(s.Received(), " "); got != want {
		t.Errorf("received %q, want %q", got, want)
	}
}

func TestAcceptingASocket(t *testing.T) {
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		acceptErr := func(opt actor.SocketOptions) error {
			_, err := s.AcceptSocket(w, r, opt)
			return err
		}
		wantErr(t, "eleven tags", acceptErr(actor.SocketOptions{Tags: strings.Split("a b c d e f g h i j k", " ")}), actor.ErrTags)
		wantErr(t, "a long tag", acceptErr(actor.SocketOptions{Tags: []string{strings.Repeat("x", 257)}}), actor.ErrTags)
		wantErr(t, "an empty tag", acceptErr(actor.SocketOptions{Tags: []string{""}}), actor.ErrTags)
		wantErr(t, "a tag that is not UTF-8", acceptErr(actor.SocketOptions{Tags: []string{"\xff"}}), actor.ErrTags)
		wantErr(t, "a large attachment", acceptErr(actor.SocketOptions{Attachment: make([]byte, 16_385)}), actor.ErrAttachmentTooLarge)
		wantErr(t, "a subprotocol that nobody offered", acceptErr(actor.SocketOptions{Protocol: "soap"}), actor.ErrProtocol)
		sockets, _ := s.Sockets(ctx, "")
		want(t, "sockets before the accept", len(sockets), 0)
		if r.URL.Path == "/plain" {
			wantErr(t, "AcceptSocket of a plain request", acceptErr(actor.SocketOptions{}), actor.ErrNotUpgrade)
			return
		}
		if r.URL.Path == "/late" {
			w.WriteHeader(http.StatusTeapot)
			wantErr(t, "AcceptSocket after the head", acceptErr(actor.SocketOptions{}), actor.ErrNotUpgrade)
			return
		}
		socket, err := s.AcceptSocket(w, r, actor.SocketOptions{
			Tags:     append(strings.Split("i h g f e d c b a", " "), strings.Repeat("x", 256), "a", "b"),
			Protocol: "chat.v2", Attachment: make([]byte, 16_384),
		})
		if err != nil {
			t.Error(err)
			return
		}
		want(t, "the number of distinct tags", len(socket.Tags()), 10)
		want(t, "the subprotocol", socket.Protocol(), "chat.v2")
		wantErr(t, "a second AcceptSocket", acceptErr(actor.SocketOptions{}), actor.ErrNotUpgrade)
		_, err = w.Write([]byte("x"))
		wantErr(t, "Write after AcceptSocket", err, http.ErrHijacked)
		want(t, "the ID has a text form", len(socket.ID().String()), 32)
	}}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		header := http.Header{"Sec-Websocket-Protocol": {"chat.v1, chat.v2", "chat.v3"}}
		s, call := g.Begin(b.thing, "/socket", header)
		resp, _, err := call.Wait()
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Protocol") != "chat.v2" {
			t.Errorf("the answer is %d %v, %v, want 101 with chat.v2", resp.StatusCode, resp.Header, err)
		}
		frames := g.Frames()
		if len(frames) != 1 || frames[0].Kind != actor.FrameOpen || frames[0].Socket != s.ID() || frames[0].Protocol != "chat.v2" {
			t.Errorf("frames %+v, want one FrameOpen", frames)
		}
		b.Must(b.Target("Thing", "plain"), "GET", "/plain", "")
		_, call = g.Begin(b.Target("Thing", "late"), "/late", nil)
		if resp, _, err := call.Wait(); err != nil || resp.StatusCode != http.StatusTeapot {
			t.Errorf("a request that was not accepted = %d, %v, want 418", resp.StatusCode, err)
		}
	})
}

// Conformance case 27

func TestCloseCodes(t *testing.T) {
	long := strings.Repeat("r", 124)
	class := behavior{
		serve: routes{"/socket": accept}.serve,
		message: func(ctx context.Context, _ *actor.State, socket *actor.Socket, _ string) error {
			for _, bad := range []struct {
				code   int
				reason string
			}{{1005, ""}, {1004, ""}, {1006, ""}, {1015, ""}, {999, ""}, {1016, ""}, {2999, ""}, {5000, ""}, {-1, ""}, {1000, long}, {0, "x"}, {1000, "\xff"}} {
				wantErr(t, fmt.Sprintf("Close(%d, %q)", bad.code, bad.reason), socket.Close(ctx, bad.code, bad.reason), actor.ErrCloseCode)
			}
			wantErr(t, "Close", socket.Close(ctx, 1000, long[1:]), nil)
			wantErr(t, "a second Close", socket.Close(ctx, 1000, ""), actor.ErrSocketClosed)
			wantErr(t, "Send after Close", socket.SendText(ctx, "x"), actor.ErrSocketClosed)
			wantErr(t, "SetAttachment after Close", socket.SetAttachment(ctx, nil), actor.ErrSocketClosed)
			return nil
		},
		closed: func(context.Context, *actor.State, *actor.Socket, actor.CloseInfo) error {
			t.Error("SocketClose for a socket that the object closed itself")
			return nil
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		s := b.NewGateway().Dial(b.thing, "/socket")
		b.send(s, "close")
		info, ok := s.Closed()
		want(t, "closed", fmt.Sprint(info.Code, len(info.Reason), ok), "1000 123 true")
		s.Close(actor.CloseInfo{Code: 1000, Clean: true}, nil) // at the same moment
		synctest.Wait()
	})
}

// Conformance case 27

func TestHowASocketEnds(t *testing.T) {
	var d diary
	class := chatty(&d, behavior{
		closed: func(ctx context.Context, s *actor.State, socket *actor.Socket, info actor.CloseInfo) error {
			d.add("closed:%d:%s:%t", info.Code, info.Reason, info.Clean)
			sockets, _ := s.Sockets(ctx, "")
			want(t, "open sockets in SocketClose", len(sockets), 0)
			wantErr(t, "Send in SocketClose", socket.SendText(ctx, "x"), actor.ErrSocketClosed)
			if a, err := socket.Attachment(ctx); err != nil || string(a) != "note" {
				t.Errorf("Attachment in SocketClose = %q, %v, want note", a, err)
			}
			return nil
		},
		failed: func(_ context.Context, _ *actor.State, _ *actor.Socket, err error) error {
			d.add("error:%v", err)
			return nil
		},
	}).class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		for _, end := range []struct {
			info  actor.CloseInfo
			cause error
			want  string
		}{
			{actor.CloseInfo{Code: 1000, Reason: "bye", Clean: true}, nil, "closed:1000:bye:true"},
			{actor.CloseInfo{Code: 1006, Reason: "lost"}, nil, "closed:1006:lost:false"},
			{actor.CloseInfo{Code: 1009}, errors.New("too large"), "error:too large closed:1009::false"},
		} {
			s := g.Dial(b.thing, "/socket?attachment=note")
			synctest.Wait()
			d.take()
			s.Close(end.info, end.cause)
			d.want(t, end.want)
			s.Close(end.info, end.cause) // told twice
			d.want(t, "")
		}
		if sockets, _ := b.Store().Sockets(b.thing.ID); len(sockets) != 0 {
			t.Errorf("the Store has %d sockets after all were closed", len(sockets))
		}
	})
}

// Conformance case 28

func TestSocketsOutliveHibernation(t *testing.T) {
	var d diary
	note := bytes.Repeat([]byte("n"), 16_384)
	class := chatty(&d, behavior{
		message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
			d.add("%s", text)
			if text == "attach" {
				wantErr(t, "SetAttachment of 16,385 B", socket.SetAttachment(ctx, append(note, 0)), actor.ErrAttachmentTooLarge)
				changing := bytes.Clone(note)
				err := socket.SetAttachment(ctx, changing)
				changing[0] = 'X'
				return errors.Join(err, s.SetAutoReply(ctx, &actor.AutoReply{Request: "ping", Reply: "pong"}))
			}
			a, err := socket.Attachment(ctx)
			wantErr(t, "Attachment", err, nil)
			want(t, "the attachment is as it was set", bytes.Equal(a, note), true)
			a[0] = 'X'
			auto, err := s.AutoReply(ctx)
			wantErr(t, "AutoReply", err, nil)
			want(t, "the automatic reply", fmt.Sprint(*auto), "{ping pong}")
			for tag, count := range map[string]int{"": 3, "red": 2, "blue": 1, "none": 0} {
				sockets, err := s.Sockets(ctx, tag)
				wantErr(t, "Sockets", err, nil)
				want(t, fmt.Sprintf("sockets with tag %q", tag), len(sockets), count)
				for i := 1; i < len(sockets); i++ {
					want(t, "the newest comes first", sockets[i-1].ID().String() > sockets[i].ID().String(), true)
				}
			}
			want(t, "the tags", fmt.Sprint(socket.Tags()), "[blue red]")
			return socket.SendText(ctx, "re:"+text)
		},
	}).class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		s := g.Dial(b.thing, "/socket?tag=red&tag=blue")
		g.Dial(b.thing, "/socket?tag=red")
		g.Dial(b.thing, "/socket")
		b.send(s, "attach")
		d.want(t, "start attach")
		for _, text := range []string{"one", "two"} {
			pass(10 * time.Minute)
			if n := b.Host.Stats().Activations; n != 0 {
				t.Errorf("%d activations of an object that should hibernate", n)
			}
			b.send(s, "ping")
			d.want(t, "")
			b.send(s, text)
			d.want(t, "start "+text)
		}
		wantReceived(t, s, "pong re:one pong re:two")
		want(t, "acknowledged", fmt.Sprint(s.Acked()), "[1 2 3]")
	})
}

func TestTheAutomaticReply(t *testing.T) {
	long := strings.Repeat("x", actor.MaxAutoReplyBytes)
	var f func(ctx context.Context, s *actor.State)
	class := behavior{
		serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/socket" {
				_ = accept(s, w, r)
			} else {
				f(r.Context(), s)
			}
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		s := b.NewGateway().Dial(b.thing, "/socket")
		f = func(ctx context.Context, s *actor.State) {
			for _, bad := range []actor.AutoReply{{Request: long + "x"}, {Reply: long + "x"}, {Request: "\xff"}, {Reply: "\xff"}} {
				wantErr(t, "SetAutoReply", s.SetAutoReply(ctx, &bad), actor.ErrAutoReply)
			}
			auto, err := s.AutoReply(ctx)
			want(t, "no automatic reply", fmt.Sprint(auto, err), "<nil> <nil>")
			wantErr(t, "SetAutoReply", s.SetAutoReply(ctx, &actor.AutoReply{Request: long, Reply: long}), nil)
			reply := actor.AutoReply{Request: "a", Reply: "b"}
			wantErr(t, "SetAutoReply", s.SetAutoReply(ctx, &reply), nil)
			reply.Reply = "changed"
		}
		b.get("/")
		b.send(s, "a")
		wantReceived(t, s, "b")
		f = func(ctx context.Context, s *actor.State) {
			wantErr(t, "SetAutoReply(nil)", s.SetAutoReply(ctx, nil), nil)
		}
		b.get("/")
		b.send(s, "a")
		wantReceived(t, s, "b")
		want(t, "acknowledged", fmt.Sprint(s.Acked()), "[1]")
	})
}

// Conformance case 29

func TestMessagesOfOneSocketComeOneByOne(t *testing.T) {
	var d diary
	gate := newDoor()
	class := chatty(&d, behavior{
		message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
			d.add("%s", text)
			if text == "slow" {
				err := gate.outside(ctx, s)
				d.add("slow-end")
				return err
			}
			return nil
		},
	}).class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		one, two := g.Dial(b.thing, "/socket"), g.Dial(b.thing, "/socket")
		b.send(one, "slow")
		for i := range 3 {
			b.send(one, fmt.Sprint("one-", i))
			b.send(two, fmt.Sprint("two-", i))
		}
		one.Close(actor.CloseInfo{Code: 1000, Clean: true}, nil)
		d.want(t, "start slow two-0 two-1 two-2")
		want(t, "acknowledged to one", fmt.Sprint(one.Acked()), "[]")
		want(t, "acknowledged to two", fmt.Sprint(two.Acked()), "[1 2 3]")
		gate.open()
		d.want(t, "slow-end one-0 one-1 one-2 closed:1000::true")
	})
}

func TestWhatComesTwiceTakesEffectOnce(t *testing.T) {
	var d diary
	class := chatty(&d, behavior{message: func(ctx context.Context, s *actor.State, _ *actor.Socket, text string) error {
		d.add("%s", text)
		return s.Storage().Put(ctx, "k", []byte(text))
	}}).class()
	inBubble(t, class, func(b *bubble) {
		s := b.NewGateway().Dial(b.thing, "/socket")
		say := func(number uint64, text string) {
			if err := s.SendNumber(number, actor.Message{Kind: actor.Text, Data: []byte(text)}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		say(1, "one")
		say(1, "one again")
		say(2, "two")
		d.want(t, "start one two")
		pass(10 * time.Minute) // the number is stored: also a new activation knows it
		say(1, "one again")
		say(2, "two again")
		say(3, "three")
		d.want(t, "start three")
		want(t, "acknowledged", fmt.Sprint(s.Acked()), "[1 1 2 1 2 3]")
	})
}

func TestAMessageIsAcknowledgedWhenItTookEffect(t *testing.T) {
	gate := newDoor()
	class := behavior{
		serve: routes{"/socket": accept}.serve,
		message: func(ctx context.Context, s *actor.State, _ *actor.Socket, text string) error {
			switch text {
			case "write":
				return s.Storage().Put(ctx, "k", nil)
			case "write-wait-write":
				if err := s.Storage().Put(ctx, "k", nil); err != nil {
					return err
				}
				if err := gate.outside(ctx, s); err != nil {
					return err
				}
				return s.Storage().Put(ctx, "k2", nil)
			}
			return nil
		},
	}.class()
	inBubble(t, class, func(b *bubble) {
		s := b.NewGateway().Dial(b.thing, "/socket")
		b.send(s, "read")
		want(t, "acknowledged", fmt.Sprint(s.Acked()), "[1]")
		b.Committer.Hold()
		b.send(s, "write")
		b.send(s, "read")
		want(t, "acknowledged before the commit", fmt.Sprint(s.Acked()), "[1]")
		b.Committer.Release()
		synctest.Wait()
		want(t, "acknowledged after the commit", fmt.Sprint(s.Acked()), "[1 2 3]")
		b.send(s, "write-wait-write") // with its first batch
		want(t, "acknowledged while the event waits outside", fmt.Sprint(s.Acked()), "[1 2 3 4]")
		gate.open()
		synctest.Wait()
		want(t, "acknowledged in the end", fmt.Sprint(s.Acked()), "[1 2 3 4]")
	})
}

func TestBroadcasts(t *testing.T) {
	var f func(ctx context.Context, s *actor.State)
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/socket" {
			_ = accept(s, w, r)
		} else {
			f(r.Context(), s)
		}
	}}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		var sockets []*actortest.Socket
		for i := range 20 {
			sockets = append(sockets, g.Dial(b.thing, fmt.Sprintf("/socket?tag=t%d", i%2)))
		}
		before := len(g.Frames())
		f = func(ctx context.Context, s *actor.State) {
			all, _ := s.Sockets(ctx, "")
			say := func(text string, opt actor.BroadcastOptions) {
				data := []byte(text)
				wantErr(t, "Broadcast", s.Broadcast(ctx, actor.Message{Kind: actor.Text, Data: data}, opt), nil)
				data[0] = 'X'
			}
			say("all", actor.BroadcastOptions{})
			wantErr(t, "Send", all[0].SendText(ctx, "direct"), nil) // the newest
			say("odd", actor.BroadcastOptions{Tag: "t1"})
			say("not-first", actor.BroadcastOptions{Except: []*actor.Socket{all[19], nil}})
			wantErr(t, "Close", all[0].Close(ctx, 4001, "out"), nil)
			say("end", actor.BroadcastOptions{})
			for want, m := range map[error]actor.Message{
				actor.ErrFrameTooLarge: {Kind: actor.Binary, Data: make([]byte, actor.MaxFrameBytes+1)},
				actor.ErrNotText:       {Kind: actor.Text, Data: []byte("\xff")},
			} {
				wantErr(t, "Broadcast", s.Broadcast(ctx, m, actor.BroadcastOptions{}), want)
				wantErr(t, "Send", all[1].Send(ctx, m), want)
			}
			wantErr(t, "Send of no kind", all[1].Send(ctx, actor.Message{}), actor.ErrNotText)
			wantErr(t, "Send of bytes", all[19].Send(ctx, actor.Message{Kind: actor.Binary, Data: []byte{0xff}}), nil)
		}
		b.get("/")
		wantReceived(t, sockets[0], "all end ff")
		wantReceived(t, sockets[1], "all odd not-first end")
		wantReceived(t, sockets[19], "all direct odd not-first")
		want(t, "frames to the one gateway", len(g.Frames())-before, 7)
		for _, f := range g.Frames() {
			if f.Number != 0 {
				t.Errorf("frame %+v has a number, although its gateway never asks for it again", f)
			}
		}
	})
}

// A restarted node has lost its clients: each socket's end is told once, before

// the object's next event.

func TestAClassMayStayInMemoryForItsSockets(t *testing.T) {
	var d diary
	class := chatty(&d, behavior{}).class()
	class.KeepInMemory = true
	inBubble(t, class, func(b *bubble) {
		s := b.NewGateway().Dial(b.thing, "/socket")
		pass(time.Hour)
		b.send(s, "x")
		d.want(t, "start x")
		s.Close(actor.CloseInfo{Code: 1000}, nil)
		pass(time.Hour)
		want(t, "activations", b.Host.Stats().Activations, 0)
	})
}

// A client may not go on in the belief that it was heard when its message was lost.

// What a failing handler leaves to be written may be lost too: then the message

// was not taken, and nobody may believe that it was.

// A close whose batch is lost is told again.

// The messages of a socket keep their order when their activation breaks under them.

func TestTheNumberOfSocketsIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 32,768 sockets")
	}
	class := behavior{serve: func(s *actor.State, w http.ResponseWriter, r *http.Request) {
		if _, err := s.AcceptSocket(w, r, actor.SocketOptions{}); err != nil {
			fail(w, err)
		}
	}}.class()
	inBubble(t, class, func(b *bubble) {
		g := b.NewGateway()
		for range actor.MaxSockets {
			g.Dial(b.thing, "/")
		}
		_, call := g.Begin(b.thing, "/", nil)
		_, body, err := call.Wait()
		if err != nil || strings.TrimSpace(body) != actor.ErrTooManySockets.Error() {
			t.Errorf("one socket more = %q, %v, want %v", body, err, actor.ErrTooManySockets)
		}
	})
}
