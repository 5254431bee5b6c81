package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-dev/holdfast"

// importRule says what the packages below a folder must not depend on.
type importRule struct {
	folder    string
	forbidden []string // and all below them, not even through other packages
	allowed   []string // our own folders that are exempt from forbidden
	direct    []string // exactly these must not be imported; fmt alone brings os along
	reason    string
}

func importRules() []importRule {
	return []importRule{
		{folder: "placement", forbidden: []string{module}, reason: "placement imports nothing of ours"},
		{folder: "placement", direct: []string{"net", "os", "time", "math/rand", "math/rand/v2", "log/slog"}, reason: "placement is pure"},
		{folder: "actor", forbidden: []string{module}, allowed: []string{"actor"}, reason: "actor imports nothing of ours"},
		{folder: "actor", forbidden: []string{"github.com/hashicorp", "github.com/gorilla"}, reason: "actor knows no network and no Raft"},
		{folder: "objects", forbidden: []string{module}, allowed: []string{"actor", "objects"}, reason: "a class sees only actor"},
		{folder: "objects/suite", forbidden: []string{module}, reason: "the suite is a black box"},
		{folder: "objects/history", forbidden: []string{module}, allowed: []string{"objects/history"}, reason: "a history is what clients saw"},
		{folder: "cmd/holdfast-load", forbidden: []string{module}, allowed: []string{"objects/history", "cmd/holdfast-load"}, reason: "the load is a black box"},
		{folder: "docs", forbidden: []string{module}, allowed: []string{"actor"}, reason: "an example is a class"},
		{folder: "cluster", forbidden: []string{module}, allowed: []string{"placement", "cluster"}, reason: "cluster replicates opaque commands"},
		{folder: "transport", forbidden: []string{module}, allowed: []string{"actor", "placement", "transport"}, reason: "transport knows the wire and no class"},
		{folder: "transport", forbidden: []string{"github.com/hashicorp"}, reason: "Raft stays in cluster"},
	}
}

// listedPackage is what `go list -json` says of a package.
type listedPackage struct {
	ImportPath string
	Dir        string
	Doc        string
	Name       string
	Imports    []string
	Deps       []string
}

func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Doc,Name,Imports,Deps", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []listedPackage
	decoder := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

// checkImports gives each dependency that breaks a rule.
func checkImports(packages []listedPackage, rules []importRule) error {
	var errs []error
	for _, rule := range rules {
		for _, p := range packages {
			if !below(p.ImportPath, module+"/"+rule.folder) {
				continue
			}
			for _, dependency := range p.Deps {
				if rule.forbids(dependency) {
					errs = append(errs, fmt.Errorf("%s depends on %s: %s", p.ImportPath, dependency, rule.reason))
				}
			}
			for _, imported := range p.Imports {
				if slices.Contains(rule.direct, imported) {
					errs = append(errs, fmt.Errorf("%s imports %s: %s", p.ImportPath, imported, rule.reason))
				}
			}
		}
	}
	for _, p := range packages {
		for _, dependency := range p.Deps {
			if below(dependency, module+"/cmd") {
				errs = append(errs, fmt.Errorf("%s depends on %s: nothing imports a command", p.ImportPath, dependency))
			}
		}
	}
	return errors.Join(errs...)
}

func (r importRule) forbids(dependency string) bool {
	in := func(prefix string) bool { return below(dependency, prefix) }
	exempt := func(folder string) bool { return below(dependency, module+"/"+folder) }
	return slices.ContainsFunc(r.forbidden, in) && !slices.ContainsFunc(r.allowed, exempt)
}

func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func TestImportDiagram(t *testing.T) {
	if err := checkImports(listPackages(t), importRules()); err != nil {
		t.Error(err)
	}
}

// The check must see what it forbids.
func TestImportDiagramCatches(t *testing.T) {
	for _, broken := range []listedPackage{
		{ImportPath: module + "/placement", Deps: []string{"fmt", module + "/actor"}},
		{ImportPath: module + "/placement", Imports: []string{"math/rand"}},
		{ImportPath: module + "/actor", Deps: []string{module + "/cluster"}},
		{ImportPath: module + "/actor", Deps: []string{"github.com/hashicorp/raft"}},
		{ImportPath: module + "/objects", Deps: []string{module + "/actor", module + "/transport"}},
		{ImportPath: module + "/objects/suite", Deps: []string{module + "/actor"}},
		{ImportPath: module + "/objects/history", Deps: []string{module + "/actor"}},
		{ImportPath: module + "/cmd/holdfast-load", Deps: []string{module + "/objects/history", module + "/objects"}},
		{ImportPath: module + "/cluster", Deps: []string{module + "/placement", module + "/actor"}},
		{ImportPath: module + "/transport", Deps: []string{module + "/cluster"}},
		{ImportPath: module + "/transport", Deps: []string{module + "/cmd/holdfast"}},
	} {
		if err := checkImports([]listedPackage{broken}, importRules()); err == nil {
			t.Errorf("checkImports(%s with %v) = nil, want an error", broken.ImportPath, broken.Deps)
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, p := range listPackages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + filepath.Base(p.ImportPath) + " "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("doc of %s = %q, want a sentence that begins %q", p.ImportPath, p.Doc, want)
		}
	}
}

// A new folder at the top is a decision about the shape of the project.
func TestTopLevelFolders(t *testing.T) {
	want := []string{"actor", "cluster", "cmd", "deploy", "docs", "helm", "objects", "placement", "transport"}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m: %v", err)
	}
	root := strings.TrimSpace(string(out))
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		leftBehind := name == "bin" || name == "holdfast-data" // see .gitignore
		if entry.IsDir() && !strings.HasPrefix(name, ".") && !leftBehind && !slices.Contains(want, name) {
			t.Errorf("top-level folder %s is not one of %v", name, want)
		}
	}
}
