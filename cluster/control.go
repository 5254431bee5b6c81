package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
)

// controlRetry is the pause before the control group is asked again while it has
// no leader.
const controlRetry = 10 * time.Millisecond

// control is this node's replica of the control group.
type control struct {
	raft  *raft.Raft
	fsm   *controlFSM
	close func() error // of the store, if it is the node's own
}

// openControl starts the replica and returns when it knows the table. A new
// directory forms a cluster of one; a directory that has a cluster never does.
func openControl(ctx context.Context, cfg Config, dir *directory) (*control, error) {
	log := cfg.Log.With("group", "control")
	store := cfg.Control
	c := &control{fsm: &controlFSM{fatal: cfg.Fatal, table: &table{}}, close: func() error { return nil }}
	err := sound(dir.join(controlDir), func() error {
		if store == nil {
			file, err := openFileControl(dir.join(controlDir), log)
			if err != nil {
				return err
			}
			store, c.close = file, file.Close
		}
		if err := readThrough(store); err != nil {
			return err
		}
		return c.start(cfg, dir, store, log)
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: open control group in %s: %w", dir.path, errors.Join(err, c.close()))
	}
	if err := c.known(ctx, cfg, dir); err != nil {
		return nil, fmt.Errorf("cluster: open control group in %s: %w", dir.path, errors.Join(err, c.stop()))
	}
	return c, nil
}

func (c *control) start(cfg Config, dir *directory, store ControlStore, log *slog.Logger) error {
	me := replicaID{node: dir.identity.Name, directory: dir.id, number: firstControlReplica}
	trans := soloTransport{address: me.address()}
	conf := raftConfig(me.serverID(), cfg.HeartbeatTimeout, 0, log)
	conf.NoSnapshotRestoreOnStart = false // the table lives nowhere else
	conf.SnapshotInterval = raft.DefaultConfig().SnapshotInterval
	conf.SnapshotThreshold = raft.DefaultConfig().SnapshotThreshold
	empty, err := isNew(store, store)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if empty && dir.identity.ClusterID != "" {
		return fmt.Errorf("%w: the directory belongs to cluster %s but has no control group: restore it from a backup", ErrDataLoss, dir.identity.ClusterID)
	}
	if err := bootstrap(store, store, me.configuration()); err != nil {
		return fmt.Errorf("cluster: form control group: %w", err)
	}
	c.raft, err = raft.NewRaft(conf, c.fsm, store, store, store, trans)
	if err != nil {
		return fmt.Errorf("cluster: start control group: %w", err)
	}
	if err := campaign(c.raft); err != nil {
		return errors.Join(fmt.Errorf("cluster: start control group: %w", err), c.raft.Shutdown().Error())
	}
	return nil
}

// known waits until everything in the control group's log is applied, forms the
// cluster if there is none yet, and checks that table and directory agree.
func (c *control) known(ctx context.Context, cfg Config, dir *directory) error {
	if err := c.settle(ctx); err != nil {
		return err
	}
	if err := c.fsm.failed(); err != nil {
		return err
	}
	if !c.fsm.current().formed() {
		if err := c.form(cfg, dir); err != nil {
			return err
		}
	}
	t := c.fsm.current()
	if node := t.Nodes[dir.identity.Name]; node.DirectoryID != dir.identity.DirectoryID {
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

// settle waits until this node leads the group and has applied its log.
func (c *control) settle(ctx context.Context) error {
	for {
		err := c.raft.Barrier(0).Error()
		if err == nil {
			return nil
		}
		timer := time.NewTimer(controlRetry)
		select {
		case <-c.raft.LeaderCh():
			timer.Stop()
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("cluster: wait for the control group: %w: %w", context.Cause(ctx), err)
		}
	}
}

func (c *control) form(cfg Config, dir *directory) error {
	var clusterID [16]byte
	secret := make([]byte, idSecretBytes)
	for _, random := range [][]byte{clusterID[:], secret} {
		if _, err := rand.Read(random); err != nil {
			return fmt.Errorf("cluster: form cluster: %w", err)
		}
	}
	data, err := encodeCommand(command{Form: &formCommand{
		FeatureLevel: featureLevel,
		ClusterID:    newClusterID(clusterID),
		IDSecret:     secret,
		Shards:       cfg.Shards,
		HeartbeatMS:  cfg.HeartbeatTimeout.Milliseconds(),
		Node:         dir.identity.Name,
		DirectoryID:  dir.identity.DirectoryID,
	}})
	if err != nil {
		return err
	}
	future := c.raft.Apply(data, 0)
	if err := future.Error(); err != nil {
		return fmt.Errorf("cluster: form cluster: %w", err)
	}
	if reason, ok := future.Response().(string); !ok || reason != "" {
		return fmt.Errorf("cluster: form cluster: %v", future.Response())
	}
	return nil
}

// table gives the newest table that this node knows.
func (c *control) table() *table { return c.fsm.current() }

func (c *control) stop() error {
	err := c.raft.Shutdown().Error()
	if err := errors.Join(err, c.close()); err != nil {
		return fmt.Errorf("cluster: close control group: %w", err)
	}
	return nil
}
