package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// shortRun gives the arguments of a run that is over soon.
func shortRun(url string, more ...string) []string {
	return append([]string{"--url", url, "--objects", "4", "--every", "4ms", "--timeout", "2s", "--duration", "600ms", "-o", "json"}, more...)
}

// runFake loads a fake and gives the report.
func runFake(t *testing.T, f *fake, more ...string) (report, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), shortRun(f.url, more...), &out, nil)
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("the report is no JSON: %v\n%s", err, &out)
	}
	return r, err
}

// Of a cluster that keeps its promises nothing is said, whatever fails.
func TestRunOfOneThatIsRight(t *testing.T) {
	for wrong, check := range map[string]func(d doorReport, s talkReport) bool{
		"": func(d doorReport, s talkReport) bool { return d.Done == d.Requests && s.Said > 0 && s.Heard == s.Said },
		"refuses": func(d doorReport, _ talkReport) bool {
			return d.Failed > 0 && d.Causes["503 not_owner"] == d.Failed && d.Again < d.Failed
		},
		"breaks": func(d doorReport, _ talkReport) bool {
			return d.Unknown > 0 && d.Causes["connection lost"] == d.Unknown
		},
		"closes sockets": func(_ doorReport, s talkReport) bool {
			return s.Closed > 0 && s.Causes["closed with 1012"] == s.Closed && s.Away > 0
		},
	} {
		t.Run("it "+wrong, func(t *testing.T) {
			t.Parallel()
			r, err := runFake(t, startFake(t, wrong), "--sockets", "3")
			if err != nil {
				t.Errorf("run = %v, want no error", err)
			}
			if d, s := r.Total.Doors[0], r.Total.Talk; !check(d, s) || d.Requests < 20 || r.Total.ObjectGaps.Max <= 0 {
				t.Errorf("the report says %+v and %+v, which is not what happened", d, s)
			}
		})
	}
}

// A cluster that breaks a promise is found out.
func TestRunOfOneThatIsWrong(t *testing.T) {
	for wrong, pattern := range map[string]string{
		"forgets":              "was given twice|was acknowledged",
		"reads stale":          "a read saw",
		"runs what it refuses": "there twice|of [0-9]+ increments",
		"leaves a member out":  "one socket heard",
		"says it twice":        "twice",
	} {
		t.Run("it "+wrong, func(t *testing.T) {
			t.Parallel()
			want := regexp.MustCompile(pattern)
			r, err := runFake(t, startFake(t, wrong), "--sockets", "3")
			if err == nil || r.Broken == 0 {
				t.Fatalf("run = %v with %d promises broken, want an error", err, r.Broken)
			}
			if !slices.ContainsFunc(r.Findings, want.MatchString) {
				t.Errorf("nothing of %s in %q", want, r.Findings)
			}
			if wrong == "forgets" && r.Total.Lost == 0 {
				t.Error("no write is counted as lost")
			}
		})
	}
}

