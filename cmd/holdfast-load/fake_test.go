package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// fake is a Holdfast in a few lines that keeps its promises, but for what it is
// told to do wrong.
type fake struct {
	wrong string // what it does wrong, now and then
	url   string
	first chan struct{} // closed at the first call of an object

	mu       sync.Mutex // guards the following fields
	calls    int
	counters map[string]int64
	logs     map[string][]string
	rooms    map[string][]*websocket.Conn
}

func startFake(t *testing.T, wrong string) *fake {
	t.Helper()
	f := &fake{wrong: wrong, first: make(chan struct{}), counters: make(map[string]int64), logs: make(map[string][]string), rooms: make(map[string][]*websocket.Conn)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// ServeHTTP implements http.Handler.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/objects/"), "/")
	class, object := parts[0], parts[1]
	if class == "ChatRoom" {
		f.join(w, r, object)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls++; f.calls == 1 {
		close(f.first)
	}
	seldom := f.calls%20 == 0
	if seldom && f.wrong == "refuses" {
		refuse(w)
		return
	}
	if seldom && f.wrong == "breaks" {
		panic(http.ErrAbortHandler)
	}
	var answer any
	if class == classCounter {
		answer = f.count(r, object, seldom)
	} else {
		answer = f.log(r, object, seldom)
	}
	if seldom && f.wrong == "runs what it refuses" && r.Method == http.MethodPost {
		refuse(w)
		return
	}
	json.NewEncoder(w).Encode(answer)
}

func refuse(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "0")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `{"error":{"code":"not_owner"}}`)
}

func (f *fake) count(r *http.Request, object string, seldom bool) any {
	value := f.counters[object]
	switch {
	case r.Method == http.MethodPost:
		value++
		if !seldom || f.wrong != "forgets" {
			f.counters[object] = value
		}
	case f.wrong == "reads stale" && value > 0:
		value--
	}
	return map[string]any{"value": value}
}

func (f *fake) log(r *http.Request, object string, seldom bool) any {
	if r.Method == http.MethodPost {
		var event struct{ Data string }
		json.NewDecoder(r.Body).Decode(&event)
		version := len(f.logs[object]) + 1
		if !seldom || f.wrong != "forgets" {
			f.logs[object] = append(f.logs[object], event.Data)
		}
		return map[string]any{"version": version}
	}
	from, _ := strconv.Atoi(r.URL.Query().Get("from"))
	to, _ := strconv.Atoi(r.URL.Query().Get("to"))
	log := f.logs[object]
	events := []any{}
	for i := from; i <= min(to, len(log)); i++ {
		events = append(events, map[string]any{"data": log[i-1], "version": i})
	}
	version := len(log)
	if f.wrong == "reads stale" && version > 0 {
		version--
	}
	return map[string]any{"events": events, "currentVersion": version}
}

// join makes a member of the room, which says everything to everybody.
func (f *fake) join(w http.ResponseWriter, r *http.Request, room string) {
	var upgrader websocket.Upgrader
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	f.mu.Lock()
	f.rooms[room] = append(f.rooms[room], socket)
	f.mu.Unlock()
	for said := 1; ; said++ {
		var message map[string]string
		if socket.ReadJSON(&message) != nil {
			return
		}
		if f.wrong == "closes sockets" && said%3 == 0 {
			f.mu.Lock() // others write to it, too
			socket.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseServiceRestart, ""))
			f.mu.Unlock()
			return
		}
		f.mu.Lock()
		for i, member := range f.rooms[room] {
			if f.wrong == "leaves a member out" && i == 0 && member != socket && said%3 == 0 {
				continue
			}
			member.WriteJSON(message)
			if f.wrong == "says it twice" && i == 0 && said%3 == 0 {
				member.WriteJSON(message)
			}
		}
		f.mu.Unlock()
	}
}
