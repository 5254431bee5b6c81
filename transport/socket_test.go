package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

const lobbyPath = "/objects/ChatRoom/lobby"

func lobby() actor.ID { return objectOf("ChatRoom", "lobby") }

func TestSocketMessages(t *testing.T) {
	s := &script{}
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{})
	c := x.open(t, lobbyPath+"/ws?user=1", nil)
	id := s.socket(t, 0)
	if id.Gateway() != testStart {
		t.Errorf("Gateway() = %d, want %d", id.Gateway(), testStart)
	}
	big := repeat("b", 3*scratchBytes+17)
	sent := []actor.Message{
		{Kind: actor.Text, Data: []byte("one")},
		{Kind: actor.Binary, Data: []byte{0, 255}},
		{Kind: actor.Text, Data: []byte{}},
		{Kind: actor.Text, Data: []byte("grüße")},
		{Kind: actor.Binary, Data: []byte(big)},
	}
	for _, m := range sent {
		if err := c.WriteMessage(int(m.Kind), m.Data); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "all messages came", func() bool { return len(s.in) == len(sent) })
	for i, m := range sent {
		got := s.in[i]
		if got.object != lobby() || got.socket != id || got.number != uint64(i+1) || got.Kind != m.Kind || string(got.Data) != string(m.Data) || got.Data == nil {
			t.Errorf("message %d = %d %v %.20q, want %v %.20q", i, got.number, got.Kind, got.Data, m.Kind, m.Data)
		}
	}

	s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameMessage, Socket: id, Message: actor.Binary, Data: []byte(big)})
	kind, data, err := c.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage || string(data) != big {
		t.Errorf("ReadMessage = %d %d bytes %v, want the frame", kind, len(data), err)
	}
	// A frame of another object or gateway that names this socket reaches nobody.
	stray := text("stray")
	stray.Socket = id
	s.gateway.Deliver(objectOf("ChatRoom", "other"), stray)
	stray.Socket = actor.NewSocketID(testStart+1, 1)
	s.gateway.Deliver(lobby(), stray)
	s.gateway.Deliver(lobby(), text("end"))
	if got := mustRead(t, c); got != "end" {
		t.Errorf("ReadMessage = %q, want end", got)
	}
}

// TestFragments sends one message in three frames with a ping between them.
func TestFragments(t *testing.T) {
	s := &script{}
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{MessageBytes: 6}, Events{})
	c := x.open(t, lobbyPath, nil)
	ponged := make(chan string, 1)
	c.SetPongHandler(func(data string) error { ponged <- data; return nil })
	raw := c.NetConn()
	for _, frame := range [][]byte{maskedFrame(0x01, "ab"), maskedFrame(0x89, "hey"), maskedFrame(0x00, "cd"), maskedFrame(0x80, "ef")} {
		if _, err := raw.Write(frame); err != nil {
			t.Fatal(err)
		}
	}
	s.until(t, "the message came", func() bool { return len(s.in) == 1 })
	if got := string(s.in[0].Data); got != "abcdef" {
		t.Errorf("message = %q, want abcdef", got)
	}
	s.gateway.Deliver(lobby(), text("x"))
	if got := mustRead(t, c); got != "x" {
		t.Errorf("ReadMessage = %q, want x", got)
	}
	if got := <-ponged; got != "hey" {
		t.Errorf("pong = %q, want hey", got)
	}
}

// maskedFrame is a client's frame with the mask 0.
func maskedFrame(first byte, data string) []byte {
	return append([]byte{first, 0x80 | byte(len(data)), 0, 0, 0, 0}, data...)
}

