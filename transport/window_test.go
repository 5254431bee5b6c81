package transport

import (
	"math/rand/v2"
	"testing"
)

// TestWindow compares the window with a plain list of what is outstanding.
func TestWindow(t *testing.T) {
	const messages, bytes = 5, 100
	rng := rand.New(rand.NewPCG(1, 2))
	var w window
	outstanding := map[uint64]int{}
	next, acked := uint64(1), uint64(0)
	for range 20000 {
		size := rng.IntN(130)
		sum := 0
		for _, n := range outstanding {
			sum += n
		}
		wantFull := len(outstanding) == messages || (len(outstanding) > 0 && sum+size > bytes)
		if got := w.full(size, messages, bytes); got != wantFull {
			t.Fatalf("full(%d) with %v = %v, want %v", size, outstanding, got, wantFull)
		}
		if !wantFull {
			if got := w.add(size); got != next {
				t.Fatalf("add = %d, want %d", got, next)
			}
			outstanding[next] = size
			next++
		}
		if number := acked + uint64(rng.IntN(4)); rng.IntN(2) == 0 {
			w.ack(number)
			if number < next && number > acked {
				for n := acked + 1; n <= number; n++ {
					delete(outstanding, n)
				}
				acked = number
			}
		}
	}
	w.ack(next - 1)
	if w.bytes != 0 || w.sizes != nil {
		t.Errorf("window after the last ack = %+v, want nothing kept", w)
	}
	w.ack(next + 7)
	if got := w.add(1); got != next {
		t.Errorf("add after an ack from the future = %d, want %d", got, next)
	}
}
