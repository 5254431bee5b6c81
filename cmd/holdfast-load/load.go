package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-dev/holdfast/objects/history"
)

// How a run goes on and ends.
const (
	progressEvery = 10 * time.Second
	verifyTimeout = 2 * time.Minute // for all objects to be read at the end
)

// load is one run: clients of many objects and members of rooms, what they were
// told, and what came of it.
type load struct {
	// Fixed after newLoad.
	options  options
	begun    time.Time
	doors    []door
	objects  []string
	history  *history.History
	tally    *tally
	rooms    []*room
	progress io.Writer // a line now and then; nil = none

	stop    func()        // ends the run; may be called again
	stopped chan struct{} // closed by stop
	over    chan struct{} // closed when there is a report
	report  *report       // fixed when over is closed
}

// door is an address with clients of its own.
type door struct{ name, url string }

func newLoad(o options, progress io.Writer) (*load, error) {
	doors, err := doorsOf(o.urls)
	if err != nil {
		return nil, err
	}
	run := strings.ToLower(rand.Text()[:8])
	l := &load{
		options: o, begun: time.Now(), doors: doors, objects: objectNames(run, o.objects), history: &history.History{},
		progress: progress, stopped: make(chan struct{}), over: make(chan struct{}),
	}
	l.stop = sync.OnceFunc(func() { close(l.stopped) })
	names := make([]string, len(doors))
	for i, d := range doors {
		names[i] = d.name
	}
	l.tally = newTally(names, l.objects)
	for i := range (o.sockets + roomMembers - 1) / roomMembers {
		l.rooms = append(l.rooms, newRoom(fmt.Sprintf("ChatRoom/load-%s-%d", run, i)))
	}
	return l, nil
}

// doorsOf names doors by the first label of their host where that tells them
// apart, else by the whole host and port.
func doorsOf(urls []string) ([]door, error) {
	var doors []door
	seen := make(map[string]bool)
	short := true
	for _, u := range urls {
		parsed, err := url.Parse(u)
		if err != nil {
			return nil, fmt.Errorf("--url: %w", err)
		}
		if parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || strings.Trim(parsed.Path, "/") != "" {
			return nil, fmt.Errorf("--url %s: want a scheme, a host and a port, as http://127.0.0.1:8080", u)
		}
		label, _, _ := strings.Cut(parsed.Host, ".")
		short = short && !seen[label] && net.ParseIP(parsed.Hostname()) == nil
		seen[label] = true
		doors = append(doors, door{name: parsed.Host, url: strings.TrimRight(u, "/")})
	}
	for i := range doors {
		if short {
			doors[i].name, _, _ = strings.Cut(doors[i].name, ".")
		}
	}
	return doors, nil
}

// run loads the cluster until its time is over, it is stopped or ctx ends, checks
// what came of it and gives the report.
func (l *load) run(ctx context.Context) *report {
	if l.options.duration > 0 {
		timer := time.AfterFunc(l.options.duration, l.stop)
		defer timer.Stop()
	}
	unwatch := context.AfterFunc(ctx, l.stop)
	defer unwatch()
	// Calls under way when the run ends get their answers: their context is not ctx.
	working := context.WithoutCancel(ctx)
	var clients sync.WaitGroup
	for i, object := range l.objects {
		for j, d := range l.doors {
			w := &worker{load: l, door: d.name, object: object, client: newClient(d.url, l.options.timeout), prefix: fmt.Sprintf("%d-%d-", i, j)}
			clients.Go(func() { w.run(working) })
		}
	}
	for i := range l.options.sockets {
		m := &member{load: l, room: l.rooms[i/roomMembers], door: l.doors[i%len(l.doors)], name: fmt.Sprint(i)}
		clients.Go(func() { m.run(working) })
	}
	clients.Go(l.tell)
	clients.Wait()
	l.tally.end()

	verifying, cancel := context.WithTimeout(working, verifyTimeout)
	defer cancel()
	l.report = l.makeReport(l.verify(verifying))
	close(l.over)
	return l.report
}

// tell writes now and then how the run goes.
func (l *load) tell() {
	if l.progress == nil {
		return
	}
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			fmt.Fprintln(l.progress, l.tally.line()) //nolint:errcheck // nobody reads it; the run goes on
		case <-l.stopped:
			return
		}
	}
}
