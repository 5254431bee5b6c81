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

// seenBy gives pictures of a cluster with a node that leaves.
func seenBy(witness string) (leaving func(replicas int) cluster.Overview, left, stays, forgotten cluster.Overview) {
	picture := func(nodes ...cluster.NodeOverview) cluster.Overview {
		return cluster.Overview{SeenBy: placement.NodeID(witness), Nodes: append(nodes, cluster.NodeOverview{Name: "other", State: "in"})}
	}
	leaving = func(replicas int) cluster.Overview {
		return picture(cluster.NodeOverview{Name: "n", State: "leaving", Replicas: replicas})
	}
	return leaving, picture(cluster.NodeOverview{Name: "n", State: "left"}), picture(cluster.NodeOverview{Name: "n", State: "in", Replicas: 2}), picture()
}

func TestFarewell(t *testing.T) {
	leaving, left, stays, forgotten := seenBy("other")
	ownLeaving, ownLeft, _, _ := seenBy("n")
	away := errors.New("connection refused")
	type answer struct {
		seen cluster.Overview
		err  error
	}
	for _, tc := range []struct {
		name    string
		waitFor string
		answers []answer // the last one for ever
		want    error    // nil: all have left
		lines   int      // of progress
	}{
		{"left", "n", []answer{{leaving(3), nil}, {leaving(3), nil}, {leaving(1), nil}, {left, nil}}, nil, 2},
		{"forgotten", "n", []answer{{leaving(3), nil}, {forgotten, nil}}, nil, 1},
		{"a restart of who is asked", "n", []answer{{leaving(3), nil}, {err: away}, {err: away}, {left, nil}}, nil, 1},
		{"nobody to ask any more", "n", []answer{{leaving(3), nil}, {err: away}}, away, 1},
		{"taken back", "n", []answer{{leaving(3), nil}, {stays, nil}}, errStays, 1},
		{"an old picture", "n", []answer{{stays, nil}, {leaving(3), nil}, {stays, nil}, {left, nil}}, nil, 1},
		{"asked itself, it hears of its end", "n", []answer{{ownLeaving(3), nil}, {ownLeft, nil}}, nil, 1},
		{"asked itself, it does not", "n", []answer{{ownLeaving(3), nil}, {ownLeaving(0), nil}}, nil, 1},
		{"it answers in between", "n", []answer{{ownLeaving(0), nil}, {leaving(1), nil}, {ownLeaving(0), nil}, {left, nil}}, nil, 1},
		{"it knows nothing of others", "n,other", []answer{{ownLeaving(3), nil}, {ownLeaving(0), nil}}, &outsideError{"n"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				f := farewell{tell: &out, onlooker: testOnlooker(func(context.Context) (cluster.Overview, error) {
					now := tc.answers[0]
					if len(tc.answers) > 1 {
						tc.answers = tc.answers[1:]
					}
					return now.seen, now.err
				})}
				all, err := f.wait(t.Context(), nodeIDs(strings.Split(tc.waitFor, ",")...))
				if want, ok := errors.AsType[*outsideError](tc.want); ok {
					if got, ok := errors.AsType[*outsideError](err); !ok || *got != *want {
						t.Errorf("wait = %+v, %v, want %v", all, err, want)
					}
				} else if !errors.Is(err, tc.want) || err == nil && (len(all) != 1 || all[0].State != "left") {
					t.Errorf("wait = %+v, %v, want %v", all, err, tc.want)
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
		f := farewell{onlooker: testOnlooker(func(context.Context) (cluster.Overview, error) { return leaving(3), nil })}
		if _, err := f.wait(ctx, nodeIDs("n")); err == nil || !strings.Contains(err.Error(), "goes on") {
			t.Errorf("wait that is given up = %v, want to be told that the decommission goes on", err)
		}
	})
}

func testOnlooker(overview func(context.Context) (cluster.Overview, error)) onlooker {
	l := (&adminClient{}).watch()
	l.overview = overview
	return l
}
