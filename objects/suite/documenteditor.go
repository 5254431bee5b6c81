package suite

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
)

func documentEditorCases() []script {
	return []script{
		{"operations over HTTP", documentHTTP},
		{"sockets", documentSockets},
		{"collaborators", documentCollaborators},
		{"acknowledgement", documentAck},
		{"operations made at the same time", documentConcurrent},
		{"an operation around what others wrote", documentParts},
		{"UTF-16", documentUTF16},
		{"operations that are refused", documentRefusals},
		{"operations that are too old", documentTooOld},
		{"all clients converge", documentConverge},
		{"size", documentSize},
		{"restart", documentRestart},
		{"hibernation", documentHibernation},
	}
}

func insertOp(position int, content string, version int) string {
	return fmt.Sprintf(`{"type":"insert","position":%d,"content":%q,"version":%d}`, position, content, version)
}

func deleteOp(position, length, version int) string {
	return fmt.Sprintf(`{"type":"delete","position":%d,"length":%d,"version":%d}`, position, length, version)
}

func replaceOp(position, length int, content string, version int) string {
	return fmt.Sprintf(`{"type":"replace","position":%d,"length":%d,"content":%q,"version":%d}`, position, length, content, version)
}

// document demands text and version.
func (o *object) document(content string, version int) {
	o.t.Helper()
	o.get("/document").json(fmt.Sprintf(`{"content":%q,"version":%d}`, content, version))
}

// operate posts an operation and demands what was applied.
func (o *object) operate(operation, applied string, version int) {
	o.t.Helper()
	o.post("/operations", operation).json(fmt.Sprintf(`{"operation":%s,"version":%d}`, applied, version))
}

const caret = `"cursor":{"line":0,"column":0},"selection":null`

// enter opens a socket and demands what a new collaborator gets; others are the
// members of the list for those who were there before.
func (o *object) enter(content string, version int, others ...string) (*socket, string) {
	o.t.Helper()
	s := o.dial()
	id := s.gets(fmt.Sprintf(`{"type":"document_state","document":{"content":%q,"version":%d},"collaboratorId":"$uuid"}`, content, version))[0]
	s.gets(present(append(others, member(id, caret))...))
	return s, id
}

func member(id, rest string) string {
	if rest == "" {
		return fmt.Sprintf(`{"id":%q}`, id)
	}
	return fmt.Sprintf(`{"id":%q,%s}`, id, rest)
}

func present(members ...string) string {
	return `{"type":"collaborators","collaborators":[` + strings.Join(members, ",") + `]}`
}

func told(operation string, version int) string {
	return fmt.Sprintf(`{"type":"operation","operation":%s,"version":%d}`, operation, version)
}

func send(operation string) string { return `{"type":"operation","operation":` + operation + `}` }

func documentHTTP(o *object) {
	o.document("", 0)
	o.operate(insertOp(0, "hello <world>", 0), insertOp(0, "hello <world>", 0), 1)
	o.operate(replaceOp(0, 5, "bye", 1), replaceOp(0, 5, "bye", 1), 2)
	o.operate(deleteOp(3, 8, 2), deleteOp(3, 8, 2), 3)
	o.document("bye", 3)
	o.operate(insertOp(0, "X", 0), insertOp(3, "X", 0), 4)
	o.document("byeX", 4)
	o.notFound("GET /", "POST /document", "GET /operations", "PUT /operations", "GET /document/")
}

func documentSockets(o *object) {
	ann, a := o.enter("", 0)
	bob, b := o.enter("", 0, member(a, caret))
	ann.gets(present(member(a, caret), member(b, caret)))
	ann.send(send(insertOp(0, "hi", 0)))
	bob.gets(told(insertOp(0, "hi", 0), 1))
	bob.send(send(`{"version":1,"by":"bob", "content":"!","position":2,"type":"insert","n":1.0}`))
	ann.gets(told(`{"version":1,"by":"bob","content":"!","position":2,"type":"insert","n":1.0}`, 2))
	ann.idle()
	bob.idle()
	o.operate(deleteOp(0, 1, 2), deleteOp(0, 1, 2), 3)
	ann.gets(told(deleteOp(0, 1, 2), 3))
	bob.gets(told(deleteOp(0, 1, 2), 3))
	o.document("i!", 3)
}

