package suite

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

func coordinationCases() []script {
	return []script{
		{"life of a lock", lockLife},
		{"list of locks", lockList},
		{"keys of locks", lockKeys},
		{"lock requests that are refused", lockRefusals},
		{"locks expire", lockExpiry},
		{"locks after a restart", lockRestart},
		{"queue", queueOrder},
		{"items come back as given", queueItems},
		{"names of queues", queueNames},
		{"queue requests that are refused", queueRefusals},
		{"long queue", queueLong},
		{"queues after a restart", queueRestart},
		{"waiting time", queueWaiting},
	}
}

const acquired = `{"acquired":true,"lockId":"$uuid","expiresAt":$ms}`

func lockLife(o *object) {
	s := o.post("/lock", `{"key":"k","ownerId":"ann"}`).json(acquired)
	o.post("/lock", `{"key":"k","ownerId":"bob","ttl":1000}`).json(`{"acquired":false,"heldBy":"ann","expiresAt":` + s[1] + `}`)
	longer := o.post("/lock", `{"key":"k","ownerId":"ann","ttl":60000}`).json(
		`{"acquired":true,"lockId":"` + s[0] + `","expiresAt":$ms,"extended":true}`)
	if was, is := number(o.t, s[1]), number(o.t, longer[0]); is < was+29_000 {
		o.t.Errorf("extended from %d to %d, want 30 s more", was, is)
	}
	o.delete("/lock/k", `{"ownerId":"bob"}`).text(http.StatusForbidden, "Not lock owner")
	o.delete("/lock/k", `{}`).text(http.StatusForbidden, "Not lock owner")
	o.delete("/lock/k", `{"ownerId":["ann"]}`).text(http.StatusForbidden, "Not lock owner")
	o.delete("/lock/k", `{"ownerId":"ann"}`).json(`{"released":true}`)
	o.delete("/lock/k", `{"ownerId":"ann"}`).text(http.StatusNotFound, "Lock not found")
	again := o.post("/lock", `{"key":"k","ownerId":"bob"}`).json(acquired)
	if again[0] == s[0] {
		o.t.Errorf("a new lock has the id %s of the one before", s[0])
	}
}

func lockList(o *object) {
	o.get("/locks").json(`{"locks":[]}`)
	var entries []string
	for _, key := range []string{"c", "a", "10", "b", "2"} {
		o.post("/lock", `{"key":"`+key+`","ownerId":"ann","ttl":50000}`).json(acquired)
		entries = append(entries, `{"key":"`+key+`","ownerId":"ann","acquiredAt":$ms,"expiresAt":$ms,"remainingTtl":$n}`)
	}
	got := o.get("/locks").json(`{"locks":[` + strings.Join(entries, ",") + `]}`)
	from, to, left := number(o.t, got[0]), number(o.t, got[1]), number(o.t, got[2])
	if to-from != 50_000 || left <= 0 || left > 50_000 {
		o.t.Errorf("a lock for 50 s lasts %d ms and has %d left", to-from, left)
	}
	o.delete("/lock/a", `{"ownerId":"ann"}`).json(`{"released":true}`)
	o.post("/lock", `{"key":"a","ownerId":"ann","ttl":50000}`).json(acquired)
	o.post("/lock", `{"key":"c","ownerId":"ann","ttl":50000}`).json(`{"acquired":true,"lockId":"$uuid","expiresAt":$ms,"extended":true}`)
	moved := append(append([]string{entries[0]}, entries[2:]...), entries[1])
	o.get("/locks").json(`{"locks":[` + strings.Join(moved, ",") + `]}`)
}

func lockKeys(o *object) {
	keys := map[string]string{"a b": "a%20b", "a/b": "a%2Fb", "ü": "%C3%BC", "%": "%25", "..": "..", "x?y": "x%3Fy", "<>&": "%3C%3E&"}
	for key, escaped := range keys {
		o.post("/lock", fmt.Sprintf(`{"key":%q,"ownerId":"<o>"}`, key)).json(acquired)
		o.post("/lock", fmt.Sprintf(`{"key":%q,"ownerId":"\u003co>"}`, key)).json(`{"acquired":true,"lockId":"$uuid","expiresAt":$ms,"extended":true}`)
		o.delete("/lock/"+escaped, `{"ownerId":"<o>"}`).json(`{"released":true}`)
	}
	o.get("/locks").json(`{"locks":[]}`)
	o.post("/lock", `{"key":`+repeat(1900)+`,"ownerId":`+repeat(2<<20-40<<10)+`}`).json(acquired)
	o.post("/lock", `{"key":`+repeat(3000)+`,"ownerId":"ann"}`).text(http.StatusBadRequest, "Key and ownerId required")
	o.delete("/lock/"+strings.Repeat("x", 3000), `{"ownerId":"ann"}`).text(http.StatusNotFound, "Lock not found")
	o.delete("/lock/", `{"ownerId":"ann"}`).text(http.StatusNotFound, "Lock not found")
}

