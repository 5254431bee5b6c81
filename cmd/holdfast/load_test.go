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

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/objects/history"
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
	// Fixed after startLoad.
	url     string
	client  *http.Client
	dialer  *websocket.Dialer
	history *history.History
	prefix  string // makes tokens and rooms unlike those of other runs
	enough  int64
	reached chan struct{} // closed when enough writes have an answer
	gone    chan struct{} // closed when no client is left

	answered atomic.Int64

	mu  sync.Mutex // guards the following field
	err error      // the first answer that no client should get
}

// startLoad runs clients until ctx ends or the node goes away. They use dial, or
// the real network if it is nil.
func startLoad(ctx context.Context, t *testing.T, url string, dial dialFunc, h *history.History, prefix string, enough int64) *load {
	t.Helper()
	l := &load{
		url: url, client: newClient(t, dial), dialer: &websocket.Dialer{NetDialContext: dial},
		history: h, prefix: prefix, enough: enough, reached: make(chan struct{}), gone: make(chan struct{}),
	}
	var workers sync.WaitGroup
	for range loadIncrementers {
		workers.Go(func() { l.increment(ctx) })
	}
	for worker := range loadAppenders {
		workers.Go(func() { l.appendEvents(ctx, worker) })
	}
	for room := range loadRooms {
		for speaker := range loadSpeakers {
			workers.Go(func() { l.speak(ctx, room, speaker) })
		}
	}
	go func() {
		workers.Wait()
		close(l.gone)
	}()
	return l
}

// wait returns when no client writes any more; the error is an answer that no
// client should get.
func (l *load) wait() error {
	<-l.gone
	l.client.CloseIdleConnections()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// done notes how a write ended and says whether its client may go on.
func (l *load) done(write int, number int64, err error) bool {
	var status *statusError
	if err == nil || errors.As(err, &status) {
		if l.answered.Add(1) == l.enough {
			close(l.reached)
		}
	}
	switch {
	case err == nil:
		l.history.End(write, number)
		return true
	case errors.As(err, &status) && status.status == http.StatusServiceUnavailable:
		l.history.Refuse(write)
		return true
	case errors.As(err, &status) && status.status == http.StatusGatewayTimeout && strings.Contains(status.body, "outcome_unknown"):
		return true
	case errors.As(err, &status):
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err == nil {
			l.err = err
		}
		return false
	default:
		return false // the connection is gone, and nobody knows
	}
}

func (l *load) increment(ctx context.Context) {
	for ctx.Err() == nil {
		object := "Counter/" + strconv.Itoa(rand.IntN(loadCounters))
		write := l.history.Begin(object, "")
		var answer struct{ Value int64 }
		err := l.call(ctx, object+"/increment", "", &answer)
		if !l.done(write, answer.Value, err) {
			return
		}
	}
}

func (l *load) appendEvents(ctx context.Context, worker int) {
	for i := 0; ctx.Err() == nil; i++ {
		const object = "EventStore/log"
		token := fmt.Sprintf("%s-%d-%d", l.prefix, worker, i)
		write := l.history.Begin(object, token)
		var answer struct{ Version int64 }
		err := l.call(ctx, object+"/events", fmt.Sprintf(`{"eventType":"load","data":%q}`, token), &answer)
		if !l.done(write, answer.Version, err) {
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
		token := fmt.Sprintf("%d-%d", speaker, i)
		write := l.history.Begin(object, token)
		if !l.done(write, 0, say(socket, token)) {
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
func checkHistory(ctx context.Context, client *http.Client, url string, ops []history.Op) error {
	var errs []error
	for object, writes := range history.ByObject(ops) {
		class, _, _ := strings.Cut(object, "/")
		var err error
		switch class {
		case "Counter":
			var stored struct{ Value int64 }
			if err = fetch(ctx, client, url+"/objects/"+object+"/get", &stored); err == nil {
				err = history.CheckCounter(writes, stored.Value).Err()
			}
		case "EventStore":
			var stored struct {
				Events []struct {
					Data    string
					Version int64
				}
			}
			if err = fetch(ctx, client, url+"/objects/"+object+"/events", &stored); err == nil {
				var log []history.Entry
				for _, event := range stored.Events {
					log = append(log, history.Entry{Token: event.Data, Number: event.Version})
				}
				err = history.CheckLog(writes, log).Err()
			}
		case "ChatRoom":
			var stored struct{ Messages []struct{ Text string } }
			if err = fetch(ctx, client, url+"/objects/"+object+"/messages", &stored); err == nil {
				var log []history.Entry
				for _, message := range stored.Messages {
					log = append(log, history.Entry{Token: message.Text})
				}
				err = history.CheckLog(writes, log).Err()
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