// Where nobody answers all calls fail, none is unknown, and the run says so.
func TestRunWhereNobodyIs(t *testing.T) {
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	o, err := parseOptions(shortRun("http://" + l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	load, err := newLoad(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if v := load.verify(ctx); len(v.unread) != o.objects || !strings.Contains(v.unread[0], "connection refused") {
		t.Errorf("verify gives %q unread, want all %d with the cause", v.unread, o.objects)
	}
	w := &worker{load: load, door: load.doors[0].name, object: load.objects[0], client: newClient(load.doors[0].url, o.timeout)}
	load.stop() // it is not made again
	w.step(t.Context())
	r := load.makeReport(verdict{})
	if d := r.Total.Doors[0]; d.Failed != 1 || d.Unknown != 0 || d.Causes["connection refused"] != 1 {
		t.Errorf("the report says %+v, want one call that failed", d)
	}
	if err := r.err(); err == nil || !strings.Contains(err.Error(), "no call was answered") {
		t.Errorf("err() = %v, want one that says that nobody answered", err)
	}
}

// Somebody else marks a step and ends the run, which then gives both the report.
func TestMarkAndFinish(t *testing.T) {
	f := startFake(t, "")
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		done <- run(t.Context(), shortRun(f.url, "--duration", "0s", "--control", address, "-o", "table"), &out, nil)
	}()
	select {
	case <-f.first:
	case err := <-done:
		t.Fatalf("the run has ended: %v", err)
	}
	if err := mark(t.Context(), []string{"--control", address, "--planned", "the step"}, io.Discard); err != nil {
		t.Error(err)
	}
	var last bytes.Buffer
	if err := finish(t.Context(), []string{"--control", address, "-o", "json"}, &last); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	var r report
	if err := json.Unmarshal(last.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Steps) != 2 || r.Steps[1].Name != "the step" || !r.Steps[1].Planned || r.Steps[0].Planned || r.Steps[0].Seconds <= 0 {
		t.Errorf("finish gives the steps %+v, want the start and the one marked", r.Steps)
	}
	if !strings.Contains(out.String(), "the step") || !strings.Contains(out.String(), "is there, once and in order") {
		t.Errorf("the run says %s", &out)
	}
	for what, err := range map[string]error{
		"mark without a run":   mark(t.Context(), []string{"--control", address, "late"}, io.Discard),
		"finish without a run": finish(t.Context(), []string{"--control", address}, io.Discard),
		"mark without a name":  mark(t.Context(), nil, io.Discard),
	} {
		if err == nil {
			t.Errorf("%s = nil, want an error", what)
		}
	}
}

// What a client of the first door notices of a planned step is a mistake, what
// others notice, or in other steps, is none.
func TestNoticed(t *testing.T) {
	o, err := parseOptions([]string{"--url", "http://service", "--url", "http://pod"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoad(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused, unknown := outcome{fate: fateRefused, cause: "503"}, outcome{fate: fateUnknown, cause: "504"}
	l.tally.called("service", time.Now(), outcome{fate: fateDone})
	l.tally.called("service", time.Now(), refused)
	l.tally.mark("delete", true)
	l.tally.called("pod", time.Now(), refused)
	if r := l.makeReport(verdict{}); r.Noticed != 0 || r.err() != nil {
		t.Errorf("%d noticed, %v, want none", r.Noticed, r.err())
	}
	l.tally.called("service", time.Now(), refused)
	l.tally.called("service", time.Now(), unknown)
	l.tally.mark("kill", false)
	l.tally.called("service", time.Now(), unknown)
	if r := l.makeReport(verdict{}); r.Noticed != 2 || r.err() == nil {
		t.Errorf("%d noticed, %v, want 2 and an error", r.Noticed, r.err())
	} else if code := exitCode(errors.Join(nil, r.err())); code != exitNoticed {
		t.Errorf("exit code = %d, want %d", code, exitNoticed)
	} else if code := exitCode(errors.Join(errors.New("worse"), r.err())); code != 1 {
		t.Errorf("exit code with something worse = %d, want 1", code)
	}
}

func TestOptions(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--url", "http://h", "--objects", "0"}, {"--url", "http://h", "loud"}, {"--url", "http://h", "-o", "yaml"}, {"--url", "http://h", "--timeout", "-1s"},
	} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("parseOptions(%q) = nil, want an error", args)
		}
	}
	for _, url := range []string{"h:8080", "ftp://h", "http://", "http://h/objects"} {
		if _, err := doorsOf([]string{url}); err == nil {
			t.Errorf("doorsOf(%s) = nil, want an error", url)
		}
	}
	for want, urls := range map[string][]string{
		"holdfast holdfast-0":           {"http://holdfast.ns:8080", "http://holdfast-0.peers.ns:8080/"},
		"127.0.0.1:8080 127.0.0.1:8180": {"http://127.0.0.1:8080", "http://127.0.0.1:8180"},
		"h:1":                           {"http://h:1"},
		"127.0.0.1:8080":                {"http://127.0.0.1:8080"},
	} {
		doors, err := doorsOf(urls)
		names := ""
		for _, d := range doors {
			names += " " + d.name
		}
		if err != nil || names != " "+want {
			t.Errorf("doorsOf(%q) gives%s, %v, want %s", urls, names, err, want)
		}
	}
}
