package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	// formingPause is the usual time between two looks around of a node that
	// belongs to no cluster yet.
	formingPause = 300 * time.Millisecond
	// formingReport is how often it says what it waits for.
	formingReport = 10 * time.Second
)

// admission says how a node without a cluster gets one: it forms it, or has been
// accepted by it.
type admission struct {
	form        bool
	clusterID   string
	control     uint64 // number of the replica of the control group
	heartbeatMS int64
}

// former finds a cluster for a node that belongs to none.
type former struct {
	dir      *directory
	network  *Network
	promises *promises
	all      func() []Member // what gossip knows, this node included
	call     func(ctx context.Context, node string, q peerRequest) (peerAnswer, error)
	wake     <-chan struct{} // members have changed
	log      *slog.Logger
}

// run returns when the node has a cluster, or never will.
func (f *former) run(ctx context.Context) (admission, error) {
	reported := time.Now()
	for {
		a, waits, err := f.look(ctx)
		if err != nil || a != (admission{}) {
			return a, err
		}
		if time.Since(reported) >= formingReport {
			reported = time.Now()
			f.log.Warn("this node belongs to no cluster yet", "waits_for", waits)
		}
		timer := time.NewTimer(formingPause/2 + rand.N(formingPause)) //nolint:gosec // jitter needs no secret
		select {
		case <-timer.C:
		case <-f.wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return admission{}, fmt.Errorf("cluster: find a cluster: waits for %s: %w", waits, context.Cause(ctx))
		}
	}
}

// look looks around once. Without admission and error it says what it waits for.
func (f *former) look(ctx context.Context) (a admission, waits string, err error) {
	members := f.all()
	for _, m := range members {
		if !m.Alive || m.cluster == "" || string(m.Node) == f.dir.identity.Name {
			continue
		}
		if a, waits = f.join(ctx, string(m.Node)); a != (admission{}) {
			return a, "", nil
		}
	}
	if waits != "" {
		return admission{}, waits, nil
	}
	if f.dir.identity.Joining != "" {
		return admission{}, "a node of cluster " + f.dir.identity.Joining, nil
	}
	if err := f.checkPromise(members); err != nil {
		return admission{}, "", err
	}
	if f.network.BootstrapExpect == 0 {
		return admission{}, "a node that belongs to a cluster", nil
	}
	return f.propose(ctx, members)
}

// join asks to be accepted, of that node and of the one to which it refers.
func (f *former) join(ctx context.Context, via string) (a admission, waits string) {
	q := peerRequest{Join: &joinCommand{Node: f.dir.identity.Name, DirectoryID: f.dir.identity.DirectoryID, Zone: f.network.Zone}}
	answer, err := f.call(ctx, via, q)
	if err == nil && answer.Leader != "" {
		via = answer.Leader
		answer, err = f.call(ctx, via, q)
	}
	switch {
	case err != nil:
		f.log.Debug("not accepted by the cluster yet", "peer", via, "error", err)
		return admission{}, fmt.Sprintf("%s to accept it: %v", via, err)
	case answer.Join == nil:
		return admission{}, "a leader of the control group"
	case f.dir.identity.Joining != "" && f.dir.identity.Joining != answer.Join.ClusterID:
		f.log.Error("this node was accepted by another cluster before: empty its data directory to let it join this one",
			"dir", f.dir.path, "cluster", f.dir.identity.Joining, "other_cluster", answer.Join.ClusterID)
		return admission{}, "a node of cluster " + f.dir.identity.Joining
	}
	return admission{clusterID: answer.Join.ClusterID, control: answer.Join.Control, heartbeatMS: answer.Join.HeartbeatMS}, ""
}

// checkPromise looks whether the one to whom this node has promised can still
// keep his part.
func (f *former) checkPromise(members []Member) error {
	made := f.promises.now()
	for _, m := range members {
		if made.Node == string(m.Node) && m.Alive && made.Directory != m.directory.String() {
			return fmt.Errorf("%w: %s, directory %s, is now there with directory %s: if that is meant to be, delete %s",
				ErrPromiseLost, made.Node, made.Directory, m.directory, f.dir.join(promiseFile))
		}
	}
	return nil
}

// propose forms a cluster once enough nodes have promised to be in it. Whoever
// stands asks the nodes in the order of their names, so that of two candidates
// one gets ahead of the other.
func (f *former) propose(ctx context.Context, members []Member) (a admission, waits string, err error) {
	made := f.promises.now()
	mine := made.Node == f.dir.identity.Name && made.Directory == f.dir.identity.DirectoryID
	if made.Node != "" && !mine {
		return admission{}, fmt.Sprintf("%s, to whom it has promised to join his cluster (%s)", made.Node, f.dir.join(promiseFile)), nil
	}
	var others []string
	lowest := true
	for _, m := range members {
		if m.Alive && m.cluster == "" && string(m.Node) != f.dir.identity.Name {
			others = append(others, string(m.Node))
			lowest = lowest && f.dir.identity.Name < string(m.Node)
		}
	}
	if len(others)+1 < f.network.BootstrapExpect {
		return admission{}, fmt.Sprintf("%d nodes, sees %d", f.network.BootstrapExpect, len(others)+1), nil
	}
	if !lowest && !mine {
		return admission{}, others[0] + ", to form the cluster", nil
	}
	if standing, err := f.promises.stand(true); err != nil || !standing {
		return admission{}, "another candidate", err
	}
	return f.collect(ctx, others[:f.network.BootstrapExpect-1], !mine || !made.Asked)
}

// collect asks for promises. alone says that nobody can have promised this node so far.
func (f *former) collect(ctx context.Context, others []string, alone bool) (a admission, waits string, err error) {
	for _, node := range others {
		answer, err := f.call(ctx, node, peerRequest{Promise: &promiseRequest{Node: f.dir.identity.Name, Directory: f.dir.identity.DirectoryID}})
		switch {
		case err != nil:
			return admission{}, fmt.Sprintf("the promise of %s: %v", node, err), nil
		case answer.Promise == nil:
			return admission{}, "", fmt.Errorf("%w: no promise in the answer of %s", errPeerCall, node)
		case answer.Promise.ClusterID != "":
			a, waits := f.join(ctx, node)
			return a, waits, nil
		case answer.Promise.Node != f.dir.identity.Name || answer.Promise.Directory != f.dir.identity.DirectoryID:
			waits := fmt.Sprintf("%s, whom %s has promised to join", answer.Promise.Node, node)
			if alone {
				_, err = f.promises.stand(false)
			}
			return admission{}, waits, err
		}
		alone = false
	}
	return admission{form: true}, "", nil
}

// promise answers another candidate.
func (f *former) promise(q promiseRequest) (promiseAnswer, error) {
	if q.Node == f.dir.identity.Name {
		return promiseAnswer{}, errors.New("cluster: promise: two nodes have the same name")
	}
	made, err := f.promises.give(q)
	if err != nil {
		return promiseAnswer{}, err
	}
	return promiseAnswer{Node: made.Node, Directory: made.Directory}, nil
}
