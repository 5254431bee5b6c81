package actor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
)

// stub gives a stub of the named object of the class Thing.
func stub(t *testing.T, s *actor.State, name string) *actor.Stub {
	t.Helper()
	ns, err := s.Namespace("Thing")
	if err != nil {
		t.Error(err)
		return nil
	}
	st, err := ns.Named(name)
	if err != nil {
		t.Error(err)
	}
	return st
}

func request(method, path string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, path, body)
	if err != nil {
		panic(err)
	}
	return r
}

// Conformance case 25
func TestCallsOfOneStubKeepTheirOrder(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/many": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			st := stub(t, s, "callee")
			var calls []*actor.Call
			for i := range 30 {
				if i%7 == 0 {
					_ = s.Storage().Put(r.Context(), "k", nil) // some wait for a commit
				}
				call, err := st.Start(r.Context(), request("GET", fmt.Sprintf("/note?n=%d", i), nil))
				if err != nil {
					return err
				}
				calls = append(calls, call)
			}
			for _, call := range calls {
				resp, err := call.Response(r.Context())
				if err != nil {
					return err
				}
				body, _ := io.ReadAll(resp.Body)
				fmt.Fprintf(w, "%s ", body)
			}
			return nil
		},
		"/note": func(_ *actor.State, w http.ResponseWriter, r *http.Request) error {
			d.add("%s", r.URL.Query().Get("n"))
			_, err := fmt.Fprint(w, r.URL.Query().Get("n"))
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		var wanted []string
		for i := range 30 {
			wanted = append(wanted, fmt.Sprint(i))
		}
		want(t, "answers", b.get("/many"), strings.Join(wanted, " ")+" ")
		d.want(t, strings.Join(wanted, " "))
	})
}

// Conformance case 25
func TestAStubOfABrokenActivationFails(t *testing.T) {
	var kept *actor.Stub
	class := behavior{serve: routes{
		"/keep": func(s *actor.State, _ http.ResponseWriter, _ *http.Request) error {
			kept = stub(t, s, "callee")
			return nil
		},
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
		"/use": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			_, err := kept.Do(r.Context(), request("GET", "/ok", nil))
			wantErr(t, "Do of a stub of an activation that is over", err, actor.ErrNoGate)
			_, err = stub(t, s, "callee").Do(r.Context(), request("GET", "/ok", nil))
			return err
		},
		"/ok": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/keep")
		b.wantFault(b.begin("/panic", ""), "the panicking call")
		b.get("/use")
	})
}

// Conformance case 26
func TestStubsOfNamesAndIDs(t *testing.T) {
	class := behavior{serve: routes{
		"/who": func(s *actor.State, w http.ResponseWriter, _ *http.Request) error {
			_, err := fmt.Fprintf(w, "%s %q %s", s.Class(), s.Name(), s.ID())
			return err
		},
		"/store": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Storage().Put(r.Context(), "k", nil)
		},
	}.serve}
	other := class.class()
	check := func(ctx context.Context, s *actor.State) {
		ns, err := s.Namespace("Thing")
		wantErr(t, "Namespace", err, nil)
		others, _ := s.Namespace("Other")
		_, err = s.Namespace("None")
		wantErr(t, "Namespace of an unknown class", err, actor.ErrUnknownClass)
		who := func(st *actor.Stub) string {
			resp, err := st.Do(ctx, request("GET", "/who", nil))
			if err != nil {
				t.Error(err)
				return ""
			}
			body, _ := io.ReadAll(resp.Body)
			return string(body)
		}
		named, err := ns.Named("x")
		wantErr(t, "Named", err, nil)
		hex := named.ID().String()
		want(t, "a named object", who(named), `Thing "x" `+hex)
		_, err = named.Do(ctx, request("GET", "/store", nil))
		wantErr(t, "Do", err, nil)
		same, err := ns.ByID(hex)
		wantErr(t, "ByID", err, nil)
		want(t, "the same object by its ID", who(same), `Thing "x" `+hex)
		for _, name := range []string{"", strings.Repeat("n", actor.MaxNameBytes+1), "\xff"} {
			_, err = ns.Named(name)
			wantErr(t, fmt.Sprintf("Named(%.5q)", name), err, actor.ErrBadName)
		}
		foreign, _ := others.Named("x")
		altered := "0" + hex[1:]
		if hex[0] == '0' {
			altered = "1" + hex[1:]
		}
		for _, id := range []string{"", hex[1:], hex + "00", "zz" + hex[2:], altered, foreign.ID().String()} {
			_, err = ns.ByID(id)
			wantErr(t, fmt.Sprintf("ByID(%s)", id), err, actor.ErrBadID)
		}
		unique := ns.Unique()
		want(t, "a unique object", who(unique), `Thing "" `+unique.ID().String())
		again, err := ns.ByID(unique.ID().String())
		wantErr(t, "ByID", err, nil)
		want(t, "a unique object by its ID", who(again), `Thing "" `+unique.ID().String())
		stranger, _ := ns.Named("never stored anything")
		byID, _ := ns.ByID(stranger.ID().String())
		want(t, "an object that stored nothing, by its ID", who(byID), `Thing "" `+stranger.ID().String())
	}
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": class.class(), "Other": other, "Asker": scripted(&check)}}
	inBubbleWith(t, cfg, func(b *bubble) {
		b.Must(b.Target("Asker", "a"), "GET", "/", "")
		x := b.Target("Thing", "x")
		b.Restart() // the name of an object that has stored something is stored with it
		x.Name = ""
		want(t, "by its ID after a restart", b.Must(x, "GET", "/who", ""), `Thing "x" `+x.ID.String())
	})
}

