package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// controlRetry is the pause before the control group is asked again while it has
// no leader.
const controlRetry = 10 * time.Millisecond

// controlTrailing is how many entries stay behind a snapshot, for followers that
// are a little behind.
const controlTrailing = 1024

// controlPatience is for how many heartbeat time-outs a starting node waits for a
// leader of the control group, if it can do without.
const controlPatience = 10

// lonelyPatience is how many times as long it waits while it meets nobody.
const lonelyPatience = 4

// controlCommit is how soon an idle follower learns that the table has changed.
const controlCommit = 200 * time.Millisecond

// errTableRefused means that a command changed nothing, and says why.
var errTableRefused = errors.New("cluster: change the table: refused")

// control is this node's replica of the control group.
type control struct {
	raft  *raft.Raft
	fsm   *controlFSM
	me    replicaID
	acted *table       // the newest table by which an earlier start has acted; may be nil
	port  *raftPort    // nil: the node is alone
	close func() error // of the store, if it is the node's own
}

// controlSetup says which replica of the control group to open.
type controlSetup struct {
	me        replicaID
	transport raft.Transport
	// founds says that this replica begins the group, if the directory is new.
	founds  bool
	timeout time.Duration // of heartbeats
	changed func()        // the table has changed; must not block
	met     func() bool   // gossip has found another living node of the cluster; nil: there are none
}

