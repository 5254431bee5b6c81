package suite

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// match demands that a text is the pattern, byte by byte. In a pattern stand
//
//	$uuid  a random UUID
//	$ms    a time in milliseconds
//	$n     a number that is not negative
//	$text  any characters but quotes
//	$hex   hexadecimal digits
//	$any   anything
//
// The values at these places are the result, in their order.
func match(t *testing.T, what, got, pattern string) []string {
	t.Helper()
	expression := strings.NewReplacer(
		`\$uuid`, `([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})`,
		`\$ms`, `(\d{12,13})`,
		`\$n`, `(\d+)`,
		`\$text`, `([^"]+)`,
		`\$hex`, `([0-9a-f]+)`,
		`\$any`, `(.*)`,
	).Replace(regexp.QuoteMeta(pattern))
	found := regexp.MustCompile(`(?s)\A` + expression + `\z`).FindStringSubmatch(got)
	if found == nil {
		t.Fatalf("%s\n got %s\nwant %s", what, short(got), short(pattern))
	}
	return found[1:]
}

// number gives a matched number.
func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
