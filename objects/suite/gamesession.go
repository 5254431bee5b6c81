package suite

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func gameSessionCases() []script {
	return []script{
		{"state and reset", gameState},
		{"joining", gameJoining},
		{"a game that X wins", gameWon},
		{"every line wins", gameLines},
		{"a draw", gameDraw},
		{"moves that are refused", gameRefusals},
		{"chat", gameChat},
		{"a player leaves and another comes", gamePause},
		{"X comes back", gameXComesBack},
		{"a finished game is full", gameFull},
		{"reset", gameReset},
		{"restart", gameRestart},
		{"hibernation", gameHibernation},
	}
}

// game is the JSON of a state of the game; moves is what stands in its list.
func game(status, board, current, winner, moves string) string {
	cells := strings.Split(board, "")
	for i, cell := range cells {
		cells[i] = strconv.Quote(cell)
		if cell == "." {
			cells[i] = "null"
		}
	}
	return fmt.Sprintf(`{"status":%q,"board":[%s],"currentPlayer":%q,"winner":%s,"moves":[%s]}`, status, strings.Join(cells, ","), current, winner, moves)
}

// table is a game with two players.
type table struct {
	o      *object
	seats  [2]*socket // X, O
	ids    [2]string
	board  []byte
	moves  []string
	winner string
	over   bool
}

func fresh() string { return game("waiting", ".........", "X", "null", "") }

// sit opens a socket and demands what a new player gets.
func sit(o *object, state, symbol string, count int) (*socket, string) {
	o.t.Helper()
	s := o.dial()
	got := s.gets(`{"type":"game_state","gameState":` + state + `,"playerId":"$uuid","playerSymbol":"` + symbol + `"}`)
	id := got[len(got)-1]
	s.gets(joined(id, symbol, count))
	return s, id
}

func joined(id, symbol string, count int) string {
	return fmt.Sprintf(`{"type":"player_joined","player":{"id":%q,"symbol":%q,"name":"Player %s"},"playerCount":%d}`, id, symbol, symbol, count)
}

func newTable(o *object) *table {
	o.t.Helper()
	g := &table{o: o, board: []byte("........."), winner: "null"}
	g.seats[0], g.ids[0] = sit(o, fresh(), "X", 1)
	g.seats[1], g.ids[1] = sit(o, fresh(), "O", 2)
	g.seats[0].gets(joined(g.ids[1], "O", 2))
	g.tell(`{"type":"game_started","gameState":` + g.state("playing") + `}`)
	return g
}

// tell demands that both players get a message.
func (g *table) tell(pattern string) {
	g.o.t.Helper()
	for _, s := range g.seats {
		s.gets(pattern)
	}
}

func (g *table) current() int { return len(g.moves) % 2 }

func (g *table) state(status string) string {
	current := g.current()
	if g.over {
		current = 1 - current // the turn stays with who made the last move
	}
	return game(status, string(g.board), "XO"[current:current+1], g.winner, strings.Join(g.moves, ","))
}

// play makes a move and demands that both get it. winner is "" while the game goes on.
func (g *table) play(position int, winner string) {
	g.o.t.Helper()
	player := g.current()
	symbol := "XO"[player : player+1]
	g.seats[player].send(fmt.Sprintf(`{"type":"move","position":%d}`, position))
	g.board[position] = symbol[0]
	g.moves = append(g.moves, fmt.Sprintf(`{"playerId":%q,"symbol":%q,"position":%d,"timestamp":$ms}`, g.ids[player], symbol, position))
	status := "playing"
	if winner != "" {
		status, g.over, g.winner = "finished", true, fmt.Sprintf("%q", winner)
	}
	g.tell(fmt.Sprintf(`{"type":"move","playerId":%q,"position":%d,"symbol":%q,"gameState":%s}`, g.ids[player], position, symbol, g.state(status)))
}

// noThird demands that nobody else can join.
func (g *table) noThird() {
	g.o.t.Helper()
	if _, status, body := g.o.upgrade(); status != http.StatusBadRequest || body != "Game is full" {
		g.o.t.Fatalf("a third player = %d %s, want 400 Game is full", status, body)
	}
}

func gameState(o *object) {
	o.get("/state").json(`{"gameState":` + fresh() + `,"playerCount":0}`)
	o.post("/reset", "").json(`{"success":true}`)
	o.get("/state").json(`{"gameState":` + fresh() + `,"playerCount":0}`)
	o.notFound("GET /", "POST /state", "GET /reset", "GET /state/", "DELETE /state")
}

func gameJoining(o *object) {
	g := newTable(o)
	if g.ids[0] == g.ids[1] {
		o.t.Errorf("both players have the id %s", g.ids[0])
	}
	o.get("/state").json(`{"gameState":` + g.state("playing") + `,"playerCount":2}`)
	g.noThird()
	g.seats[0].idle()
	g.seats[1].idle()
}

func gameWon(o *object) {
	g := newTable(o)
	for _, position := range []int{4, 0, 2, 1} {
		g.play(position, "")
	}
	g.play(6, "X")
	o.get("/state").json(`{"gameState":` + g.state("finished") + `,"playerCount":2}`)
	g.seats[1].refuses("Game is not in progress", `{"type":"move","position":8}`)
	g.seats[0].refuses("Game is not in progress", `{"type":"move","position":8}`)
}