// openControl starts the replica and returns when it knows the table. A
// directory that has a cluster never forms one.
func openControl(ctx context.Context, cfg Config, dir *directory, setup controlSetup) (*control, error) {
	log := cfg.Log.With("group", "control")
	store := cfg.Control
	c := &control{
		me: setup.me, close: func() error { return nil },
		fsm: &controlFSM{fatal: cfg.Fatal, table: &table{}, changed: setup.changed},
	}
	err := sound(dir.join(controlDir), func() error {
		if store == nil {
			file, err := openFileControl(cfg.FS, dir.join(controlDir), log)
			if err != nil {
				return err
			}
			store, c.close = file, file.Close
		}
		if err := readThrough(store); err != nil {
			return err
		}
		var err error
		if c.acted, err = dir.recallTable(); err != nil {
			return err
		}
		return c.start(setup, dir, store, log)
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: open control group in %s: %w", dir.path, errors.Join(err, c.close()))
	}
	if err := c.known(ctx, cfg, dir, setup); err != nil {
		return nil, fmt.Errorf("cluster: open control group in %s: %w", dir.path, errors.Join(err, c.stop()))
	}
	return c, nil
}

func (c *control) start(setup controlSetup, dir *directory, store ControlStore, log *slog.Logger) error {
	conf := raftConfig(setup.me.serverID(), setup.timeout, 0, log)
	conf.NoSnapshotRestoreOnStart = false // the table lives nowhere else
	conf.SnapshotInterval = raft.DefaultConfig().SnapshotInterval
	conf.SnapshotThreshold = raft.DefaultConfig().SnapshotThreshold
	conf.TrailingLogs = controlTrailing
	conf.CommitTimeout = max(controlCommit, setup.timeout/4) // a quarter only in virtual time
	empty, err := isNew(store, store)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if empty && dir.identity.ClusterID != "" {
		return fmt.Errorf("%w: the directory belongs to cluster %s but has no control group: restore it from a backup", ErrDataLoss, dir.identity.ClusterID)
	}
	if setup.founds {
		if err := bootstrap(store, store, setup.me.configuration()); err != nil {
			return fmt.Errorf("cluster: form control group: %w", err)
		}
	}
	c.raft, err = raft.NewRaft(conf, c.fsm, store, store, store, setup.transport)
	if err != nil {
		return fmt.Errorf("cluster: start control group: %w", err)
	}
	configuration := c.raft.GetConfiguration().Configuration()
	if port, ok := setup.transport.(*raftPort); ok {
		c.port = port
		port.attach(c.raft)
	} else if len(configuration.Servers) > 1 {
		return errors.Join(errors.New("cluster: start control group: the cluster has other nodes: a network is needed"), c.raft.Shutdown().Error())
	}
	if newMembership(configuration, 0, setup.me.serverID()).alone {
		if err := campaign(c.raft); err != nil {
			return errors.Join(fmt.Errorf("cluster: start control group: %w", err), c.raft.Shutdown().Error())
		}
	}
	return nil
}

// known waits until there is a table to act by, forms the cluster if there is none
// yet, and checks that table and directory agree.
func (c *control) known(ctx context.Context, cfg Config, dir *directory, setup controlSetup) error {
	alone, err := c.settle(ctx, dir, setup)
	if err != nil {
		return err
	}
	if err := c.fsm.failed(); err != nil {
		return err
	}
	if alone {
		cfg.Log.Warn("the control group has no leader: this node starts with what it knew before", "table_index", c.acted.Index)
	}
	if !c.table().formed() {
		if err := c.form(cfg, dir, setup.timeout); err != nil {
			return err
		}
	}
	t := c.table()
	node, ok := t.Nodes[dir.identity.Name]
	switch {
	case !ok || node.State == nodeLeft:
		return fmt.Errorf("%w: node %q: to let it join again, empty its data directory", ErrDecommissioned, dir.identity.Name)
	case node.DirectoryID != dir.identity.DirectoryID:
		return fmt.Errorf("cluster: the table knows node %q with directory %q, not %q: %w", dir.identity.Name, node.DirectoryID, dir.identity.DirectoryID, ErrCorrupt)
	}
	c.fsm.opened.Store(true)
	// Crash window: between the first command and this the directory has a control
	// group and no cluster ID. The next start finds the table formed and comes here.
	if dir.identity.ClusterID == "" {
		return nil // Open records the ID once the log database exists, too
	}
	if dir.identity.ClusterID != t.ClusterID {
		return fmt.Errorf("cluster: directory of cluster %s has the control group of %s: %w", dir.identity.ClusterID, t.ClusterID, ErrCorrupt)
	}
	return nil
}

// settle waits until this node leads the group and has applied its log, or
// follows a leader and knows a table in which it stands. Shards go on without a
// control leader: a node that has a table of an earlier start does not wait for
// ever, and alone says that this is the case.
//
// While gossip has not found a living node of the cluster it waits longer: whoever
// is found is asked whether this node still belongs to them.
func (c *control) settle(ctx context.Context, dir *directory, setup controlSetup) (alone bool, err error) {
	patience := controlPatience * setup.timeout
	deadline, met := time.Now().Add(lonelyPatience*patience), false
	for {
		err := c.raft.Barrier(0).Error()
		if err == nil || c.follows(dir) {
			return false, nil
		}
		if !met && setup.met != nil && setup.met() {
			deadline, met = time.Now().Add(patience), true
		}
		if c.acted != nil && time.Now().After(deadline) {
			return true, nil
		}
		timer := time.NewTimer(controlRetry)
		select {
		case <-c.raft.LeaderCh():
			timer.Stop()
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, fmt.Errorf("cluster: wait for the control group: %w: %w", context.Cause(ctx), err)
		}
	}
}

// follows says whether a leader has told what this replica needs to begin. What
// is newer will come; until then the node does what was right a moment ago.
func (c *control) follows(dir *directory) bool {
	if _, leader := c.raft.LeaderWithID(); leader == "" || c.raft.CommitIndex() == 0 {
		return false
	}
	node, ok := c.table().Nodes[dir.identity.Name]
	return ok && node.DirectoryID == dir.identity.DirectoryID
}

func (c *control) form(cfg Config, dir *directory, heartbeat time.Duration) error {
	var clusterID [16]byte
	secret := make([]byte, idSecretBytes)
	for _, random := range [][]byte{clusterID[:], secret} {
		if _, err := rand.Read(random); err != nil {
			return fmt.Errorf("cluster: form cluster: %w", err)
		}
	}
	form := &formCommand{
		FeatureLevel: featureLevel,
		ClusterID:    newClusterID(clusterID),
		IDSecret:     secret,
		Shards:       cfg.Shards,
		HeartbeatMS:  heartbeat.Milliseconds(),
		Node:         dir.identity.Name,
		DirectoryID:  dir.identity.DirectoryID,
	}
	if cfg.Network != nil {
		form.Zone = cfg.Network.Zone
	}
	if err := c.propose(command{Form: form}); err != nil {
		return fmt.Errorf("cluster: form cluster: %w", err)
	}
	return nil
}

// propose puts a command into the group's log and returns when the table has it.
func (c *control) propose(cmd command) error {
	data, err := encodeCommand(cmd)
	if err != nil {
		return err
	}
	future := c.raft.Apply(data, 0)
	if err := future.Error(); err != nil {
		return fmt.Errorf("cluster: change the table: %w", err)
	}
	if reason, ok := future.Response().(string); !ok || reason != "" {
		return fmt.Errorf("%w: %v", errTableRefused, future.Response())
	}
	return nil
}

// leader gives the node that leads the control group, as far as this one knows.
func (c *control) leader() (node string, mine bool) {
	_, id := c.raft.LeaderWithID()
	replica, err := parseReplicaID(id)
	if err != nil {
		return "", false
	}
	return replica.node, id == c.me.serverID() && c.raft.State() == raft.Leader
}

// table gives the newest table that this node knows.
func (c *control) table() *table {
	t := c.fsm.current()
	if c.acted != nil && t.Index < c.acted.Index {
		return c.acted
	}
	return t
}

// configuration gives the index of the group's newest committed configuration, and
// whether there is no newer one on its way.
func (c *control) configuration() (index uint64, committed bool) {
	now := c.table().Configuration
	return now.Index, slices.Equal(now.Servers, storedServers(c.raft.GetConfiguration().Configuration()))
}

func (c *control) stop() error {
	err := c.raft.Shutdown().Error()
	if err := errors.Join(err, c.close()); err != nil {
		return fmt.Errorf("cluster: close control group: %w", err)
	}
	return nil
}
