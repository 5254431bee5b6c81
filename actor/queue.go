package actor

// queue is a FIFO that costs nothing while it is empty.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

func (q *queue[T]) push(item T) { q.items = append(q.items, item) }

func (q *queue[T]) pop() (item T) {
	if q.len() == 0 {
		return item
	}
	item = q.items[q.head]
	var zero T
	q.items[q.head] = zero
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = nil, 0
	case q.head >= 64 && q.head*2 >= len(q.items):
		q.items, q.head = append([]T(nil), q.items[q.head:]...), 0
	}
	return item
}

func (q *queue[T]) peek() *T {
	if q.len() == 0 {
		return nil
	}
	return &q.items[q.head]
}

// takeAll empties the queue.
func (q *queue[T]) takeAll() []T {
	items := q.items[q.head:]
	q.items, q.head = nil, 0
	return items
}

// signal wakes all who wait for a condition that a mutex guards. The zero value
// is ready and costs nothing while nobody waits.
type signal struct {
	c chan struct{}
}

// waitLocked gives a channel that the next broadcast closes.
func (s *signal) waitLocked() <-chan struct{} {
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *signal) broadcast() {
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}
