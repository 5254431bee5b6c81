package main

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
)

// 100 increments at the same time give exactly 1 to 100.
func TestParallelIncrements(t *testing.T) {
	const count = 100
	m := newMachine(t)
	m.start()
	client := newClient(t, nil)
	numbers := make([]int, count)
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() {
			data, err := tryCall(t.Context(), client, "POST", m.object("Counter", "parallel")+"/increment", "")
			var answer struct{ Value int }
			if err == nil {
				err = json.Unmarshal(data, &answer)
			}
			if err != nil {
				t.Errorf("increment: %v", err)
			}
			numbers[i] = answer.Value
		})
	}
	group.Wait()
	slices.Sort(numbers)
	for i, number := range numbers {
		if number != i+1 {
			t.Fatalf("numbers = %v, want 1 to %d", numbers, count)
		}
	}
}
