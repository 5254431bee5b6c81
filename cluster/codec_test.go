package cluster

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// encode is the obvious way to encode an entry that launchLocked takes apart.
func (e entry) encode() []byte {
	if e.kind == entryOpen {
		return appendOpen(nil, e.term)
	}
	data := appendBatchesHead(nil, e.term, e.ownership, e.n, len(e.batches))
	for _, batch := range e.batches {
		data = appendBatch(data, batch)
	}
	return data
}

func FuzzEntry(f *testing.F) {
	f.Add(entry{kind: entryOpen, term: 300}.encode())
	f.Add(entry{kind: entryBatches, term: 1, ownership: 2, n: 3, batches: [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("b"), 200)}}.encode())
	f.Add([]byte{1, 2, 1, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEntry(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknownVersion) {
				t.Fatalf("decodeEntry(%x) = %v, want ErrCorrupt or ErrUnknownVersion", data, err)
			}
			return
		}
		again, err := decodeEntry(e.encode())
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("decodeEntry(%x) = %+v, and encoded again %+v, %v", data, e, again, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, l := range []raft.Log{
		{Term: 1},
		{Term: 1 << 60, Type: raft.LogConfiguration, Data: []byte("data"), Extensions: []byte("ext"), AppendedAt: time.Unix(1, 2)},
	} {
		f.Add(appendRecord(nil, &l))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var l, again raft.Log
		if err := decodeRecord(data, 7, &l); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknownVersion) {
				t.Fatalf("decodeRecord(%x) = %v, want ErrCorrupt or ErrUnknownVersion", data, err)
			}
			return
		}
		if err := decodeRecord(appendRecord(nil, &l), 7, &again); err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("decodeRecord(%x) = %+v, and encoded again %+v, %v", data, l, again, err)
		}
	})
}

func TestRecordRoundTrip(t *testing.T) {
	for _, want := range []raft.Log{
		{Index: 1, Term: 1},
		{Index: 2, Term: 9, Type: raft.LogNoop, AppendedAt: time.Unix(0, 1750000000000000001)},
		{Index: 3, Term: 1 << 50, Type: raft.LogConfiguration, Data: []byte("x"), Extensions: bytes.Repeat([]byte("e"), 300)},
	} {
		var got raft.Log
		if err := decodeRecord(appendRecord(nil, &want), want.Index, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("decodeRecord(appendRecord(%+v)) = %+v, %v", want, got, err)
		}
	}
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrCorrupt},
		{"later version", []byte{2, 0, 1, 0, 0}, ErrUnknownVersion},
		{"later type", []byte{1, 77, 1, 0, 0}, ErrUnknownVersion},
		{"extensions beyond the end", []byte{1, 0, 1, 0, 9, 1}, ErrCorrupt},
	} {
		if err := decodeRecord(tt.data, 1, &raft.Log{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: decodeRecord = %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzStub(f *testing.F) {
	f.Add([]byte(`{"version":1,"index":9,"term":2,"servers":[{"id":"a","address":"a","suffrage":0}],"configuration_index":1}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeStub(data)
		if err == nil && (s.Index == 0 || len(s.Servers) == 0) {
			t.Fatalf("decodeStub(%q) = %+v, which no snapshot can be", data, s)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"a","directory_id":"0011223344556677","cluster_id":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, id, err := decodeIdentity(data)
		if err == nil && (id.String() != i.DirectoryID || validateName(i.Name) != nil) {
			t.Fatalf("decodeIdentity(%q) = %+v, %v", data, i, id)
		}
	})
}

func FuzzFence(f *testing.F) {
	f.Add(fence{1, 2, 3}.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeFence(data)
		if err != nil || len(data) == 0 {
			return
		}
		if again, err := decodeFence(got.append(nil)); err != nil || again != got {
			t.Fatalf("decodeFence(%x) = %+v, and encoded again %+v, %v", data, got, again, err)
		}
	})
}

func FuzzTable(f *testing.F) {
	table := &table{}
	table.form(testForm())
	data, err := table.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := decodeTable(data)
		if err != nil || !table.formed() {
			return
		}
		for _, shard := range table.Shards {
			for _, r := range shard.Replicas {
				if _, err := r.id(); err != nil {
					t.Fatalf("decodeTable(%q) gave a replica %+v: %v", data, r, err)
				}
			}
		}
	})
}

func FuzzCommand(f *testing.F) {
	data, err := encodeCommand(command{Form: testForm()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		table := &table{}
		reason, err := table.apply(data)
		if (err != nil || reason != "") && table.formed() {
			t.Fatalf("apply(%q) = %q, %v, and formed a cluster", data, reason, err)
		}
	})
}

func FuzzReplicaID(f *testing.F) {
	f.Add("node-1/00112233aabbccdd/7")
	f.Add("a/00112233aabbccdd/07")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseReplicaID(raft.ServerID(text))
		if err == nil && string(id.serverID()) != text {
			t.Fatalf("parseReplicaID(%q) = %+v, which reads %q", text, id, id.serverID())
		}
	})
}
