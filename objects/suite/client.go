package suite

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience is how long anything may take before the case fails.
const patience = 30 * time.Second

// tooLarge is the length of a body that no class takes. It is only a little more
// than they take: a client that goes on for long is cut off, and may then miss the answer.
const tooLarge = 2<<20 + 100<<10

// object is an object as a client sees it.
type object struct {
	t      *testing.T
	target Target
	client *http.Client
	path   string // /objects/{class}/{name}
}

func newObject(t *testing.T, target Target, class string) *object {
	t.Helper()
	transport := &http.Transport{DialContext: target.Dial, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &object{
		t: t, target: target, client: &http.Client{Transport: transport},
		path: "/objects/" + class + "/suite-" + rand.Text(),
	}
}

// elapse lets time pass, or skips the case.
func (o *object) elapse(d time.Duration) {
	o.t.Helper()
	if o.target.Elapse == nil {
		o.t.Skip("the target cannot let time pass")
	}
	o.target.Elapse(d)
}

// restart restarts all nodes, or skips the case.
func (o *object) restart() {
	o.t.Helper()
	if o.target.Restart == nil {
		o.t.Skip("the target cannot be restarted")
	}
	o.client.CloseIdleConnections()
	o.target.Restart()
}

// answer is an answer to a call.
type answer struct {
	o           *object
	call        string
	status      int
	contentType string
	body        string
}

// try makes a call, from any goroutine.
func (o *object) try(method, path, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		a, err := o.tryOnce(ctx, method, path, body)
		if err != nil || !o.target.Unsteady || !a.unowned() {
			return a, err
		}
	}
}

func (o *object) tryOnce(ctx context.Context, method, path, body string) (answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, o.target.URL()+o.path+path, reader)
	if err != nil {
		return answer{}, err
	}
	resp, err := o.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{o, method + " " + path + " " + short(body), resp.StatusCode, resp.Header.Get("Content-Type"), string(data)}, err
}

// unowned says whether a call was refused because no node owned the object. The
// nodes do so only after they have looked for an owner themselves, or when the body
// is too long for them to send it to another.
func (a answer) unowned() bool {
	return a.status == http.StatusServiceUnavailable && strings.Contains(a.body, `"not_owner"`)
}

// call makes a call.
func (o *object) call(method, path, body string) answer {
	o.t.Helper()
	a, err := o.try(method, path, body)
	if err != nil {
		o.t.Fatalf("%s %s %s: %v", method, path, short(body), err)
	}
	return a
}

func (o *object) get(path string) answer { o.t.Helper(); return o.call(http.MethodGet, path, "") }

func (o *object) post(path, body string) answer {
	o.t.Helper()
	return o.call(http.MethodPost, path, body)
}

func (o *object) delete(path, body string) answer {
	o.t.Helper()
	return o.call(http.MethodDelete, path, body)
}

// json demands a JSON answer that matches a pattern, and gives what stands at
// the pattern's places.
func (a answer) json(pattern string) []string {
	a.o.t.Helper()
	a.is(http.StatusOK, "application/json")
	return match(a.o.t, a.call, a.body, pattern)
}

// text demands a plain text answer.
func (a answer) text(status int, body string) {
	a.o.t.Helper()
	a.is(status, "text/plain;charset=UTF-8")
	if a.body != body {
		a.o.t.Fatalf("%s = %q, want %q", a.call, short(a.body), body)
	}
}

// failure demands an error of the runtime.
func (a answer) failure(status int, code string) {
	a.o.t.Helper()
	a.is(status, "application/json")
	match(a.o.t, a.call, strings.TrimSuffix(a.body, "\n"), `{"error":{"code":"`+code+`","message":"$text","id":"$hex"}}`)
}

func (a answer) is(status int, contentType string) {
	a.o.t.Helper()
	if a.status != status || a.contentType != contentType {
		a.o.t.Fatalf("%s = %d %s %s, want %d %s", a.call, a.status, a.contentType, short(a.body), status, contentType)
	}
}

// notFound demands that calls are answered as paths that the class does not have.
func (o *object) notFound(calls ...string) {
	o.t.Helper()
	for _, call := range calls {
		method, path, _ := strings.Cut(call, " ")
		o.call(method, path, "").text(http.StatusNotFound, "Not found")
	}
}

// refusesBadJSON demands that a body which is no JSON object is an error of the runtime.
func (o *object) refusesBadJSON(method, path string) {
	o.t.Helper()
	for _, body := range []string{"", "{", `{"a":1}x`, "null", "\xff", `{'a':1}`} {
		o.call(method, path, body).failure(http.StatusBadRequest, "bad_json")
	}
}

// short cuts what stands in a message about a failure.
func short(s string) string {
	if len(s) > 1200 {
		return s[:800] + "…" + s[len(s)-300:]
	}
	return s
}

// repeat makes a JSON string of n characters.
func repeat(n int) string { return `"` + string(bytes.Repeat([]byte("x"), n)) + `"` }