func lockRefusals(o *object) {
	o.refusesBadJSON(http.MethodPost, "/lock")
	o.refusesBadJSON(http.MethodDelete, "/lock/k")
	for _, body := range []string{
		`{}`, `[]`, `7`, `{"key":"k"}`, `{"ownerId":"o"}`, `{"key":"","ownerId":"o"}`, `{"key":"k","ownerId":""}`,
		`{"key":1,"ownerId":"o"}`, `{"key":"k","ownerId":{}}`, `{"key":null,"ownerId":"o"}`, `{"key":"\ud800","ownerId":"o"}`,
		`{"key":"k","ownerId":"o","ttl":null}`, `{"key":"k","ownerId":"o","ttl":0}`, `{"key":"k","ownerId":"o","ttl":-1}`,
		`{"key":"k","ownerId":"o","ttl":"500"}`, `{"key":"k","ownerId":"o","ttl":86400001}`, `{"key":"k","ownerId":"o","ttl":1e400}`,
		`{"key":"k","ownerId":"o","ttl":true}`, `{"key":"k","ownerId":"o","ttl":[5]}`,
	} {
		o.post("/lock", body).text(http.StatusBadRequest, "Key and ownerId required")
	}
	o.get("/locks").json(`{"locks":[]}`)
	o.post("/lock", `{"key":"k","ownerId":"o","ttl":86400000}`).json(acquired)
	o.notFound("GET /", "GET /lock", "GET /lock/k", "POST /locks", "DELETE /lock", "PUT /lock", "POST /lock/k", "DELETE /locks")
}

func lockExpiry(o *object) {
	old := o.post("/lock", `{"key":"short","ownerId":"ann","ttl":5000}`).json(acquired)
	o.post("/lock", `{"key":"long","ownerId":"ann","ttl":3600000}`).json(acquired)
	o.post("/lock", `{"key":"default","ownerId":"ann"}`).json(acquired)
	o.elapse(4 * time.Second)
	o.post("/lock", `{"key":"short","ownerId":"bob"}`).json(`{"acquired":false,"heldBy":"ann","expiresAt":` + old[1] + `}`)
	o.elapse(time.Second)
	o.delete("/lock/short", `{"ownerId":"ann"}`).text(http.StatusNotFound, "Lock not found")
	taken := o.post("/lock", `{"key":"short","ownerId":"bob","ttl":5000}`).json(acquired)
	if taken[0] == old[0] {
		o.t.Errorf("the next owner has the lock id %s of the one before", old[0])
	}
	o.elapse(3 * time.Second)
	o.post("/lock", `{"key":"short","ownerId":"bob","ttl":60000}`).json(`{"acquired":true,"lockId":"` + taken[0] + `","expiresAt":$ms,"extended":true}`)
	o.elapse(30 * time.Second)
	entry := func(key, owner string) string {
		return `{"key":"` + key + `","ownerId":"` + owner + `","acquiredAt":$ms,"expiresAt":$ms,"remainingTtl":$n}`
	}
	o.get("/locks").json(`{"locks":[` + entry("long", "ann") + `,` + entry("short", "bob") + `]}`)
	o.elapse(time.Minute)
	o.get("/locks").json(`{"locks":[` + entry("long", "ann") + `]}`)
	o.elapse(time.Hour)
	o.get("/locks").json(`{"locks":[]}`)
}

func lockRestart(o *object) {
	s := o.post("/lock", `{"key":"k","ownerId":"ann","ttl":3600000}`).json(acquired)
	o.restart()
	o.post("/lock", `{"key":"k","ownerId":"bob"}`).json(`{"acquired":false,"heldBy":"ann","expiresAt":` + s[1] + `}`)
	o.delete("/lock/k", `{"ownerId":"ann"}`).json(`{"released":true}`)
}

// enqueue queues an item and demands its place.
func (o *object) enqueue(queue, item, priority string, position, length int) string {
	o.t.Helper()
	body := fmt.Sprintf(`{"queueName":%q,"item":%s}`, queue, item)
	if priority != "" {
		body = fmt.Sprintf(`{"queueName":%q,"item":%s,"priority":%s}`, queue, item, priority)
	}
	return o.post("/queue", body).json(fmt.Sprintf(`{"itemId":"$uuid","position":%d,"queueLength":%d}`, position, length))[0]
}

// dequeue takes an item and demands which it is.
func (o *object) dequeue(path, item string, remaining int) (id, waited string) {
	o.t.Helper()
	s := o.get("/queue/" + path).json(fmt.Sprintf(`{"item":%s,"itemId":"$uuid","waitTime":$n,"remainingItems":%d}`, item, remaining))
	return s[0], s[1]
}