func TestBroadcast(t *testing.T) {
	s := &script{}
	s.call = func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
		return s.accept(w, target, actor.Frame{Socket: socket, Tags: r.URL.Query()["tag"]})
	}
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{})
	var conns []*websocket.Conn
	var ids []actor.SocketID
	for i, path := range []string{lobbyPath + "?tag=red", lobbyPath + "?tag=red&tag=blue", lobbyPath, "/objects/ChatRoom/other?tag=red"} {
		conns = append(conns, x.open(t, path, nil))
		ids = append(ids, s.socket(t, i))
	}
	for i, b := range []struct {
		tag    string
		except []actor.SocketID
		to     []int
	}{
		{"", nil, []int{0, 1, 2}},
		{"red", nil, []int{0, 1}},
		{"blue", nil, []int{1}},
		{"red", ids[:1], []int{1}},
		{"", ids[:1], []int{1, 2}},
		{"", ids[:3], nil},
		{"green", nil, nil},
	} {
		f := text(fmt.Sprintf("b%d", i))
		f.Tag, f.Except = b.tag, b.except
		s.gateway.Deliver(lobby(), f)
		for n, c := range conns {
			marker := text("marker")
			marker.Socket = ids[n]
			object := lobby()
			if n == 3 {
				object = objectOf("ChatRoom", "other")
			}
			s.gateway.Deliver(object, marker)
			want := "marker"
			if slices.Contains(b.to, n) {
				want = string(f.Data)
			}
			got := mustRead(t, c)
			if got != want {
				t.Errorf("broadcast %d at socket %d = %q, want %q", i, n, got, want)
			}
			if got != "marker" {
				mustRead(t, c)
			}
		}
	}

	// A socket that has gone gets nothing, and leaves no trace in the index.
	conns[1].Close()
	s.end(t, 0)
	f := text("after")
	f.Tag = "red"
	s.gateway.Deliver(lobby(), f)
	if got := mustRead(t, conns[0]); got != "after" {
		t.Errorf("ReadMessage = %q, want after", got)
	}
	for _, c := range conns {
		c.Close()
	}
	s.until(t, "all ends are reported", func() bool { return len(s.ends) == 4 })
	x.stop()
	if a := s.gateway.audiences.get(lobby()); a != nil || s.gateway.open != 0 {
		t.Errorf("gateway keeps the audience %+v and %d sockets, want none", a, s.gateway.open)
	}
}