func documentCollaborators(o *object) {
	ann, a := o.enter("", 0)
	bob, b := o.enter("", 0, member(a, caret))
	ann.gets(present(member(a, caret), member(b, caret)))
	ann.send(`{"type":"cursor","cursor":{"line":3,"column":1.0},"selection":[1,2]}`)
	moved := `"cursor":{"line":3,"column":1.0},"selection":[1,2]`
	bob.gets(`{"type":"cursor_update","collaboratorId":"` + a + `",` + moved + `}`)
	bob.send(`{"type":"cursor"}`)
	ann.gets(`{"type":"cursor_update","collaboratorId":"` + b + `"}`)
	ann.refuses("Invalid message format", `{"type":"cursor","cursor":`+repeat(20_000)+`}`)
	bob.idle()

	eve, e := o.enter("", 0, member(a, moved), member(b, ""))
	for _, s := range []*socket{ann, bob} {
		s.gets(present(member(a, moved), member(b, ""), member(e, caret)))
	}
	bob.close()
	ann.gets(present(member(a, moved), member(e, caret)))
	eve.gets(present(member(a, moved), member(e, caret)))
	ann.drop()
	eve.gets(present(member(e, caret)))
	eve.refusesNonsense()
}

func documentAck(o *object) {
	ann, _ := o.enter("", 0)
	ann.send(`{"type":"operation","id":"x<1>","operation":` + insertOp(0, "abc", 0) + `}`)
	ann.gets(`{"type":"ack","id":"x<1>","version":1,"operation":` + insertOp(0, "abc", 0) + `}`)
	o.operate(insertOp(0, "__", 1), insertOp(0, "__", 1), 2)
	ann.gets(told(insertOp(0, "__", 1), 2))
	ann.send(`{"operation":` + deleteOp(1, 1, 1) + `,"id":7.0,"type":"operation"}`)
	ann.gets(`{"type":"ack","id":7.0,"version":3,"operation":` + deleteOp(3, 1, 1) + `}`)
	o.document("__ac", 3)
}

func documentConcurrent(o *object) {
	tests := []struct {
		text, earlier, later, applied, want string // operations of version %d
	}{
		{"ab", insertOp(1, "X", -1), insertOp(1, "Y", -1), insertOp(2, "Y", -1), "aXYb"},
		{"abc", insertOp(0, "X", -1), deleteOp(1, 1, -1), deleteOp(2, 1, -1), "Xac"},
		{"abc", insertOp(1, "X", -1), deleteOp(1, 1, -1), deleteOp(2, 1, -1), "aXc"},
		{"abcd", deleteOp(0, 2, -1), insertOp(3, "X", -1), insertOp(1, "X", -1), "cXd"},
		{"abcd", deleteOp(0, 3, -1), insertOp(1, "X", -1), insertOp(0, "X", -1), "Xd"},
		{"abcdef", deleteOp(1, 3, -1), deleteOp(2, 3, -1), deleteOp(1, 1, -1), "af"},
		{"abc", deleteOp(1, 1, -1), deleteOp(1, 1, -1), deleteOp(1, 0, -1), "ac"},
		{"abc", replaceOp(1, 1, "X", -1), replaceOp(1, 1, "Y", -1), replaceOp(2, 0, "Y", -1), "aXYc"},
		{"abcd", insertOp(1, "X", -1), replaceOp(1, 2, "Y", -1), replaceOp(2, 2, "Y", -1), "aXYd"},
		{"abcd", replaceOp(0, 2, "XYZ", -1), deleteOp(1, 2, -1), deleteOp(3, 1, -1), "XYZd"},
		{"abcd", replaceOp(1, 2, "X", -1), insertOp(2, "Y", -1), insertOp(2, "Y", -1), "aXYd"},
	}
	version, length := 0, 0
	at := func(operation string) string { return strings.Replace(operation, "-1", fmt.Sprint(version), 1) }
	for _, test := range tests {
		start := replaceOp(0, length, test.text, version)
		o.operate(start, start, version+1)
		version++
		o.operate(at(test.earlier), at(test.earlier), version+1)
		o.operate(at(test.later), at(test.applied), version+2)
		version += 2
		o.document(test.want, version)
		length = len(test.want)
	}
}

func documentParts(o *object) {
	o.operate(insertOp(0, "abcdef", 0), insertOp(0, "abcdef", 0), 1)
	o.operate(insertOp(3, "XY", 1), insertOp(3, "XY", 1), 2)
	o.operate(deleteOp(1, 4, 1), `{"type":"replace","position":1,"length":6,"version":1,"content":"XY",`+
		`"parts":[{"position":1,"length":2,"content":""},{"position":5,"length":2,"content":""}]}`, 3)
	o.document("aXYf", 3)
	// Another that was made at version 1 sees what is left.
	o.operate(replaceOp(2, 4, "Z", 1), `{"type":"replace","position":1,"length":3,"content":"ZXY","version":1,`+
		`"parts":[{"position":1,"length":0,"content":"Z"},{"position":3,"length":1,"content":""}]}`, 4)
	o.document("aZXY", 4)
}

