package cluster

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestPromises gives promises and starts again in between, as after a crash.
func TestPromises(t *testing.T) {
	fs := vfs.NewCrashableMem()
	dir, err := openDirectory(fs, testDir, "b", "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := openPromises(dir, faults{})
	if err != nil {
		t.Fatal(err)
	}
	// crash gives what is there after a power loss now.
	crash := func() *promises {
		t.Helper()
		after, err := openPromises(&directory{fs: fs.CrashClone(vfs.CrashCloneCfg{}), path: dir.path, identity: dir.identity}, faults{})
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	c := promiseRequest{Node: "c", Directory: "00112233aabbccdd"}
	d := promiseRequest{Node: "d", Directory: "00112233aabbccee"}

	if standing, err := p.stand(false); err != nil || !standing {
		t.Fatalf("stand = %v, %v", standing, err)
	}
	if standing, err := p.stand(true); err != nil || !standing {
		t.Fatalf("stand and ask = %v, %v", standing, err)
	}
	if made, err := p.give(c); err != nil || made.Node != "b" {
		t.Errorf("a candidate that has asked others gives its promise to %+v, %v, want itself", made, err)
	}
	if made := crash().now(); made.Node != "b" || !made.Asked {
		t.Errorf("promise after a crash = %+v", made)
	}
	if standing, err := p.stand(false); err != nil || !standing { // nobody has promised
		t.Fatalf("stand = %v, %v", standing, err)
	}
	if made, err := p.give(c); err != nil || made.Node != "c" {
		t.Errorf("a candidate whom nobody has promised gives its promise to %+v, %v, want c", made, err)
	}
	if made := crash().now(); made.Node != "c" || made.Directory != c.Directory {
		t.Errorf("promise after a crash = %+v, want c", made)
	}
	if made, err := p.give(d); err != nil || made.Node != "c" {
		t.Errorf("second promise goes to %+v, %v, want c", made, err)
	}
	if standing, err := p.stand(true); err != nil || standing {
		t.Errorf("stand after a promise to c = %v, %v, want false", standing, err)
	}
	if made, err := crash().give(c); err != nil || made.Node != "c" {
		t.Errorf("the promise asked for again = %+v, %v, want c", made, err)
	}
	if err := p.keep(); err != nil {
		t.Fatal(err)
	}
	if made := p.now(); made.Node != "" {
		t.Errorf("promise once kept = %+v", made)
	}
}

func FuzzDecodePromise(f *testing.F) {
	f.Add([]byte(`{"version":1,"node":"a","directory":"0011223344556677","asked":true}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		made, err := decodePromise(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknownVersion) {
				t.Errorf("decodePromise(%q) = %v, want ErrCorrupt or ErrUnknownVersion", data, err)
			}
			return
		}
		if made.Version != promiseVersion || validateName(made.Node) != nil {
			t.Errorf("decodePromise(%q) = %+v", data, made)
		}
	})
}

func FuzzDecodePeer(f *testing.F) {
	for _, v := range []any{
		peerRequest{Promise: &promiseRequest{Node: "a", Directory: "0011223344556677"}},
		peerRequest{Change: &replicaChange{Shard: 1, Kind: 3, Replica: "a/0011223344556677/9", Ownership: 3, Configuration: 4, Look: look{Term: 2, Number: 1}}},
		peerAnswer{Owned: []shardReport{{Shard: 1, Ownership: 7, Replicas: []replicaReport{{ID: "a/0011223344556677/9", Voter: true}}}}},
	} {
		data, err := encodePeer(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[4:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var q peerRequest
		var a peerAnswer
		for _, v := range []any{&q, &a} {
			if err := decodePeer(data, v); err != nil {
				if !errors.Is(err, errPeerCall) {
					t.Errorf("decodePeer(%q) = %v, want errPeerCall", data, err)
				}
				continue
			}
			again, err := encodePeer(v)
			if err == nil && len(again) > maxPeerBytes+4 {
				t.Errorf("encodePeer gives %d bytes", len(again))
			}
		}
	})
}
