package main

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/objects"
	"github.com/holdfast-dev/holdfast/placement"
	"github.com/holdfast-dev/holdfast/transport"
)

// Names, units and types of our metrics are those that Prometheus recommends.
func TestMetricsLint(t *testing.T) {
	m := newMachine(t)
	m.start()
	var ours strings.Builder
	for line := range strings.Lines(get(t, newClient(t, nil), m.operators+"/metrics")) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "holdfast_") {
			ours.WriteString(line)
		}
	}
	problems, err := promlint.New(strings.NewReader(ours.String())).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n := strings.Count(ours.String(), "# TYPE"); n < 100 {
		t.Errorf("%d metrics were looked at, want more than 100", n)
	}
}

// What a node does shows in its metrics, and nothing else does.
func TestMetricsOfANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemMachine(t)
		m.parts.MemoryLimit = 1 << 40
		m.start()
		client := newClient(t, m.dial())
		before := scrapeOf(t, client, m.operators)
		before.want(t, "at first", map[string]float64{
			"ready": 1, "started": 1, "draining": 0, "shards": 4, "shards_owned": 4, "shards_without_owner": 0, "shards_reduced": 0, "replicas": 4,
			"nodes_up": 1, `nodes{state="in"}`: 1, "control_has_leader": 1, "control_leader": 1, "elections_won_total": 4, "ownerships_begun_total": 4,
			"activations_limit": float64(m.cfg.MaxObjects), "held_limit_bytes": float64(m.cfg.MaxMemoryBytes), "memory_limit_bytes": 1 << 40,
			"requests_under_way_limit": 16384, "connections_limit": 65536, `requests_total{class="Counter",code="2xx"}`: 0, "storage_full": 0,
		})
		if free := before.value(t, "data_disk_free_bytes"); !math.IsNaN(free) {
			t.Errorf("free bytes of a disk that does not tell = %v, want NaN", free)
		}

		post(t, client, m.object("Counter", "a")+"/increment")
		get(t, client, m.object("Counter", "a")+"/get")
		tryCall(t.Context(), client, http.MethodGet, m.object("Nobody", "a"), "")
		tryCall(t.Context(), client, http.MethodGet, m.url+"/elsewhere", "")
		for range 2 {
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, m.object("Counter", "b")+"/increment", http.NoBody)
			request.Header.Set("Idempotency-Key", "k")
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
		dialer := websocket.Dialer{NetDialContext: m.dial()}
		socket, _, err := dialer.DialContext(t.Context(), "ws://node:80/objects/ChatRoom/r", nil)
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			for {
				if _, _, err := socket.ReadMessage(); err != nil {
					return
				}
			}
		}()
		if err := socket.WriteJSON(map[string]string{"type": "chat", "username": "ada", "text": "hi"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		during := scrapeOf(t, client, m.operators)
		during.want(t, "with a socket", map[string]float64{
			`requests_total{class="Counter",code="2xx"}`: 4, `requests_total{class="ChatRoom",code="1xx"}`: 1, `requests_total{class="none",code="4xx"}`: 2,
			`request_duration_seconds_count{class="Counter"}`: 4, `request_errors_total{reason="unknown_class"}`: 1, `request_errors_total{reason="not_found"}`: 1,
			`idempotent_requests_total{outcome="run"}`: 1, `idempotent_requests_total{outcome="replayed"}`: 1,
			"activations": 3, `activations_started_total{class="Counter"}`: 2, `activations_started_total{class="ChatRoom"}`: 1,
			`event_duration_seconds_count{kind="start"}`: 3, `event_wait_seconds_count{kind="message"}`: 1, "events_running": 0, "events_waiting": 0,
			`sockets{class="ChatRoom"}`: 1, `sockets_opened_total{class="ChatRoom"}`: 1, "socket_messages_total": 1, "sockets_parked": 0, "hibernated_objects": 0,
		})
		for _, some := range []string{`broadcasts_total{class="ChatRoom"}`, "socket_frames_total", `frames_total{kind="open"}`, `commit_duration_seconds_count{outcome="committed"}`, `proposal_duration_seconds_count{outcome="committed"}`, "log_sync_duration_seconds_count", "log_written_bytes_total", "batch_bytes_count", "connections", "state_disk_bytes", "log_disk_bytes", "memory_needed_bytes"} {
			if during.value(t, some) == 0 {
				t.Errorf("with a socket: holdfast_%s = 0, want something", some)
			}
		}
		time.Sleep(10 * time.Minute)
		scrapeOf(t, client, m.operators).want(t, "after a while", map[string]float64{
			"activations": 0, "hibernated_objects": 1, `activations_evicted_total{class="ChatRoom",hibernated="true"}`: 1, `activations_evicted_total{class="Counter",hibernated="false"}`: 2,
		})
		socket.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		<-closed
		time.Sleep(10 * time.Minute)
		scrapeOf(t, client, m.operators).want(t, "in the end", map[string]float64{
			`sockets{class="ChatRoom"}`: 0, `sockets_closed_total{code="1000"}`: 1, "hibernated_objects": 0, "requests_under_way": 0,
		})
		client.CloseIdleConnections()
	})
}

