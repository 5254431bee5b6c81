package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// keyedLoad is a load of calls with an Idempotency-Key, whose clients send each
// call again, at another node, until it has an answer.
type keyedLoad struct {
	client *http.Client
	urls   atomic.Pointer[[]string] // of nodes that are up, as far as is known

	mu      sync.Mutex // guards the following fields
	numbers map[keyedCall]int64
	retries int
}

// keyedCall is an increment of a counter under a key.
type keyedCall struct {
	counter, key string
}

func newKeyedLoad(t *testing.T, urls ...string) *keyedLoad {
	t.Helper()
	l := &keyedLoad{client: newClient(t, nil), numbers: make(map[keyedCall]int64)}
	l.urls.Store(&urls)
	return l
}

// run has every counter incremented by many clients, and calls half, once, when
// half of the calls are through.
func (l *keyedLoad) run(t *testing.T, counters, calls int, half func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var clients sync.WaitGroup
	for i := range calls {
		clients.Go(func() {
			for c := range counters {
				l.call(ctx, t, keyedCall{fmt.Sprintf("c%d", c), fmt.Sprintf("key-%d", i)}, i+c)
			}
		})
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for done := 0; done < counters*calls/2 && ctx.Err() == nil; {
		<-look.C
		l.mu.Lock()
		done = len(l.numbers)
		l.mu.Unlock()
	}
	half()
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// call sends a call until it has an answer, and notes the number that it got.
func (l *keyedLoad) call(ctx context.Context, t *testing.T, c keyedCall, first int) {
	t.Helper()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for try := first; ; try++ {
		urls := *l.urls.Load()
		number, _, err := l.send(ctx, urls[try%len(urls)], c)
		l.mu.Lock()
		if err == nil {
			l.numbers[c] = number
			l.mu.Unlock()
			return
		}
		l.retries++
		l.mu.Unlock()
		if status, ok := errors.AsType[*statusError](err); ok && status.status < 500 && !strings.Contains(status.body, "idempotency_in_progress") {
			t.Errorf("%+v: %v", c, err)
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Errorf("%+v has no answer when a minute is over: %v", c, err)
			return
		}
	}
}

func (l *keyedLoad) send(ctx context.Context, url string, c keyedCall) (number int64, replayed bool, err error) {
	status, header, body, err := sendKeyed(ctx, l.client, url+"/objects/Counter/"+c.counter+"/increment", c.key, "")
	if err != nil {
		return 0, false, err
	}
	if status != http.StatusOK {
		return 0, false, &statusError{method: http.MethodPost, url: url, status: status, body: body}
	}
	var answer struct{ Value int64 }
	err = json.Unmarshal([]byte(body), &answer)
	return answer.Value, header.Get("Idempotency-Replayed") == "true", err
}

func sendKeyed(ctx context.Context, client *http.Client, url, key, body string) (status int, header http.Header, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	r.Header.Set("Idempotency-Key", key)
	r.GetBody = nil // the client's library sends nothing again by itself
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(data), err
}

// check demands that every call took effect once, and that each of its clients
// would get the same answer again, from every node.
func (l *keyedLoad) check(t *testing.T, counters, calls int) {
	t.Helper()
	for c := range counters {
		var got []int64
		for i := range calls {
			call := keyedCall{fmt.Sprintf("c%d", c), fmt.Sprintf("key-%d", i)}
			got = append(got, l.numbers[call])
			urls := *l.urls.Load()
			again, replayed, err := l.send(t.Context(), urls[i%len(urls)], call)
			if err != nil || again != l.numbers[call] || !replayed {
				t.Errorf("%+v again = %d, replayed %t, %v, want %d", call, again, replayed, err, l.numbers[call])
			}
		}
		slices.Sort(got)
		for i, number := range got {
			if number != int64(i+1) {
				t.Fatalf("counter %d gave the numbers %v, want 1 to %d", c, got, calls)
			}
		}
	}
	t.Logf("%d calls, %d of them sent again", counters*calls, l.retries)
}

// The real binary is killed under clients who repeat what they got no answer to.
func TestKeysOutliveAKill(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	l := newKeyedLoad(t, p.clients)
	l.run(t, 8, 40, func() {
		p.kill(t)
		p = startProcess(t, dir)
		l.urls.Store(&[]string{p.clients})
	})
	l.check(t, 8, 40)
	codes(t, l.client, p.clients)
	if code := p.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code after SIGTERM = %d, want 0\n%s", code, p.stderr)
	}
}

// A node of three is killed: clients repeat at the others what they got no answer
// to, and the next owners know the answers of the last.
func TestKeysOutliveAnOwner(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	t.Parallel()
	c := startProcesses(t, 3, "--shards", "8")
	l := newKeyedLoad(t, c.url(0), c.url(1), c.url(2))
	awaitSettled(t, l.client, c.nodes[1], 3) // a shard outlives no node before it has its replicas
	l.run(t, 16, 20, func() {
		c.nodes[0].kill(t)
		l.urls.Store(&[]string{c.url(1), c.url(2)})
	})
	l.check(t, 16, 20)
	codes(t, l.client, c.url(1))
	codes(t, l.client, c.url(2))
}

// codes checks what a client is told at the door, and by an owner that may be
// another node.
func codes(t *testing.T, client *http.Client, url string) {
	t.Helper()
	for i := range 8 { // in several shards, so that some are another node's
		object := fmt.Sprintf("%s/objects/ChatRoom/codes-%d/messages", url, i)
		for _, c := range []struct {
			key, body string
			status    int
			code      string
		}{
			{"first", `{"username":"ada","text":"hello"}`, 200, `{"success":true}`},
			{`"first"`, `{"username":"ada","text":"hello"}`, 200, `{"success":true}`},
			{"first", `{"username":"ada","text":"goodbye"}`, 422, "idempotency_key_reused"},
			{"a, b", "{}", 400, "bad_idempotency_key"},
			{"long", strings.Repeat("x", 1<<20+1), 413, "body_too_large"},
		} {
			status, _, body, err := sendKeyed(t.Context(), client, object, c.key, c.body)
			if err != nil || status != c.status || !strings.Contains(body, c.code) {
				t.Errorf("%s with the key %s = %d %s, %v, want %d %s", object, c.key, status, body, err, c.status, c.code)
			}
		}
	}
	history, err := tryCall(t.Context(), client, http.MethodGet, url+"/objects/ChatRoom/codes-0/messages", "")
	if n := strings.Count(string(history), `"hello"`); err != nil || n != 1 {
		t.Errorf("the room has the message %d times, %v, want once: %s", n, err, history)
	}
}
