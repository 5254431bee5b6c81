package objects_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"github.com/gorilla/websocket"

	"github.com/holdfast-dev/holdfast/objects"
)

// editingClient shows its user's edits at once and sends them one by one, each
// when the one before is acknowledged.
type editingClient struct {
	conn     *websocket.Conn
	messages chan []byte
	random   *rand.Rand

	text    []uint16
	version int
	pending []objects.Edit // own edits that are not acknowledged; the first is on its way
}

// wireOperation is an operation as clients send and get it.
type wireOperation struct {
	Type     string     `json:"type"`
	Position int        `json:"position"`
	Length   int        `json:"length"`
	Content  string     `json:"content"`
	Version  int        `json:"version"`
	Parts    []wirePart `json:"parts,omitempty"`
}

type wirePart struct {
	Position int    `json:"position"`
	Length   int    `json:"length"`
	Content  string `json:"content"`
}

func (op wireOperation) edit() objects.Edit {
	parts := op.Parts
	if parts == nil {
		parts = []wirePart{{op.Position, op.Length, op.Content}}
	}
	var e objects.Edit
	for _, p := range parts {
		e = append(e, objects.Splice{At: p.Position, Delete: p.Length, Insert: utf16.Encode([]rune(p.Content))})
	}
	return e
}

type serverMessage struct {
	Type      string        `json:"type"`
	Version   int           `json:"version"`
	Operation wireOperation `json:"operation"`
	Document  struct {
		Content string `json:"content"`
		Version int    `json:"version"`
	} `json:"document"`
}

func newEditingClient(t *testing.T, d *door, seed uint64) *editingClient {
	t.Helper()
	dialer := websocket.Dialer{NetDialContext: d.dial}
	conn, resp, err := dialer.DialContext(t.Context(), "ws://door/objects/DocumentEditor/page/", nil)
	if err != nil {
		t.Fatalf("open a socket: %v, %v", err, resp)
	}
	c := &editingClient{conn: conn, messages: make(chan []byte, 4096), random: rand.New(rand.NewPCG(seed, 1))}
	d.wg.Go(func() {
		defer close(c.messages)
		for {
			_, data, err := conn.ReadMessage()
			if err != nil {
				return
			}
			c.messages <- data
		}
	})
	t.Cleanup(func() { _ = conn.Close() })
	return c
}

// hear takes a message of the server.
func (c *editingClient) hear(data []byte) error {
	var m serverMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	switch m.Type {
	case "document_state":
		c.text, c.version = utf16.Encode([]rune(m.Document.Content)), m.Document.Version
		return nil
	case "collaborators":
		return nil
	case "ack", "operation":
	default:
		return fmt.Errorf("message %s", data)
	}
	if m.Version != c.version+1 {
		return fmt.Errorf("version %d came after %d", m.Version, c.version)
	}
	c.version = m.Version
	if m.Type == "ack" {
		if c.pending = c.pending[1:]; len(c.pending) > 0 {
			c.pending = slices.Concat(c.pending[0].Steps(), c.pending[1:])
			return c.send()
		}
		return nil
	}
	incoming := m.Operation.edit()
	for i, own := range c.pending {
		incoming, c.pending[i] = objects.Transform(incoming, own)
	}
	c.text = incoming.Apply(c.text)
	return nil
}

// send sends the first of the pending edits.
func (c *editingClient) send() error {
	s := c.pending[0][0]
	content := string(utf16.Decode(s.Insert))
	operation := map[string]any{"version": c.version, "position": s.At}
	switch {
	case s.Delete == 0:
		operation["type"], operation["content"] = "insert", content
	case content == "":
		operation["type"], operation["length"] = "delete", s.Delete
	default:
		operation["type"], operation["length"], operation["content"] = "replace", s.Delete, content
	}
	return c.conn.WriteJSON(map[string]any{"type": "operation", "id": c.version, "operation": operation})
}

// edit changes the text as a user does.
func (c *editingClient) edit(content string) error {
	boundary := func(limit int) int { // a place that is not inside a surrogate pair
		at := c.random.IntN(limit + 1)
		if at > 0 && at < len(c.text) && utf16.DecodeRune(rune(c.text[at-1]), rune(c.text[at])) != '\uFFFD' {
			at--
		}
		return at
	}
	at, end := boundary(len(c.text)), boundary(len(c.text))
	at, end = min(at, end), max(at, end)
	if end > at+8 || c.random.IntN(3) == 0 {
		end = at
	} else if c.random.IntN(2) == 0 {
		content = ""
	}
	e := objects.Edit{{At: at, Delete: end - at, Insert: utf16.Encode([]rune(content))}}
	c.text = e.Apply(c.text)
	if c.pending = append(c.pending, e); len(c.pending) == 1 {
		return c.send()
	}
	return nil
}

// work edits and hears until all own edits are acknowledged.
func (c *editingClient) work(name rune, edits int) error {
	typing := time.NewTimer(0)
	defer typing.Stop()
	for edits > 0 || len(c.pending) > 0 {
		var err error
		select {
		case data := <-c.messages:
			err = c.hear(data)
		case <-typing.C:
			err = c.edit(fmt.Sprintf("%c😀", name))
			if edits--; edits > 0 {
				typing.Reset(rand.N(10 * time.Millisecond))
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// catchUp hears until the client has a version.
func (c *editingClient) catchUp(version int) error {
	for c.version < version {
		if err := c.hear(<-c.messages); err != nil {
			return err
		}
	}
	return nil
}

// TestEditorsConvergeOverSockets lets clients that show their own edits at once
// type into one document, through the real class.
func TestEditorsConvergeOverSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		clients := make([]*editingClient, 4)
		errs := make([]error, len(clients))
		var wg sync.WaitGroup
		for i := range clients {
			clients[i] = newEditingClient(t, d, uint64(i))
			if err := clients[i].hear(<-clients[i].messages); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range clients {
			wg.Go(func() { errs[i] = c.work(rune('a'+i), 60) })
		}
		wg.Wait()

		client := http.Client{Transport: &http.Transport{DialContext: d.dial, DisableKeepAlives: true}}
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://door/objects/DocumentEditor/page/document", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var document struct {
			Content string
			Version int
		}
		if err := json.Unmarshal(data, &document); err != nil {
			t.Fatal(err)
		}
		for i, c := range clients {
			if errs[i] == nil {
				errs[i] = c.catchUp(document.Version)
			}
			if got := string(utf16.Decode(c.text)); errs[i] != nil || got != document.Content {
				t.Errorf("client %d: %v, has %q, the document is %q", i, errs[i], got, document.Content)
			}
		}
		if document.Version < 60*len(clients) {
			t.Errorf("version = %d, want at least one for each edit", document.Version)
		}
	})
}