const emptyQueue = `{"item":null,"empty":true}`

func queueOrder(o *object) {
	o.get("/queue/q").json(emptyQueue)
	id := o.enqueue("q", `"a"`, "", 0, 1)
	o.enqueue("q", `"b"`, "0", 1, 2)
	o.enqueue("q", `"urgent"`, "5", 0, 3)
	o.enqueue("q", `"late"`, "-1.5", 3, 4)
	o.enqueue("q", `"urgent too"`, "5.0", 1, 5)
	o.enqueue("q", `"c"`, "-0", 4, 6)
	o.enqueue("q", `"half"`, "0.5", 2, 7)
	o.enqueue("q", `"most"`, "1e300", 0, 8)
	o.enqueue("q", `"least"`, "-1e300", 8, 9)
	o.enqueue("other", `"x"`, "9", 0, 1)
	for i, item := range []string{`"most"`, `"urgent"`, `"urgent too"`, `"half"`} {
		o.dequeue("q", item, 8-i)
	}
	if got, _ := o.dequeue("q", `"a"`, 4); got != id {
		o.t.Errorf("itemId of a = %s, want %s", got, id)
	}
	o.enqueue("q", `"new"`, "", 2, 5)
	for i, item := range []string{`"b"`, `"c"`, `"new"`, `"late"`, `"least"`} {
		o.dequeue("q", item, 4-i)
	}
	o.get("/queue/q").json(emptyQueue)
	o.dequeue("other", `"x"`, 0)
}

func queueItems(o *object) {
	items := []string{`null`, `0`, `false`, `""`, `{}`, `[]`, `{"b":1.50,"a":12345678901234567890}`, `"<\u0041\ud800>"`, `-0`}
	for i, item := range items {
		o.enqueue("q", item, "", i, i+1)
	}
	for i, item := range items {
		o.dequeue("q", item, len(items)-1-i)
	}
}

func queueNames(o *object) {
	names := map[string]string{"a": "a", "a/b": "a%2Fb", "a b": "a%20b", "ü": "%C3%BC", "%": "%25", "..": ".."}
	for name := range names {
		o.enqueue(name, fmt.Sprintf("%q", name), "", 0, 1)
	}
	for name, escaped := range names {
		o.dequeue(escaped, fmt.Sprintf("%q", name), 0)
		o.get("/queue/" + escaped).json(emptyQueue)
	}
	o.get("/queue/").json(emptyQueue)
	o.post("/queue", `{"queueName":`+repeat(3000)+`,"item":1}`).text(http.StatusBadRequest, "Queue name and item required")
	o.get("/queue/" + strings.Repeat("x", 3000)).json(emptyQueue)
}

func queueRefusals(o *object) {
	o.refusesBadJSON(http.MethodPost, "/queue")
	for _, body := range []string{
		`{}`, `[]`, `{"queueName":"q"}`, `{"item":1}`, `{"queueName":"","item":1}`, `{"queueName":1,"item":1}`, `{"queueName":null,"item":1}`,
		`{"queueName":"q","item":1,"priority":null}`, `{"queueName":"q","item":1,"priority":"1"}`, `{"queueName":"q","item":1,"priority":1e400}`,
		`{"queueName":"q","item":1,"priority":{}}`,
	} {
		o.post("/queue", body).text(http.StatusBadRequest, "Queue name and item required")
	}
	o.get("/queue/q").json(emptyQueue)
	o.notFound("GET /queue", "DELETE /queue/q", "POST /queue/q", "GET /queues/q")
}

func queueLong(o *object) {
	const items = 60
	for i := range items {
		ahead := 0
		for j := range i {
			if j%3 >= i%3 {
				ahead++
			}
		}
		o.enqueue("q", fmt.Sprint(i), fmt.Sprint(i%3), ahead, i+1)
	}
	for i := range items {
		o.dequeue("q", fmt.Sprint(i%(items/3)*3+2-i/(items/3)), items-1-i)
	}
	o.get("/queue/q").json(emptyQueue)
}

func queueRestart(o *object) {
	o.enqueue("q", `"a"`, "", 0, 1)
	o.enqueue("q", `"b"`, "2", 0, 2)
	o.restart()
	o.enqueue("q", `"c"`, "", 2, 3)
	o.dequeue("q", `"b"`, 2)
	o.dequeue("q", `"a"`, 1)
	o.restart()
	o.dequeue("q", `"c"`, 0)
	o.get("/queue/q").json(emptyQueue)
}

func queueWaiting(o *object) {
	o.enqueue("q", `"a"`, "", 0, 1)
	o.elapse(90 * time.Minute)
	_, waited := o.dequeue("q", `"a"`, 0)
	if ms := number(o.t, waited); ms < 5_400_000 || ms > 5_460_000 {
		o.t.Errorf("waitTime = %d, want 90 minutes", ms)
	}
}
