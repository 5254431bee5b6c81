package checks

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var relativeLink = regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`)

// deploy/README.md leads to what is there, names all that is there, and makes the secrets
// that the manifests and the compose file want.
func TestDeployReadme(t *testing.T) {
	const dir = "../../deploy"
	content, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	links := relativeLink.FindAllStringSubmatch(text, -1)
	for _, link := range links {
		if _, err := os.Stat(filepath.Join(dir, link[1])); err != nil {
			t.Errorf("a link leads nowhere: %v", err)
		}
	}
	if len(links) < 10 {
		t.Errorf("%d links: they cannot be read any more", len(links))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		left := name == "README.md" || name == "secrets" || name == "image" && strings.Contains(text, "make image")
		if !left && !strings.Contains(text, name) {
			t.Errorf("deploy/%s is not in deploy/README.md", name)
		}
	}
	set := mustRender(t, loadChart(t), parseValues(t, manifestValues)).must(t, "StatefulSet/holdfast")
	secret, _ := set.get("spec template spec volumes secret secret").(map[string]any)
	name, _ := secret["secretName"].(string)
	if name == "" || !strings.Contains(text, "kubectl create secret generic "+name+" ") {
		t.Errorf("the command that makes the secret %q is not there", name)
	}
	items, _ := secret["items"].([]any)
	for _, item := range items {
		if key, _ := get(item, "key").(string); key == "" || !strings.Contains(text, "--from-literal="+key+"=") {
			t.Errorf("the command does not make %q", key)
		}
	}
	// The compose file and the page tell the same way to its secrets.
	for _, line := range []string{"mkdir -m 700 secrets", "for f in cluster.key admin.token; do head -c 32 /dev/urandom | base64 >secrets/$f; done", "chmod 644 secrets/*"} {
		if !strings.Contains(text, line) || !strings.Contains(readCompose(t), line) {
			t.Errorf("deploy/README.md or deploy/compose.yaml does not have %q", line)
		}
	}
}
