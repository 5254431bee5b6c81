package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Roles in which this program starts itself: the bare servers that a node is
// compared with.
const (
	roleEmpty  = "serve-empty"
	roleFanOut = "serve-fanout"
)

const headerTimeout = 10 * time.Second

// serveEmpty answers every request with an empty handler.
func serveEmpty(ctx context.Context, out io.Writer) error {
	return serveUntil(ctx, out, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

// serveFanOut writes each message of a socket to all sockets, in a plain loop:
// one prepared frame, one write for each.
func serveFanOut(ctx context.Context, out io.Writer) error {
	room := &bareRoom{}
	return serveUntil(ctx, out, room)
}

func serveUntil(ctx context.Context, out io.Writer, handler http.Handler) error {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	stopped := context.AfterFunc(ctx, func() { server.Close() }) //nolint:errcheck // the process ends
	defer stopped()
	if _, err := fmt.Fprintf(out, "%s http://%s\n", clientsLine, listener.Addr()); err != nil {
		return err
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bareRoom is the least that a chat room can be.
type bareRoom struct {
	mu      sync.Mutex // guards the following field, and writes to the sockets
	sockets []*websocket.Conn
}

func (room *bareRoom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	defer socket.Close() //nolint:errcheck // the client is gone
	room.mu.Lock()
	room.sockets = append(room.sockets, socket)
	room.mu.Unlock()
	for {
		kind, data, err := socket.ReadMessage()
		if err != nil {
			return // the client is gone; its socket stays in the list until the process ends
		}
		if err := room.broadcast(kind, data); err != nil {
			return
		}
	}
}

func (room *bareRoom) broadcast(kind int, data []byte) error {
	frame, err := websocket.NewPreparedMessage(kind, data)
	if err != nil {
		return err
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	for _, socket := range room.sockets {
		if err := socket.WritePreparedMessage(frame); err != nil {
			return err
		}
	}
	return nil
}
