package cluster

import (
	"net"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestRemembered(t *testing.T) {
	dir := &directory{fs: vfs.NewMem(), path: "/"}
	if got := recall(dir); got != nil {
		t.Errorf("recall of nothing = %v", got)
	}
	want := []string{"10.0.0.1:7946", "[fd00::1]:7946"}
	if err := storeRemembered(dir, want); err != nil {
		t.Fatal(err)
	}
	if got := recall(dir); !slices.Equal(got, want) {
		t.Errorf("recall = %v, want %v", got, want)
	}
	for _, bad := range []string{``, `{}`, `{"version":2,"addresses":["10.0.0.1:1"]}`, `{"version":1,"addresses":["name:1"]}`, `{"version":1,"addresses":["10.0.0.1"]}`} {
		if got := decodeRemembered([]byte(bad)); got != nil {
			t.Errorf("decodeRemembered(%q) = %v, want none", bad, got)
		}
	}
}

func FuzzDecodeRemembered(f *testing.F) {
	f.Add([]byte(`{"version":1,"addresses":["10.0.0.1:7946"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		addresses := decodeRemembered(data)
		if len(addresses) > maxRemembered {
			t.Errorf("decodeRemembered(%q) gives %d addresses", data, len(addresses))
		}
		for _, address := range addresses {
			if _, _, err := net.SplitHostPort(address); err != nil {
				t.Errorf("decodeRemembered(%q) gives %q: %v", data, address, err)
			}
		}
	})
}
