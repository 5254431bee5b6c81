package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one result: what holdfast does, what the other does, how they compare.
type row struct {
	what     string
	holdfast string
	other    string
	ratio    string
	aim      string
}

// table collects results in the order in which they come.
type table struct {
	other string // what holdfast is compared with; "" = with nothing
	rows  []row
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

func (t *table) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := append([]row{{"what", "holdfast", t.other, "ratio", "aim"}}, t.rows...)
	for _, r := range rows {
		columns := []string{r.what, r.holdfast, r.other, r.ratio, r.aim}
		if t.other == "" { // nothing to compare with
			columns = []string{r.what, r.holdfast, r.aim}
		}
		if _, err := fmt.Fprintln(w, strings.Join(columns, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// median gives the middle value, and 0 for none.
func median[T float64 | time.Duration](values []T) T { return quantile(values, 0.5) }

// quantile gives the value below which that share of the values lies, and 0 for none.
func quantile[T float64 | time.Duration](values []T, share float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
