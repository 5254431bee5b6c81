package cluster

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/holdfast-dev/holdfast/placement"
)

// Versions of what the control group stores.
const (
	tableVersion   = 1
	commandVersion = 1
	// featureLevel is the newest level that this program knows. New forms of
	// entries, batches and frames are written only when the table's level allows.
	featureLevel = 1
)

// maxHeartbeatTimeout is far beyond what anybody could want.
const maxHeartbeatTimeout = 24 * time.Hour

// idSecretBytes is the size of the secret behind object IDs.
const idSecretBytes = 32

// table is the state of the control group: what all nodes must agree on. It is
// the wish; the truth about a shard is its group's own Raft configuration.
type table struct {
	Version      int    `json:"version"`
	FeatureLevel int    `json:"feature_level"`
	ClusterID    string `json:"cluster_id"`
	IDSecret     []byte `json:"id_secret"`
	// HeartbeatMS is the heartbeat time-out of all shards' groups.
	HeartbeatMS int64 `json:"heartbeat_ms"`
	// Nodes by name.
	Nodes map[string]tableNode `json:"nodes"`
	// Shards, one for each; their number never changes.
	Shards []tableShard `json:"shards"`
	// NextReplica is the number that the next replica gets, of any group.
	NextReplica uint64 `json:"next_replica"`
	// Index is that of the last entry of the control group's log that the table
	// contains. Of two tables of a cluster the one with the higher index is newer.
	Index uint64 `json:"index"`
	// Configuration is the newest one of the control group that is committed. The
	// library does not tell its index: GetConfiguration leaves it 0.
	Configuration tableConfiguration `json:"configuration"`
}

type tableConfiguration struct {
	Index   uint64       `json:"index"`
	Servers []stubServer `json:"servers,omitempty"`
}

type tableNode struct {
	DirectoryID string `json:"directory_id"`
	// Control is the number of the node's replica of the control group.
	Control uint64 `json:"control"`
	// Zone is what may fail at once.
	Zone  string    `json:"zone,omitempty"`
	State nodeState `json:"state,omitempty"`
}

// nodeState says what shall become of a node.
type nodeState string

const (
	// nodeIn is a node that holds its share.
	nodeIn nodeState = ""
	// nodeGone is one that has not been seen for longer than the grace period:
	// others take its replicas until it comes back.
	nodeGone nodeState = "gone"
	// nodeLeaving is being decommissioned: its replicas move away.
	nodeLeaving nodeState = "leaving"
	// nodeLeft holds nothing any more and is about to be forgotten.
	nodeLeft nodeState = "left"
)

// tableShard is the wanted replica set of one shard. Version grows with each
// change, so that a command can say for which wish it was chosen.
type tableShard struct {
	Version uint64 `json:"version"`
	// Wanted nodes, the home first.
	Wanted []string `json:"wanted"`
	// Replicas that exist or are to be made. One that is not among them any more
	// throws its data away.
	Replicas []tableReplica `json:"replicas"`
	// Founder is the number of the replica that bootstraps the group, alone. No
	// other ever does.
	Founder uint64 `json:"founder"`
}

type tableReplica struct {
	Node        string `json:"node"`
	DirectoryID string `json:"directory_id"`
	Number      uint64 `json:"number"`
}

// command is an entry of the control group's log: a version byte, a CRC-32C of
// what follows, 4 bytes big endian, and JSON. bolt has no checksums of its own,
// and a flipped bit in the ID secret would lose every named object.
type command struct {
	Form   *formCommand   `json:"form,omitempty"`
	Join   *joinCommand   `json:"join,omitempty"`
	Mark   *markCommand   `json:"mark,omitempty"`
	Forget *forgetCommand `json:"forget,omitempty"`
	Place  *placeCommand  `json:"place,omitempty"`
	Add    *addCommand    `json:"add,omitempty"`
	Drop   *dropCommand   `json:"drop,omitempty"`
}

// commandHeadBytes come before the JSON.
const commandHeadBytes = 5

// formCommand is the first command of every cluster.
type formCommand struct {
	FeatureLevel int    `json:"feature_level"`
	ClusterID    string `json:"cluster_id"`
	IDSecret     []byte `json:"id_secret"`
	HeartbeatMS  int64  `json:"heartbeat_ms"`
	Shards       int    `json:"shards"`
	Node         string `json:"node"`
	DirectoryID  string `json:"directory_id"`
	Zone         string `json:"zone,omitempty"`
}

// firstControlReplica is the number of the control replica that forms a cluster.
const firstControlReplica = 1

// formed says whether the cluster exists.
func (t *table) formed() bool { return t.ClusterID != "" }

// apply executes a command. The returned reason says why it changed nothing; an
// error says that this program cannot know what the command means.
func (t *table) apply(data []byte) (reason string, err error) {
	c, err := decodeCommand(data)
	if err != nil {
		return "", err
	}
	switch {
	case c.Form != nil:
		return t.form(c.Form), nil
	case !t.formed():
		return "the cluster is not formed yet", nil
	case c.Join != nil:
		return t.join(c.Join), nil
	case c.Mark != nil:
		return t.mark(c.Mark), nil
	case c.Forget != nil:
		return t.forget(c.Forget), nil
	case c.Place != nil:
		return t.place(c.Place), nil
	case c.Add != nil:
		return t.add(c.Add), nil
	default:
		return t.drop(c.Drop), nil
	}
}

