package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// putValueBytes is about what an increment stores.
const putValueBytes = 16

// puts is a closed loop of puts over several clients.
type puts struct {
	endpoints []string
	leader    bool // all clients at the leader
	conns     int  // gRPC connections, which the clients share
	clients   int
	keys      int
	total     int // puts after which it ends
}

// putsOutcome is what the tool says of a turn.
type putsOutcome struct {
	rate     float64 // puts a second
	p50, p99 time.Duration
	cpu      time.Duration // of the tool
}

// put runs etcd's load generator once.
func (e *etcd) put(ctx context.Context, p puts) (putsOutcome, error) {
	args := []string{
		"--endpoints", strings.Join(p.endpoints, ","), "--precise",
		"--conns", strconv.Itoa(p.conns), "--clients", strconv.Itoa(p.clients),
	}
	if p.leader {
		args = append(args, "--target-leader")
	}
	args = append(args, "put", "--total", strconv.Itoa(p.total),
		"--key-space-size", strconv.Itoa(p.keys), "--val-size", strconv.Itoa(putValueBytes))
	cmd := exec.CommandContext(ctx, e.tool, args...)
	var progress bytes.Buffer
	cmd.Stderr = &progress
	report, err := cmd.Output()
	if err != nil {
		return putsOutcome{}, fmt.Errorf("etcd's benchmark: %w\n%s", err, &progress)
	}
	o, err := parsePuts(report)
	o.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return o, err
}

// parsePuts reads the tool's report. A report that counts an error is no outcome.
func parsePuts(report []byte) (o putsOutcome, err error) {
	lines := bufio.NewScanner(bytes.NewReader(report))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) == 2 && fields[0] == "Requests/sec:":
			o.rate, err = strconv.ParseFloat(fields[1], 64)
		case len(fields) == 4 && fields[0] == "50%":
			o.p50, err = seconds(fields[2])
		case len(fields) == 4 && fields[0] == "99%":
			o.p99, err = seconds(fields[2])
		case len(fields) > 0 && fields[0] == "Error":
			err = fmt.Errorf("puts failed:\n%s", report)
		}
		if err != nil {
			return putsOutcome{}, fmt.Errorf("etcd's benchmark: %w", err)
		}
	}
	if o.rate <= 0 || o.p50 <= 0 || o.p99 <= 0 {
		return putsOutcome{}, fmt.Errorf("etcd's benchmark: no figures in its report:\n%s", report)
	}
	return o, nil
}

func seconds(text string) (time.Duration, error) {
	s, err := strconv.ParseFloat(text, 64)
	return time.Duration(s * float64(time.Second)), err
}
