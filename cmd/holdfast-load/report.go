package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-dev/holdfast/objects/history"
)

// maxFindings bounds how many of what is wrong a report spells out.
const maxFindings = 20

// report is what came of a run. Times are in seconds.
type report struct {
	Seconds float64      `json:"seconds"`
	Objects int          `json:"objects"`
	Sockets int          `json:"sockets"`
	Steps   []stepReport `json:"steps"`
	Total   stepReport   `json:"total"`

	Door    string `json:"door"`    // the first
	Noticed int    `json:"noticed"` // its calls in planned steps that failed or are unknown

	Unread   []string `json:"unread"`   // objects that could not be checked
	Findings []string `json:"findings"` // promises that were broken; at most 20 are spelt out
	Broken   int      `json:"broken"`   // how many there are
}

// stepReport is what happened from a mark to the next.
type stepReport struct {
	Name    string       `json:"name"`
	Begun   time.Time    `json:"begun"`
	Planned bool         `json:"planned"` // no client of the first door may notice it
	Seconds float64      `json:"seconds"`
	Doors   []doorReport `json:"doors"`

	Lost       int       `json:"lost"`        // acknowledged writes that are gone, or whose number somebody else got too
	Broken     int       `json:"broken"`      // these, and stale reads, writes in a wrong order and impossible answers
	Gap        float64   `json:"gap"`         // longest time without an acknowledged write
	ObjectGaps quantiles `json:"object_gaps"` // over the objects, of the same for each

	Talk talkReport `json:"talk"`
}

// doorReport is what became of the calls of a door's clients.
type doorReport struct {
	Door     string         `json:"door"`
	Requests int            `json:"requests"`
	Done     int            `json:"done"`
	Failed   int            `json:"failed"`  // certainly did not run
	Again    int            `json:"again"`   // of these, did not run the second time either
	Unknown  int            `json:"unknown"` // nobody knows the outcome
	Causes   map[string]int `json:"causes"`  // of what failed or is unknown
	Latency  quantiles      `json:"latency"`
}

// talkReport is what became of sockets.
type talkReport struct {
	Said    int            `json:"said"`
	Heard   int            `json:"heard"`
	Unheard int            `json:"unheard"` // by who said it, because the socket closed or time was up
	Closed  int            `json:"closed"`
	Refused int            `json:"refused"` // attempts to open one
	Causes  map[string]int `json:"causes"`
	Away    float64        `json:"away"` // longest time of a member without a socket
	Latency quantiles      `json:"latency"`
}

// quantiles are of seconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func quantilesOf(values []time.Duration) quantiles {
	if len(values) == 0 {
		return quantiles{}
	}
	values = slices.Sorted(slices.Values(values))
	at := func(share float64) float64 {
		return values[min(len(values)-1, int(share*float64(len(values))))].Seconds()
	}
	return quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// makeReport puts together what was counted and what the checks have found.
func (l *load) makeReport(v verdict) *report {
	now := time.Now()
	r := &report{Seconds: now.Sub(l.begun).Seconds(), Objects: len(l.objects), Sockets: l.options.sockets, Door: l.doors[0].name, Unread: v.unread}
	l.tally.mu.Lock()
	defer l.tally.mu.Unlock()
	all := l.tally.total()
	r.Total = all.report(now)
	for i, s := range l.tally.steps {
		end := now
		if i+1 < len(l.tally.steps) {
			end = l.tally.steps[i+1].begun
		}
		r.Steps = append(r.Steps, s.report(end))
		if c := s.doors[r.Door]; s.planned {
			r.Noticed += c.failed + c.unknown
		}
	}
	for _, violation := range v.violations {
		lost := 0
		if violation.Kind == history.Lost || violation.Kind == history.Twice {
			lost = 1
		}
		s := &r.Steps[l.tally.indexAt(violation.Op.Begun)]
		s.Lost, s.Broken = s.Lost+lost, s.Broken+1
		r.Total.Lost, r.Total.Broken = r.Total.Lost+lost, r.Total.Broken+1
		r.Findings = append(r.Findings, violation.Error())
	}
	r.Findings = append(r.Findings, v.talk...)
	r.Broken = len(r.Findings)
	r.Findings = r.Findings[:min(len(r.Findings), maxFindings)]
	return r
}

