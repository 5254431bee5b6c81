package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	fanOutMessages = 20               // in one turn
	arrivalTimeout = 30 * time.Second // for one message to reach everybody
)

const chatMessage = `{"type":"chat","username":"bench","text":"The quick brown fox jumps over the lazy dog."}`

// measureFanOut compares how long a chat message takes to all members of a room
// with how long a bare loop takes to write the same frame to as many sockets.
func measureFanOut(ctx context.Context, o options, dir string, t *table) (err error) {
	node, err := startHoldfast(ctx, o, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.stop()) }()
	bare, err := startSelf(ctx, roleFanOut)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()

	room, err := newAudience(ctx, "ws://"+node.clients+"/objects/ChatRoom/fanout", o.sockets)
	if err != nil {
		return err
	}
	defer room.close()
	loop, err := newAudience(ctx, "ws://"+bare.clients+"/", o.sockets)
	if err != nil {
		return err
	}
	defer loop.close()

	if _, err := room.broadcast(ctx, []byte(chatMessage)); err != nil { // warms up, and gives the frame to compare with
		return err
	}
	frame := *room.last.Load()
	var roomTimes, loopTimes []time.Duration
	var ratios []float64
	for range o.rounds {
		var sum [2]time.Duration
		for range fanOutMessages {
			for i, side := range []struct {
				audience *audience
				message  []byte
			}{{room, []byte(chatMessage)}, {loop, frame}} {
				took, err := side.audience.broadcast(ctx, side.message)
				if err != nil {
					return err
				}
				sum[i] += took
			}
		}
		roomTimes = append(roomTimes, sum[0]/fanOutMessages)
		loopTimes = append(loopTimes, sum[1]/fanOutMessages)
		ratios = append(ratios, float64(sum[1])/float64(sum[0]))
	}
	t.add(row{
		what:     fmt.Sprintf("one chat message to %d sockets; bare: a loop of writes", o.sockets),
		holdfast: median(roomTimes).Round(10 * time.Microsecond).String(),
		other:    median(loopTimes).Round(10 * time.Microsecond).String(),
		ratio:    fmt.Sprintf("%.2f", median(ratios)),
		aim:      ">= 0.80",
	})
	return nil
}

// audience is many sockets that all get the messages that the first one sends.
type audience struct {
	// Fixed after newAudience.
	sockets []*websocket.Conn
	arrived chan struct{} // when the last socket has the message
	failed  chan error    // the first error of any socket
	readers sync.WaitGroup

	missing atomic.Int64 // sockets that do not have the message yet
	last    atomic.Pointer[[]byte]
}

func newAudience(ctx context.Context, url string, size int) (*audience, error) {
	a := &audience{arrived: make(chan struct{}, 1), failed: make(chan error, 1)}
	for range size {
		socket, response, err := websocket.DefaultDialer.DialContext(ctx, url, http.Header{})
		if err != nil {
			a.close()
			return nil, fmt.Errorf("dial %s as socket %d: %w", url, len(a.sockets)+1, err)
		}
		response.Body.Close()
		a.sockets = append(a.sockets, socket)
		a.readers.Go(func() { a.read(socket) })
	}
	return a, nil
}

// read counts chat messages and skips whatever else the room says.
func (a *audience) read(socket *websocket.Conn) {
	for {
		_, data, err := socket.ReadMessage()
		if err != nil {
			select {
			case a.failed <- err:
			default: // an earlier error, or close, is known already
			}
			return
		}
		if !bytes.Contains(data, []byte(`"type":"chat"`)) {
			continue
		}
		if a.missing.Add(-1) == 0 {
			a.last.Store(&data)
			a.arrived <- struct{}{}
		}
	}
}

// broadcast sends a message and gives the time until everybody has it.
func (a *audience) broadcast(ctx context.Context, message []byte) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	a.missing.Store(int64(len(a.sockets)))
	begin := time.Now()
	if err := a.sockets[0].WriteMessage(websocket.TextMessage, message); err != nil {
		return 0, err
	}
	select {
	case <-a.arrived:
		return time.Since(begin), nil
	case err := <-a.failed:
		return 0, fmt.Errorf("fan-out: a socket was lost: %w", err)
	case <-ctx.Done():
		return 0, fmt.Errorf("fan-out: %d sockets did not get the message: %w", a.missing.Load(), ctx.Err())
	}
}

func (a *audience) close() {
	for _, socket := range a.sockets {
		socket.Close() //nolint:errcheck // the measurement is over
	}
	a.readers.Wait()
}