func TestACallCarriesTheWholeRequest(t *testing.T) {
	class := behavior{serve: routes{
		"/ask": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			inner := request("PATCH", "http://host/a%2Fb/c?q=1", strings.NewReader("body"))
			inner.Header.Set("X-Asked", "yes")
			resp, err := stub(t, s, "callee").Do(r.Context(), inner)
			if err != nil {
				return err
			}
			body, _ := io.ReadAll(resp.Body)
			want(t, "the length", resp.ContentLength, int64(len(body)))
			_, err = fmt.Fprintf(w, "%d %s %s", resp.StatusCode, resp.Header.Get("X-Answer"), body)
			return err
		},
		"/a/b/c": func(_ *actor.State, w http.ResponseWriter, r *http.Request) error {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Answer", "no")
			w.WriteHeader(http.StatusTeapot)
			_, err := fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.RequestURI, r.Host, r.Header.Get("X-Asked"), body)
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		want(t, "the answer", b.get("/ask"), "418 no PATCH /a%2Fb/c?q=1 host yes body")
	})
}

func TestACallStreamsBothWays(t *testing.T) {
	var d diary
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB
	class := behavior{serve: routes{
		"/ask": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			body, feed := io.Pipe()
			call, err := stub(t, s, "callee").Start(r.Context(), request("POST", "/echo", body))
			if err != nil {
				return err
			}
			go func() {
				_, err := feed.Write(big)
				_ = feed.CloseWithError(err)
			}()
			resp, err := call.Response(r.Context())
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			d.add("head")
			got, err := io.ReadAll(resp.Body)
			want(t, "the echo is what was sent", bytes.Equal(got, big), true)
			want(t, "the trailer", resp.Trailer.Get("X-Sum"), fmt.Sprint(len(big)))
			return err
		},
		"/echo": func(_ *actor.State, w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Trailer", "X-Sum")
			n, err := io.Copy(w, r.Body)
			w.Header().Set("X-Sum", fmt.Sprint(n))
			d.add("echoed")
			return err
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/ask")
		d.want(t, "head echoed")
	})
}

func TestACallThatNobodyReadsToItsEnd(t *testing.T) {
	var d diary
	class := behavior{serve: routes{
		"/give-up": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			body, feed := io.Pipe()
			call, err := stub(t, s, "callee").Start(r.Context(), request("POST", "/endless", body))
			if err != nil {
				return err
			}
			go func() {
				for {
					if _, err := feed.Write(make([]byte, 1<<20)); err != nil {
						return
					}
				}
			}()
			resp, err := call.Response(r.Context())
			if err != nil {
				return err
			}
			return resp.Body.Close()
		},
		"/forget": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			body, feed := io.Pipe()
			_, err := stub(t, s, "callee").Start(r.Context(), request("POST", "/short", body))
			go func() {
				_, err := feed.Write(make([]byte, 4<<20))
				d.add("fed:%t", err != nil)
			}()
			return err
		},
		"/short": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
		"/endless": func(_ *actor.State, w http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(w, r.Body)
			d.add("ended:%t", err != nil)
			return nil
		},
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		b.get("/give-up")
		d.want(t, "ended:true")
		b.get("/forget")
		d.want(t, "fed:true")
	})
}

