package cluster

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func must(t *testing.T, table *table, c command, reason string) {
	t.Helper()
	data, err := encodeCommand(c)
	if err != nil {
		t.Fatal(err)
	}
	before, err := table.encode()
	if err != nil {
		t.Fatal(err)
	}
	next := *table
	got, err := next.apply(data)
	if err != nil {
		t.Fatalf("apply(%s) = %v", data[commandHeadBytes:], err)
	}
	if (reason == "") != (got == "") || !strings.Contains(got, reason) {
		t.Fatalf("apply(%s) = %q, want %q in it", data[commandHeadBytes:], got, reason)
	}
	// Others are reading the table that was there before.
	if after, err := table.encode(); err != nil || !bytes.Equal(before, after) {
		t.Fatalf("apply(%s) changed the table that it began with", data[commandHeadBytes:])
	}
	*table = next
}

func TestTableChanges(t *testing.T) {
	const a, b, b2 = "0011223344556677", "1111111111111111", "2222222222222222"
	table := &table{}
	must(t, table, command{Join: &joinCommand{Node: "b", DirectoryID: b}}, "not formed")
	must(t, table, command{Form: testForm()}, "")
	next := table.NextReplica
	must(t, table, command{Join: &joinCommand{Node: "b", DirectoryID: b, Zone: "z"}}, "")
	must(t, table, command{Join: &joinCommand{Node: "b", DirectoryID: b, Zone: "y"}}, "")
	if got := table.Nodes["b"]; got != (tableNode{DirectoryID: b, Control: next, Zone: "y"}) || table.NextReplica != next+1 {
		t.Errorf("b = %+v, next number %d, want control %d, zone y and %d", got, table.NextReplica, next, next+1)
	}
	must(t, table, command{Join: &joinCommand{Node: "x/y", DirectoryID: b}}, "name")

	must(t, table, command{Place: &placeCommand{Shards: []placedShard{{Shard: 1, Wanted: []string{"b", "c"}}}}}, "no node")
	must(t, table, command{Place: &placeCommand{Shards: []placedShard{{Shard: 9, Wanted: []string{"b"}}}}}, "shard 9")
	must(t, table, command{Place: &placeCommand{Shards: []placedShard{{Shard: 1, Wanted: []string{"b", "a"}}}}}, "")
	shard := table.Shards[1]
	if shard.Version != 2 || !slices.Equal(shard.Wanted, []string{"b", "a"}) || len(shard.Replicas) != 1 {
		t.Errorf("shard 1 = %+v", shard)
	}
	must(t, table, command{Add: &addCommand{Shard: 1, Version: 1, Node: "b"}}, "not at version")
	must(t, table, command{Add: &addCommand{Shard: 1, Version: 2, Node: "c"}}, "no node")
	number := table.NextReplica
	must(t, table, command{Add: &addCommand{Shard: 1, Version: 2, Node: "b"}}, "")
	must(t, table, command{Add: &addCommand{Shard: 1, Version: 3, Node: "b"}}, "has a replica")
	if r, ok := table.Shards[1].of("b", b); !ok || r.Number != number || table.NextReplica != number+1 {
		t.Errorf("replica of b = %+v, %v, want number %d", r, ok, number)
	}

	// b loses its disk: its old replica stays in the table until the group is rid of it.
	must(t, table, command{Join: &joinCommand{Node: "b", DirectoryID: b2}}, "")
	old := replicaID{node: "b", directory: directoryID{0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11}, number: number}
	if _, ok := table.Shards[1].of("b", b2); ok || !table.lost(1, old) || table.Nodes["b"].Control == next {
		t.Errorf("after the loss of b's disk shard 1 = %+v, b = %+v", table.Shards[1], table.Nodes["b"])
	}
	must(t, table, command{Add: &addCommand{Shard: 1, Version: table.Shards[1].Version, Node: "b"}}, "")
	must(t, table, command{Drop: &dropCommand{Shard: 1, Number: number}}, "")
	must(t, table, command{Drop: &dropCommand{Shard: 1, Number: number}}, "")
	must(t, table, command{Drop: &dropCommand{Shard: 0, Number: table.Shards[0].Founder}}, "no replica")

	must(t, table, command{Mark: &markCommand{Node: "b", DirectoryID: b, State: nodeGone}}, "no node")
	must(t, table, command{Mark: &markCommand{Node: "b", DirectoryID: b2, State: "odd"}}, "not known")
	must(t, table, command{Forget: &forgetCommand{Node: "b", DirectoryID: b2}}, "not left")
	must(t, table, command{Mark: &markCommand{Node: "b", DirectoryID: b2, State: nodeLeft}}, "")
	must(t, table, command{Join: &joinCommand{Node: "b", DirectoryID: b2}}, "decommissioned")
	must(t, table, command{Forget: &forgetCommand{Node: "b", DirectoryID: b}}, "")
	if _, ok := table.Nodes["b"]; !ok {
		t.Error("a late forget of another directory took b out")
	}
	must(t, table, command{Forget: &forgetCommand{Node: "b", DirectoryID: b2}}, "")
	if _, ok := table.Nodes["b"]; ok || table.Nodes["a"].DirectoryID != a {
		t.Errorf("nodes = %v, want a alone", table.Nodes)
	}
	data, err := table.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeTable(data); err != nil || !reflect.DeepEqual(got, table) {
		t.Errorf("decodeTable = %+v, %v, want %+v", got, err, table)
	}
}