func (s *step) report(end time.Time) stepReport {
	r := stepReport{
		Name: s.name, Begun: s.begun, Planned: s.planned, Seconds: end.Sub(s.begun).Seconds(), Gap: s.gap.Seconds(),
		ObjectGaps: quantilesOf(slices.Collect(maps.Values(s.objectGaps))), Talk: s.talk.report(),
	}
	for _, door := range slices.Sorted(maps.Keys(s.doors)) {
		c := s.doors[door]
		r.Doors = append(r.Doors, doorReport{
			Door: door, Requests: c.requests, Done: c.done, Failed: c.failed, Again: c.again, Unknown: c.unknown,
			Causes: c.causes, Latency: quantilesOf(c.latencies),
		})
	}
	return r
}

func (c *talkCount) report() talkReport {
	return talkReport{
		Said: c.said, Heard: c.heard, Unheard: c.unheard, Closed: c.closed, Refused: c.refused,
		Causes: c.causes, Away: c.away.Seconds(), Latency: quantilesOf(c.latencies),
	}
}

// total adds all steps up.
func (t *tally) total() *step {
	all := &step{name: "all", begun: t.steps[0].begun, objectGaps: make(map[string]time.Duration), doors: make(map[string]*doorCount)}
	for _, s := range t.steps {
		all.gap = max(all.gap, s.gap)
		for object, gap := range s.objectGaps {
			all.objectGaps[object] = max(all.objectGaps[object], gap)
		}
		for door, c := range s.doors {
			if all.doors[door] == nil {
				all.doors[door] = &doorCount{causes: make(map[string]int)}
			}
			all.doors[door].add(c)
		}
		all.talk.add(s.talk)
	}
	return all
}

func (c *doorCount) add(o *doorCount) {
	c.requests += o.requests
	c.done += o.done
	c.failed += o.failed
	c.again += o.again
	c.unknown += o.unknown
	c.latencies = append(c.latencies, o.latencies...)
	addCauses(c.causes, o.causes)
}

func (c *talkCount) add(o talkCount) {
	if c.causes == nil {
		c.causes = make(map[string]int)
	}
	c.said += o.said
	c.heard += o.heard
	c.unheard += o.unheard
	c.closed += o.closed
	c.refused += o.refused
	c.away = max(c.away, o.away)
	c.latencies = append(c.latencies, o.latencies...)
	addCauses(c.causes, o.causes)
}

func addCauses(to, from map[string]int) {
	for cause, n := range from {
		to[cause] += n
	}
}

// noticedError says that clients noticed a planned step.
type noticedError struct {
	calls int
	door  string
}

// Error implements error.
func (e *noticedError) Error() string {
	return fmt.Sprintf("%d calls of clients of %s failed, or are unknown, in planned steps", e.calls, e.door)
}

// err is what makes a run a failure.
func (r *report) err() error {
	var errs []error
	if r.Broken > 0 {
		errs = append(errs, fmt.Errorf("%d promises were broken", r.Broken))
	}
	if len(r.Unread) > 0 {
		errs = append(errs, fmt.Errorf("%d objects could not be checked", len(r.Unread)))
	}
	if r.Noticed > 0 {
		errs = append(errs, &noticedError{calls: r.Noticed, door: r.Door})
	}
	if done := r.done(); done == 0 {
		errs = append(errs, errors.New("no call was answered: is there a node at every --url?"))
	}
	return errors.Join(errs...)
}

func (r *report) done() (done int) {
	for _, d := range r.Total.Doors {
		done += d.Done
	}
	return done
}

func checkOutput(output string) error {
	if output != "table" && output != "json" {
		return fmt.Errorf("-o %s: want table or json", output)
	}
	return nil
}

// write prints the report.
func (r *report) write(out io.Writer, output string) error {
	if output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	_, err := io.WriteString(out, r.tables())
	return err
}

// spell lists causes, the most frequent first.
func spell(causes map[string]int) string {
	names := slices.SortedFunc(maps.Keys(causes), func(a, b string) int {
		return cmp.Or(causes[b]-causes[a], strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%d %s", causes[name], name)
	}
	return strings.Join(names, ", ")
}
