package main

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Three real nodes come up, are counted while idle, and what is written reaches all.
func TestIdleUsage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	dir := t.TempDir()
	binary, err := buildHoldfast(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	o := options{holdfast: binary, idle: 50 * time.Millisecond, rest: 200 * time.Millisecond}
	_, resident, err := idleUsage(t.Context(), o, dir, 4)
	if err != nil {
		t.Fatal(err)
	}
	if resident < 1<<20 {
		t.Errorf("a node has %v bytes of resident memory, want more", resident)
	}
}

func TestFreeAddresses(t *testing.T) {
	addresses, err := freeAddresses(t.Context(), 6)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(addresses); len(slices.Compact(addresses)) != 6 {
		t.Errorf("freeAddresses(6) = %v, want six different", addresses)
	}
	var listen net.ListenConfig
	for _, address := range addresses {
		listener, err := listen.Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Errorf("freeAddresses gave %s: %v", address, err)
			continue
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The figures of /proc are those of the right process and in the right unit.
func TestUsageOf(t *testing.T) {
	want, err := ownCPU()
	if err != nil {
		t.Fatal(err)
	}
	for end := want + 50*time.Millisecond; want < end; { // some CPU time to count
		if want, err = ownCPU(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got.cpu < want-2*tick || got.cpu > want+2*time.Second {
		t.Errorf("usageOf gives %v of CPU time, want %v", got.cpu, want)
	}
	if got.residentBytes < 1<<20 {
		t.Errorf("usageOf gives %d resident bytes, want more", got.residentBytes)
	}
	if _, err := usageOf(0); err == nil {
		t.Error("usageOf a process that is not there is no error")
	}
}

const putsReport = `
Summary:
  Total:	4.016134247 secs.
  Slowest:	0.175731816 secs.
  Requests/sec:	9959.826425095096

Latency distribution:
  10%% in 0.01248364 secs.
  50%% in 0.022359485 secs.
  99%% in 0.090421572 secs.
  99.9%% in 0.16825119 secs.
%s`

func TestParsePuts(t *testing.T) {
	got, err := parsePuts(fmt.Appendf(nil, putsReport, ""))
	want := putsOutcome{rate: 9959.826425095096, p50: 22359485 * time.Nanosecond, p99: 90421572 * time.Nanosecond}
	if err != nil || got != want {
		t.Errorf("parsePuts = %+v, %v, want %+v", got, err, want)
	}
	for what, report := range map[string]string{
		"nothing":     "",
		"failed puts": fmt.Sprintf(putsReport, "\nError distribution:\n  [3]\tetcdserver: no leader\n"),
		"no p99":      strings.ReplaceAll(fmt.Sprintf(putsReport, ""), "99% in", ""),
	} {
		if got, err := parsePuts([]byte(report)); err == nil {
			t.Errorf("parsePuts of a report with %s = %+v, want an error", what, got)
		}
	}
}

// Ratios are those of rounds, not of medians: both sides of one round had the
// same machine.
func TestAddTurns(t *testing.T) {
	var table table
	addTurns(&table, "3 rounds", turns{{rate: 10, p50: 3}, {rate: 30, p50: 1}, {rate: 80, p50: 2}},
		turns{{rate: 10, p50: 4}, {rate: 10, p50: 4}, {rate: 20, p50: 4}}, ">= 2")
	got := table.rows[0]
	want := row{"durable writes/s, 3 rounds", "30", "10", "3.00", ">= 2"}
	if got != want {
		t.Errorf("the first row is %+v, want %+v", got, want)
	}
	if got := table.rows[1].ratio; got != "0.50" {
		t.Errorf("the ratio of 2 ns to 4 ns is %s, want 0.50", got)
	}
}

func TestSpread(t *testing.T) {
	nearest, least, most := spread([members]turns{{{p50: 5}}, {{p50: 2}, {p50: 3}, {p50: 9}}, {{p50: 7}}})
	if nearest != 1 || least != 3 || most != 7 {
		t.Errorf("spread = %d, %d, %d, want 1, 3, 7", nearest, least, most)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"clusters"}, {"idle", "-sockets", "3"}, {"-idle", "3s"}} {
		if err := run(t.Context(), args, &strings.Builder{}); err == nil {
			t.Errorf("run(%q) = nil, want an error", args)
		}
	}
}
