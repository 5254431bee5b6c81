// Command image makes a container image of a static binary without a container
// engine: a tar archive that docker load, podman load, ctr image import and skopeo
// copy take. The same binary and flags always give the same bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.LookupEnv, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

// run makes the archive and prints the digest of the image's manifest.
func run(args []string, lookupEnv func(string) (string, bool), stdout io.Writer) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stdout)
	binary := flags.String("binary", "", "static `file` that the image runs")
	output := flags.String("o", "", "archive to write")
	name := flags.String("name", "holdfast:devel", "of the image, with its tag")
	version := flags.String("version", "", "for the image's labels")
	arch := flags.String("arch", "amd64", "that the binary is for, as GOARCH has it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *binary == "" || *output == "" || flags.NArg() > 0 {
		return errors.New("want -binary FILE and -o ARCHIVE, and no arguments")
	}
	created, err := sourceDate(lookupEnv)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(*binary)
	if err != nil {
		return err
	}
	if err := checkBinary(content, *arch); err != nil {
		return fmt.Errorf("%s: %w", *binary, err)
	}
	archive, digest, err := makeArchive(image{name: *name, version: *version, arch: *arch, binary: content, created: created})
	if err != nil {
		return err
	}
	if err := os.WriteFile(*output, archive, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s %s linux/%s %s\n", *output, *name, *arch, digest)
	return err
}

// sourceDate gives the time that all files of the image bear: as SOURCE_DATE_EPOCH
// says (https://reproducible-builds.org/specs/source-date-epoch/), or none.
func sourceDate(lookupEnv func(string) (string, bool)) (time.Time, error) {
	text, ok := lookupEnv("SOURCE_DATE_EPOCH")
	if !ok || text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: want seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