// While a node waits for its peers its metrics say so, and little else.
func TestMetricsWhileWaiting(t *testing.T) {
	m := newMachine(t)
	n := &Node{log: m.parts.Log}
	made := newMeters(objects.Classes())
	n.registerEarlyGauges(made, m.parts)
	families, err := made.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if metric := f.GetMetric()[0]; metric.GetGauge() != nil {
			values[f.GetName()] = metric.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{"holdfast_started": 0, "holdfast_ready": 0, "holdfast_build_info": 1, "holdfast_internal_certificate_expiry_timestamp_seconds": math.Inf(1)} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s = %v, %t, want %v", name, got, ok, want)
		}
	}
}

// What is told on every event must cost next to nothing.
func TestEventsDoNotAllocate(t *testing.T) {
	m := newMeters(objects.Classes())
	a, w, c := actorEvents(m), transportEvents(m), clusterEvents(m)
	const some = 3 * time.Millisecond
	for name, tell := range map[string]func(){
		"EventDone":   func() { a.EventDone(actor.EventRequest, some, some) },
		"BatchDone":   func() { a.BatchDone(100, some, nil) },
		"Frames":      func() { a.Frames(actor.FrameMessage) },
		"Broadcast":   func() { a.Broadcast("ChatRoom") },
		"Keyed":       func() { a.Keyed(actor.KeyedRuns) },
		"Activated":   func() { a.Activated("Counter") },
		"Evicted":     func() { a.Evicted("Counter", true) },
		"Refused":     func() { a.Refused(actor.ErrMailboxFull) },
		"Requests":    func() { w.Requests(1) },
		"RequestDone": func() { w.RequestDone("Counter", http.StatusOK, "", some) },
		"refusal":     func() { w.RequestDone("", http.StatusNotFound, "not_found", some) },
		"Forwarded":   func() { w.Forwarded(transport.ForwardAnswered, some) },
		"MessageIn":   func() { w.MessageIn(10) },
		"FramesOut":   func() { w.FramesOut(2, 100) },
		"Answered":    func() { c.Answered(1, 2, 100, some, nil) },
		"LogStored":   func() { c.LogStored(2, 100, some) },
	} {
		if n := testing.AllocsPerRun(1000, tell); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// Every value that an event may bring has a series of its own.
func TestLabelsOfEvents(t *testing.T) {
	in := func(what string, values []string, value string) {
		t.Helper()
		if !slices.Contains(values, value) {
			t.Errorf("%s: %q is not one of %q", what, value, values)
		}
	}
	for _, err := range []error{
		actor.ErrMailboxFull, actor.ErrStuck, actor.ErrNotOwner, actor.ErrOverloaded, actor.ErrStorageFull, actor.ErrClosing, actor.ErrRefused,
		&actor.QuarantineError{}, actor.ErrOutcomeUnknown, errors.New("anything"),
	} {
		in("refusal", refusals(), refusal(err))
		in("commit", commitOutcomes(), commitOutcome(err))
		in("proposal", commitOutcomes(), proposalOutcome(err))
	}
	for _, err := range []error{
		&actor.FaultError{}, actor.ErrHandlerTimeout, actor.ErrAborted, actor.ErrAnswerTooLarge, actor.ErrOutcomeUnknown, &actor.QuarantineError{},
		actor.ErrNotOwner, actor.ErrOverloaded, actor.ErrStorageFull, actor.ErrClosing, actor.ErrRefused, errors.New("anything"),
	} {
		in("end", endCauses(), endCause(err))
	}
	for kind := range actor.FrameKind(20) {
		in("frame", frameNames(), frameName(kind))
	}
	for status := range 1100 {
		in("status", statusClasses(), statusClass(status))
	}
	for code := range 5100 {
		in("close code", closeCodes(), closeCode(code))
	}
	for step := placement.StepAddNonvoter; step <= placement.StepRemove; step++ {
		in("step", stepNames(), step.String())
	}
	for _, err := range []error{cluster.ErrNotOwner, cluster.ErrOverloaded, cluster.ErrStorageFull, cluster.ErrTooLarge} {
		if got := proposalOutcome(fmt.Errorf("x: %w", err)); got != "refused" {
			t.Errorf("proposalOutcome(%v) = %s, want refused", err, got)
		}
	}
	if got := statusClass(204) + statusClass(0) + statusClass(999); got != "2xxcut5xx" {
		t.Errorf("status classes of 204, 0 and 999 are %s", got)
	}
}