func documentUTF16(o *object) {
	o.operate(insertOp(0, "a😀b", 0), insertOp(0, "a😀b", 0), 1)
	o.operate(insertOp(3, "é", 1), insertOp(3, "é", 1), 2)
	for _, bad := range []string{
		insertOp(2, "x", 2), deleteOp(0, 2, 2), deleteOp(2, 1, 2), replaceOp(2, 2, "x", 2),
		`{"type":"insert","position":0,"content":"\ud83d","version":2}`,
		`{"type":"insert","position":0,"content":"\ude00\ud83d","version":2}`,
		`{"type":"insert","position":6,"content":"","version":2}`,
	} {
		o.post("/operations", bad).text(http.StatusBadRequest, "Invalid request")
	}
	o.operate(`{"type":"insert","position":5,"content":"\ud83d\ude00","version":2}`, `{"type":"insert","position":5,"content":"\ud83d\ude00","version":2}`, 3)
	o.document("a😀éb😀", 3)
	o.operate(deleteOp(1, 2, 3), deleteOp(1, 2, 3), 4)
	o.operate(replaceOp(5, 2, "", 3), replaceOp(3, 2, "", 3), 5)
	o.document("aéb", 5)
}

func documentRefusals(o *object) {
	o.refusesBadJSON(http.MethodPost, "/operations")
	ann, _ := o.enter("", 0)
	ann.send(send(insertOp(0, "abc", 0)))
	bad := []string{
		`{}`, `[]`, `5`, `{"type":"insert"}`, `{"type":"insert","position":0,"content":"x"}`, `{"type":"insert","content":"x","version":1}`,
		insertOp(0, "x", 2), insertOp(0, "x", -1), insertOp(4, "x", 1), insertOp(-1, "x", 1),
		deleteOp(0, 4, 1), deleteOp(3, 1, 1), deleteOp(0, -1, 1), replaceOp(2, 2, "x", 1), deleteOp(0, 1, 0),
		`{"type":"insert","position":"0","content":"x","version":1}`, `{"type":"insert","position":0.5,"content":"x","version":1}`,
		`{"type":"insert","position":0,"content":5,"version":1}`, `{"type":"insert","position":0,"content":null,"version":1}`,
		`{"type":"insert","position":0,"content":"x","version":"1"}`, `{"type":"insert","position":0,"content":"x","version":null}`,
		`{"type":"delete","position":0,"version":1}`, `{"type":"delete","position":0,"length":"1","version":1}`,
		`{"type":"replace","position":0,"length":1,"version":1}`, `{"type":"replace","position":0,"content":"x","version":1}`,
		`{"type":"move","position":0,"length":1,"version":1}`, `{"type":null,"position":0,"length":1,"version":1}`,
		`{"position":0,"content":"x","version":1}`,
	}
	for _, operation := range bad {
		o.post("/operations", operation).text(http.StatusBadRequest, "Invalid request")
		ann.refuses("Invalid message format", send(operation))
		ann.refuses("Invalid message format", `{"type":"operation","id":1,"operation":`+operation+`}`)
	}
	ann.refuses("Invalid message format", `{"type":"operation"}`, `{"type":"operation","operation":null}`)
	o.document("abc", 1)
}

func documentTooOld(o *object) {
	const versions = 1002
	ann, _ := o.enter("", 0)
	for version := range versions {
		ann.send(`{"type":"operation","id":1,"operation":` + insertOp(0, "x", version) + `}`)
		ann.gets(fmt.Sprintf(`{"type":"ack","id":1,"version":%d,$any}`, version+1))
	}
	text := "Operation is too old, reload the document"
	o.post("/operations", insertOp(0, "y", 1)).text(http.StatusBadRequest, text)
	ann.refuses(text, send(insertOp(0, "y", 0)))
	o.operate(insertOp(2, "y", 2), insertOp(1002, "y", 2), versions+1)
	o.post("/operations", insertOp(0, "y", 2)).text(http.StatusBadRequest, text)
	o.document(strings.Repeat("x", versions)+"y", versions+1)
}

// follower is a client that shows only what the server has applied.
type follower struct {
	*socket

	text    []uint16
	version int
	waits   bool // for an ack
}

// hear takes the next message and makes the version that it tells of.
func (f *follower) hear() {
	f.t.Helper()
	var m struct {
		Type      string
		Version   int
		Operation struct {
			Type             string
			Position, Length int
			Content          string
		}
	}
	message := f.next()
	if err := json.Unmarshal([]byte(message), &m); err != nil {
		f.t.Fatalf("message %s: %v", message, err)
	}
	switch {
	case m.Type == "collaborators":
		return
	case m.Type != "ack" && m.Type != "operation":
		f.t.Fatalf("message %s, want an operation or an ack", message)
	case m.Version != f.version+1:
		f.t.Fatalf("version %d came after %d", m.Version, f.version)
	}
	f.version = m.Version
	f.waits = f.waits && m.Type != "ack"
	op := m.Operation
	if op.Position < 0 || op.Position+op.Length > len(f.text) {
		f.t.Fatalf("%s does not fit into %d code units", message, len(f.text))
	}
	f.text = slices.Replace(f.text, op.Position, op.Position+op.Length, utf16.Encode([]rune(op.Content))...)
}

