package objects_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/actor/actortest"
	"github.com/holdfast-dev/holdfast/objects"
)

// ledger notes what is written.
type ledger struct {
	node   *actortest.Node
	random *regexp.Regexp // what differs from run to run in keys

	mu     sync.Mutex // guards writes
	writes []string
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{
		node:   actortest.New(t, actor.Config{Classes: objects.Classes()}),
		random: regexp.MustCompile(`/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|/\d{15}\b`),
	}
	l.node.Committer.SetFate(func(c *actortest.Commit) actortest.Fate {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, w := range c.Batch.Writes {
			sign := "+"
			if w.Delete {
				sign = "-"
			}
			l.writes = append(l.writes, sign+l.random.ReplaceAllString(w.Key, "/*"))
		}
		switch c.Batch.Alarm.Op {
		case actor.AlarmSet:
			l.writes = append(l.writes, "+alarm")
		case actor.AlarmDelete:
			l.writes = append(l.writes, "-alarm")
		case actor.AlarmKeep:
		}
		return actortest.Apply
	})
	return l
}

// take gives what was written since the last call.
func (l *ledger) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	writes := l.writes
	l.writes = nil
	slices.Sort(writes)
	return strings.Join(writes, " ")
}

// TestWhatIsWritten pins down which keys each call writes: that a class does
// not write more than what changed, and that a refused call writes nothing.
func TestWhatIsWritten(t *testing.T) {
	const number, next = "0000000000000001", "0000000000000002"
	tests := []struct{ class, method, path, body, writes string }{
		{"Counter", "GET", "/get", "", ""},
		{"Counter", "POST", "/increment", "", "+value"},
		{"UserSession", "POST", "/session", `{`, ""},
		{"UserSession", "POST", "/session", `{"userId":"u"}`, "+active/* +alarm +due/*/* +session/*"},
		{"UserSession", "POST", "/session", `{"userId":"u"}`, "+active/* +due/*/* +session/*"},
		{"UserSession", "GET", "/session/$id", "", "+active/*"},
		{"UserSession", "DELETE", "/session/$id", "", "-active/* -due/*/* -session/*"},
		{"ChatRoom", "GET", "/messages", "", ""},
		{"ChatRoom", "POST", "/messages", `{"username":"a"}`, ""},
		{"ChatRoom", "POST", "/messages", `{"username":"a","text":"b"}`, "+alarm +message/" + number},
		{"ChatRoom", "POST", "/messages", `{"username":"a","text":"b"}`, "+message/" + next},
		{"DocumentEditor", "GET", "/document", "", ""},
		{"DocumentEditor", "POST", "/operations", `{"type":"delete","position":0,"length":1,"version":0}`, ""},
		{"DocumentEditor", "POST", "/operations", `{"type":"insert","position":0,"content":"x","version":0}`, "+operation/" + number},
		{"GameSession", "GET", "/state", "", ""},
		{"GameSession", "POST", "/reset", "", "+gameState"},
		{"CoordinationService", "POST", "/lock", `{"key":"k","ownerId":"o","ttl":0}`, ""},
		{"CoordinationService", "POST", "/lock", `{"key":"k","ownerId":"o","ttl":5}`, "+alarm +due/*/k +lock/k +number"},
		{"CoordinationService", "POST", "/lock", `{"key":"k","ownerId":"p"}`, ""},
		{"CoordinationService", "POST", "/lock", `{"key":"k","ownerId":"o","ttl":9}`, "+alarm +due/*/k +lock/k -due/*/k"},
		{"CoordinationService", "DELETE", "/lock/k", `{"ownerId":"p"}`, ""},
		{"CoordinationService", "DELETE", "/lock/k", `{"ownerId":"o"}`, "-alarm -due/*/k -lock/k"},
		{"CoordinationService", "POST", "/queue", `{"queueName":"q/r","item":1}`, "+count/q%2Fr/7fffffffffffffff +item/q%2Fr/7fffffffffffffff/" + next + " +number"},
		{"CoordinationService", "GET", "/queue/q%2Fr", "", "-count/q%2Fr/7fffffffffffffff -item/q%2Fr/7fffffffffffffff/" + next},
		{"CoordinationService", "GET", "/queue/q", "", ""},
		{"EventStore", "GET", "/events", "", ""},
		{"EventStore", "POST", "/events", `{"eventType":"OrderCompleted"}`, ""},
		{"EventStore", "POST", "/events", `{"eventType":"OrderCompleted","data":{"total":1}}`, "+event/" + number},
		{"EventStore", "POST", "/snapshot", `{"projectionName":"activity_log"}`, "+row/activity_log/" + number + " +snapshot/activity_log"},
		{"EventStore", "POST", "/snapshot", `{"projectionName":"user_summary"}`, "+snapshot/user_summary"},
		{"EventStore", "GET", "/projection/user_summary", "", ""},
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		id := ""
		for _, test := range tests {
			target := l.node.Target(test.class, "a")
			resp, err := l.node.Call(target, test.method, strings.Replace(test.path, "$id", id, 1), test.body)
			if err != nil {
				t.Fatalf("%s %s: %v", test.method, test.path, err)
			}
			var answer [60]byte
			n, _ := resp.Body.Read(answer[:])
			if found := regexp.MustCompile(`^\{"id":"([^"]+)"`).FindSubmatch(answer[:n]); found != nil {
				id = string(found[1])
			}
			synctest.Wait()
			if got := l.take(); got != test.writes {
				t.Errorf("%s %s %s %s writes %q, want %q", test.class, test.method, test.path, test.body, got, test.writes)
			}
		}
	})
}

