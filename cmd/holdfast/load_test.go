package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Size of the load.
const (
	loadCounters      = 24
	loadIncrementers  = 12
	loadAppenders     = 3  // all on one log
	loadSpeakers      = 2  // in each room
	loadRooms         = 2  // at a time
	messagesOfSpeaker = 20 // in one room; then another, so that GET /messages shows all of them
)

// load is many clients that write as fast as a node answers until it goes away,
// and remember what they were told.
type load struct {
	t       *testing.T
	url     string
	client  *http.Client
	dialer  *websocket.Dialer
	history *history
	prefix  string // makes tokens and rooms unlike those of other runs

	workers      sync.WaitGroup
	acknowledged atomic.Int64
	enough       int64
	reached      chan struct{} // closed when enough writes are acknowledged
}

// startLoad runs clients until ctx ends or the node goes away. They use dial, or
// the real network if it is nil.
func startLoad(ctx context.Context, t *testing.T, url string, dial dialFunc, h *history, prefix string, enough int64) *load {
	l := &load{
		t: t, url: url, client: newClient(t, dial), dialer: &websocket.Dialer{NetDialContext: dial},
		history: h, prefix: prefix, enough: enough, reached: make(chan struct{}),
	}
	for range loadIncrementers {
		l.workers.Go(func() { l.increment(ctx) })
	}
	for worker := range loadAppenders {
		l.workers.Go(func() { l.appendEvents(ctx, worker) })
	}
	for room := range loadRooms {
		for speaker := range loadSpeakers {
			l.workers.Go(func() { l.speak(ctx, room, speaker) })
		}
	}
	return l
}

// wait returns when no client writes any more.
func (l *load) wait() {
	l.workers.Wait()
	l.client.CloseIdleConnections()
}

// done remembers a write and says whether its client may go on.
func (l *load) done(w write, err error) bool {
	var status *statusError
	switch {
	case err == nil:
		w.ended = time.Now()
		l.history.add(w)
		if l.acknowledged.Add(1) == l.enough {
			close(l.reached)
		}
		return true
	case errors.As(err, &status) && status.status == http.StatusServiceUnavailable:
		return true // certainly without effect
	case errors.As(err, &status) && status.status == http.StatusGatewayTimeout && strings.Contains(status.body, "outcome_unknown"):
		l.history.add(w)
		return true
	case errors.As(err, &status):
		l.t.Errorf("a write was answered: %v", err)
		return false
	default:
		l.history.add(w) // the connection is gone, and nobody knows
		return false
	}
}

func (l *load) increment(ctx context.Context) {
	for ctx.Err() == nil {
		w := write{object: "Counter/" + strconv.Itoa(rand.IntN(loadCounters)), begun: time.Now()}
		var answer struct{ Value int64 }
		err := l.call(ctx, w.object+"/increment", "", &answer)
		w.number = answer.Value
		if !l.done(w, err) {
			return
		}
	}
}

func (l *load) appendEvents(ctx context.Context, worker int) {
	for i := 0; ctx.Err() == nil; i++ {
		w := write{object: "EventStore/log", token: fmt.Sprintf("%s-%d-%d", l.prefix, worker, i), begun: time.Now()}
		var answer struct{ Version int64 }
		err := l.call(ctx, w.object+"/events", fmt.Sprintf(`{"eventType":"load","data":%q}`, w.token), &answer)
		w.number = answer.Version
		if !l.done(w, err) {
			return
		}
	}
}

func (l *load) call(ctx context.Context, path, body string, answer any) error {
	data, err := tryCall(ctx, l.client, http.MethodPost, l.url+"/objects/"+path, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}

// speak goes from room to room and says a few things in each.
func (l *load) speak(ctx context.Context, room, speaker int) {
	for i := 0; ctx.Err() == nil; i++ {
		if !l.speakIn(ctx, fmt.Sprintf("ChatRoom/%s-%d-%d", l.prefix, room, i), speaker) {
			return
		}
	}
}

func (l *load) speakIn(ctx context.Context, object string, speaker int) bool {
	socket, response, err := l.dialer.DialContext(ctx, "ws"+strings.TrimPrefix(l.url, "http")+"/objects/"+object, nil)
	if err != nil {
		return false
	}
	response.Body.Close()
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	for i := range messagesOfSpeaker {
		w := write{object: object, token: fmt.Sprintf("%d-%d", speaker, i), begun: time.Now()}
		if !l.done(w, say(socket, w.token)) {
			return false
		}
	}
	return true
}

// say returns when the speaker hears itself.
func say(socket *websocket.Conn, text string) error {
	if err := socket.WriteJSON(map[string]string{"type": "chat", "username": "load", "text": text}); err != nil {
		return err
	}
	for {
		var heard struct{ Type, Text string }
		if err := socket.ReadJSON(&heard); err != nil {
			return err
		}
		if heard.Type == "chat" && heard.Text == text {
			return nil
		}
	}
}

// checkHistory asks a node for all that clients have written and gives what does
// not agree with what they were told.
func checkHistory(ctx context.Context, client *http.Client, url string, objects map[string][]write) error {
	var errs []error
	for object, writes := range objects {
		class, _, _ := strings.Cut(object, "/")
		var err error
		switch class {
		case "Counter":
			var stored struct{ Value int64 }
			if err = fetch(ctx, client, url+"/objects/"+object+"/get", &stored); err == nil {
				err = checkCounter(writes, stored.Value)
			}
		case "EventStore":
			var stored struct {
				Events []struct {
					Data    string
					Version int64
				}
			}
			if err = fetch(ctx, client, url+"/objects/"+object+"/events", &stored); err == nil {
				var log []entry
				for _, event := range stored.Events {
					log = append(log, entry{event.Data, event.Version})
				}
				err = checkLog(writes, log)
			}
		case "ChatRoom":
			var stored struct{ Messages []struct{ Text string } }
			if err = fetch(ctx, client, url+"/objects/"+object+"/messages", &stored); err == nil {
				var log []entry
				for _, message := range stored.Messages {
					log = append(log, entry{token: message.Text})
				}
				err = checkLog(writes, log)
			}
		default:
			err = fmt.Errorf("object %s: nobody knows how to check it", object)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func fetch(ctx context.Context, client *http.Client, url string, answer any) error {
	data, err := tryCall(ctx, client, http.MethodGet, url, "")
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}
