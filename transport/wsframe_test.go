package transport

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/actor"
)

func TestEncodeFrameSizes(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		checkFrame(t, byte(actor.Binary), bytes.Repeat([]byte{'x'}, n))
	}
}

func FuzzEncodeFrame(f *testing.F) {
	f.Add([]byte("hello"), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, isText bool) {
		opcode := byte(actor.Binary)
		if isText {
			opcode = byte(actor.Text)
		}
		checkFrame(t, opcode, data)
	})
}

// checkFrame compares a frame with what gorilla writes for the same message.
func checkFrame(t *testing.T, opcode byte, data []byte) {
	t.Helper()
	tap := &tapConn{}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	ws, err := new(websocket.Upgrader).Upgrade(&tapWriter{httptest.NewRecorder(), tap}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	tap.out.Reset()
	if err := ws.WriteMessage(int(opcode), data); err != nil {
		t.Fatal(err)
	}
	if got := encodeFrame(opcode, data); !bytes.Equal(got, tap.out.Bytes()) {
		t.Fatalf("encodeFrame(%d, %d bytes) = %d bytes %x..., want %d bytes %x...",
			opcode, len(data), len(got), got[:min(len(got), 12)], tap.out.Len(), tap.out.Bytes()[:min(tap.out.Len(), 12)])
	}
}

type tapWriter struct {
	*httptest.ResponseRecorder

	conn *tapConn
}

func (w *tapWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// tapConn keeps what is written.
type tapConn struct {
	net.Conn

	out bytes.Buffer
}

func (c *tapConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *tapConn) SetDeadline(time.Time) error      { return nil }
func (c *tapConn) SetWriteDeadline(time.Time) error { return nil }

func FuzzCloseOf(f *testing.F) {
	f.Add([]byte{0x88, 2, 3, 0xe8}, 1000, "bye")
	f.Add([]byte{}, 0, strings.Repeat("ü", 100))
	f.Fuzz(func(t *testing.T, frame []byte, code int, reason string) {
		if _, reason, ok := closeOf(frame); ok && len(reason) > 123 && frame[1] < 126 {
			t.Fatalf("closeOf(%x) gives a reason of %d bytes", frame, len(reason))
		}
		code = 1000 + (code&0x7fffffff)%4000
		reason = strings.ToValidUTF8(reason, "?")
		enc := encodeClose(code, reason)
		if code == websocket.CloseNoStatusReceived {
			if len(enc) != 2 {
				t.Fatalf("encodeClose(1005) = %x, want an empty Close frame", enc)
			}
			return
		}
		gotCode, gotReason, ok := closeOf(enc)
		if !ok || gotCode != code || !strings.HasPrefix(reason, gotReason) || !utf8.ValidString(gotReason) {
			t.Fatalf("closeOf(encodeClose(%d, %q)) = %d, %q, %v", code, reason, gotCode, gotReason, ok)
		}
		if len(reason) <= actor.MaxReasonBytes && gotReason != reason {
			t.Fatalf("reason %q became %q", reason, gotReason)
		}
	})
}