// TestAlarmsEnd checks that an object with nothing left to wait for has no alarm,
// and that one which holds nothing leaves no trace.
func TestAlarmsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		const day = 24 * time.Hour
		tests := []struct {
			class, path, body string
			life              time.Duration
			rest              bool // something else remains
		}{
			{"UserSession", "/session", `{}`, day, false},
			{"CoordinationService", "/lock", `{"key":"k","ownerId":"o"}`, 30 * time.Second, true},
			{"ChatRoom", "/messages", `{"username":"a","text":"b"}`, 7 * day, false},
		}
		for _, test := range tests {
			target := l.node.Target(test.class, "ends")
			l.node.Must(target, "POST", test.path, test.body)
			record, ok, err := l.node.Store().Alarm(target.ID)
			if want := time.Now().Add(test.life).UnixMilli(); err != nil || !ok || record.Due != want {
				t.Errorf("%s: Alarm() = %+v, %v, %v, want one at %d", test.class, record, ok, err, want)
			}
			time.Sleep(test.life + time.Millisecond)
			synctest.Wait()
			if record, ok, err := l.node.Store().Alarm(target.ID); err != nil || ok {
				t.Errorf("%s: Alarm() after all has expired = %+v, %v, %v, want none", test.class, record, ok, err)
			}
			if empty, err := l.node.Store().Empty(target.ID); err != nil || empty == test.rest {
				t.Errorf("%s: Empty() after all has expired = %v, %v, want %v", test.class, empty, err, !test.rest)
			}
		}
	})
}

// TestManyExpireAtOnce checks that an alarm goes on where one run ended.
func TestManyExpireAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t)
		target := l.node.Target("CoordinationService", "many")
		const locks = 250
		for i := range locks {
			l.node.Must(target, "POST", "/lock", fmt.Sprintf(`{"key":"%d","ownerId":"o","ttl":1000}`, i))
		}
		l.take()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := strings.Count(l.take(), "-lock/"); got != locks {
			t.Errorf("%d locks were deleted after they had expired, want %d", got, locks)
		}
		if got, want := l.node.Must(target, "GET", "/locks", ""), `{"locks":[]}`; got != want {
			t.Errorf("GET /locks = %s, want %s", got, want)
		}
	})
}
