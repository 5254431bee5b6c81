package actor

import (
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// storeLog is Pebble's logger. What Pebble tells of its daily work is debugging
// for us; a fatal error (a write or sync that failed) ends the process, because
// nobody can know any more what the disk has.
type storeLog struct {
	log   *slog.Logger
	fatal func(msg string)
}

func (l storeLog) Infof(format string, args ...any) {
	l.log.Debug("state database", "event", fmt.Sprintf(format, args...))
}

func (l storeLog) Errorf(format string, args ...any) {
	l.log.Error("state database", "error", fmt.Sprintf(format, args...))
}

// Fatalf does not return: Pebble would go on with a write that did not happen.
func (l storeLog) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf("actor: state database: "+format, args...)
	l.fatal(msg)
	panic(msg)
}

// corrupted logs corruption where no caller may see it, in a compaction. A read
// that meets it returns an error, which stops its shard; without this hook
// Pebble would end the process even where OpenStore can say what is wrong.
func (l storeLog) corrupted(info pebble.DataCorruptionInfo) {
	l.log.Error("state database is corrupt", "path", info.Path, "error", info.Details)
}
