package cluster

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

func TestMoveLog(t *testing.T) {
	steps := func(kind placement.StepKind, shards ...placement.ShardID) Moves {
		m := Moves{Settled: len(shards) == 0}
		for _, shard := range shards {
			m.Steps = append(m.Steps, Move{Shard: shard, Step: kind})
		}
		return m
	}
	type look struct {
		at    time.Duration
		moves Moves
	}
	for _, tc := range []struct {
		name  string
		looks []look
		want  []string
	}{
		{"nothing", []look{{0, steps(0)}, {time.Minute, steps(0)}}, nil},
		{"a short wait", []look{{0, steps(placement.StepWait, 1)}, {time.Second, steps(0)}}, nil},
		{"a long wait", []look{
			{0, steps(placement.StepWait, 1)}, {11 * time.Second, steps(placement.StepWait, 1)}, {12 * time.Second, steps(0)},
		}, []string{"shards move moved=0 left=1", "all shards are where they belong moved=0 took=12s"}},
		{"moves", []look{
			{0, steps(placement.StepAddNonvoter, 1, 2, 3)},
			{time.Second, steps(placement.StepPromote, 1, 2, 3)},
			{10 * time.Second, steps(placement.StepTransfer, 3)},
			{11 * time.Second, steps(placement.StepTransfer, 3)},
			{12 * time.Second, steps(0)},
			{time.Hour, steps(0)},
			{time.Hour, steps(placement.StepRemove, 7)},
			{time.Hour + time.Second, steps(0)},
		}, []string{
			"shards move moved=2 left=1", "all shards are where they belong moved=3 took=12s",
			"all shards are where they belong moved=1 took=1s",
		}},
	} {
		var out bytes.Buffer
		l := newMoveLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		}})))
		begin := time.Unix(0, 0)
		for _, look := range tc.looks {
			l.note(look.moves, begin.Add(look.at))
		}
		var want strings.Builder
		for _, line := range tc.want {
			text, rest, _ := strings.Cut(line, " moved")
			fmt.Fprintf(&want, "msg=%q moved%s\n", text, rest)
		}
		if out.String() != want.String() {
			t.Errorf("%s: log is\n%swant\n%s", tc.name, out.String(), want.String())
		}
	}
}