// TestFramesBeforeHandshake delivers frames between the acceptance and the 101.
func TestFramesBeforeHandshake(t *testing.T) {
	s := &script{}
	s.call = func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
		s.gateway.Deliver(target.ID, text("for those who were there before"))
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Sec-Websocket-Extensions", "permessage-deflate")
		s.gateway.Deliver(target.ID, actor.Frame{Kind: actor.FrameOpen, Socket: socket, Protocol: "chat"})
		first, second := text("first"), text("second")
		first.Socket = socket
		s.gateway.Deliver(target.ID, first)
		s.gateway.Deliver(target.ID, second)
		if r.URL.Query().Has("close") {
			s.gateway.Deliver(target.ID, actor.Frame{Kind: actor.FrameClose, Socket: socket, Code: 4000, Reason: "full"})
			s.gateway.Deliver(target.ID, text("for those who stay"))
		}
		w.WriteHeader(http.StatusSwitchingProtocols)
		return nil
	}
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{})
	c, resp, err := x.tryOpen(t, lobbyPath, http.Header{"Sec-Websocket-Protocol": {"chat, superchat"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if c.Subprotocol() != "chat" || resp.Header.Get("Set-Cookie") != "a=b" || resp.Header.Get("Sec-Websocket-Extensions") != "" {
		t.Errorf("handshake = %q %v, want protocol chat, the cookie, no extension", c.Subprotocol(), resp.Header)
	}
	for _, want := range []string{"first", "second"} {
		if got := mustRead(t, c); got != want {
			t.Errorf("ReadMessage = %q, want %q", got, want)
		}
	}

	closing := x.open(t, lobbyPath+"?close", nil)
	for _, want := range []string{"first", "second"} {
		if got := mustRead(t, closing); got != want {
			t.Errorf("ReadMessage = %q, want %q", got, want)
		}
	}
	if ce := closeError(t, closing); ce.Code != 4000 || ce.Text != "full" {
		t.Errorf("close = %v, want 4000 full", ce)
	}
	// The first client has seen the other's frames, and what came after its close.
	for _, want := range []string{"for those who were there before", "second", "for those who stay"} {
		if got := mustRead(t, c); got != want {
			t.Errorf("ReadMessage = %q, want %q", got, want)
		}
	}
}

func TestHandshakeRefused(t *testing.T) {
	s := &script{}
	s.call = func(w http.ResponseWriter, r *http.Request, target actor.Target, socket actor.SocketID) error {
		switch r.URL.Path {
		case "/plain":
			w.WriteHeader(http.StatusForbidden)
			_, err := io.WriteString(w, "no entry")
			return err
		case "/error":
			return actor.ErrMailboxFull
		case "/opened":
			s.gateway.Deliver(target.ID, actor.Frame{Kind: actor.FrameOpen, Socket: socket})
			return actor.ErrOutcomeUnknown
		case "/unopened":
			w.WriteHeader(http.StatusSwitchingProtocols)
			return nil
		}
		return s.accept(w, target, actor.Frame{Socket: socket})
	}
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{Origins: []string{"https://app.example.com"}}, Events{})
	for _, tc := range []struct {
		path   string
		header http.Header
		status int
		body   string
	}{
		{"/plain", nil, 403, "no entry"},
		{"/error", nil, 503, "mailbox_full"},
		{"/opened", nil, 504, "outcome_unknown"},
		{"/unopened", nil, 500, "internal"},
		{"/", http.Header{"Origin": {"https://evil.example.com"}}, 403, "origin_not_allowed"},
		{"/", http.Header{"Origin": {"null"}}, 403, "origin_not_allowed"},
		{"/", http.Header{"Origin": {"https://app.example.com.evil.net"}}, 403, "origin_not_allowed"},
		{"/", http.Header{"Origin": {"https://APP.example.com"}}, 101, ""},
		{"/", http.Header{"Origin": {"http://node"}}, 101, ""},
		{"/", nil, 101, ""},
	} {
		_, resp, err := x.tryOpen(t, lobbyPath+tc.path, tc.header)
		if resp == nil {
			t.Fatalf("%s: %v", tc.path, err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status || !strings.Contains(string(body), tc.body) {
			t.Errorf("%s %v = %d %q, want %d %q", tc.path, tc.header, resp.StatusCode, body, tc.status, tc.body)
		}
	}
	// Only the object that believed its socket to be open hears of its end.
	if e := s.end(t, 0); e.info.Code != websocket.CloseAbnormalClosure || e.info.Clean || e.object != lobby() {
		t.Errorf("end = %+v, want 1006, not clean", e)
	}
	for _, head := range []string{
		"POST " + lobbyPath + " HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
		"GET " + lobbyPath + " HTTP/1.1\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
		"GET " + lobbyPath + " HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n",
		"GET " + lobbyPath + " HTTP/1.1\r\nSec-WebSocket-Version: 13\r\n",
		"GET " + lobbyPath + " HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nTransfer-Encoding: chunked\r\n",
	} {
		_, br := x.raw(t, head+"Host: n\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n0\r\n\r\n")
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Sec-Websocket-Version") != "13" {
			t.Errorf("%q = %d %v, want 400 and the version", head, resp.StatusCode, resp.Header)
		}
	}
}

// TestLateAcceptance accepts a socket whose client has gone.
func TestLateAcceptance(t *testing.T) {
	s := &script{}
	socket := make(chan actor.SocketID, 1)
	s.call = func(_ http.ResponseWriter, r *http.Request, _ actor.Target, id actor.SocketID) error {
		socket <- id
		<-r.Context().Done()
		return actor.ErrOutcomeUnknown
	}
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{})
	ctx, cancel := context.WithCancel(t.Context())
	tried := make(chan struct{})
	go func() {
		defer close(tried)
		conn, err := x.dial(ctx)
		if err != nil {
			t.Errorf("dial = %v", err)
			return
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", lobbyPath)
		<-ctx.Done()
		conn.Close()
	}()
	id := <-socket
	cancel()
	<-tried
	for s.gateway.find(lobby(), id) != nil { // polled until the handshake has been given up
		wait(t.Context(), time.Millisecond)
	}
	s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameOpen, Socket: id})
	if e := s.end(t, 0); e.socket != id || e.info.Code != websocket.CloseAbnormalClosure {
		t.Errorf("end = %+v, want 1006 of %v", e, id)
	}
	// A socket of a gateway that is no more is not this one's business.
	s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameOpen, Socket: actor.NewSocketID(testStart-1, 1)})
	x.stop()
	if len(s.ends) != 1 {
		t.Errorf("ends = %+v, want one", s.ends)
	}
}