// decodeCommand reads a control command.
func decodeCommand(data []byte) (command, error) {
	if len(data) < commandHeadBytes {
		return command{}, fmt.Errorf("cluster: decode control command of %d bytes: %w", len(data), ErrCorrupt)
	}
	if data[0] != commandVersion {
		return command{}, fmt.Errorf("cluster: decode control command of version %d: %w", data[0], ErrUnknownVersion)
	}
	payload := data[commandHeadBytes:]
	if binary.BigEndian.Uint32(data[1:]) != crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)) {
		return command{}, fmt.Errorf("cluster: decode control command: checksum: %w", ErrCorrupt)
	}
	var c command
	if err := json.Unmarshal(payload, &c); err != nil {
		return command{}, fmt.Errorf("cluster: decode control command: %w: %w", ErrCorrupt, err)
	}
	if c == (command{}) {
		return command{}, fmt.Errorf("cluster: decode control command of an unknown kind: %w", ErrUnknownVersion)
	}
	return c, nil
}

// encodeCommand gives a control command as the log stores it.
func encodeCommand(c command) ([]byte, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("cluster: encode control command: %w", err)
	}
	data := binary.BigEndian.AppendUint32([]byte{commandVersion}, crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
	return append(data, payload...), nil
}

// form makes the table of a new cluster of one node, which gets a replica of
// every shard. Numbers are given in the order of the shards, on every replica alike.
func (t *table) form(c *formCommand) (reason string) {
	if t.formed() {
		return "the cluster is formed already"
	}
	if err := placement.ValidateShards(c.Shards); err != nil {
		return err.Error()
	}
	if c.ClusterID == "" || len(c.IDSecret) != idSecretBytes || validateName(c.Node) != nil || !validHeartbeat(c.HeartbeatMS) {
		return "the command lacks a cluster ID, an ID secret, a heartbeat time-out or a node"
	}
	t.Version = tableVersion
	t.FeatureLevel = c.FeatureLevel
	t.ClusterID = c.ClusterID
	t.IDSecret = c.IDSecret
	t.HeartbeatMS = c.HeartbeatMS
	t.Nodes = map[string]tableNode{c.Node: {DirectoryID: c.DirectoryID, Control: firstControlReplica, Zone: c.Zone}}
	t.NextReplica = firstControlReplica + 1
	t.Shards = make([]tableShard, c.Shards)
	for i := range t.Shards {
		t.Shards[i] = tableShard{
			Version: 1, Wanted: []string{c.Node}, Founder: t.NextReplica,
			Replicas: []tableReplica{{Node: c.Node, DirectoryID: c.DirectoryID, Number: t.NextReplica}},
		}
		t.NextReplica++
	}
	return ""
}

// validHeartbeat keeps the time-out where durations do not overflow.
func validHeartbeat(ms int64) bool {
	return ms >= minHeartbeatTimeout.Milliseconds() && ms <= maxHeartbeatTimeout.Milliseconds()
}

// encode gives the table as the control group's snapshot stores it.
func (t *table) encode() ([]byte, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("cluster: encode table: %w", err)
	}
	return data, nil
}

// decodeTable reads a table and checks all that the rest of the program relies on.
func decodeTable(data []byte) (*table, error) {
	t := &table{}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("cluster: decode table: %w: %w", ErrCorrupt, err)
	}
	if !t.formed() { // a snapshot may be taken before the first command
		return &table{Index: t.Index, Configuration: t.Configuration}, nil
	}
	if t.Version != tableVersion {
		return nil, fmt.Errorf("cluster: decode table of version %d: %w", t.Version, ErrUnknownVersion)
	}
	if err := placement.ValidateShards(len(t.Shards)); err != nil {
		return nil, fmt.Errorf("cluster: decode table: %w: %w", ErrCorrupt, err)
	}
	if len(t.IDSecret) != idSecretBytes || !validHeartbeat(t.HeartbeatMS) {
		return nil, fmt.Errorf("cluster: decode table: ID secret of %d bytes, heartbeat of %d ms: %w", len(t.IDSecret), t.HeartbeatMS, ErrCorrupt)
	}
	for name, node := range t.Nodes {
		if _, err := node.replica(name); err != nil {
			return nil, fmt.Errorf("cluster: decode table: %w: %w", ErrCorrupt, err)
		}
	}
	for i, shard := range t.Shards {
		for _, r := range shard.Replicas {
			if _, err := r.id(); err != nil {
				return nil, fmt.Errorf("cluster: decode table: shard %d: %w: %w", i, ErrCorrupt, err)
			}
		}
	}
	return t, nil
}

func (r tableReplica) id() (replicaID, error) {
	directory, err := parseDirectoryID(r.DirectoryID)
	if err != nil {
		return replicaID{}, err
	}
	if err := validateName(r.Node); err != nil {
		return replicaID{}, err
	}
	if r.Number == 0 {
		return replicaID{}, fmt.Errorf("cluster: replica of node %q has no number", r.Node)
	}
	return replicaID{node: r.Node, directory: directory, number: r.Number}, nil
}

// newClusterID turns 16 random bytes into the text form of a cluster ID.
func newClusterID(random [16]byte) string { return hex.EncodeToString(random[:]) }
