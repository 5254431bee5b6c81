package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// tick is the unit of CPU time in /proc, which Linux has fixed for programs.
	tick = time.Second / 100
	// statFields of /proc/PID/stat after the name: state is the first.
	statUser, statSystem = 11, 12
)

// usage is what processes have used since they started, summed up.
type usage struct {
	cpu           time.Duration
	residentBytes int64 // now
}

// usageOf asks Linux for the usage of processes.
func usageOf(pids ...int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		cpu, err := cpuTime(pid)
		if err != nil {
			return usage{}, err
		}
		resident, err := residentBytes(pid)
		if err != nil {
			return usage{}, err
		}
		sum.cpu += cpu
		sum.residentBytes += resident
	}
	return sum, nil
}

func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("cpu time: %w", err)
	}
	// The name is in brackets and may hold anything, brackets too.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) <= statSystem {
		return 0, fmt.Errorf("cpu time: %q is not what /proc/PID/stat is like", text)
	}
	var ticks int64
	for _, field := range []string{fields[statUser], fields[statSystem]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("cpu time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("resident memory: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("resident memory: %q is not what /proc/PID/statm is like", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resident memory: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// ownCPU gives the CPU time of this process, which is the client.
func ownCPU() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("own cpu time: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}
