package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one result: what a node does, what the bare machine does, how they compare.
type row struct {
	what     string
	holdfast string
	bare     string
	ratio    string
	aim      string
}

// table collects results in the order in which they come.
type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

func (t *table) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := append([]row{{"what", "holdfast", "bare", "ratio", "aim"}}, t.rows...)
	for _, r := range rows {
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.what, r.holdfast, r.bare, r.ratio, r.aim); err != nil {
			return err
		}
	}
	return w.Flush()
}

// median gives the middle value, and 0 for none.
func median[T float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
