package actor

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// socketEdit is the message number of a socket while batches are applied.
type socketEdit struct {
	open   bool
	number uint64
	dirty  bool // open, and the number differs from the database's
}

// changeSocket takes one change. Whatever comes for a socket that is not open,
// because its close was faster, changes nothing.
func (e *objectEdit) changeSocket(a *applier, c *SocketChange) error {
	s, err := e.socket(a, c.Socket)
	if err != nil {
		return err
	}
	if c.Op == SocketOpen {
		return e.openSocket(a, s, c)
	}
	if !s.open {
		return nil
	}
	switch c.Op {
	case SocketClosed:
		*s = socketEdit{}
		e.record.open--
		e.dirty = true
		for part := range partEnd {
			if err := a.out.Delete(a.socketKey(e.id, c.Socket, part), nil); err != nil {
				return err
			}
		}
		return nil
	case SocketAttach:
		key := a.socketKey(e.id, c.Socket, partAttachment)
		if c.Attachment == nil {
			return a.out.Delete(key, nil)
		}
		return a.out.Set(key, c.Attachment, nil)
	case SocketMessage:
		if c.Number > s.number {
			s.number, s.dirty = c.Number, true
		}
		return nil
	case SocketSession:
		s.number, s.dirty = c.Number, true
		key := a.socketKey(e.id, c.Socket, partSession)
		if c.Session == (Session{}) && c.Conn == c.Socket {
			return a.out.Delete(key, nil) // as if it had never had one
		}
		a.value = appendSession(a.value[:0], c.Session, c.Conn)
		return a.out.Set(key, a.value, nil)
	default:
		return fmt.Errorf("%w: socket op %d", ErrBadBatch, c.Op)
	}
}

// socket gives the socket's edit in this run.
func (e *objectEdit) socket(a *applier, id SocketID) (*socketEdit, error) {
	if s := e.sockets[id]; s != nil {
		return s, nil
	}
	s := new(socketEdit)
	data, closer, err := a.store.db.Get(a.socketKey(e.id, id, partNumber))
	if err == nil {
		s.open = true
		s.number, err = decodeNumber(data)
		err = errors.Join(err, closer.Close())
	} else if errors.Is(err, pebble.ErrNotFound) {
		err = nil
	}
	if e.sockets == nil {
		e.sockets = make(map[SocketID]*socketEdit)
	}
	e.sockets[id] = s
	return s, err
}

// openSocket begins a socket anew, also where one with the same ID is open.
func (e *objectEdit) openSocket(a *applier, s *socketEdit, c *SocketChange) error {
	if !s.open {
		e.record.open++
	}
	e.record.accepted++
	e.dirty = true
	*s = socketEdit{open: true, dirty: true}
	rec := SocketRecord{Tags: c.Tags, Protocol: c.Protocol, Sequence: e.record.accepted}
	a.value = appendSocket(a.value[:0], &rec)
	if err := a.out.Set(a.socketKey(e.id, c.Socket, partRecord), a.value, nil); err != nil {
		return err
	}
	for _, part := range []byte{partAttachment, partSession} {
		if err := a.out.Delete(a.socketKey(e.id, c.Socket, part), nil); err != nil {
			return err
		}
	}
	return nil
}

// flushSockets writes the numbers that messages changed. They come in any order:
// their keys differ, so the state is the same.
func (e *objectEdit) flushSockets(a *applier) error {
	for id, s := range e.sockets {
		if !s.open || !s.dirty {
			continue
		}
		a.value = appendNumber(a.value[:0], s.number)
		if err := a.out.Set(a.socketKey(e.id, id, partNumber), a.value, nil); err != nil {
			return err
		}
	}
	return nil
}
