package transport

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// MinAdminTokenBytes is the length below which a token is too easy to guess.
const MinAdminTokenBytes = 16

// maxAdminTokenBytes is more than fits into a header beside others.
const maxAdminTokenBytes = 4 << 10

// ParseAdminToken makes a token of the content of a file. White space around it
// does not count. The error does not tell what the file holds.
func ParseAdminToken(content []byte) (string, error) {
	token := strings.TrimSpace(string(content))
	if len(token) < MinAdminTokenBytes || len(token) > maxAdminTokenBytes {
		return "", fmt.Errorf("transport: admin token of %d bytes, want %d to %d", len(token), MinAdminTokenBytes, maxAdminTokenBytes)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("transport: admin token: want printable ASCII without spaces, as a header can carry it")
	}
	return token, nil
}

// adminGuard keeps everybody but the operator from operations.
type adminGuard struct {
	token  string
	origin *http.CrossOriginProtection
	log    *slog.Logger
}

func newAdminGuard(token string, log *slog.Logger) *adminGuard {
	g := &adminGuard{token: token, origin: http.NewCrossOriginProtection(), log: log}
	g.origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, log, &OperatorError{
			Status: http.StatusForbidden, Code: "origin_not_allowed",
			Message: "Pages of other origins may not change anything here. Use the command line, or curl.",
		})
	}))
	return g
}

// sameOrigin refuses changes that a browser makes for a page of somebody else.
func (g *adminGuard) sameOrigin(h http.Handler) http.Handler { return g.origin.Handler(h) }

// protect serves operators only.
func (g *adminGuard) protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.admit(r); err != nil {
			if err.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast"`)
			}
			refuse(w, r, g.log, err)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}

func (g *adminGuard) admit(r *http.Request) *OperatorError {
	if g.token == "" {
		return g.admitLocal(r)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	// Of equal lengths, so that the comparison does not tell that of the token.
	want, got := sha256.Sum256([]byte(g.token)), sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return &OperatorError{
			Status: http.StatusUnauthorized, Code: "token_wanted",
			Message: "This needs the token of this node's --admin-token-file: use holdfast --admin-token-file FILE, or send it as \"Authorization: Bearer TOKEN\".",
		}
	}
	return nil
}

// admitLocal lets in who is on this machine. The host must be this machine, too:
// otherwise a page whose name was made to mean 127.0.0.1 would be of the same origin.
func (g *adminGuard) admitLocal(r *http.Request) *OperatorError {
	address, _ := r.Context().Value(listenerKey{}).(net.Addr)
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return nil // a network of this process
	}
	if !tcp.IP.IsLoopback() {
		return &OperatorError{
			Status: http.StatusForbidden, Code: "token_not_set",
			Message: "Other machines can reach this port and no token guards it: start the node with --admin-token-file, or with --admin on 127.0.0.1.",
		}
	}
	if !isLocalHost(r.Host) {
		return &OperatorError{
			Status: http.StatusForbidden, Code: "host_not_allowed",
			Message: "Without a token this is served under the names 127.0.0.1 and localhost only: use one of them, or start the node with --admin-token-file.",
		}
	}
	return nil
}

func isLocalHost(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

// listenerKey is of the address that a request's connection was accepted on.
type listenerKey struct{}

func withListener(ctx context.Context, address net.Addr) context.Context {
	return context.WithValue(ctx, listenerKey{}, address)
}
