package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/holdfast-dev/holdfast/actor"
)

const maxPlayers = 2

// gameSession is a game of tic-tac-toe for two. It goes on while both players
// are connected and waits while one is not.
//
//	GET  /state  {"gameState":…,"playerCount":n}
//	POST /reset  {"success":true}
//
// A socket is a player. It gets game_state, player_joined, game_started, move,
// chat, game_reset, player_left and game_paused, and sends move, chat and ping.
//
// Storage: "gameState". Who plays is kept with the sockets: the player as
// attachment, the symbol as tag.
type gameSession struct {
	state   *actor.State
	storage *actor.Storage
	game    game
}

type game struct {
	Status        status    `json:"status"`
	Board         [9]symbol `json:"board"`
	CurrentPlayer symbol    `json:"currentPlayer"`
	Winner        symbol    `json:"winner"`
	Moves         []move    `json:"moves"`
}

type status string

const (
	waiting  status = "waiting"
	playing  status = "playing"
	finished status = "finished"
)

// symbol is what stands in a field of the board, and who has won.
type symbol string

const (
	empty   symbol = "" // null in JSON
	playerX symbol = "X"
	playerO symbol = "O"
	draw    symbol = "draw" // nobody has won
)

// MarshalJSON implements json.Marshaler.
func (s symbol) MarshalJSON() ([]byte, error) {
	if s == empty {
		return []byte("null"), nil
	}
	return json.Marshal(string(s))
}

type move struct {
	PlayerID  string `json:"playerId"`
	Symbol    symbol `json:"symbol"`
	Position  int    `json:"position"`
	Timestamp int64  `json:"timestamp"`
}

type player struct {
	ID     string `json:"id"`
	Symbol symbol `json:"symbol"`
	Name   string `json:"name"`
}

// gameMessage tells the state of the game.
type gameMessage struct {
	Type string `json:"type"`
	Game game   `json:"gameState"`
}

var (
	errGameFull      = &refusal{http.StatusBadRequest, "Game is full"}
	errNotInProgress = &refusal{http.StatusBadRequest, "Game is not in progress"}
	errNotYourTurn   = &refusal{http.StatusBadRequest, "Not your turn"}
	errInvalidMove   = &refusal{http.StatusBadRequest, "Invalid move"}
)

func newGame() game { return game{Status: waiting, CurrentPlayer: playerX, Moves: []move{}} }

func newGameSession(ctx context.Context, state *actor.State) (http.Handler, error) {
	g := &gameSession{state: state, storage: state.Storage(), game: newGame()}
	saved, ok, err := actor.Get[game](ctx, g.storage, "gameState")
	if err != nil || !ok {
		return g, err
	}
	g.game = saved
	players, err := state.Sockets(ctx, "")
	if g.game.Status == playing && len(players) < maxPlayers { // their node has died
		g.game.Status = waiting
	}
	return g, err
}

// ServeHTTP implements http.Handler.
func (g *gameSession) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !asksForSocket(r) {
		respond(w, r, g.route)
	} else if err := g.join(w, r); err != nil {
		respondError(w, err)
	}
}

func (g *gameSession) route(r *http.Request) (any, error) {
	switch path := r.URL.EscapedPath(); {
	case r.Method == http.MethodGet && path == "/state":
		players, err := g.state.Sockets(r.Context(), "")
		return struct {
			Game        game `json:"gameState"`
			PlayerCount int  `json:"playerCount"`
		}{g.game, len(players)}, err
	case r.Method == http.MethodPost && path == "/reset":
		return g.reset(r.Context())
	}
	return nil, errNotFound
}

func (g *gameSession) join(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	players, err := g.state.Sockets(ctx, "")
	if err != nil {
		return err
	}
	if len(players) >= maxPlayers {
		return errGameFull
	}
	free := playerX
	if len(players) > 0 && slices.Contains(players[0].Tags(), string(playerX)) {
		free = playerO
	}
	p := player{ID: newUUID(), Symbol: free, Name: fmt.Sprintf("Player %s", free)}
	socket, err := accept(g.state, w, r, actor.SocketOptions{Tags: []string{string(free)}, Attachment: encode(p)})
	if err != nil {
		return err
	}
	err = send(ctx, socket, struct {
		gameMessage

		PlayerID     string `json:"playerId"`
		PlayerSymbol symbol `json:"playerSymbol"`
	}{gameMessage{"game_state", g.game}, p.ID, p.Symbol})
	if err != nil {
		return err
	}
	count := len(players) + 1
	err = broadcast(ctx, g.state, struct {
		Type        string `json:"type"`
		Player      player `json:"player"`
		PlayerCount int    `json:"playerCount"`
	}{"player_joined", p, count})
	if err != nil || count < maxPlayers || g.game.Status != waiting {
		return err
	}
	g.game.Status = playing
	return g.save(ctx, "game_started")
}

