package cluster

import (
	"log/slog"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// moveLogPeriod is the least time between two lines about moves that go on.
const moveLogPeriod = 10 * time.Second

// moveLog tells people how the shards get to where they belong: a line now and
// then while they move and one when they are there. Each step by itself is for
// who debugs.
type moveLog struct {
	log   *slog.Logger
	begun time.Time                  // zero: nothing moves
	said  time.Time                  // when the last line was
	seen  map[placement.ShardID]bool // those that made a step
}

func newMoveLog(log *slog.Logger) *moveLog {
	return &moveLog{log: log, seen: make(map[placement.ShardID]bool)}
}

// note takes the moves of one look. Waiting alone, for an owner or a replica that
// catches up, is worth a line only when it lasts.
func (l *moveLog) note(m Moves, now time.Time) {
	left, moved := 0, len(l.seen)
	for _, move := range m.Steps {
		if move.Step == placement.StepLost {
			continue // said when it is found out
		}
		left++
		if l.seen[move.Shard] {
			moved--
		}
		if move.Step != placement.StepWait {
			l.seen[move.Shard] = true
		}
	}
	switch {
	case m.Settled:
		if len(l.seen) > 0 || l.said.After(l.begun) {
			l.log.Info("all shards are where they belong", "moved", len(l.seen), "took", now.Sub(l.begun).Round(time.Millisecond))
		}
		l.begun, l.said = time.Time{}, time.Time{}
		clear(l.seen)
	case l.begun.IsZero():
		l.begun, l.said = now, now
	case now.Sub(l.said) >= moveLogPeriod:
		l.said = now
		l.log.Info("shards move", "moved", moved, "left", left)
	}
}
