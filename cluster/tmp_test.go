package cluster

import (
	"fmt"
	dto "github.com/prometheus/client_model/go"
)

func dumpSync(n *Node, elapsed float64) {
	var m dto.Metric
	_ = n.db.db.Metrics().LogWriter.FsyncLatency.Write(&m)
	h := m.GetHistogram()
	fmt.Printf("syncs %d  mean %.0f µs, %.0f/s busy %.2f\n", h.GetSampleCount(), h.GetSampleSum()/float64(h.GetSampleCount())/1000, float64(h.GetSampleCount())/elapsed, h.GetSampleSum()/1e9/elapsed)
}
