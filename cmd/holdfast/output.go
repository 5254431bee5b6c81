package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
)

// outputFlag says for whom a command prints.
type outputFlag string

func addOutputFlag(flags *pflag.FlagSet) *outputFlag {
	o := new(outputFlag)
	flags.StringVarP((*string)(o), "output", "o", "table", "table for people, json for programs")
	return o
}

func (o *outputFlag) validate() error {
	if *o != "table" && *o != "json" {
		return fmt.Errorf("--output is %q: want table or json", *o)
	}
	return nil
}

func (o *outputFlag) json() bool { return *o == "json" }

// table is columns for people. The first row is the header.
type table [][]string

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
		if row[i] == "" {
			row[i] = "-"
		}
	}
	*t = append(*t, row)
}

func (t table) write(w io.Writer) error {
	const gap = 2
	columns := tabwriter.NewWriter(w, 0, 0, gap, ' ', 0)
	for _, row := range t {
		if _, err := fmt.Fprintln(columns, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return columns.Flush()
}

// writeJSON is for programs, and for people who look over their shoulders.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
