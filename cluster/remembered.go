package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
)

// gossipFile is where a node keeps the addresses at which others gossiped last.
const gossipFile = "gossip.json"

// maxRemembered bounds the addresses in it.
const maxRemembered = 32

// rememberedPeers is the file. It only saves time: a node that was started
// without seeds, because it was the first, finds the others again after a restart.
// So it is not synced, and one that cannot be read is as good as none.
type rememberedPeers struct {
	Version   int      `json:"version"`
	Addresses []string `json:"addresses"`
}

const rememberedVersion = 1

// recall gives the addresses of an earlier start.
func recall(dir *directory) []string {
	data, err := readFile(dir.fs, dir.join(gossipFile))
	if err != nil {
		return nil
	}
	return decodeRemembered(data)
}

func decodeRemembered(data []byte) []string {
	var r rememberedPeers
	if json.Unmarshal(data, &r) != nil || r.Version != rememberedVersion || len(r.Addresses) > maxRemembered {
		return nil
	}
	for _, address := range r.Addresses {
		host, _, err := splitPort(address)
		if err != nil || net.ParseIP(host) == nil {
			return nil
		}
	}
	return r.Addresses
}

// remember writes down where others gossip, whenever that changes, until ctx ends.
func (p *peers) remember(ctx context.Context) {
	last := recall(p.cfg.dir)
	for {
		select {
		case <-p.moved:
		case <-ctx.Done():
			return
		}
		now := p.members.others()
		if len(now) == 0 || slices.Equal(now, last) {
			continue // who is alone does not forget where the others were
		}
		if err := storeRemembered(p.cfg.dir, now); err != nil {
			p.cfg.log.Warn("addresses of other nodes not written down", "error", err)
		}
		last = now
	}
}

func storeRemembered(dir *directory, addresses []string) error {
	data, err := json.Marshal(rememberedPeers{Version: rememberedVersion, Addresses: addresses})
	if err != nil {
		return fmt.Errorf("cluster: encode addresses: %w", err)
	}
	path := dir.join(gossipFile)
	if err := writeFile(dir.fs, path+".tmp", append(data, '\n')); err != nil {
		return fmt.Errorf("cluster: store addresses: %w", err)
	}
	if err := dir.fs.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("cluster: store addresses: %w", err)
	}
	return nil
}
