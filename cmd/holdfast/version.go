package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the version that a release build is told by the linker, as in
// -ldflags '-X main.release=v1.2.3'; "" in other builds.
var release string //nolint:gochecknoglobals // the linker can set nothing else; no code does

// build says which code runs. Its JSON form is stable.
type build struct {
	Version  string `json:"version"`  // of the release, else as Go has recorded it: a tag, a pseudo-version or "(devel)"
	Revision string `json:"revision"` // of the checkout, "-dirty" if it had changes; "" if unknown
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.read(info)
	}
	if release != "" {
		b.Version = release
	}
	return b
}

// read takes what Go has recorded in the binary by itself.
func (b *build) read(info *debug.BuildInfo) {
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if b.Revision != "" {
		b.Revision += dirty
	}
}

func (b build) String() string {
	s := "holdfast " + b.Version
	if b.Revision != "" {
		s += " (" + b.Revision + ")"
	}
	return fmt.Sprintf("%s %s %s/%s", s, b.Go, b.OS, b.Arch)
}

func newVersionCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  noArgs,
	}
	output := addOutputFlag(cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := output.validate(); err != nil {
			return &usageError{err}
		}
		if output.json() {
			return writeJSON(s.stdout, readBuild())
		}
		_, err := fmt.Fprintln(s.stdout, readBuild())
		return err
	}
	return cmd
}
