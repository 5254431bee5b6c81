package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
)

// composed writes a call as it is sent and reads it as the owner does. sent is
// false if it was refused.
func composed(t *testing.T, r *http.Request) (got *http.Request, sent bool) {
	t.Helper()
	out := newOutgoing(r, actor.Target{Class: "C", Name: "ä/b"}, actor.SocketID{})
	buf, whole, err := out.compose(nil)
	if errors.Is(err, actor.ErrRefused) {
		return nil, false
	}
	if err != nil || !whole {
		t.Fatalf("compose = %v, whole %v, want the whole call", err, whole)
	}
	reader := bufio.NewReader(bytes.NewReader(buf))
	got, err = http.ReadRequest(reader)
	if err != nil {
		t.Fatalf("the owner cannot read %q: %v", buf, err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil || reader.Buffered() > 0 {
		t.Fatalf("%q: reading the body gives %v and leaves %d bytes, want none", buf, err, reader.Buffered())
	}
	got.Body = io.NopCloser(bytes.NewReader(body))
	return got, true
}

// What an object puts into a call of its own never becomes another call, or a
// field that only nodes may send.
func FuzzForwardedCallIsOneCall(f *testing.F) {
	f.Add("POST", "/a%2Fb?x=1;2", "chat.example:80", "X", "p", "body")
	f.Add("", "//a", "", "holdfast-place", "1 2 3 3", "")
	f.Add("GET", "/", "bücher.example", "transfer-encoding", "chunked", "0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
	f.Add("GET / HTTP/1.1\r\n\r\nGET", "/", "a\r\nb", "X", "p\r\nHoldfast-Name: forged", "")
	f.Add("PUT", "/?a b", "h", "X y", "\x00", "")
	f.Fuzz(func(t *testing.T, method, uri, host, key, value, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		u, err := r.URL.Parse(uri)
		if err != nil || len(uri) > 1000 || len(host) > 100 || len(value) > 500 || len(body) > 500 {
			t.Skip()
		}
		u.Scheme, u.Host = "", ""
		r.Method, r.URL, r.Host, r.RemoteAddr, r.Header = method, u, host, "192.0.2.1:5", http.Header{key: {value}}
		got, sent := composed(t, r)
		if !sent {
			return
		}
		if method == "" {
			method = http.MethodGet
		}
		if got.Method != method || got.RequestURI != u.RequestURI() {
			t.Errorf("the owner sees %s %s, want %s %s", got.Method, got.RequestURI, method, u.RequestURI())
		}
		if text, _ := io.ReadAll(got.Body); string(text) != body {
			t.Errorf("the owner reads %q, want %q", text, body)
		}
		for _, name := range []string{headerPlace, headerSocket, headerSwitch, headerError, headerOwner} {
			if got.Header.Get(name) != "" {
				t.Errorf("the object has forged %s: %q", name, got.Header.Get(name))
			}
		}
		for name, want := range map[string]string{headerClass: "C", headerName: "%C3%A4%2Fb", headerClient: "192.0.2.1:5"} {
			if !slices.Equal(got.Header[name], []string{want}) {
				t.Errorf("%s = %q, want %q", name, got.Header[name], want)
			}
		}
	})
}

// A call that is not a request of HTTP is refused where it is made.
func TestForwardRefusesWhatIsNoRequest(t *testing.T) {
	for name, spoil := range map[string]func(r *http.Request){
		"a value with a line break":    func(r *http.Request) { r.Header["X"] = []string{"p\r\nHoldfast-Name: forged"} },
		"a field name with a colon":    func(r *http.Request) { r.Header["X:"] = []string{"p"} },
		"a method with a space":        func(r *http.Request) { r.Method = "GET /" },
		"a query with a space":         func(r *http.Request) { r.URL.RawQuery = "a b" },
		"an address with a line break": func(r *http.Request) { r.RemoteAddr = "a\nb" },
	} {
		r := httptest.NewRequest("GET", "/", nil)
		spoil(r)
		if _, sent := composed(t, r); sent {
			t.Errorf("%s is sent, want ErrRefused", name)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Ä", "ü\tü") // bytes above ASCII are text in a value, and none in a name
	if _, sent := composed(t, r); sent {
		t.Error("a field name beyond ASCII is sent, want ErrRefused")
	}
	delete(r.Header, "X-Ä")
	r.Header.Set("X", "ü\tü")
	if got, sent := composed(t, r); !sent || got.Header.Get("X") != "ü\tü" {
		t.Errorf("a value beyond ASCII is not sent: %v", got)
	}
}

func FuzzFrameChunk(f *testing.F) {
	f.Add([]byte("a"))
	f.Add(bytes.Repeat([]byte("b"), copyBytes))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > copyBytes {
			t.Skip()
		}
		buf := make([]byte, chunkRoom+copyBytes+2)
		n := copy(buf[chunkRoom:], data)
		wire := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + string(frameChunk(buf, n)) + "0\r\n\r\n"
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(wire)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, data) {
			t.Errorf("a chunk of %d bytes is read as %d, %v", len(data), len(got), err)
		}
	})
}
