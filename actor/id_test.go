package actor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// testSecret gives the bytes 0, 1, 2, ... with the first one replaced.
func testSecret(first byte) []byte {
	secret := make([]byte, IDSecretBytes)
	for i := range secret {
		secret[i] = byte(i)
	}
	secret[0] = first
	return secret
}

// The expected IDs were computed with another program. If this test fails,
// every object of every cluster has moved away from its name.
func TestNamedNeverChanges(t *testing.T) {
	for _, c := range []struct{ class, name, want string }{
		{"Counter", "alpha", "d04606814f147961383aad85a3adee02ed792fff8e855d49ad8718eda7e6d2e0"},
		{"Counter", "Größe/.. %2F", "081c793a0812b58a7da2d7de7c7d70de307e8c2a20a6d6ff00b0002674d3ef2a"},
		{"ChatRoom", "alpha", "0044ec471d34b5e4fbe227656f9cf6a4a788e97c4d65cd287463fd0327eb994a"},
	} {
		got, err := NewIDSource(testSecret(0), c.class).Named(c.name)
		if err != nil || got.String() != c.want {
			t.Errorf("Named(%q) of %s = %v, %v, want %s", c.name, c.class, got, err, c.want)
		}
	}
}

func TestParseReachesTheSameObject(t *testing.T) {
	source := NewIDSource(testSecret(0), "Counter")
	named, err := source.Named("alpha")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []ID{named, source.Unique()} {
		for _, text := range []string{id.String(), strings.ToUpper(id.String())} {
			if got, err := source.Parse(text); err != nil || got != id {
				t.Errorf("Parse(%s) = %v, %v, want %v", text, got, err, id)
			}
		}
	}
}

func TestUniqueIsUnique(t *testing.T) {
	source := NewIDSource(testSecret(0), "Counter")
	seen := make(map[ID]bool)
	for range 1000 {
		id := source.Unique()
		if seen[id] {
			t.Fatalf("Unique() = %v twice", id)
		}
		seen[id] = true
	}
}

func TestParseRefuses(t *testing.T) {
	source := NewIDSource(testSecret(0), "Counter")
	id, err := source.Named("alpha")
	if err != nil {
		t.Fatal(err)
	}
	good := id.String()
	otherClass, otherCluster := NewIDSource(testSecret(0), "Counters").Unique(), NewIDSource(testSecret(1), "Counter").Unique()
	for what, text := range map[string]string{
		"empty":             "",
		"short":             good[:62],
		"odd":               good[:63],
		"long":              good + "00",
		"not hexadecimal":   "g" + good[1:],
		"space":             " " + good[1:],
		"zero":              strings.Repeat("0", 64),
		"of another class":  otherClass.String(),
		"of another secret": otherCluster.String(),
		"invented":          hex.EncodeToString(bytes.Repeat([]byte{0xa5}, 32)),
	} {
		if got, err := source.Parse(text); !errors.Is(err, ErrBadID) {
			t.Errorf("Parse(%q), an ID that is %s = %v, %v, want ErrBadID", text, what, got, err)
		}
	}
}

func TestParseRefusesEachAlteredBit(t *testing.T) {
	source := NewIDSource(testSecret(0), "Counter")
	id := source.Unique()
	for bit := range 8 * len(id) {
		altered := id
		altered[bit/8] ^= 1 << (bit % 8)
		if _, err := source.Parse(altered.String()); !errors.Is(err, ErrBadID) {
			t.Errorf("Parse of an ID with bit %d altered: %v, want ErrBadID", bit, err)
		}
	}
}

func TestNamedChecksNames(t *testing.T) {
	source := NewIDSource(testSecret(0), "Counter")
	for _, name := range []string{"", strings.Repeat("x", MaxNameBytes+1), "a\xff", "\xc3"} {
		if got, err := source.Named(name); !errors.Is(err, ErrBadName) {
			t.Errorf("Named(%.20q) = %v, %v, want ErrBadName", name, got, err)
		}
	}
	seen := make(map[ID]string)
	for _, name := range []string{".", "..", "/", "a/b", "a%2Fb", "\x00", " ", "a", "A", strings.Repeat("x", MaxNameBytes)} {
		id, err := source.Named(name)
		if err != nil {
			t.Errorf("Named(%.20q): %v", name, err)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("Named(%.20q) = Named(%.20q)", name, other)
		}
		seen[id] = name
	}
}

func FuzzParseID(f *testing.F) {
	source := NewIDSource(testSecret(0), "Counter")
	id, err := source.Named("alpha")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(id.String())
	f.Add(strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := source.Parse(text)
		if err == nil && got.String() != strings.ToLower(text) {
			t.Errorf("Parse(%q) = %v", text, got)
		}
		if err != nil && got != (ID{}) {
			t.Errorf("Parse(%q) = %v with an error", text, got)
		}
	})
}
