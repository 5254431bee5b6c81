package suite

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// maxUnread is how many messages a case may leave unread. Without that room the
// server would take a case that looks at one socket after the other for a slow
// reader.
const maxUnread = 4096

// socket is the client's end of a WebSocket.
type socket struct {
	t        *testing.T
	conn     *websocket.Conn
	messages chan string   // closed when the connection ends
	end      chan struct{} // closed to let the reader go
	once     sync.Once
	wg       sync.WaitGroup
}

// upgrade asks for a WebSocket. If the answer is another the socket is nil, and
// status and body tell which.
func (o *object) upgrade() (s *socket, status int, body string) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dialer := websocket.Dialer{NetDialContext: o.target.Dial}
	conn, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(o.target.URL(), "http")+o.path+"/", nil)
	if err != nil && (resp == nil || resp.StatusCode == http.StatusSwitchingProtocols) {
		o.t.Fatalf("open a socket: %v", err)
	}
	defer resp.Body.Close()
	if err != nil {
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			o.t.Fatalf("read the answer to a handshake: %v", err)
		}
		return nil, resp.StatusCode, string(data)
	}
	s = &socket{t: o.t, conn: conn, messages: make(chan string, maxUnread), end: make(chan struct{})}
	s.wg.Go(s.read)
	o.t.Cleanup(s.drop)
	return s, resp.StatusCode, ""
}

// dial opens a WebSocket.
func (o *object) dial() *socket {
	o.t.Helper()
	s, status, body := o.upgrade()
	if s == nil {
		o.t.Fatalf("open a socket = %d %s, want 101", status, short(body))
	}
	return s
}

// read passes messages on. It also makes the connection answer pings.
func (s *socket) read() {
	defer close(s.messages)
	for {
		kind, data, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		message := string(data)
		if kind != websocket.TextMessage {
			message = "not a text message: " + message
		}
		select {
		case s.messages <- message:
		case <-s.end:
			return
		}
	}
}

// drop ends the connection without a Close frame.
func (s *socket) drop() {
	s.once.Do(func() {
		close(s.end)
		_ = s.conn.Close() // it may be closed already
	})
	s.wg.Wait()
}

// close ends the connection by the protocol.
func (s *socket) close() {
	s.t.Helper()
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
	if err := s.conn.WriteControl(websocket.CloseMessage, message, time.Now().Add(patience)); err != nil {
		s.t.Fatalf("close a socket: %v", err)
	}
	for range s.messages { // until the server has answered the Close frame
	}
	s.drop()
}

// send sends a text message.
func (s *socket) send(message string) {
	s.t.Helper()
	s.sendKind(websocket.TextMessage, message)
}

func (s *socket) sendKind(kind int, message string) {
	s.t.Helper()
	if err := s.conn.WriteMessage(kind, []byte(message)); err != nil {
		s.t.Fatalf("send %s: %v", short(message), err)
	}
}

// next gives the next message.
func (s *socket) next() string {
	s.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case message, ok := <-s.messages:
		if !ok {
			s.t.Fatal("the socket was closed, want a message")
		}
		return message
	case <-late.C:
		s.t.Fatal("no message came")
	}
	return ""
}

// gets demands that the next message matches a pattern.
func (s *socket) gets(pattern string) []string {
	s.t.Helper()
	return match(s.t, "message", s.next(), pattern)
}

// idle demands that no message is on its way: the answer to a ping comes next,
// and messages keep their order.
func (s *socket) idle() {
	s.t.Helper()
	s.send(`{"type":"ping"}`)
	s.gets(`{"type":"pong"$any}`)
}

// refuses demands that messages are answered by an error, and by nothing else.
func (s *socket) refuses(text string, messages ...string) {
	s.t.Helper()
	for _, message := range messages {
		s.send(message)
		if got, want := s.next(), `{"type":"error","message":"`+text+`"}`; got != want {
			s.t.Fatalf("answer to %s\n got %s\nwant %s", short(message), short(got), want)
		}
	}
	s.idle()
}

// ignores demands that messages are answered by nothing.
func (s *socket) ignores(messages ...string) {
	s.t.Helper()
	for _, message := range messages {
		s.send(message)
	}
	s.idle()
}

// notJSON are messages that no class with sockets can use.
func notJSON() []string {
	return []string{"", "hello", "{", `{"type":"ping"}x`, "null"}
}

// refusesNonsense demands that messages which are no JSON are refused, and that
// unknown types are ignored.
func (s *socket) refusesNonsense() {
	s.t.Helper()
	s.refuses("Invalid message format", notJSON()...)
	s.sendKind(websocket.BinaryMessage, `{"type":"ping"}`)
	s.gets(`{"type":"error","message":"Invalid message format"}`)
	s.ignores(`{}`, `{"type":"unknown"}`, `{"type":1}`, `{"type":null}`, `5`, `"ping"`, `[]`, `{"Type":"ping"}`)
}
