package actor

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// runnerLabel is the profiler label that tells the goroutines of events apart.
	runnerLabel = "holdfast_runner"
	// reportGap is the least time between two looks at all goroutines of the process.
	reportGap      = time.Second
	maxReportBytes = 16 << 10
)

// runner names a goroutine that runs events. They are used again and again, so
// that an ordinary event pays for no name.
type runner struct {
	number uint64
	labels context.Context //nolint:containedctx // it is what the profiler takes labels from
}

// runners gives names to goroutines and finds their stacks.
type runners struct {
	count atomic.Uint64
	pool  sync.Pool // *runner

	mu   sync.Mutex // guards the following field; held while the goroutines are looked at
	last time.Time
}

func (rs *runners) take() *runner {
	if r, ok := rs.pool.Get().(*runner); ok {
		return r
	}
	n := rs.count.Add(1)
	return &runner{number: n, labels: pprof.WithLabels(context.Background(), pprof.Labels(runnerLabel, strconv.FormatUint(n, 10)))}
}

func (rs *runners) put(r *runner) { rs.pool.Put(r) }

// stack gives what the runner's goroutine does now, or why it does not.
func (rs *runners) stack(r *runner) string {
	if r == nil {
		return "not known: the event has not begun"
	}
	if !rs.mu.TryLock() {
		return "left out: another report is being made"
	}
	defer rs.mu.Unlock()
	now := time.Now()
	if now.Sub(rs.last) < reportGap {
		return "left out: too many reports"
	}
	rs.last = now
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return "not known: " + err.Error()
	}
	return cutStack(all.String(), r.number)
}

// cutStack finds the goroutine of a runner in a goroutine profile. Goroutines
// that the object's code started have its labels too, but do not run events.
func cutStack(profile string, runner uint64) string {
	label := strconv.Quote(runnerLabel) + ":" + strconv.Quote(strconv.FormatUint(runner, 10))
	for entry := range strings.SplitSeq(profile, "\n\n") {
		if !strings.Contains(entry, label) || !strings.Contains(entry, "(*activation).runOne+") {
			continue
		}
		var stack strings.Builder
		for line := range strings.Lines(entry) {
			// "#	0x4a2b3c	pkg.function+0x12	file.go:34"
			_, frame, ok := strings.Cut(strings.TrimPrefix(line, "#\t"), "\t")
			if !ok || !strings.HasPrefix(line, "#\t0x") || stack.Len()+len(frame) > maxReportBytes {
				continue
			}
			stack.WriteString(strings.Join(strings.Fields(frame), " ") + "\n")
		}
		return stack.String()
	}
	return "not found: it has just ended"
}

// report logs that a handler has run for long, and where it is.
func (act *activation) report(ev *event, ran time.Duration, expired bool) {
	stack := act.host.runners.stack(ev.runner.Load())
	act.log().Warn("a handler runs for too long", "name", act.state.Name(), "kind", ev.kind.String(), "ran", ran.Round(time.Millisecond),
		"ended", expired, "stack", stack)
	act.host.events.reported(act.target.Class)
}