// TestEnds lets sockets end in every way that a client can choose.
func TestEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		end   func(t *testing.T, c *websocket.Conn)
		echo  int // the code of our Close frame; 0: none is awaited
		want  actor.CloseInfo
		cause error
	}{
		{"code and reason", sendClose(1000, "bye"), 1000, actor.CloseInfo{Code: 1000, Reason: "bye", Clean: true}, nil},
		{"application code", sendClose(4999, ""), 4999, actor.CloseInfo{Code: 4999, Clean: true}, nil},
		{"empty", sendRaw(maskedFrame(0x88, "")), 1005, actor.CloseInfo{Code: 1005, Clean: true}, nil},
		{"lost", hangUp(nil), 0, lostInfo("the link broke without a Close frame"), nil},
		{"lost inside a frame", hangUp(maskedFrame(0x81, "hello")[:8]), 0, lostInfo("the link broke without a Close frame"), nil},
		{"not UTF-8", sendRaw(maskedFrame(0x81, "\xff")), 1007, actor.CloseInfo{Code: 1007, Reason: "text is not UTF-8"}, ErrNotText},
		{"too large", sendText(repeat("x", 5001)), 1009, actor.CloseInfo{Code: 1009, Reason: "message too large"}, ErrMessageTooLarge},
		{"said to be too large", sendRaw(append([]byte{0x82, 0xff, 0x40}, make([]byte, 7+4+6000)...)), 1009, actor.CloseInfo{Code: 1009, Reason: "message too large"}, ErrMessageTooLarge},
		{"said to be negative", sendRaw(append([]byte{0x82, 0xff, 0xff}, make([]byte, 7+4)...)), 1002, actor.CloseInfo{Code: 1002, Reason: "bad length"}, ErrProtocol},
		{"not masked", sendRaw([]byte{0x81, 1, 'x'}), 1002, actor.CloseInfo{Code: 1002, Reason: "bad MASK"}, ErrProtocol},
		{"reserved bit", sendRaw(maskedFrame(0xc1, "x")), 1002, actor.CloseInfo{Code: 1002, Reason: "RSV1 set"}, ErrProtocol},
		{"reserved opcode", sendRaw(maskedFrame(0x83, "x")), 1002, actor.CloseInfo{Code: 1002, Reason: "bad opcode 3"}, ErrProtocol},
		{"reserved close code", sendClose(1004, ""), 1002, actor.CloseInfo{Code: 1002, Reason: "bad close code 1004"}, ErrProtocol},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &script{}
			x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{MessageBytes: 5000}, Events{})
			c := x.open(t, lobbyPath, nil)
			c.SetCloseHandler(func(int, string) error { return nil }) // the answer is not needed: this side hangs up
			if err := c.WriteMessage(websocket.TextMessage, []byte("before")); err != nil {
				t.Fatal(err)
			}
			tc.end(t, c)
			e := s.end(t, 0)
			if e.info != tc.want || !errors.Is(e.cause, tc.cause) || (tc.cause == nil) != (e.cause == nil) {
				t.Errorf("end = %+v, %v, want %+v, %v", e.info, e.cause, tc.want, tc.cause)
			}
			if tc.echo != 0 {
				if ce := closeError(t, c); ce.Code != tc.echo {
					t.Errorf("our Close frame = %v, want %d", ce, tc.echo)
				}
			}
			c.Close()
			x.stop()
			if len(s.ends) != 1 || len(s.in) != 1 {
				t.Errorf("%d ends and %d messages were reported, want one each", len(s.ends), len(s.in))
			}
		})
	}
}

func sendRaw(frame []byte) func(*testing.T, *websocket.Conn) {
	return func(t *testing.T, c *websocket.Conn) {
		t.Helper()
		if _, err := c.NetConn().Write(frame); err != nil {
			t.Fatal(err)
		}
	}
}

func hangUp(after []byte) func(*testing.T, *websocket.Conn) {
	return func(t *testing.T, c *websocket.Conn) {
		t.Helper()
		sendRaw(after)(t, c)
		c.Close()
	}
}

