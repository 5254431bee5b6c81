package transport

import (
	"bufio"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

const askAgain = "GET /objects/ChatRoom/x HTTP/1.1\r\nHost: n\r\n\r\n"

// A server that stops tells every client that asks in time to go, and closes no
// connection of theirs while it is quiet: a request could be on its way.
func TestFarewell(t *testing.T) {
	tests := []struct {
		name string
		asks []time.Duration // when clients with a connection ask again after the farewell; 0 = never
		took time.Duration   // until the requests are finished
	}{
		{"nobody", nil, 0},
		{"all ask", []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}, 1500 * time.Millisecond},
		{"one is quiet for too long", []time.Duration{500 * time.Millisecond, 0}, 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkFarewell(t, test.asks, test.took) })
		})
	}
}

func checkFarewell(t *testing.T, asks []time.Duration, want time.Duration) {
	t.Helper()
	x := newSite(t, &script{call: func(w http.ResponseWriter, _ *http.Request, _ actor.Target, _ actor.SocketID) error {
		_, err := io.WriteString(w, "done")
		return err
	}}, memory, ServerConfig{}, GatewayConfig{}, Events{})
	clients := make(chan error, len(asks))
	said := make(chan struct{})
	for _, after := range asks {
		conn, br := x.raw(t, askAgain)
		if readDone(t, br).Close {
			t.Error("an answer before the farewell is the last of its connection")
		}
		if after == 0 {
			clients <- nil
			continue
		}
		go func() {
			<-said
			time.Sleep(after)
			_, err := io.WriteString(conn, askAgain)
			if err == nil && !readDone(t, br).Close {
				t.Errorf("the answer %v after the farewell does not end its connection", after)
			}
			clients <- err
		}()
	}
	synctest.Wait() // the server knows that its connections are quiet
	x.server.SayFarewell()
	began := time.Now()
	close(said)
	if err := x.server.FinishRequests(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began).Round(100 * time.Millisecond); took != want {
		t.Errorf("FinishRequests took %v, want %v", took, want)
	}
	for range asks {
		if err := <-clients; err != nil {
			t.Errorf("a connection was closed while its client asked in time: %v", err)
		}
	}
}

// readDone reads a whole answer.
func readDone(t *testing.T, from *bufio.Reader) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Error(err)
		return &http.Response{}
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "done" {
		t.Errorf("answer = %q, %v, want done", body, err)
	}
	return response
}