func TestErrorsOfCalls(t *testing.T) {
	hang := newDoor()
	var f func(ctx context.Context, s *actor.State)
	thing := behavior{serve: routes{
		"/panic": func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") },
		"/hang":  func(*actor.State, http.ResponseWriter, *http.Request) error { hang.wait(); return nil },
		"/break-off": func(_ *actor.State, w http.ResponseWriter, _ *http.Request) error {
			_, _ = w.Write([]byte("begun"))
			_ = http.NewResponseController(w).Flush()
			panic("on purpose")
		},
		"/ok": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
	}.serve}.class()
	cfg := actor.Config{Classes: map[string]actor.Class{"Thing": thing, "Asker": scripted(&f)}}
	inBubbleWith(t, cfg, func(b *bubble) {
		ask := func() *actortest.Call { return b.Begin(b.Target("Asker", "a"), "GET", "/", "") }
		f = func(ctx context.Context, s *actor.State) {
			var fault *actor.FaultError
			_, err := stub(t, s, "callee").Do(ctx, request("GET", "/panic", nil))
			want(t, "a panic of the callee is a fault", errors.As(err, &fault), true)

			resp, err := stub(t, s, "callee").Do(ctx, request("GET", "/break-off", nil))
			wantErr(t, "Do of a call that breaks off later", err, nil)
			_, err = io.ReadAll(resp.Body)
			want(t, "reading it ends with a fault", errors.As(err, &fault), true)

			failing := io.MultiReader(strings.NewReader("x"), badReader{})
			_, err = stub(t, s, "callee").Do(ctx, request("POST", "/ok", failing))
			wantErr(t, "Do with a body that breaks", err, nil) // nobody read it
		}
		b.wantBody(ask(), "the asker", "")

		b.Begin(b.Target("Thing", "busy"), "GET", "/hang", "")
		synctest.Wait()
		for range 1024 {
			b.Begin(b.Target("Thing", "busy"), "GET", "/ok", "")
		}
		synctest.Wait()
		f = func(ctx context.Context, s *actor.State) {
			_, err := stub(t, s, "busy").Do(ctx, request("GET", "/ok", nil))
			wantErr(t, "Do to a full mailbox", err, actor.ErrMailboxFull)
			wantErr(t, "and hence", err, actor.ErrOverloaded)
		}
		b.wantBody(ask(), "the asker", "")
		hang.open()
		synctest.Wait()
	})
}

type badReader struct{}

func (badReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// The callee's time outside is the caller's outside wait: neither times out.
func TestALongCallIsNoTimeout(t *testing.T) {
	class := behavior{serve: routes{
		"/ask": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			_, err := stub(t, s, "callee").Do(r.Context(), request("GET", "/slow", nil))
			return err
		},
		"/slow": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
			return s.Outside(r.Context(), func(context.Context) error { sleep(time.Hour); return nil })
		},
		"/ok": func(*actor.State, http.ResponseWriter, *http.Request) error { return nil },
	}.serve}.class()
	inBubble(t, class, func(b *bubble) {
		c := b.begin("/ask", "")
		b.get("/ok")
		pass(time.Hour)
		b.wantBody(c, "the long call", "")
	})
}

// dialer is a class whose route /dial opens a socket to the object "server" and
// says what it was told to say.
func dialer(t *testing.T, d *diary) routes {
	t.Helper()
	return routes{
		"/dial": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			c, resp, err := stub(t, s, "server").Dial(r.Context(), request("GET", "/socket", nil))
			if err != nil {
				return err
			}
			want(t, "the status", resp.StatusCode, http.StatusSwitchingProtocols)
			for _, text := range r.URL.Query()["say"] {
				if err := c.Send(r.Context(), actor.Message{Kind: actor.Text, Data: []byte(text)}); err != nil {
					return err
				}
			}
			if r.URL.Query().Has("close") {
				if err := c.Close(r.Context(), 0, ""); err != nil {
					return err
				}
				wantErr(t, "Send after Close", c.Send(r.Context(), actor.Message{Kind: actor.Binary}), actor.ErrSocketClosed)
			}
			if r.URL.Query().Has("panic") {
				panic("on purpose")
			}
			for {
				m, err := c.Receive(r.Context())
				if code, reason, ok := actor.IsSocketClosed(err); ok {
					d.add("end:%d:%s", code, reason)
					return nil
				}
				if err != nil {
					return err
				}
				d.add("got:%s", m.Data)
			}
		},
		"/refused": func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
			c, resp, err := stub(t, s, "server").Dial(r.Context(), request("GET", "/nothing", nil))
			want(t, "there is a socket", c != nil, false)
			fmt.Fprint(w, resp.StatusCode)
			return err
		},
		"/socket": accept,
	}
}

