package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
	"github.com/holdfast-dev/holdfast/docs/examples/visits"
	"github.com/holdfast-dev/holdfast/objects"
)

// readmeBlocks gives the README's code blocks in that language.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(data), -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

// What the README says that commands print is what they print, also when the
// node is killed before each block.
func TestReadmeTour(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	client := newClient(t, nil)
	for i, block := range readmeBlocks(t, "console") {
		if strings.Contains(block, "/objects/Visits/") || strings.Contains(block, ":8180") {
			continue // TestReadmeClass, TestReadmeCluster
		}
		p := startProcess(t, dir, "--name", "laptop")
		addresses := strings.NewReplacer("http://127.0.0.1:8080", p.clients, "http://127.0.0.1:8081", p.operators)
		if i == 0 {
			want := strings.NewReplacer("/home/ada/holdfast/holdfast-data", dir).Replace(addresses.Replace(block))
			if got := "$ go run ./cmd/holdfast\n" + p.greeting; got != want {
				t.Errorf("the node says\n%s\nREADME has\n%s", got, want)
			}
		} else {
			checkTranscript(t, client, addresses, block)
		}
		p.kill(t)
	}
}

// What the README says of three nodes is what three processes do.
func TestReadmeCluster(t *testing.T) {
	c := startProcesses(t, 3)
	seen := 0
	for _, block := range readmeBlocks(t, "console") {
		if strings.Contains(block, ":8180") {
			checkTranscript(t, newClient(t, nil), c.addresses(), block)
			seen++
		}
	}
	if seen == 0 {
		t.Error("the README does not talk to a second node")
	}
}

// The README's class is the one that is compiled here, and does what it says.
func TestReadmeClass(t *testing.T) {
	source, err := os.ReadFile("../../docs/examples/visits/visits.go")
	if err != nil {
		t.Fatal(err)
	}
	if blocks := readmeBlocks(t, "go"); len(blocks) != 1 || blocks[0] != string(source) {
		t.Error("the README's class is not docs/examples/visits/visits.go")
	}
	m := newMachine(t)
	m.parts.Classes = maps.Clone(objects.Classes())
	m.parts.Classes["Visits"] = actor.Class{New: visits.New}
	m.start()
	seen := 0
	for _, block := range readmeBlocks(t, "console") {
		if strings.Contains(block, "/objects/Visits/") {
			checkTranscript(t, newClient(t, nil), strings.NewReplacer("http://127.0.0.1:8080", m.url), block)
			seen++
		}
	}
	if seen == 0 {
		t.Error("the README does not call its class")
	}
}

// checkTranscript runs the commands of a block and compares what they print.
func checkTranscript(t *testing.T, client *http.Client, addresses *strings.Replacer, block string) {
	t.Helper()
	for step := range strings.SplitSeq(strings.TrimPrefix(block, "$ "), "\n$ ") {
		command, want, _ := strings.Cut(step, "\n")
		got, err := curl(t, client, addresses.Replace(command))
		if err != nil {
			t.Errorf("%s: %v", command, err)
			continue
		}
		if withoutChance(got) != withoutChance(want) {
			t.Errorf("%s prints\n%s\nREADME has\n%s", command, got, want)
		}
	}
}

// withoutChance replaces what differs from run to run, and the newline that a
// terminal would show.
func withoutChance(text string) string {
	for _, chance := range []struct{ pattern, name string }{
		{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "<uuid>"},
		{`\b[0-9a-f]{64}\b`, "<id>"},
		{`\b1[0-9]{12}\b`, "<milliseconds>"},
	} {
		text = regexp.MustCompile(chance.pattern).ReplaceAllString(text, chance.name)
	}
	return strings.TrimSuffix(text, "\n")
}

// curl does what the curl lines of the README do, on machines that have none.
func curl(t *testing.T, client *http.Client, command string) (string, error) {
	t.Helper()
	method, url, body := http.MethodGet, "", ""
	words := regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(command, -1)
	for i := 0; i < len(words); i++ {
		word := words[i][1] + words[i][2]
		switch {
		case i == 0 && word == "curl":
		case word == "-X" && i+1 < len(words):
			i++
			method = words[i][2]
		case word == "-d" && i+1 < len(words):
			i++
			method, body = http.MethodPost, words[i][1]+words[i][2]
		case strings.HasPrefix(word, "http://"):
			url = word
		default:
			return "", fmt.Errorf("nobody knows what %q means", word)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return string(answer), err
}
