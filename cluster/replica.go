package cluster

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"
)

// maxNameBytes bounds the name of a node.
const maxNameBytes = 64

// directoryID is random and made with the data directory, so that a node whose
// disk was lost and that came back under its old name is not taken for the old.
type directoryID [8]byte

// String gives 16 hex digits.
func (d directoryID) String() string { return hex.EncodeToString(d[:]) }

func parseDirectoryID(s string) (directoryID, error) {
	var d directoryID
	if len(s) != 2*len(d) || strings.ToLower(s) != s {
		return d, fmt.Errorf("cluster: directory ID %q: want %d lower case hex digits", s, 2*len(d))
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return d, fmt.Errorf("cluster: directory ID %q: %w", s, err)
	}
	return d, nil
}

// replicaID names one copy of one group for ever: the node, its data directory,
// and a number that the control group gives anew to each replica that is added.
type replicaID struct {
	node      string
	directory directoryID
	number    uint64 // from 1
}

// serverID is the replica as Raft knows it, name/directory/number. It is on disk
// and on the wire.
func (r replicaID) serverID() raft.ServerID {
	return raft.ServerID(r.node + "/" + r.directory.String() + "/" + strconv.FormatUint(r.number, 10))
}

// address is where Raft would look for the replica. The transport goes by the ID
// and finds the node's address at each dial. The library wants addresses in a
// configuration to differ, and a node that lost its disk stands there twice until
// its old replica is out.
func (r replicaID) address() raft.ServerAddress { return raft.ServerAddress(r.serverID()) }

// configuration is that of a group which this replica alone forms.
func (r replicaID) configuration() raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{ID: r.serverID(), Address: r.address()}}}
}

// parseReplicaID reads the text form of a replica ID and accepts no other
// spelling of the same ID, so that equal IDs are equal strings.
func parseReplicaID(id raft.ServerID) (replicaID, error) {
	parts := strings.Split(string(id), "/")
	if len(parts) != 3 {
		return replicaID{}, fmt.Errorf("cluster: replica ID %q: want name/directory/number", id)
	}
	if err := validateName(parts[0]); err != nil {
		return replicaID{}, fmt.Errorf("cluster: replica ID %q: %w", id, err)
	}
	directory, err := parseDirectoryID(parts[1])
	if err != nil {
		return replicaID{}, fmt.Errorf("cluster: replica ID %q: %w", id, err)
	}
	number, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil || number == 0 || strconv.FormatUint(number, 10) != parts[2] {
		return replicaID{}, fmt.Errorf("cluster: replica ID %q: number is not a positive decimal", id)
	}
	return replicaID{node: parts[0], directory: directory, number: number}, nil
}

// validateName keeps node names to what is safe in a replica ID, a DNS label, a
// log line and a file name.
func validateName(name string) error {
	if name == "" || len(name) > maxNameBytes {
		return fmt.Errorf("cluster: node name %q: want 1 to %d characters", name, maxNameBytes)
	}
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_' && c != '.') {
			return fmt.Errorf("cluster: node name %q: want letters, digits, and after the first also any of -_. in it", name)
		}
	}
	return nil
}
