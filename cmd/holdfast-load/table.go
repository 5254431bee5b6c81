package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// tables gives the report for people: steps, calls by door, sockets, findings.
func (r *report) tables() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tPLANNED\tTOOK\tLOST\tBROKEN\tGAP\tGAP OF AN OBJECT P50\tP99\tMAX") //nolint:errcheck // into memory
	for _, s := range append(r.Steps, r.Total) {
		planned := ""
		if s.Planned {
			planned = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", s.Name, planned, seconds(s.Seconds), s.Lost, s.Broken, //nolint:errcheck // into memory
			seconds(s.Gap), seconds(s.ObjectGaps.P50), seconds(s.ObjectGaps.P99), seconds(s.ObjectGaps.Max))
	}
	fmt.Fprintln(w, "\nSTEP\tDOOR\tCALLS\tFAILED\tAGAIN\tUNKNOWN\tP50\tP99\tMAX\tCAUSES") //nolint:errcheck // into memory
	for _, s := range append(r.Steps, r.Total) {
		for _, d := range s.Doors {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\n", s.Name, d.Door, d.Requests, d.Failed, d.Again, d.Unknown, //nolint:errcheck // into memory
				seconds(d.Latency.P50), seconds(d.Latency.P99), seconds(d.Latency.Max), spell(d.Causes))
		}
	}
	if r.Sockets > 0 {
		fmt.Fprintln(w, "\nSTEP\tSAID\tUNHEARD\tCLOSED\tREFUSED\tAWAY\tP50\tP99\tMAX\tCAUSES") //nolint:errcheck // into memory
		for _, s := range append(r.Steps, r.Total) {
			t := s.Talk
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", s.Name, t.Said, t.Unheard, t.Closed, t.Refused, seconds(t.Away), //nolint:errcheck // into memory
				seconds(t.Latency.P50), seconds(t.Latency.P99), seconds(t.Latency.Max), spell(t.Causes))
		}
	}
	w.Flush() //nolint:errcheck // into memory
	for i, object := range r.Unread {
		if i == maxFindings {
			fmt.Fprintf(&b, "\nnot checked: %d more", len(r.Unread)-i)
			break
		}
		fmt.Fprintf(&b, "\nnot checked: %s", object)
	}
	for _, finding := range r.Findings {
		fmt.Fprintf(&b, "\nbroken: %s", finding)
	}
	if more := r.Broken - len(r.Findings); more > 0 {
		fmt.Fprintf(&b, "\nbroken: %d more", more)
	}
	if len(r.Unread) == 0 && r.Broken == 0 {
		fmt.Fprintf(&b, "\nAll that was acknowledged on %d objects and heard by %d sockets is there, once and in order.", r.Objects, r.Sockets)
	}
	b.WriteByte('\n')
	return b.String()
}

func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// line says in one line how the step under way goes.
func (t *tally) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.steps[len(t.steps)-1]
	var all doorCount
	all.causes = make(map[string]int)
	for _, c := range s.doors {
		all.add(c)
	}
	line := fmt.Sprintf("%s %s: %d calls, %d failed, %d unknown, gap %s", time.Now().UTC().Format(time.TimeOnly), s.name,
		all.requests, all.failed, all.unknown, seconds(s.gap.Seconds()))
	if s.talk.said > 0 {
		line += fmt.Sprintf("; %d said, %d sockets closed", s.talk.said, s.talk.closed)
	}
	return line
}
