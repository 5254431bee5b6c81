package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// buildBinary builds a small static program for Linux.
func buildBinary(t *testing.T, arch string, environment ...string) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { println(\"hello from the image\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", path, source)
	cmd.Env = append(os.Environ(), append([]string{"GOOS=linux", "GOARCH=" + arch, "CGO_ENABLED=0", "GOFLAGS="}, environment...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func makeImage(t *testing.T, epoch string, args ...string) (archive []byte, said string, err error) {
	t.Helper()
	output := filepath.Join(t.TempDir(), "image.tar")
	var out bytes.Buffer
	err = run(append([]string{"-o", output}, args...), func(string) (string, bool) { return epoch, epoch != "" }, &out)
	if err != nil {
		return nil, out.String(), err
	}
	archive, err = os.ReadFile(output)
	return archive, out.String(), err
}

type entry struct {
	header  *tar.Header
	content []byte
}

func unpack(t *testing.T, archive []byte) map[string]entry {
	t.Helper()
	files := make(map[string]entry)
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = entry{header, content}
	}
}

func decode[T any](t *testing.T, content []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(content, &v); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
	return v
}

// Two builds of the same source, in different places, give the same image.
func TestSameBytes(t *testing.T) {
	args := []string{"-name", "localhost/holdfast:test", "-version", "v1.2.3", "-arch", runtime.GOARCH}
	first, said, err := makeImage(t, "", append(args, "-binary", buildBinary(t, runtime.GOARCH))...)
	if err != nil {
		t.Fatal(err)
	}
	second, saidAgain, err := makeImage(t, "", append(args, "-binary", buildBinary(t, runtime.GOARCH))...)
	if err != nil {
		t.Fatal(err)
	}
	_, digest, _ := strings.Cut(said, "sha256:")
	if !bytes.Equal(first, second) || digest == "" || !strings.Contains(saidAgain, digest) {
		t.Errorf("two builds gave %d and %d bytes, %q and %q, want the same", len(first), len(second), said, saidAgain)
	}
	dated, saidDated, err := makeImage(t, "1795460127", append(args, "-binary", buildBinary(t, runtime.GOARCH))...)
	if err != nil || bytes.Equal(first, dated) || strings.Contains(saidDated, digest) {
		t.Errorf("SOURCE_DATE_EPOCH changed nothing: %q, %v", saidDated, err)
	}
	for name, e := range unpack(t, dated) {
		if e.header.ModTime.Unix() != 1795460127 {
			t.Errorf("%s is of %v, want the time of SOURCE_DATE_EPOCH", name, e.header.ModTime)
		}
	}
}

// Both ways into the archive lead to the same image, and every digest is right.
func TestArchive(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		binary := buildBinary(t, arch)
		archive, _, err := makeImage(t, "", "-name", "localhost/holdfast:test", "-version", "v1.2.3", "-arch", arch, "-binary", binary)
		if err != nil {
			t.Fatal(err)
		}
		files := unpack(t, archive)
		blob := func(d descriptor) []byte {
			content := files[d.path()].content
			sum := sha256.Sum256(content)
			if d.Digest != "sha256:"+hex.EncodeToString(sum[:]) || d.Size != len(content) {
				t.Errorf("%s of %d bytes points to %x of %d bytes", d.Digest, d.Size, sum, len(content))
			}
			return content
		}
		i := decode[index](t, files["index.json"].content)
		if len(i.Manifests) != 1 || i.Manifests[0].Platform.Architecture != arch || i.Manifests[0].Annotations["io.containerd.image.name"] != "localhost/holdfast:test" {
			t.Fatalf("index = %+v", i)
		}
		m := decode[manifest](t, blob(i.Manifests[0]))
		c := decode[config](t, blob(m.Config))
		d := decode[[]dockerManifest](t, files["manifest.json"].content)
		if len(d) != 1 || d[0].RepoTags[0] != "localhost/holdfast:test" || d[0].Config != m.Config.path() || len(d[0].Layers) != len(m.Layers) {
			t.Fatalf("manifest.json = %+v, and the OCI manifest %+v", d, m)
		}
		root := make(map[string]entry)
		for n, l := range m.Layers {
			if c.RootFS.DiffIDs[n] != l.Digest || d[0].Layers[n] != l.path() {
				t.Errorf("layer %d is %s, %s and %s", n, l.Digest, c.RootFS.DiffIDs[n], d[0].Layers[n])
			}
			maps.Copy(root, unpack(t, blob(l)))
		}
		program, data := root["holdfast"], root["data/"]
		want, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if len(root) != 2 || !bytes.Equal(program.content, want) || program.header.Mode != 0o755 || program.header.Uid != 0 {
			t.Errorf("the image holds %d files, the program has mode %o", len(root), program.header.Mode)
		}
		if data.header.Typeflag != tar.TypeDir || data.header.Uid != 65532 || data.header.Gid != 65532 || data.header.Mode != 0o755 {
			t.Errorf("/data is %+v, want a directory of the user that runs", data.header)
		}
		if s := c.Config; c.Architecture != arch || c.OS != "linux" || s.User != "65532:65532" || s.Entrypoint[0] != "/holdfast" || s.Labels["org.opencontainers.image.version"] != "v1.2.3" {
			t.Errorf("configuration = %+v", c)
		}
	}
}

func TestRefusals(t *testing.T) {
	binary := buildBinary(t, "arm64")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		epoch string
		args  []string
		want  string
	}{
		{"", nil, "-binary"},
		{"", []string{"-binary", binary, "more"}, "no arguments"},
		{"", []string{"-binary", "/does/not/exist"}, "/does/not/exist"},
		{"", []string{"-binary", binary, "-arch", "amd64"}, "GOARCH=amd64"},
		{"", []string{"-binary", binary, "-arch", "mips"}, "amd64 or arm64"},
		{"", []string{"-binary", text}, "GOOS=linux"},
		{"soon", []string{"-binary", binary}, "SOURCE_DATE_EPOCH"},
	} {
		if _, _, err := makeImage(t, tc.epoch, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("image %v with SOURCE_DATE_EPOCH %q = %v, want %q in it", tc.args, tc.epoch, err, tc.want)
		}
	}
}

// The Dockerfile makes the same image.
func TestDockerfileAgrees(t *testing.T) {
	content, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(content), "FROM scratch")
	last = strings.NewReplacer(`"`, "", "\\\n", " ").Replace(last)
	words := strings.Fields(last)
	s := image{version: "$VERSION"}.settings()
	want := append([]string{"USER " + s.User, "VOLUME " + dataPath, "ENTRYPOINT [" + s.Entrypoint[0] + "]", "--chown=" + s.User + " /out/data " + dataPath}, s.Env...)
	for port := range s.ExposedPorts {
		want = append(want, port)
	}
	for key, value := range s.Labels {
		want = append(want, key+"="+value)
	}
	text := strings.Join(words, " ")
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("deploy/Dockerfile does not have %q", w)
		}
	}
	if settings := strings.Count(text, "HOLDFAST_"); settings != len(s.Env) {
		t.Errorf("deploy/Dockerfile sets %d variables, the image %d", settings, len(s.Env))
	}
}
