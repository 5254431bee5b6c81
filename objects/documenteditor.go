package objects

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/holdfast-dev/holdfast/actor"
)

// The list of collaborators is one frame, so both are bounded: all together
// stay below actor.MaxFrameBytes.
const (
	maxCollaborators     = 2000
	maxCollaboratorBytes = 4000
)

// documentEditor is a text that several people edit at the same time. See
// document.go for the text, operation.go for what clients send and ot.go for
// how edits made at the same time become one text.
//
//	GET  /document    {"content":…,"version":n}
//	POST /operations  an operation  {"operation":as it was applied,"version":n}
//
// A socket gets document_state, collaborators, operation, cursor_update and ack,
// and sends operation, cursor and ping. An operation with an "id" is answered by
// an ack that tells what became of it; the others get it as operation.
//
// Storage: see document. Who is there is kept with the sockets, as attachment.
type documentEditor struct {
	state    *actor.State
	document *document
}

type collaborator struct {
	ID        string `json:"id"`
	Cursor    value  `json:"cursor,omitempty"`
	Selection value  `json:"selection,omitempty"`
}

type documentState struct {
	Content string `json:"content"`
	Version int    `json:"version"`
}

var errTooMany = &refusal{http.StatusServiceUnavailable, "Too many collaborators"}

func newDocumentEditor(ctx context.Context, state *actor.State) (http.Handler, error) {
	document, err := loadDocument(ctx, state.Storage())
	return &documentEditor{state, document}, err
}

// ServeHTTP implements http.Handler.
func (d *documentEditor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !asksForSocket(r) {
		respond(w, r, d.route)
	} else if err := d.join(w, r); err != nil {
		respondError(w, err)
	}
}

func (d *documentEditor) route(r *http.Request) (any, error) {
	switch path := r.URL.EscapedPath(); {
	case r.Method == http.MethodGet && path == "/document":
		return d.current(), nil
	case r.Method == http.MethodPost && path == "/operations":
		in, err := readObject(r)
		if err != nil {
			return nil, err
		}
		applied, err := d.edit(r.Context(), in, nil)
		return struct {
			Operation object `json:"operation"`
			Version   int    `json:"version"`
		}{applied, d.document.version}, err
	}
	return nil, errNotFound
}

func (d *documentEditor) current() documentState {
	return documentState{d.document.content(), d.document.version}
}

func (d *documentEditor) join(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	there, err := d.state.Sockets(ctx, "")
	if err != nil {
		return err
	}
	if len(there) >= maxCollaborators {
		return errTooMany
	}
	c := collaborator{newUUID(), value(`{"line":0,"column":0}`), value("null")}
	socket, err := accept(d.state, w, r, actor.SocketOptions{Attachment: encode(c)})
	if err != nil {
		return err
	}
	err = send(ctx, socket, struct {
		Type           string        `json:"type"`
		Document       documentState `json:"document"`
		CollaboratorID string        `json:"collaboratorId"`
	}{"document_state", d.current(), c.ID})
	if err != nil {
		return err
	}
	return d.list(ctx)
}

// list tells everybody who is there, in the order in which they came.
func (d *documentEditor) list(ctx context.Context) error {
	sockets, err := d.state.Sockets(ctx, "")
	if err != nil {
		return err
	}
	collaborators := make([]value, 0, len(sockets))
	for _, socket := range slices.Backward(sockets) {
		attachment, err := socket.Attachment(ctx)
		if err != nil {
			return err
		}
		collaborators = append(collaborators, attachment)
	}
	return broadcast(ctx, d.state, struct {
		Type          string  `json:"type"`
		Collaborators []value `json:"collaborators"`
	}{"collaborators", collaborators})
}

// SocketMessage implements actor.SocketMessenger.
func (d *documentEditor) SocketMessage(ctx context.Context, socket *actor.Socket, message actor.Message) error {
	return sendError(ctx, socket, d.handle(ctx, socket, message))
}

func (d *documentEditor) handle(ctx context.Context, socket *actor.Socket, message actor.Message) error {
	if len(message.Data) > maxBodyBytes { // what it leads to must fit into frames
		return errFormat
	}
	in, err := readMessage(message)
	if err != nil {
		return err
	}
	kind, _ := in.text("type")
	switch kind {
	case "operation":
		return d.operate(ctx, socket, in)
	case "cursor":
		return d.point(ctx, socket, in)
	case "ping":
		return send(ctx, socket, bareMessage{"pong"})
	}
	return nil
}

func (d *documentEditor) operate(ctx context.Context, socket *actor.Socket, in object) error {
	operation, err := parseObject(in.get("operation"))
	if err != nil {
		return err
	}
	applied, err := d.edit(ctx, operation, socket)
	if err != nil || in.get("id") == nil {
		return err
	}
	return send(ctx, socket, struct {
		Type      string `json:"type"`
		ID        value  `json:"id"`
		Version   int    `json:"version"`
		Operation object `json:"operation"`
	}{"ack", in.get("id"), d.document.version, applied})
}

// edit applies an operation and tells everybody but its author.
func (d *documentEditor) edit(ctx context.Context, in object, author *actor.Socket) (object, error) {
	op, err := parseOperation(in)
	if err != nil {
		return nil, err
	}
	applied, err := d.document.apply(ctx, op)
	if err != nil {
		return nil, err
	}
	return applied, broadcast(ctx, d.state, struct {
		Type      string `json:"type"`
		Operation object `json:"operation"`
		Version   int    `json:"version"`
	}{"operation", applied, d.document.version}, author)
}

// point moves a collaborator's cursor and selection.
func (d *documentEditor) point(ctx context.Context, socket *actor.Socket, in object) error {
	attachment, err := socket.Attachment(ctx)
	if err != nil {
		return err
	}
	var c collaborator
	if err := json.Unmarshal(attachment, &c); err != nil {
		return err
	}
	c.Cursor, c.Selection = in.get("cursor"), in.get("selection")
	attachment = encode(c)
	if len(attachment) > maxCollaboratorBytes {
		return errFormat
	}
	if err := socket.SetAttachment(ctx, attachment); err != nil {
		return err
	}
	return broadcast(ctx, d.state, struct {
		Type           string `json:"type"`
		CollaboratorID string `json:"collaboratorId"`
		Cursor         value  `json:"cursor,omitempty"`
		Selection      value  `json:"selection,omitempty"`
	}{"cursor_update", c.ID, c.Cursor, c.Selection}, socket)
}

// SocketClose implements actor.SocketCloser.
func (d *documentEditor) SocketClose(ctx context.Context, _ *actor.Socket, _ actor.CloseInfo) error {
	return d.list(ctx)
}