// edit sends an operation for the text that the follower shows.
func (f *follower) edit(r *rand.Rand, mark string) {
	f.t.Helper()
	position := r.IntN(len(f.text) + 1)
	length := r.IntN(min(len(f.text)-position, 6) + 1)
	operation := insertOp(position, mark, f.version)
	switch r.IntN(3) {
	case 0:
		operation = deleteOp(position, length, f.version)
	case 1:
		operation = replaceOp(position, length, mark, f.version)
	}
	f.send(`{"type":"operation","id":0,"operation":` + operation + `}`)
	f.waits = true
}

func documentConverge(o *object) {
	r := rand.New(rand.NewPCG(7, 9))
	o.operate(insertOp(0, "0123456789", 0), insertOp(0, "0123456789", 0), 1)
	followers := make([]*follower, 4)
	for i := range followers {
		s := o.dial()
		s.gets(`{"type":"document_state","document":{"content":"0123456789","version":1},"collaboratorId":"$uuid"}`)
		followers[i] = &follower{socket: s, text: utf16.Encode([]rune("0123456789")), version: 1}
	}
	version := 1
	for round := range 60 {
		for i, f := range followers {
			for n := r.IntN(4); n > 0 && f.version < version; n-- { // some know less than others
				f.hear()
			}
			if !f.waits {
				f.edit(r, fmt.Sprintf("%c%d", 'a'+i, round%10))
			}
		}
		for _, f := range followers {
			for f.waits {
				f.hear()
			}
			version = max(version, f.version)
		}
	}
	last := o.get("/document").json(`{"content":"$any","version":$n}`)
	for i, f := range followers {
		for f.version < int(number(o.t, last[1])) {
			f.hear()
		}
		if got := string(utf16.Decode(f.text)); got != last[0] {
			o.t.Errorf("client %d has %q, the document is %q", i, got, last[0])
		}
	}
	if want := int64(1 + 60*len(followers)); number(o.t, last[1]) != want {
		o.t.Errorf("version = %s, want one for each operation, %d", last[1], want)
	}
}

func documentSize(o *object) {
	half := strings.Repeat("x", 256<<10)
	o.post("/operations", insertOp(0, half, 0)).json(`{"operation":$any,"version":1}`)
	o.post("/operations", insertOp(0, half, 1)).json(`{"operation":$any,"version":2}`)
	o.post("/operations", insertOp(0, "x", 2)).text(http.StatusBadRequest, "Invalid request")
	o.operate(replaceOp(0, 1, "y", 2), replaceOp(0, 1, "y", 2), 3)
	ann := o.dial()
	ann.gets(`{"type":"document_state","document":{"content":"$text","version":3},"collaboratorId":"$uuid"}`)
	ann.gets(`{"type":"collaborators",$any}`)
	ann.refuses("Invalid message format", send(insertOp(0, strings.Repeat("x", 3<<20), 3)))
}

func documentRestart(o *object) {
	for version := range 130 {
		o.post("/operations", insertOp(version, "é", version)).json(`{"operation":$any,"version":$n}`)
	}
	text := strings.Repeat("é", 130)
	o.restart()
	o.document(text, 130)
	o.operate(insertOp(0, "x", 120), insertOp(0, "x", 120), 131)
	o.restart()
	o.operate(insertOp(125, "y", 129), insertOp(126, "y", 129), 132)
	o.document("x"+text[:250]+"y"+text[250:], 132)
}

func documentHibernation(o *object) {
	ann, a := o.enter("", 0)
	bob, b := o.enter("", 0, member(a, caret))
	ann.gets(present(member(a, caret), member(b, caret)))
	ann.send(`{"type":"cursor","cursor":5}`)
	bob.gets(`{"type":"cursor_update","collaboratorId":"` + a + `","cursor":5}`)
	ann.send(send(insertOp(0, "hi", 0)))
	bob.gets(told(insertOp(0, "hi", 0), 1))
	o.elapse(3 * time.Hour)
	bob.send(send(insertOp(0, "x", 1)))
	ann.gets(told(insertOp(0, "x", 1), 2))
	o.elapse(3 * time.Hour)
	bob.close()
	ann.gets(present(member(a, `"cursor":5`)))
	o.document("xhi", 2)
}
