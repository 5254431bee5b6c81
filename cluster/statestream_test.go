package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// shardBounds are the keys of a shard in a testState.
func shardBounds(shard uint32) (from, to []byte) {
	return binary.BigEndian.AppendUint32(nil, shard), binary.BigEndian.AppendUint32(nil, shard+1)
}

// testPicture is a picture of one shard of a testState.
type testPicture struct {
	at    *pebble.Snapshot
	shard uint32
}

func (s *testState) Snapshot(shard uint32) (ShardPicture, error) {
	return &testPicture{at: s.db.NewSnapshot(), shard: shard}, nil
}

// WriteTo writes length, key, length, value of each record, and a checksum of it all.
func (p *testPicture) WriteTo(w io.Writer) (int64, error) {
	from, to := shardBounds(p.shard)
	iter, err := p.at.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(w)
	total, sum := 0, crc32.NewIEEE()
	for iter.First(); iter.Valid(); iter.Next() {
		record := binary.BigEndian.AppendUint32(nil, uint32(len(iter.Key())))
		record = append(record, iter.Key()...)
		record = binary.BigEndian.AppendUint32(record, uint32(len(iter.Value())))
		record = append(record, iter.Value()...)
		total += len(record)
		sum.Write(record)
		if _, err := out.Write(record); err != nil {
			return 0, errors.Join(err, iter.Close())
		}
	}
	end := binary.BigEndian.AppendUint32(make([]byte, 4), sum.Sum32())
	if _, err := out.Write(end); err != nil {
		return 0, errors.Join(err, iter.Close())
	}
	return int64(total + len(end)), errors.Join(out.Flush(), iter.Close())
}

func (p *testPicture) Close() error { return p.at.Close() }

func (s *testState) Restore(shard uint32, content io.Reader) error {
	from, to := shardBounds(shard)
	if err := s.db.DeleteRange(from, to, pebble.NoSync); err != nil {
		return err
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	var position []byte
	rest := data
	for {
		if len(rest) < 8 {
			return errors.New("test state: content breaks off")
		}
		n := binary.BigEndian.Uint32(rest)
		if n == 0 {
			break
		}
		if len(rest) < int(8+n) {
			return errors.New("test state: content breaks off")
		}
		key := rest[4 : 4+n]
		size := binary.BigEndian.Uint32(rest[4+n:])
		value := rest[8+n:]
		if len(value) < int(size) {
			return errors.New("test state: content breaks off")
		}
		value, rest = value[:size], value[size:]
		if bytes.Equal(key, stateKey(shard, 'p', 0)) {
			position = value
		} else if err := s.db.Set(key, value, pebble.NoSync); err != nil {
			return err
		}
	}
	if len(rest) != 8 || binary.BigEndian.Uint32(rest[4:]) != crc32.ChecksumIEEE(data[:len(data)-8]) {
		return errors.New("test state: checksum of the content")
	}
	if position == nil {
		return errors.New("test state: content without position")
	}
	durable := pebble.Sync
	if s.restoreNoSync {
		durable = pebble.NoSync
	}
	if err := s.db.Set(stateKey(shard, 'p', 0), position, durable); err != nil {
		return err
	}
	_, _, err = s.Position(shard)
	return err
}

func (s *testState) Clear(shard uint32) error {
	from, to := shardBounds(shard)
	s.mu.Lock()
	delete(s.counts, shard)
	s.mu.Unlock()
	return s.db.DeleteRange(from, to, pebble.Sync)
}
