package cluster

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-dev/holdfast/placement"
)

// memberMetaVersion is the newest form of what members say of themselves. A
// member ignores others whose form it does not know.
const memberMetaVersion = 1

// maxMemberMetaBytes is the library's bound (memberlist.MetaMaxSize).
const maxMemberMetaBytes = 512

// memberMeta is what a member says of itself in gossip. Nothing in it grants
// anything: it suggests where to look and whom to ask.
type memberMeta struct {
	cluster   string // hex; "" until the member belongs to one
	directory directoryID
	zone      string
	internal  string // address of the internal port
}

// append adds the encoded form: a version byte, and the fields, each behind its length.
func (m memberMeta) append(dst []byte) []byte {
	dst = append(dst, memberMetaVersion)
	for _, field := range []string{m.cluster, m.directory.String(), m.zone, m.internal} {
		dst = appendBatch(dst, []byte(field))
	}
	return dst
}

var errMemberMeta = errors.New("cluster: gossip metadata that this version does not know")

func decodeMemberMeta(data []byte) (memberMeta, error) {
	if len(data) == 0 || data[0] != memberMetaVersion {
		return memberMeta{}, errMemberMeta
	}
	r := reader{rest: data[1:]}
	m := memberMeta{cluster: string(r.bytes())}
	directory := string(r.bytes())
	m.zone, m.internal = string(r.bytes()), string(r.bytes())
	if r.bad || len(r.rest) > 0 {
		return memberMeta{}, errMemberMeta
	}
	if _, err := hex.DecodeString(m.cluster); err != nil {
		return memberMeta{}, errMemberMeta
	}
	var err error
	if m.directory, err = parseDirectoryID(directory); err != nil {
		return memberMeta{}, errMemberMeta
	}
	return m, nil
}

// gossipName joins a node's name and its start number. memberlist refuses a new
// address for a name that it still holds for alive, suspect or dead, which would
// keep a restarted node outside; under a new name it comes in at once, and the
// highest start counts.
func gossipName(node placement.NodeID, start uint64) string {
	return string(node) + "/" + strconv.FormatUint(start, 10)
}

func parseGossipName(name string) (node placement.NodeID, start uint64, err error) {
	text, number, ok := strings.Cut(name, "/")
	if ok {
		start, err = strconv.ParseUint(number, 10, 64)
	}
	if !ok || err != nil || start == 0 || strconv.FormatUint(start, 10) != number || validateName(text) != nil {
		return "", 0, fmt.Errorf("cluster: gossip name %q: want name/start", name)
	}
	return placement.NodeID(text), start, nil
}
