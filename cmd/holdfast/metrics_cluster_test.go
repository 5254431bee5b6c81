package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// The metrics of three nodes while one of them, which owns a room with sockets at
// another, loses its power.
func TestMetricsOfACluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, 1, flaws{})
		defer s.close()
		if err := s.form("a", "b", "c"); err != nil {
			t.Fatal(err)
		}
		client := newClient(t, s.network.dial)
		scrapes := func(names ...string) (all []*scrape) {
			for _, name := range names {
				all = append(all, scrapeOf(t, client, "http://"+name+":81"))
			}
			return all
		}
		sum := func(all []*scrape, sample string) (sum float64) {
			for _, one := range all {
				sum += one.value(t, sample)
			}
			return sum
		}

		// A room that a does not own, and a socket of it at a.
		room := ""
		for i := 0; room == ""; i++ {
			name := fmt.Sprint("r", i)
			ids, _ := s.nodes["a"].node.host.IDs("ChatRoom")
			id, err := ids.Named(name)
			if err != nil {
				t.Fatal(err)
			}
			if owner, ok, _ := (resolver{s.nodes["a"].node.cluster}).Owner(id); ok && !owner.Local {
				room = name
			}
		}
		dialer := websocket.Dialer{NetDialContext: s.network.dial}
		socket, _, err := dialer.DialContext(t.Context(), "ws://a:80/objects/ChatRoom/"+room, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		go func() {
			for {
				if _, _, err := socket.ReadMessage(); err != nil {
					return
				}
			}
		}()
		messages := "http://a:80/objects/ChatRoom/" + room + "/messages"
		if _, err := tryCall(t.Context(), client, http.MethodGet, messages, ""); err != nil {
			t.Fatal(err)
		}

		all := scrapes("a", "b", "c")
		for i, one := range all {
			one.want(t, fmt.Sprint("node ", i, " of a cluster"), map[string]float64{
				"nodes_up": 3, `nodes{state="in"}`: 3, "control_has_leader": 1, "shards": simShards, "replicas": simShards, "shards_reduced": 0, "shards_without_owner": 0, "ready": 1,
			})
		}
		for sample, want := range map[string]float64{"shards_owned": simShards, "control_leader": 1, "shards_moving": 0, "sockets_parked": 0} {
			if got := sum(all, sample); got != want {
				t.Errorf("holdfast_%s of all nodes = %v, want %v", sample, got, want)
			}
		}
		all[0].want(t, "the node with the socket", map[string]float64{
			`sockets{class="ChatRoom"}`: 1, `socket_links{to="owner"}`: 1, `forwards_total{outcome="answered"}`: 2, `forwards_total{outcome="unknown"}`: 0,
			"forward_duration_seconds_count": 2, "owner_wait_seconds_count": 0,
		})
		// One was alone before the others had their copies.
		if sent, installed := sum(all, `shard_steps_total{outcome="ok",step="promote"}`), sum(all, "ownerships_begun_total"); sent < 2*simShards || installed < simShards {
			t.Errorf("%v promotions and %v ownerships, want %v and %v at least", sent, installed, 2*simShards, simShards)
		}

		gone := ""
		for _, name := range []string{"b", "c"} {
			if scrapeOf(t, client, "http://"+name+":81").value(t, `socket_links{to="gateway"}`) == 1 {
				gone = name
			}
		}
		if gone == "" {
			t.Fatal("no node has the link of the room")
		}
		left := map[string]string{"b": "c", "c": "b"}[gone]
		won := sum(scrapes("a", left), "elections_won_total")
		s.nodes[gone].crash(true)
		parked := false
		for range 100 {
			parked = parked || scrapeOf(t, client, "http://a:81").value(t, "sockets_parked") == 1
			if parked {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if !parked {
			t.Error("the socket was never parked")
		}
		err = s.eventually("the room answers again", time.Minute, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := tryCall(ctx, client, http.MethodGet, messages, "")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.eventually("metrics of two of three", time.Minute, func() error {
			time.Sleep(time.Second) // reading a scrape takes longer than all else here
			all := scrapes("a", left)
			if got := sum(all, "shards_reduced"); got != simShards {
				return fmt.Errorf("%v shards are reduced, want %v", got, simShards)
			}
			if sum(all, "sockets_parked") != 0 || sum(all, "shards_owned") != simShards || sum(all, "control_leader") != 1 {
				return errors.New("not all is served again")
			}
			for _, one := range all {
				if up := one.value(t, "nodes_up"); up != 2 {
					return fmt.Errorf("%v nodes are up, want 2", up)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if now := sum(scrapes("a", left), "elections_won_total"); now <= won {
			t.Errorf("%v elections won, were %v before the crash", now, won)
		}
		scrapeOf(t, client, "http://a:81").want(t, "after the crash", map[string]float64{`sockets{class="ChatRoom"}`: 1, "sockets_given_up_total": 0})
		client.CloseIdleConnections()
	})
}