func TestSocketsBetweenObjects(t *testing.T) {
	var d, server diary // each side has its own order
	class := chatty(&server, behavior{
		start: func(context.Context, *actor.State) error { return nil },
		serve: dialer(t, &d).serve,
		message: func(ctx context.Context, s *actor.State, socket *actor.Socket, text string) error {
			server.add("%s", text)
			switch text {
			case "bye":
				return socket.Close(ctx, 4000, "bye")
			case "auto":
				return s.SetAutoReply(ctx, &actor.AutoReply{Request: "ping", Reply: "pong"})
			}
			return s.Broadcast(ctx, actor.Message{Kind: actor.Text, Data: []byte("re:" + text)}, actor.BroadcastOptions{})
		},
	}).class()
	inBubble(t, class, func(b *bubble) {
		b.wantBody(b.begin("/dial?say=one&say=two&say=bye", ""), "the call", "")
		server.want(t, "one two bye")
		d.want(t, "got:re:one got:re:two end:4000:bye")
		b.wantBody(b.begin("/dial?say=auto&close=", ""), "the call", "")
		server.want(t, "auto closed:1005::true")
		d.want(t, "end:1005:")
		b.wantBody(b.begin("/dial?say=ping&say=bye", ""), "the call", "")
		server.want(t, "bye")
		d.want(t, "got:pong end:4000:bye")
		want(t, "the status of a refused dial", b.get("/refused"), "404")
		b.wantFault(b.begin("/dial?say=one&panic=", ""), "a dialler that panics")
		synctest.Wait()
		// Frames that no write protects had left already; the socket ends with its activation.
		if got := server.take(); !strings.HasSuffix(got, "closed:1006:the dialling object's activation has ended:false") {
			t.Errorf("what happened: %q, want a close 1006", got)
		}
		sockets, _ := b.Store().Sockets(b.Target("Thing", "server").ID)
		want(t, "sockets that are left", len(sockets), 0)
	})
}

// A dialler that ends before its socket is accepted leaves none behind.
func TestADiallerThatEndsBeforeTheAccept(t *testing.T) {
	var d diary
	gate := newDoor()
	r := dialer(t, &d)
	r["/panic"] = func(*actor.State, http.ResponseWriter, *http.Request) error { panic("on purpose") }
	r["/socket"] = func(s *actor.State, w http.ResponseWriter, r *http.Request) error {
		if err := gate.outside(r.Context(), s); err != nil {
			return err
		}
		return accept(s, w, r)
	}
	class := chatty(&d, behavior{serve: r.serve, start: func(context.Context, *actor.State) error { return nil }}).class()
	inBubble(t, class, func(b *bubble) {
		dialling := b.begin("/dial", "")
		b.wantFault(b.begin("/panic", ""), "the panicking call")
		b.wantErr(dialling, "the dialling call", actor.ErrOutcomeUnknown)
		gate.open()
		synctest.Wait()
		if got := d.take(); !strings.HasPrefix(got, "closed:1006:") {
			t.Errorf("what happened: %q, want a close 1006", got)
		}
		sockets, _ := b.Store().Sockets(b.Target("Thing", "server").ID)
		want(t, "sockets that are left", len(sockets), 0)
	})
}

func TestADiallerThatDoesNotReceiveLosesItsSocket(t *testing.T) {
	var d diary
	class := chatty(&d, behavior{
		start: func(context.Context, *actor.State) error { return nil },
		serve: routes{
			"/dial": func(s *actor.State, _ http.ResponseWriter, r *http.Request) error {
				c, _, err := stub(t, s, "server").Dial(r.Context(), request("GET", "/socket", nil))
				if err != nil {
					return err
				}
				if err := c.Send(r.Context(), actor.Message{Kind: actor.Text, Data: []byte("flood")}); err != nil {
					return err
				}
				if err := s.Outside(r.Context(), func(context.Context) error { sleep(time.Second); return nil }); err != nil {
					return err
				}
				n := 0
				for ; ; n++ {
					if _, err = c.Receive(r.Context()); err != nil {
						break
					}
				}
				code, _, _ := actor.IsSocketClosed(err)
				d.add("received:%d end:%d", n, code)
				return nil
			},
			"/socket": accept,
		}.serve,
		message: func(ctx context.Context, _ *actor.State, socket *actor.Socket, _ string) error {
			for range 1000 {
				if err := socket.SendText(ctx, "x"); err != nil {
					return err
				}
			}
			return nil
		},
	}).class()
	inBubble(t, class, func(b *bubble) {
		c := b.begin("/dial", "")
		pass(2 * time.Second)
		b.wantBody(c, "the call", "")
		d.want(t, "closed:1013:the receiver is too slow:false received:256 end:1013")
	})
}
