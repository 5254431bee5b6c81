package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

func newUnquarantineCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unquarantine [CLASS NAME]",
		Short: "Let a quarantined object run again, or list those of a node",
		Long: `Forget the strikes of an object, so that it runs again at once. Any node may be asked.

An object is quarantined when its handlers ran while nodes crashed, or panicked or ran
into their time limit again and again: see docs/operating.md. Mend its code first.

Without an object, list those that are quarantined in the shards that the node owns.`,
		Example: `  holdfast unquarantine
  holdfast unquarantine ChatRoom lobby
  holdfast unquarantine ChatRoom --id 3f0c...`,
	}
	id := cmd.Flags().String("id", "", "the object's ID, instead of its name")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 2 && *id == "", len(args) == 1 && *id != "", len(args) == 0 && *id == "":
			return nil
		}
		return &usageError{errors.New("unquarantine wants CLASS and NAME, or CLASS and --id, or nothing")}
	}
	flags := addAdminFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := flags.open(cmd, s)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			var view quarantineView
			if err := client.call(cmd.Context(), http.MethodGet, "/quarantine", &view); err != nil {
				return err
			}
			return view.write(s, flags.output)
		}
		path := "/ids/" + url.PathEscape(args[0]) + "/" + url.PathEscape(*id) + "/clear-quarantine"
		if *id == "" {
			path = "/objects/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1]) + "/clear-quarantine"
		}
		var done pardoned
		if err := client.call(cmd.Context(), http.MethodPost, path, &done); err != nil {
			return err
		}
		if flags.output.json() {
			return writeJSON(s.stdout, done)
		}
		_, err = fmt.Fprintf(s.stdout, "%s %s has no strikes any more: it runs with the next call.\n", done.Class, done.label())
		return err
	}
	return cmd
}

func (p pardoned) label() string {
	if p.Name != "" {
		return p.Name
	}
	return p.ID
}

func (v quarantineView) write(s surroundings, output *outputFlag) error {
	if output.json() {
		return writeJSON(s.stdout, v)
	}
	var t table
	t.add("CLASS", "NAME", "ID", "STRIKES", "UNTIL")
	for _, o := range v.Objects {
		t.add(o.Class, o.Name, o.ID, o.Strikes, o.Until.Format(time.RFC3339))
	}
	return t.write(s.stdout)
}
