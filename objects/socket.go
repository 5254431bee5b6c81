package objects

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/holdfast-dev/holdfast/actor"
)

// errFormat is what a socket is told for a message that nobody can use.
var errFormat = &refusal{http.StatusBadRequest, "Invalid message format"}

// asksForSocket says whether a request wants to become a WebSocket.
func asksForSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// accept makes the request a WebSocket.
func accept(state *actor.State, w http.ResponseWriter, r *http.Request, opt actor.SocketOptions) (*actor.Socket, error) {
	socket, err := state.AcceptSocket(w, r, opt)
	switch {
	case errors.Is(err, actor.ErrNotUpgrade):
		return nil, &refusal{http.StatusBadRequest, "Expected a WebSocket handshake"}
	case errors.Is(err, actor.ErrTooManySockets):
		return nil, &refusal{http.StatusServiceUnavailable, "Too many connections"}
	}
	return socket, err
}

// readMessage parses a message from a socket.
func readMessage(message actor.Message) (object, error) {
	if message.Kind != actor.Text {
		return nil, errFormat
	}
	return parseObject(message.Data)
}

// send sends a value as JSON.
func send(ctx context.Context, socket *actor.Socket, value any) error {
	return asRefusal(socket.Send(ctx, jsonMessage(value)), errFormat)
}

// broadcast sends a value as JSON to all sockets but those excepted.
func broadcast(ctx context.Context, state *actor.State, value any, except ...*actor.Socket) error {
	return asRefusal(state.Broadcast(ctx, jsonMessage(value), actor.BroadcastOptions{Except: except}), errFormat)
}

func jsonMessage(value any) actor.Message {
	return actor.Message{Kind: actor.Text, Data: encode(value)}
}

// bareMessage is a message that says all by its type.
type bareMessage struct {
	Type string `json:"type"`
}

// errorMessage is what a socket gets for a message that was refused.
type errorMessage struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

// sendError ends the handling of a socket message: a refusal goes to the sender.
// Any other error is treated as in respondError.
func sendError(ctx context.Context, socket *actor.Socket, err error) error {
	var refused *refusal
	var body *bodyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &body), errors.Is(err, errInvalid):
		refused = errFormat
	case !errors.As(err, &refused):
		panic(err)
	}
	return send(ctx, socket, errorMessage{"error", refused.text})
}
