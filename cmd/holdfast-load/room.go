package main

import (
	"fmt"
	"slices"
	"sync"
)

// roomMembers is how many members a chat room has at most.
const roomMembers = 10

// room is a chat room and what came out of its sockets. The room says everything
// to everybody in one order, so what comes out of one socket is a part of that
// order without a hole.
type room struct {
	object string

	mu       sync.Mutex // guards the following fields
	numbers  map[string]int32
	texts    []string
	sections []*section
}

// section is what came out of one socket, in order. Only its reader adds to it.
type section struct{ heard []int32 }

func newRoom(object string) *room {
	return &room{object: object, numbers: make(map[string]int32)}
}

// open begins a section for a socket.
func (r *room) open() *section {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &section{}
	r.sections = append(r.sections, s)
	return s
}

// hear adds a message to a section.
func (r *room) hear(s *section, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	number, ok := r.numbers[text]
	if !ok {
		number = int32(len(r.texts))
		r.numbers[text] = number
		r.texts = append(r.texts, text)
	}
	s.heard = append(s.heard, number)
}

// check gives what cannot be if there is one order, without holes and doubles:
// some socket heard a message twice, or two sockets heard different ones after,
// or before, the same message.
func (r *room) check() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wrong []string
	after, before := make(map[int32]int32), make(map[int32]int32)
	for _, s := range r.sections {
		seen := make(map[int32]bool, len(s.heard))
		for i, number := range s.heard {
			if seen[number] {
				wrong = append(wrong, fmt.Sprintf("%s: a socket heard %q twice", r.object, r.texts[number]))
			}
			seen[number] = true
			if i == 0 {
				continue
			}
			last := s.heard[i-1]
			if other := noted(after, last, number); other != number {
				wrong = append(wrong, fmt.Sprintf("%s: after %q one socket heard %q and another %q", r.object, r.texts[last], r.texts[other], r.texts[number]))
			} else if other := noted(before, number, last); other != last {
				wrong = append(wrong, fmt.Sprintf("%s: before %q one socket heard %q and another %q", r.object, r.texts[number], r.texts[other], r.texts[last]))
			}
		}
	}
	slices.Sort(wrong)
	return slices.Compact(wrong)
}

// noted gives what a map has under a key, which is value if it had nothing.
func noted(m map[int32]int32, key, value int32) int32 {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
	return m[key]
}
