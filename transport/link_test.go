package transport

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func clusterKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, MinClusterKeyBytes) }

// linkPair serves a link under one key on loopback and gives one that dials it under another.
func linkPair(t *testing.T, served, dialled []byte) (server, client *Link, address string, log *lockedBuffer) {
	t.Helper()
	log = &lockedBuffer{wrote: make(chan struct{}, 16)}
	open := func(key []byte, log *slog.Logger) *Link {
		if key == nil {
			return NewLink(nil, nil, log)
		}
		k, err := NewLinkKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return NewLink(k, nil, log)
	}
	server = open(served, slog.New(slog.NewTextHandler(log, nil)))
	client = open(dialled, slog.New(slog.DiscardHandler))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
		wg.Wait()
	})
	server.Handle(LinkRaft, func(c net.Conn) {
		defer c.Close()
		io.Copy(c, c)
	})
	wg.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return server, client, listener.Addr().String(), log
}

type lockedBuffer struct {
	wrote chan struct{} // one element for each line; nil: nobody waits for one

	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrote != nil {
		l.wrote <- struct{}{}
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// echo says whether a connection for that use gives back what was written.
func echo(ctx context.Context, l *Link, address string, use LinkUse) error {
	conn, err := l.Dial(ctx, address, use)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("ping")); err != nil {
		return err
	}
	got := make([]byte, 4)
	_, err = io.ReadFull(conn, got)
	return err
}

func TestLinkCarriesBytesUnderOneKey(t *testing.T) {
	_, client, address, _ := linkPair(t, clusterKey(1), append(clusterKey(1), '\n'))
	if err := echo(t.Context(), client, address, LinkRaft); err != nil {
		t.Errorf("echo = %v, want nil", err)
	}
}

func TestLinkRefuses(t *testing.T) {
	for name, keys := range map[string][2][]byte{
		"another key":             {clusterKey(1), clusterKey(2)},
		"plain text at a secured": {clusterKey(1), nil},
		"secured at a plain text": {nil, clusterKey(1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, client, address, log := linkPair(t, keys[0], keys[1])
			if err := echo(t.Context(), client, address, LinkRaft); err == nil {
				t.Error("echo = nil, want an error")
			}
			<-log.wrote
			text := log.String()
			if !strings.Contains(text, "refused a connection on the internal port") {
				t.Errorf("log is %q, want the refusal", text)
			}
			if strings.Contains(text, string(clusterKey(1))) || strings.Contains(text, string(clusterKey(2))) {
				t.Errorf("the log has a key in it: %q", text)
			}
		})
	}
	t.Run("another use", func(t *testing.T) {
		_, client, address, _ := linkPair(t, clusterKey(1), clusterKey(1))
		if err := echo(t.Context(), client, address, LinkSockets); err == nil {
			t.Error("echo = nil, want an error")
		}
	})
}

func TestNewLinkKeyRefusesAShortKey(t *testing.T) {
	_, err := NewLinkKey([]byte("too short"))
	if err == nil || strings.Contains(err.Error(), "too short") {
		t.Errorf("NewLinkKey = %v, want an error without the key", err)
	}
}

func TestLinkCloseEndsHandshakes(t *testing.T) {
	server, _, address, _ := linkPair(t, clusterKey(1), clusterKey(1))
	silent, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := server.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}
