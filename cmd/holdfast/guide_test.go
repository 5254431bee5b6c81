package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-dev/holdfast/cluster"
)

// The operators' guide has every command, path and state that there is.
func TestOperatingGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, command := range newRootCommand(surroundings{stdout: io.Discard, stderr: io.Discard}).Commands() {
		if command.Name() != "serve" {
			words = append(words, "`holdfast "+command.Use)
		}
	}
	for pattern := range (&Node{}).operations() {
		words = append(words, "`"+pattern+"`")
	}
	for _, c := range cluster.Conditions() {
		words = append(words, "| `"+string(c)+"` |")
	}
	for _, word := range words {
		if !strings.Contains(string(text), word) {
			t.Errorf("docs/operating.md does not have %q", word)
		}
	}
}
