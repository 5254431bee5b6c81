package main

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// freeAddresses finds addresses on loopback that nothing listens on, neither
// with TCP nor with UDP. Members of a cluster must know each other's before the
// first of them starts, so they cannot choose their own. Whoever takes one in
// between makes the start fail, not the measurement wrong.
func freeAddresses(ctx context.Context, count int) (addresses []string, err error) {
	var listen net.ListenConfig
	var open []interface{ Close() error }
	defer func() {
		for _, o := range open {
			err = errors.Join(err, o.Close())
		}
	}()
	for tries := 0; len(addresses) < count; tries++ {
		if tries == 10*count {
			return nil, errors.New("find free ports: too many are taken")
		}
		stream, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find free ports: %w", err)
		}
		open = append(open, stream)
		packets, err := listen.ListenPacket(ctx, "udp", stream.Addr().String())
		if err != nil {
			continue // somebody has that port for UDP
		}
		open = append(open, packets)
		addresses = append(addresses, stream.Addr().String())
	}
	return addresses, nil
}