// save stores the game and tells everybody.
func (g *gameSession) save(ctx context.Context, event string) error {
	if err := actor.Put(ctx, g.storage, "gameState", g.game); err != nil {
		return err
	}
	return broadcast(ctx, g.state, gameMessage{event, g.game})
}

func (g *gameSession) reset(ctx context.Context) (any, error) {
	players, err := g.state.Sockets(ctx, "")
	if err != nil {
		return nil, err
	}
	g.game = newGame()
	if len(players) >= maxPlayers {
		g.game.Status = playing
	}
	return struct {
		Success bool `json:"success"`
	}{true}, g.save(ctx, "game_reset")
}

// SocketMessage implements actor.SocketMessenger.
func (g *gameSession) SocketMessage(ctx context.Context, socket *actor.Socket, message actor.Message) error {
	return sendError(ctx, socket, g.handle(ctx, socket, message))
}

func (g *gameSession) handle(ctx context.Context, socket *actor.Socket, message actor.Message) error {
	in, err := readMessage(message)
	if err != nil {
		return err
	}
	p, err := playerOf(ctx, socket)
	if err != nil {
		return err
	}
	kind, _ := in.text("type")
	switch kind {
	case "move":
		return g.play(ctx, p, in)
	case "chat":
		return broadcast(ctx, g.state, struct {
			Type       string `json:"type"`
			PlayerID   string `json:"playerId"`
			PlayerName string `json:"playerName"`
			Message    value  `json:"message,omitempty"`
			Timestamp  int64  `json:"timestamp"`
		}{"chat", p.ID, p.Name, in.get("message"), now()})
	case "ping":
		return send(ctx, socket, bareMessage{"pong"})
	}
	return nil
}

func playerOf(ctx context.Context, socket *actor.Socket) (p player, err error) {
	attachment, err := socket.Attachment(ctx)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(attachment, &p)
}

func (g *gameSession) play(ctx context.Context, p player, in object) error {
	position, ok := in.integer("position")
	switch {
	case g.game.Status != playing:
		return errNotInProgress
	case g.game.CurrentPlayer != p.Symbol:
		return errNotYourTurn
	case !ok || position < 0 || position > 8 || g.game.Board[position] != empty:
		return errInvalidMove
	}
	g.game.put(p, position)
	if err := actor.Put(ctx, g.storage, "gameState", g.game); err != nil {
		return err
	}
	return broadcast(ctx, g.state, struct {
		Type     string `json:"type"`
		PlayerID string `json:"playerId"`
		Position int    `json:"position"`
		Symbol   symbol `json:"symbol"`
		Game     game   `json:"gameState"`
	}{"move", p.ID, position, p.Symbol, g.game})
}

// put makes a move that is allowed.
func (g *game) put(p player, position int) {
	g.Board[position] = p.Symbol
	g.Moves = append(g.Moves, move{p.ID, p.Symbol, position, now()})
	switch {
	case g.won(p.Symbol):
		g.Status, g.Winner = finished, p.Symbol
	case !slices.Contains(g.Board[:], empty):
		g.Status, g.Winner = finished, draw
	case p.Symbol == playerX:
		g.CurrentPlayer = playerO
	default:
		g.CurrentPlayer = playerX
	}
}

// won says whether a symbol fills a row, a column or a diagonal.
func (g *game) won(s symbol) bool {
	for _, line := range [][3]int{
		{0, 1, 2},
		{3, 4, 5},
		{6, 7, 8},
		{0, 3, 6},
		{1, 4, 7},
		{2, 5, 8},
		{0, 4, 8},
		{2, 4, 6},
	} {
		if g.Board[line[0]] == s && g.Board[line[1]] == s && g.Board[line[2]] == s {
			return true
		}
	}
	return false
}

// SocketClose implements actor.SocketCloser: the game waits for the player who left.
func (g *gameSession) SocketClose(ctx context.Context, socket *actor.Socket, _ actor.CloseInfo) error {
	p, err := playerOf(ctx, socket)
	if err != nil {
		return err
	}
	players, err := g.state.Sockets(ctx, "")
	if err != nil {
		return err
	}
	err = broadcast(ctx, g.state, struct {
		Type        string `json:"type"`
		PlayerID    string `json:"playerId"`
		PlayerCount int    `json:"playerCount"`
	}{"player_left", p.ID, len(players)})
	if err != nil || g.game.Status != playing {
		return err
	}
	g.game.Status = waiting
	if err := actor.Put(ctx, g.storage, "gameState", g.game); err != nil {
		return err
	}
	return broadcast(ctx, g.state, struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}{"game_paused", "Player disconnected"})
}
