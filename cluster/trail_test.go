package cluster

import "testing"

func TestTrail(t *testing.T) {
	for _, tt := range []struct {
		name              string
		followers         bool
		entries, logBytes int64
		want              uint64
	}{
		{"nobody is behind", false, 100, 100, 0},
		{"nothing was counted", true, 0, 0, maxTrail},
		{"small entries", true, 8192, 8192 * 100, maxTrail},
		{"entries of 4 KiB", true, 4096, 16 << 20, 2048},
		{"entries of 1 MiB", true, 16, 16 << 20, minTrail},
	} {
		if got := trail(tt.followers, tt.entries, tt.logBytes); got != tt.want {
			t.Errorf("%s: trail(%v, %d, %d) = %d, want %d", tt.name, tt.followers, tt.entries, tt.logBytes, got, tt.want)
		}
	}
}
