package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
)

// checkBinary refuses what would not run in an image that holds nothing else: a
// program for another machine, or one that needs a loader and libraries.
func checkBinary(content []byte, arch string) error {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	want, ok := machines[arch]
	if !ok {
		return fmt.Errorf("architecture %q: want amd64 or arm64", arch)
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("no program for Linux (build with GOOS=linux): %w", err)
	}
	if f.Machine != want {
		return fmt.Errorf("a program for %v, want one for %s (build with GOARCH=%s)", f.Machine, arch, arch)
	}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			return errors.New("not static: build with CGO_ENABLED=0")
		}
	}
	return nil
}
