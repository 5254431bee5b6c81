package actor

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
)

// SessionParameter is the query parameter with which a client names the session
// of the socket that it asks for: a secret of its own choice, the same whenever it
// comes back. The object does not see it.
const SessionParameter = "holdfast-session"

// SessionHeader tells with the handshake's answer what became of the session:
// "new", or "resumed".
const SessionHeader = "Holdfast-Session"

// Bounds of a session key: 128 random bits have 22 characters in base64, 32 in
// hexadecimal, and a UUID has 36.
const (
	minSessionKey = 22
	maxSessionKey = 64
)

// Session names a socket by what its client knows: SHA-256 of the session key and
// the path of the request. The key itself is kept nowhere. The zero value is none.
type Session [sha256.Size]byte

// HasSession says whether a request names a session, and refuses one that names
// it wrongly with ErrSession.
func HasSession(r *http.Request) (bool, error) {
	key, _, err := splitSession(r.URL.RawQuery)
	return key != "", err
}

// sessionOf gives the session that a request for a socket names, and the request
// as the object shall see it.
func sessionOf(r *http.Request, socket SocketID) (Session, *http.Request, error) {
	if socket == (SocketID{}) {
		return Session{}, r, nil
	}
	key, rest, err := splitSession(r.URL.RawQuery)
	if err != nil || key == "" {
		return Session{}, r, err
	}
	u := *r.URL
	u.RawQuery = rest
	without := new(http.Request)
	*without = *r
	without.URL = &u
	return sha256.Sum256([]byte(key + " " + r.URL.EscapedPath())), without, nil
}

// splitSession takes the session key out of a query. Everything else keeps its escaping.
func splitSession(query string) (key, rest string, err error) {
	if !strings.Contains(query, SessionParameter) {
		return "", query, nil
	}
	var others, keys []string
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err != nil || plain != SessionParameter {
			others = append(others, pair)
			continue
		}
		keys = append(keys, value)
	}
	rest = strings.Join(others, "&")
	switch {
	case len(keys) == 0:
		return "", query, nil
	case len(keys) > 1 || !validSession(keys[0]):
		return "", rest, ErrSession
	}
	return keys[0], rest, nil
}

func validSession(key string) bool {
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}
	return len(key) >= minSessionKey && len(key) <= maxSessionKey && !strings.ContainsFunc(key, odd)
}

// sessionChangeBytes bounds the encoding of a change of a socket's session.
const sessionChangeBytes = minSocketBytes + len(Session{}) + len(SocketID{}) + 4*5

// beginSessionLocked makes a socket the one of its client's session, and the one
// that has had it until now one without. The caller has looked whether there is room.
func (act *activation) beginSessionLocked(s *Socket, session Session) {
	if last := act.sockets.bySession[session]; last != nil {
		act.holdSessionLocked(last, Session{}, last.conn, last.number)
	}
	act.holdSessionLocked(s, session, s.conn, s.number)
}

// holdSessionLocked writes down what session a socket has, by which connection
// its client is reached, and which message of that has taken effect last.
func (act *activation) holdSessionLocked(s *Socket, session Session, conn SocketID, number uint64) {
	act.addSocketLocked(SocketChange{Op: SocketSession, Socket: s.id, Session: session, Conn: conn, Number: number})
	act.sockets.unlink(s)
	s.session, s.conn, s.number = session, conn, number
	act.sockets.link(s)
}
