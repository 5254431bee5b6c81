package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-dev/holdfast/placement"
)

// spool is the directory of snapshot files of a node: those that are being sent,
// whose size must be known before, and those that were received. A received one
// counts only when its replica's mark names it; everything else is left over.
type spool struct {
	files  vfs.FS
	dir    string // exists
	space  *space // nil: there is always room
	number atomic.Uint64
}

// Bytes of disk that a byte of a snapshot takes: a received one becomes state, too.
const (
	sentCost     = 1
	receivedCost = 2
)

// spoolWriter writes a snapshot to its file for as long as there is room. What a
// node needs to go on must not go for what a peer could have later.
type spoolWriter struct {
	file  vfs.File
	space *space
	cost  int64
}

// Write implements io.Writer.
func (w spoolWriter) Write(data []byte) (int, error) {
	if w.space != nil && !w.space.take(int64(len(data))*w.cost) {
		return 0, fmt.Errorf("cluster: write snapshot file: %w", ErrStorageFull)
	}
	return w.file.Write(data)
}

// name gives a name that no other file of this process has.
func (s *spool) name(shard placement.ShardID) string {
	return fmt.Sprintf("%s%d", spoolPrefix(shard), s.number.Add(1))
}

func spoolPrefix(shard placement.ShardID) string { return fmt.Sprintf("%d-", shard) }

func (s *spool) path(name string) string { return s.files.PathJoin(s.dir, name) }

func (s *spool) create(name string) (vfs.File, error) {
	f, err := s.files.Create(s.path(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("cluster: make snapshot file %s: %w", s.path(name), err)
	}
	return f, nil
}

// settle makes a written file durable, with its name, and closes it.
func (s *spool) settle(f vfs.File) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDirectory(s.files, s.dir)
}

// remove removes a file if it is there.
func (s *spool) remove(name string) error {
	if err := s.files.Remove(s.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cluster: remove snapshot file: %w", err)
	}
	return nil
}

// sweep removes all files of a shard, none of which is needed when its replica
// starts.
func (s *spool) sweep(shard placement.ShardID) error {
	names, err := s.files.List(s.dir)
	if err != nil {
		return fmt.Errorf("cluster: list snapshot files: %w", err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, spoolPrefix(shard)) {
			if err := s.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// open opens a file of that size for reading.
func (s *spool) open(name string, size int64) (vfs.File, error) {
	f, err := s.files.Open(s.path(name), vfs.SequentialReadsOption)
	if err != nil {
		return nil, fmt.Errorf("cluster: open snapshot file %s: %w", s.path(name), err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("cluster: snapshot file %s has %d bytes, not %d: %w", s.path(name), info.Size(), size, ErrCorrupt)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fill writes a picture to a new file and opens it for reading. The file goes
// when the reader is closed.
func (s *spool) fill(name string, picture io.WriterTo) (io.ReadCloser, int64, error) {
	f, err := s.create(name)
	if err != nil {
		return nil, 0, err
	}
	size, err := picture.WriteTo(spoolWriter{file: f, space: s.space, cost: sentCost})
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, 0, errors.Join(err, s.remove(name))
	}
	in, err := s.open(name, size)
	if err != nil {
		return nil, 0, errors.Join(err, s.remove(name))
	}
	return &sentFile{File: in, spool: s, name: name}, size, nil
}

// sentFile is a file that goes when it is closed.
type sentFile struct {
	vfs.File

	spool *spool
	name  string
}

// Close implements io.Closer.
func (f *sentFile) Close() error { return errors.Join(f.File.Close(), f.spool.remove(f.name)) }
