package cluster

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func testForm() *formCommand {
	return &formCommand{
		FeatureLevel: 1, ClusterID: "c1", IDSecret: bytes.Repeat([]byte{7}, idSecretBytes), HeartbeatMS: 500,
		Shards: 4, Node: "a", DirectoryID: "0011223344556677",
	}
}

func TestTableForm(t *testing.T) {
	table := &table{}
	data, err := encodeCommand(command{Form: testForm()})
	if err != nil {
		t.Fatal(err)
	}
	if reason, err := table.apply(data); reason != "" || err != nil {
		t.Fatalf("apply(form) = %q, %v", reason, err)
	}
	if !table.formed() || table.ClusterID != "c1" || table.FeatureLevel != 1 || len(table.Shards) != 4 || table.HeartbeatMS != 500 {
		t.Errorf("table = %+v", table)
	}
	if want := map[string]tableNode{"a": {DirectoryID: "0011223344556677", Control: 1}}; !reflect.DeepEqual(table.Nodes, want) {
		t.Errorf("Nodes = %v, want %v", table.Nodes, want)
	}
	numbers := map[uint64]bool{firstControlReplica: true}
	for i, shard := range table.Shards {
		if len(shard.Replicas) != 1 || shard.Version != 1 || shard.Replicas[0].Node != "a" {
			t.Fatalf("shard %d = %+v, want one replica on a", i, shard)
		}
		number := shard.Replicas[0].Number
		if numbers[number] || number >= table.NextReplica {
			t.Errorf("shard %d: replica number %d was given before, or will be again", i, number)
		}
		numbers[number] = true
	}

	before, err := table.encode()
	if err != nil {
		t.Fatal(err)
	}
	if reason, err := table.apply(data); reason == "" || err != nil {
		t.Errorf("second apply(form) = %q, %v, want a reason", reason, err)
	}
	after, err := table.encode()
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a refused command changed the table to %s, %v", after, err)
	}
	got, err := decodeTable(after)
	if err != nil || !reflect.DeepEqual(got, table) {
		t.Errorf("decodeTable = %+v, %v, want %+v", got, err, table)
	}
}

func TestTableRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*formCommand){
		"shards":    func(c *formCommand) { c.Shards = 3 },
		"secret":    func(c *formCommand) { c.IDSecret = nil },
		"cluster":   func(c *formCommand) { c.ClusterID = "" },
		"node":      func(c *formCommand) { c.Node = "a/b" },
		"heartbeat": func(c *formCommand) { c.HeartbeatMS = 0 },
	} {
		c := testForm()
		spoil(c)
		table := &table{}
		if reason := table.form(c); reason == "" || table.formed() {
			t.Errorf("%s: form = %q, formed %v, want a reason and no table", name, reason, table.formed())
		}
	}
}

func TestTableUnknown(t *testing.T) {
	good, err := encodeCommand(command{Form: testForm()})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := encodeCommand(command{})
	if err != nil {
		t.Fatal(err)
	}
	later := append([]byte{commandVersion + 1}, good[1:]...)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"later version", later, ErrUnknownVersion},
		{"unknown kind", empty, ErrUnknownVersion},
		{"flipped bit", flipped, ErrCorrupt},
		{"short", good[:4], ErrCorrupt},
		{"empty", nil, ErrCorrupt},
	} {
		table := &table{}
		if _, err := table.apply(tt.data); !errors.Is(err, tt.want) || table.formed() {
			t.Errorf("%s: apply = %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct {
		data string
		want error
	}{
		{`{"version":2,"cluster_id":"x"}`, ErrUnknownVersion},
		{`{"version":1,"cluster_id":"x"}`, ErrCorrupt},
		{`[`, ErrCorrupt},
	} {
		if _, err := decodeTable([]byte(tt.data)); !errors.Is(err, tt.want) {
			t.Errorf("decodeTable(%s) = %v, want %v", tt.data, err, tt.want)
		}
	}
}
