package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/cluster"
	"github.com/holdfast-dev/holdfast/placement"
)

func nodeIDs(names ...string) []placement.NodeID {
	ids := make([]placement.NodeID, len(names))
	for i, name := range names {
		ids[i] = placement.NodeID(name)
	}
	return ids
}

func TestFarewell(t *testing.T) {
	leaving := func(replicas int) cluster.Overview {
		return cluster.Overview{Nodes: []cluster.NodeOverview{{Name: "other", State: "in"}, {Name: "n", State: "leaving", Replicas: replicas}}}
	}
	left := cluster.Overview{Nodes: []cluster.NodeOverview{{Name: "n", State: "left"}}}
	stays := cluster.Overview{Nodes: []cluster.NodeOverview{{Name: "n", State: "in", Replicas: 2}}}
	forgotten := cluster.Overview{Nodes: []cluster.NodeOverview{{Name: "other", State: "in"}}}
	away := errors.New("connection refused")
	type answer struct {
		seen cluster.Overview
		err  error
	}
	for _, tc := range []struct {
		name    string
		answers []answer // the last one for ever
		want    error    // nil: it has left
		lines   int      // of progress
	}{
		{"left", []answer{{leaving(3), nil}, {leaving(3), nil}, {leaving(1), nil}, {left, nil}}, nil, 2},
		{"forgotten", []answer{{leaving(3), nil}, {forgotten, nil}}, nil, 1},
		{"a restart of who is asked", []answer{{leaving(3), nil}, {err: away}, {err: away}, {left, nil}}, nil, 1},
		{"nobody to ask any more", []answer{{leaving(3), nil}, {err: away}}, away, 1},
		{"taken back", []answer{{leaving(3), nil}, {stays, nil}}, errStays, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				f := farewell{tell: &out, pause: departurePause, patience: departurePatience, overview: func(context.Context) (cluster.Overview, error) {
					now := tc.answers[0]
					if len(tc.answers) > 1 {
						tc.answers = tc.answers[1:]
					}
					return now.seen, now.err
				}}
				d, err := f.wait(t.Context(), departure{Node: "n", State: "leaving", Replicas: 3})
				if !errors.Is(err, tc.want) || err == nil && d.State != "left" {
					t.Errorf("wait = %+v, %v, want %v", d, err, tc.want)
				}
				if lines := strings.Count(out.String(), "\n"); lines != tc.lines {
					t.Errorf("%d lines of progress, want %d:\n%s", lines, tc.lines, &out)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		f := farewell{pause: departurePause, patience: departurePatience, overview: func(context.Context) (cluster.Overview, error) { return leaving(3), nil }}
		if _, err := f.wait(ctx, departure{Node: "n", State: "leaving"}); err == nil || !strings.Contains(err.Error(), "goes on") {
			t.Errorf("wait that is given up = %v, want to be told that the decommission goes on", err)
		}
	})
}
