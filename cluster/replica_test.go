package cluster

import (
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

func TestReplicaID(t *testing.T) {
	id := replicaID{node: "node-1.eu", directory: directoryID{0, 1, 2, 3, 0xaa, 0xbb, 0xcc, 0xff}, number: 42}
	const text = "node-1.eu/00010203aabbccff/42"
	if got := id.serverID(); got != text {
		t.Errorf("serverID = %q, want %q", got, text)
	}
	if got, err := parseReplicaID(text); err != nil || got != id {
		t.Errorf("parseReplicaID(%q) = %+v, %v, want %+v", text, got, err, id)
	}
	if id.address() != text {
		t.Errorf("address = %q, want the ID: the library wants them to differ", id.address())
	}
	for _, bad := range []string{
		"", "a", "a/00010203aabbccff", "a/00010203aabbccff/1/2", "/00010203aabbccff/1", "a/00010203aabbccf/1",
		"a/00010203AABBCCFF/1", "a/x0010203aabbccff/1", "a/00010203aabbccff/0", "a/00010203aabbccff/01", "a/00010203aabbccff/+1",
		"a/00010203aabbccff/-1", "a/00010203aabbccff/", "a/00010203aabbccff/18446744073709551616", "a b/00010203aabbccff/1",
	} {
		if got, err := parseReplicaID(raft.ServerID(bad)); err == nil {
			t.Errorf("parseReplicaID(%q) = %+v, want an error", bad, got)
		}
	}
}

func TestValidateName(t *testing.T) {
	for _, name := range []string{"a", "Node-1", "holdfast-0.holdfast.default", "x_y", strings.Repeat("n", maxNameBytes), "9"} {
		if err := validateName(name); err != nil {
			t.Errorf("validateName(%q) = %v", name, err)
		}
	}
	for _, name := range []string{"", "-a", ".", "..", "a/b", "a b", "ä", "a\n", strings.Repeat("n", maxNameBytes+1)} {
		if validateName(name) == nil {
			t.Errorf("validateName(%q) = nil, want an error", name)
		}
	}
}