func sendText(data string) func(*testing.T, *websocket.Conn) {
	return func(t *testing.T, c *websocket.Conn) {
		t.Helper()
		if err := c.WriteMessage(websocket.TextMessage, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
}

func sendClose(code int, reason string) func(*testing.T, *websocket.Conn) {
	return sendRaw(maskedFrame(0x88, string(websocket.FormatCloseMessage(code, reason))))
}

// TestCloseByObject checks that the client gets what was sent before, then the
// Close frame, and that the object hears no more of the socket.
func TestCloseByObject(t *testing.T) {
	for _, tc := range []struct {
		code   int
		reason string
		want   websocket.CloseError
	}{
		{4001, "kicked", websocket.CloseError{Code: 4001, Text: "kicked"}},
		{0, "", websocket.CloseError{Code: 1005}},
		{1000, repeat("é", 100), websocket.CloseError{Code: 1000, Text: repeat("é", 61)}},
	} {
		s := &script{}
		x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{})
		c := x.open(t, lobbyPath, nil)
		id := s.socket(t, 0)
		for range 3 {
			s.gateway.Deliver(lobby(), text("last words"))
		}
		s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameClose, Socket: id, Code: tc.code, Reason: tc.reason})
		s.gateway.Deliver(lobby(), text("too late"))
		s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameClose, Socket: id, Code: 4002})
		for range 3 {
			if got := mustRead(t, c); got != "last words" {
				t.Errorf("ReadMessage = %q, want last words", got)
			}
		}
		if ce := closeError(t, c); *ce != tc.want {
			t.Errorf("close = %+v, want %+v", ce, tc.want)
		}
		// gorilla's client has answered; the server then closes the connection at once.
		if _, err := c.NetConn().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("Read after the closing handshake = %v, want EOF", err)
		}
		x.stop()
		if len(s.ends) != 0 {
			t.Errorf("ends = %+v, want none", s.ends)
		}
	}
}

func TestAutoReply(t *testing.T) {
	replied := make(chan struct{}, 10)
	s := &script{}
	s.call = func(w http.ResponseWriter, _ *http.Request, target actor.Target, socket actor.SocketID) error {
		return s.accept(w, target, actor.Frame{Socket: socket, Auto: &actor.AutoReply{Request: "ping", Reply: "pong"}})
	}
	x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{AutoReplied: func() { replied <- struct{}{} }})
	c := x.open(t, lobbyPath, nil)
	say := func(kind int, data string) {
		t.Helper()
		if err := c.WriteMessage(kind, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	say(websocket.TextMessage, "ping")
	if got := mustRead(t, c); got != "pong" {
		t.Errorf("answer = %q, want pong", got)
	}
	say(websocket.BinaryMessage, "ping")
	say(websocket.TextMessage, "ping ")
	s.until(t, "both came", func() bool { return len(s.in) == 2 })

	s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameAutoReply, Auto: &actor.AutoReply{Request: "hi", Reply: "ho"}})
	say(websocket.TextMessage, "hi")
	if got := mustRead(t, c); got != "ho" {
		t.Errorf("answer = %q, want ho", got)
	}
	s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameAutoReply})
	say(websocket.TextMessage, "hi")
	s.until(t, "the third came", func() bool { return len(s.in) == 3 })
	if got := s.in[2].number; got != 3 || len(replied) != 2 {
		t.Errorf("number = %d after %d automatic replies, want 3 after 2", got, len(replied))
	}
}

