package objects

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	maxMessages  = 1000
	messageLife  = int64(7 * 24 * time.Hour / time.Millisecond)
	recentLength = 50 // of GET /messages
	joinLength   = 10 // of the history that a new socket gets
	// maxHistoryBytes bounds that history, which is sent in one frame.
	maxHistoryBytes = actor.MaxFrameBytes / 2
)

// chatRoom is a room whose members talk over sockets. It keeps its last 1,000
// messages, none for longer than 7 days.
//
//	GET  /messages  {"messages":[the last 50],"total":n}
//	POST /messages  {"username":…,"text":…}  {"success":true}
//
// A socket gets history, user_count, chat and typing, and sends chat, typing and
// ping.
//
// Storage: "message/<number, 16 digits>" one message each, numbered without gaps.
type chatRoom struct {
	state   *actor.State
	storage *actor.Storage
	first   int64 // number of the oldest message
	next    int64 // number that the next message gets
}

// chatMessage is a message as it is stored and as everybody gets it.
type chatMessage struct {
	ID        string `json:"id"`
	Username  value  `json:"username"`
	Text      value  `json:"text"`
	Timestamp int64  `json:"timestamp"`
	Type      string `json:"type"`
}

func newChatRoom(ctx context.Context, state *actor.State) (http.Handler, error) {
	c := &chatRoom{state: state, storage: state.Storage(), first: 1, next: 1}
	oldest, err := c.storage.List(ctx, actor.ListOptions{Prefix: "message/", Limit: 1})
	if err != nil || len(oldest) == 0 {
		return c, err
	}
	newest, err := c.storage.List(ctx, actor.ListOptions{Prefix: "message/", Limit: 1, Reverse: true})
	if err != nil {
		return nil, err
	}
	if c.first, err = strconv.ParseInt(oldest[0].Key[len("message/"):], 10, 64); err != nil {
		return nil, err
	}
	c.next, err = strconv.ParseInt(newest[0].Key[len("message/"):], 10, 64)
	c.next++
	return c, err
}

func messageKey(number int64) string { return fmt.Sprintf("message/%016d", number) }

// ServeHTTP implements http.Handler.
func (c *chatRoom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !asksForSocket(r) {
		respond(w, r, c.route)
	} else if err := c.join(w, r); err != nil {
		respondError(w, err)
	}
}

func (c *chatRoom) route(r *http.Request) (any, error) {
	if r.URL.EscapedPath() == "/messages" {
		switch r.Method {
		case http.MethodGet:
			return c.recent(r.Context())
		case http.MethodPost:
			return c.post(r)
		}
	}
	return nil, errNotFound
}

func (c *chatRoom) recent(ctx context.Context) (any, error) {
	messages, err := c.last(ctx, recentLength)
	return struct {
		Messages []value `json:"messages"`
		Total    int64   `json:"total"`
	}{messages, c.next - c.first}, err
}

func (c *chatRoom) post(r *http.Request) (any, error) {
	in, err := readObject(r)
	if err != nil {
		return nil, err
	}
	refused := &refusal{http.StatusBadRequest, "Username and text required"}
	return struct {
		Success bool `json:"success"`
	}{true}, c.say(r.Context(), in, refused)
}

// say stores a message and tells everybody. A message without username or text
// is refused as given.
func (c *chatRoom) say(ctx context.Context, in object, refused *refusal) error {
	username, named := in.text("username")
	text, written := in.text("text")
	if !named || !written || username == "" || text == "" {
		return refused
	}
	m := chatMessage{newUUID(), in.get("username"), in.get("text"), now(), "chat"}
	if err := actor.Put(ctx, c.storage, messageKey(c.next), m); err != nil {
		return asRefusal(err, refused)
	}
	c.next++
	if c.next-c.first > maxMessages {
		if err := c.drop(ctx); err != nil {
			return err
		}
	}
	if c.next-c.first == 1 {
		if err := c.storage.SetAlarm(ctx, time.UnixMilli(m.Timestamp+messageLife)); err != nil {
			return err
		}
	}
	return broadcast(ctx, c.state, m)
}

// last gives the last messages, oldest first, at most limit.
func (c *chatRoom) last(ctx context.Context, limit int64) ([]value, error) {
	messages := []value{}
	for number := max(c.first, c.next-limit); number < c.next; number++ {
		m, _, err := actor.Get[value](ctx, c.storage, messageKey(number))
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// drop deletes the oldest message.
func (c *chatRoom) drop(ctx context.Context) error {
	_, err := c.storage.Delete(ctx, messageKey(c.first))
	c.first++
	return err
}

func (c *chatRoom) join(w http.ResponseWriter, r *http.Request) error {
	socket, err := accept(c.state, w, r, actor.SocketOptions{})
	if err != nil {
		return err
	}
	ctx := r.Context()
	messages, err := c.last(ctx, joinLength)
	if err != nil {
		return err
	}
	if messages = fitting(messages); len(messages) > 0 {
		err = send(ctx, socket, struct {
			Type     string  `json:"type"`
			Messages []value `json:"messages"`
		}{"history", messages})
		if err != nil {
			return err
		}
	}
	return c.count(ctx)
}

// fitting leaves out old messages until the others fit into a frame.
func fitting(messages []value) []value {
	size := 0
	for i, m := range slices.Backward(messages) {
		if size += len(m); size > maxHistoryBytes {
			return messages[i+1:]
		}
	}
	return messages
}

// count tells everybody how many are there.
func (c *chatRoom) count(ctx context.Context) error {
	sockets, err := c.state.Sockets(ctx, "")
	if err != nil {
		return err
	}
	return broadcast(ctx, c.state, struct {
		Type  string `json:"type"`
		Count int    `json:"count"`
	}{"user_count", len(sockets)})
}

// SocketMessage implements actor.SocketMessenger.
func (c *chatRoom) SocketMessage(ctx context.Context, socket *actor.Socket, message actor.Message) error {
	return sendError(ctx, socket, c.handle(ctx, socket, message))
}

func (c *chatRoom) handle(ctx context.Context, socket *actor.Socket, message actor.Message) error {
	in, err := readMessage(message)
	if err != nil {
		return err
	}
	kind, _ := in.text("type")
	switch kind {
	case "chat":
		return c.say(ctx, in, errFormat)
	case "typing":
		return broadcast(ctx, c.state, struct {
			Type     string `json:"type"`
			Username value  `json:"username,omitempty"`
			IsTyping value  `json:"isTyping,omitempty"`
		}{"typing", in.get("username"), in.get("isTyping")}, socket)
	case "ping":
		return send(ctx, socket, struct {
			Type      string `json:"type"`
			Timestamp int64  `json:"timestamp"`
		}{"pong", now()})
	}
	return nil
}

// SocketClose implements actor.SocketCloser.
func (c *chatRoom) SocketClose(ctx context.Context, _ *actor.Socket, _ actor.CloseInfo) error {
	return c.count(ctx)
}

// Alarm implements actor.Alarmer: it drops what is too old. There is an alarm
// for as long as there are messages, never later than the oldest one expires.
func (c *chatRoom) Alarm(ctx context.Context, _ actor.AlarmInfo) error {
	for c.first < c.next {
		oldest, _, err := actor.Get[chatMessage](ctx, c.storage, messageKey(c.first))
		if err != nil {
			return err
		}
		if expires := oldest.Timestamp + messageLife; now() < expires {
			return c.storage.SetAlarm(ctx, time.UnixMilli(expires))
		}
		if err := c.drop(ctx); err != nil {
			return err
		}
	}
	return nil
}
