package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast-dev/holdfast/actor"
)

// pardonTimeout bounds one question to one node: it has to commit something.
const pardonTimeout = 5 * time.Second

// Pardoner forgives objects of this node; actor.Host is one.
type Pardoner interface {
	IDs(class string) (actor.IDSource, bool)
	Pardon(ctx context.Context, target actor.Target) error
}

// Pardons brings an operator's pardon to the owner of the object, wherever that
// is. A pardon may be given twice, so whatever fails is tried again.
type Pardons struct {
	local    Pardoner
	resolver Resolver
	client   *http.Transport
	server   *http.Server
	incoming *handedListener
}

// NewPardons makes the way to other nodes, which dial reaches by their names for
// LinkOperators, whose accepted connections go to Accept.
func NewPardons(local Pardoner, resolver Resolver, dial func(ctx context.Context, node string) (net.Conn, error), log *slog.Logger) *Pardons {
	p := &Pardons{local: local, resolver: resolver, incoming: newHandedListener()}
	p.client = &http.Transport{
		DisableKeepAlives: true, // they are rare
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			node, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return dial(ctx, node)
		},
	}
	p.server = &http.Server{
		Handler: http.HandlerFunc(p.answer), ReadTimeout: pardonTimeout, WriteTimeout: 2 * pardonTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return p
}

// Accept takes over a connection from a peer.
func (p *Pardons) Accept(conn net.Conn) { p.incoming.hand(conn) }

// Serve serves until Shutdown.
func (p *Pardons) Serve() error {
	if err := p.server.Serve(p.incoming); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("transport: serve pardons: %w", err)
	}
	return nil
}

// Shutdown lets those under way end until ctx does.
func (p *Pardons) Shutdown(ctx context.Context) error {
	if err := p.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("transport: let pardons finish: %w", err), p.server.Close())
	}
	return nil
}

// Pardon forgives an object, and waits (bounded) while it has no owner.
func (p *Pardons) Pardon(ctx context.Context, target actor.Target) error {
	ctx, cancel := context.WithTimeout(ctx, ownerWait)
	defer cancel()
	for {
		owner, ok, changed := p.resolver.Owner(target.ID)
		err := actor.ErrNotOwner
		switch {
		case !ok:
		case owner.Local:
			err = p.local.Pardon(ctx, target)
		default:
			err = p.ask(ctx, owner.Node, target)
		}
		if err == nil || !errors.Is(err, actor.ErrNotOwner) && !errors.Is(err, actor.ErrClosing) && !errors.Is(err, actor.ErrOutcomeUnknown) {
			return err
		}
		again := time.NewTimer(ownerPause)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return err
		}
		again.Stop()
	}
}

func (p *Pardons) ask(ctx context.Context, node string, target actor.Target) error {
	ctx, cancel := context.WithTimeout(ctx, pardonTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+net.JoinHostPort(node, "0")+"/pardon", http.NoBody)
	if err != nil {
		return fmt.Errorf("transport: ask node %q for a pardon: %w", node, err)
	}
	r.Header.Set(headerClass, target.Class)
	r.Header.Set(headerObject, target.ID.String())
	r.Header.Set(headerName, url.PathEscape(target.Name))
	resp, err := p.client.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("%w: the link to node %s broke: %w", actor.ErrOutcomeUnknown, node, err)
	}
	defer resp.Body.Close()
	if word := resp.Header.Get(headerError); word != "" {
		return fmt.Errorf("transport: node %s: %w", node, errorOfPeer(word))
	}
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%w: node %s answers with status %d", actor.ErrOutcomeUnknown, node, resp.StatusCode)
	}
	return nil
}

// answer pardons for a peer, which must have asked the owner.
func (p *Pardons) answer(w http.ResponseWriter, r *http.Request) {
	err := p.forgive(r)
	if err != nil {
		w.Header().Set(headerError, peerError(err))
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (p *Pardons) forgive(r *http.Request) error {
	target := actor.Target{Class: r.Header.Get(headerClass)}
	ids, ok := p.local.IDs(target.Class)
	if !ok || r.Method != http.MethodPost {
		return actor.ErrUnknownClass
	}
	var err error
	if target.ID, err = ids.Parse(r.Header.Get(headerObject)); err != nil {
		return err
	}
	if target.Name, err = url.PathUnescape(r.Header.Get(headerName)); err != nil {
		return actor.ErrBadName
	}
	return p.local.Pardon(r.Context(), target)
}