// TestWindowStopsReading checks that a client cannot send more than the window
// ahead of its object, and that a close gets through to a reader that waits.
func TestWindowStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{receive: func(context.Context, incoming) error { return nil }}
		x := newSite(t, s, memory, ServerConfig{}, GatewayConfig{WindowMessages: 4}, Events{})
		c := x.open(t, lobbyPath, nil)
		id := s.socket(t, 0)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for range 10 {
				if c.WriteMessage(websocket.TextMessage, []byte("m")) != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if got := len(s.in); got != 4 {
			t.Errorf("messages without an acknowledgement = %d, want 4", got)
		}
		s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameAck, Socket: id, Number: 1})
		s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameAck, Socket: id, Number: 3})
		synctest.Wait()
		if got := len(s.in); got != 7 {
			t.Errorf("messages after the third was acknowledged = %d, want 7", got)
		}
		time.Sleep(10 * time.Minute) // the reader waits for the object: silence means nothing
		synctest.Wait()
		if len(s.ends) != 0 {
			t.Errorf("ends = %+v, want none while the object is busy", s.ends)
		}
		s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameClose, Socket: id, Code: 4000})
		if ce := closeError(t, c); ce.Code != 4000 {
			t.Errorf("close = %v, want 4000", ce)
		}
		c.Close()
		<-sent
		x.stop()
	})
}

// TestMessageRefused checks what becomes of a socket whose object takes no more.
func TestMessageRefused(t *testing.T) {
	for _, tc := range []struct {
		err  error
		code int
	}{{actor.ErrClosing, 1013}, {actor.ErrNotOwner, 1013}, {errors.New("broken"), 1011}} {
		s := &script{receive: func(context.Context, incoming) error { return tc.err }}
		x := newSite(t, s, loopback, ServerConfig{}, GatewayConfig{}, Events{})
		c := x.open(t, lobbyPath, nil)
		for range 3 {
			if err := c.WriteMessage(websocket.TextMessage, []byte("m")); err != nil {
				t.Fatal(err)
			}
		}
		if ce := closeError(t, c); ce.Code != tc.code {
			t.Errorf("close after %v = %v, want %d", tc.err, ce, tc.code)
		}
		if e := s.end(t, 0); e.info.Code != tc.code {
			t.Errorf("end after %v = %+v, want %d", tc.err, e.info, tc.code)
		}
		x.stop()
		if len(s.in) != 1 {
			t.Errorf("messages after %v = %d, want no more than the refused one", tc.err, len(s.in))
		}
	}
}

// TestSlowReader fills the queue of a client that reads nothing.
func TestSlowReader(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cfg   GatewayConfig
		bytes int // of each frame
		fits  int // frames that may wait
	}{
		{"frames", GatewayConfig{QueueFrames: 10}, 1, 10},
		{"bytes", GatewayConfig{QueueBytes: 101_000}, 20_000, 4},
		{"one frame larger than the queue", GatewayConfig{QueueBytes: 10}, 1000, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, told := &script{}, &told{}
				x := newSite(t, s, memory, ServerConfig{}, tc.cfg, told.events())
				slow, quick := x.open(t, lobbyPath, nil), x.open(t, lobbyPath, nil)
				id := s.socket(t, 0)
				got := make(chan int)
				go func() {
					n := 0
					for {
						if _, _, err := quick.ReadMessage(); err != nil {
							got <- n
							return
						}
						n++
					}
				}()
				frame := text(repeat("f", tc.bytes))
				s.gateway.Deliver(lobby(), frame)
				synctest.Wait() // the writer of the slow client is now in Write
				for range tc.fits {
					s.gateway.Deliver(lobby(), frame)
					synctest.Wait()
				}
				if len(s.ends) != 0 {
					t.Fatalf("ends = %+v while the queue is just full, want none", s.ends)
				}
				told.want(t, "a full queue")
				s.gateway.Deliver(lobby(), frame)
				synctest.Wait()
				if e := s.end(t, 0); e.socket != id || e.info.Code != websocket.CloseTryAgainLater {
					t.Errorf("end = %+v, want 1013 of the slow one, at once", e)
				}
				told.want(t, "one frame more", "overrun")
				s.gateway.Deliver(lobby(), text("for the quick one"))
				// It wakes up in time to read what was on its way and then why it was closed.
				time.Sleep(3 * time.Second)
				if ce := closeError(t, slow); ce.Code != websocket.CloseTryAgainLater {
					t.Errorf("close = %v, want 1013", ce)
				}
				slow.Close()
				quick.Close()
				if n := <-got; n != tc.fits+3 {
					t.Errorf("the quick client got %d frames, want %d", n, tc.fits+3)
				}
				x.stop()
			})
		})
	}
}

