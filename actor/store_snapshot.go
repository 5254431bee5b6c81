package actor

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// ShardPicture is the state of a shard at one moment. WriteTo writes it as a
// stream that Restore takes; it may be called more than once and writes the same
// each time. The database keeps what the picture needs until Close.
type ShardPicture = interface {
	io.WriterTo
	io.Closer
}

// Snapshot takes a picture of a shard as the last Apply left it. It is quick;
// reading is done by WriteTo, while the shard goes on. Store.Close waits until
// every picture is closed.
func (s *Store) Snapshot(shard uint32) (ShardPicture, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	return &shardPicture{store: s, shard: shard, at: s.db.NewSnapshot()}, nil
}

type shardPicture struct {
	store  *Store
	shard  uint32
	at     *pebble.Snapshot
	closed bool
}

// WriteTo implements io.WriterTo.
func (p *shardPicture) WriteTo(out io.Writer) (int64, error) {
	w, err := newStreamWriter(out)
	if err == nil {
		err = p.write(w)
	}
	if err != nil {
		return w.written, p.store.fault(fmt.Sprintf("stream shard %d", p.shard), err)
	}
	return w.written, nil
}

func (p *shardPicture) write(w *streamWriter) error {
	span := shardSpan(p.shard)
	position, ok, err := getCopy(p.at, appendKindKey(nil, p.shard, kindPosition))
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("no entry was ever applied")
	}
	index, _, err := decodePosition(position)
	if err != nil {
		return err
	}
	it, err := p.at.NewIter(&span)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = w.record(it.Key()[shardKeyBytes:], value)
		}
	}
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return err
	}
	return w.end(index)
}

// Close implements io.Closer.
func (p *shardPicture) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	defer p.store.calls.Done()
	return p.at.Close()
}

// shardKeyBytes of each key name the shard.
const shardKeyBytes = kindKeyBytes - 1

// shardSpan is all that belongs to a shard.
func shardSpan(shard uint32) pebble.IterOptions {
	return pebble.IterOptions{
		LowerBound: appendKindKey(nil, shard, 0)[:shardKeyBytes],
		UpperBound: appendKindKey(nil, shard+1, 0)[:shardKeyBytes],
	}
}