func gameLines(o *object) {
	g := newTable(o)
	for _, line := range [][3]int{{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {0, 3, 6}, {1, 4, 7}, {2, 5, 8}, {0, 4, 8}, {2, 4, 6}} {
		var others []int // two fields that are not in the line
		for i := 0; i < 9 && len(others) < 2; i++ {
			if i != line[0] && i != line[1] && i != line[2] {
				others = append(others, i)
			}
		}
		g.play(line[0], "")
		g.play(others[0], "")
		g.play(line[1], "")
		g.play(others[1], "")
		g.play(line[2], "X")
		o.post("/reset", "").json(`{"success":true}`)
		g.board, g.moves, g.winner, g.over = []byte("........."), nil, "null", false
		g.tell(`{"type":"game_reset","gameState":` + g.state("playing") + `}`)
	}
}

func gameDraw(o *object) {
	g := newTable(o)
	for _, position := range []int{0, 1, 2, 4, 3, 5, 7, 6} {
		g.play(position, "")
	}
	g.play(8, "draw")
}

func gameRefusals(o *object) {
	g := newTable(o)
	x, other := g.seats[0], g.seats[1]
	other.refuses("Not your turn", `{"type":"move","position":0}`, `{"type":"move","position":99}`)
	x.refuses("Invalid move", `{"type":"move"}`, `{"type":"move","position":-1}`, `{"type":"move","position":9}`,
		`{"type":"move","position":"4"}`, `{"type":"move","position":1.5}`, `{"type":"move","position":null}`,
		`{"type":"move","position":[4]}`, `{"type":"move","position":true}`, `{"type":"move","position":1e99}`)
	g.play(4, "")
	other.refuses("Invalid move", `{"type":"move","position":4}`)
	x.refuses("Not your turn", `{"type":"move","position":0}`)
	x.refusesNonsense()
	other.idle()
	o.get("/state").json(`{"gameState":` + g.state("playing") + `,"playerCount":2}`)
}

func gameChat(o *object) {
	g := newTable(o)
	g.seats[1].send(`{"type":"chat","message":"hi <X>"}`)
	g.tell(fmt.Sprintf(`{"type":"chat","playerId":%q,"playerName":"Player O","message":"hi <X>","timestamp":$ms}`, g.ids[1]))
	g.seats[0].send(`{"type":"chat","message":{"b":1.0,"a":[]}}`)
	g.tell(fmt.Sprintf(`{"type":"chat","playerId":%q,"playerName":"Player X","message":{"b":1.0,"a":[]},"timestamp":$ms}`, g.ids[0]))
	g.seats[0].send(`{"type":"chat"}`)
	g.tell(fmt.Sprintf(`{"type":"chat","playerId":%q,"playerName":"Player X","timestamp":$ms}`, g.ids[0]))
}

// leave ends a player's connection and demands what the other gets.
func (g *table) leave(player int) {
	g.o.t.Helper()
	g.seats[player].close()
	other := g.seats[1-player]
	other.gets(fmt.Sprintf(`{"type":"player_left","playerId":%q,"playerCount":1}`, g.ids[player]))
	other.gets(`{"type":"game_paused","reason":"Player disconnected"}`)
}

// back seats a player again and demands that the game goes on.
func (g *table) back(player int) {
	g.o.t.Helper()
	symbol := "XO"[player : player+1]
	g.seats[player], g.ids[player] = sit(g.o, g.state("waiting"), symbol, 2)
	g.seats[1-player].gets(joined(g.ids[player], symbol, 2))
	g.tell(`{"type":"game_started","gameState":` + g.state("playing") + `}`)
}

func gamePause(o *object) {
	g := newTable(o)
	g.play(0, "")
	g.leave(1)
	o.get("/state").json(`{"gameState":` + g.state("waiting") + `,"playerCount":1}`)
	g.seats[0].refuses("Game is not in progress", `{"type":"move","position":1}`)
	g.back(1)
	g.play(4, "")
	g.play(1, "")
	g.leave(1)
	g.back(1)
	g.play(8, "")
	g.play(2, "X")
}

func gameXComesBack(o *object) {
	g := newTable(o)
	g.play(0, "")
	g.play(1, "")
	g.play(2, "") // O is to move
	g.leave(0)
	g.back(0)
	g.seats[0].refuses("Not your turn", `{"type":"move","position":8}`)
	g.play(4, "")
}

func gameFull(o *object) {
	g := newTable(o)
	for _, position := range []int{0, 3, 1, 4} {
		g.play(position, "")
	}
	g.play(2, "X")
	g.noThird()
	g.seats[0].close()
	g.seats[1].gets(fmt.Sprintf(`{"type":"player_left","playerId":%q,"playerCount":1}`, g.ids[0]))
	g.seats[1].idle()
	g.seats[0], g.ids[0] = sit(o, g.state("finished"), "X", 2)
	g.seats[1].gets(joined(g.ids[0], "X", 2))
	g.seats[0].idle()
	g.seats[1].idle()
}

func gameReset(o *object) {
	s, _ := sit(o, fresh(), "X", 1)
	o.post("/reset", "").json(`{"success":true}`)
	s.gets(`{"type":"game_reset","gameState":` + fresh() + `}`)
	s.refuses("Game is not in progress", `{"type":"move","position":0}`)
}

func gameRestart(o *object) {
	g := newTable(o)
	g.play(0, "")
	g.play(4, "")
	g.play(1, "")
	o.restart()
	o.get("/state").json(`{"gameState":` + g.state("waiting") + `,"playerCount":0}`)
	g.seats[0], g.ids[0] = sit(o, g.state("waiting"), "X", 1)
	g.seats[0].refuses("Game is not in progress", `{"type":"move","position":2}`)
	g.back(1)
	g.play(8, "")
	g.play(2, "X")
}

func gameHibernation(o *object) {
	g := newTable(o)
	g.play(0, "")
	o.elapse(3 * time.Hour)
	g.play(4, "")
	o.elapse(3 * time.Hour)
	g.leave(0)
	o.elapse(3 * time.Hour)
	g.back(0)
	g.play(1, "")
}