// TestPings checks that an idle peer that answers stays, and one that does not goes.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		x := newSite(t, s, memory, ServerConfig{}, GatewayConfig{}, Events{})
		alive, dead := x.open(t, lobbyPath, nil), x.open(t, lobbyPath, nil)
		deadID := s.socket(t, 1)
		pings := 0
		alive.SetPingHandler(func(string) error {
			pings++
			return alive.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second))
		})
		deaf := make(chan struct{})
		dead.SetPingHandler(func(string) error { return nil })
		go func() {
			defer close(deaf)
			_, _, _ = dead.ReadMessage()
		}()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _, _ = alive.ReadMessage()
		}()
		began := time.Now()
		e := s.endWithin(t, 0)
		if took := time.Since(began); e.socket != deadID || e.info.Code != 1006 || took < 30*time.Second || took > 61*time.Second {
			t.Errorf("end = %+v after %v, want 1006 of the silent one within a minute", e, took)
		}
		<-deaf
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(s.ends) != 1 || pings < 115 || pings > 125 {
			t.Errorf("%d ends and %d pings in an hour, want 1 and about 120", len(s.ends), pings)
		}
		alive.Close()
		dead.Close()
		<-ended
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.gateway.pinging {
			t.Error("the pinger runs without a socket")
		}
		x.open(t, lobbyPath, nil).Close()
		x.stop()
	})
}

// endWithin is end on a fake clock, where the wait may be long.
func (s *script) endWithin(t *testing.T, n int) ended {
	t.Helper()
	for range 600 {
		synctest.Wait()
		s.mu.Lock()
		if len(s.ends) > n {
			defer s.mu.Unlock()
			return s.ends[n]
		}
		s.mu.Unlock()
		time.Sleep(time.Second)
	}
	t.Fatal("no end was reported in 10 minutes")
	return ended{}
}

// TestStalledClose checks that a client that does not answer a close is gone in time.
func TestStalledClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		x := newSite(t, s, memory, ServerConfig{}, GatewayConfig{}, Events{})
		c := x.open(t, lobbyPath, nil)
		id := s.socket(t, 0)
		c.SetCloseHandler(func(int, string) error { return nil })
		s.gateway.Deliver(lobby(), actor.Frame{Kind: actor.FrameClose, Socket: id, Code: 1000})
		closeError(t, c)
		began := time.Now()
		if _, err := c.NetConn().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("Read = %v, want EOF", err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the connection ended after %v, want 5s", took)
		}
		c.Close()
		x.stop()
	})
}

// TestGatewayClose closes many sockets, one of which does not listen.
func TestGatewayClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 100
		s := &script{}
		x := newSite(t, s, memory, ServerConfig{}, GatewayConfig{}, Events{})
		type result struct {
			code  int
			after time.Duration
		}
		results := make(chan result, n)
		var began time.Time
		for range n {
			c := x.open(t, lobbyPath, nil)
			go func() {
				_, _, err := c.ReadMessage()
				var ce *websocket.CloseError
				if !errors.As(err, &ce) {
					ce = new(websocket.CloseError)
				}
				results <- result{ce.Code, time.Since(began)}
			}()
		}
		mute := x.open(t, lobbyPath, nil)
		began = time.Now()
		x.stop()
		if took := time.Since(began); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("Shutdown took %v, want no more than the one that does not listen costs", took)
		}
		var last time.Duration
		for range n {
			r := <-results
			if r.code != websocket.CloseServiceRestart {
				t.Errorf("close = %d, want 1012", r.code)
			}
			last = max(last, r.after)
		}
		if last < 500*time.Millisecond || last > 1100*time.Millisecond {
			t.Errorf("the last close came after %v, want the closes spread over a second", last)
		}
		if len(s.ends) != n+1 {
			t.Errorf("ends = %d, want %d", len(s.ends), n+1)
		}
		for _, e := range s.ends {
			if e.info.Code != websocket.CloseServiceRestart {
				t.Errorf("end = %+v, want 1012", e.info)
			}
		}
		mute.Close()
		if _, err := s.gateway.register(actor.Target{}, false); !errors.Is(err, ErrClosed) {
			t.Errorf("register after Close = %v, want %v", err, ErrClosed)
		}
	})
}
