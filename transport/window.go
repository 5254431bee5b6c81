package transport

// window counts the messages of one socket that the object has not acknowledged
// yet. The zero value is an empty one, and costs nothing while it is empty.
type window struct {
	sizes []int  // of the messages acked+1, acked+2, ...
	acked uint64 // number of the last acknowledged message
	bytes int    // sum of sizes
}

// full says whether a message of size bytes has to wait. A message that is
// larger than the whole window goes alone.
func (w *window) full(size, maxMessages, maxBytes int) bool {
	return len(w.sizes) >= maxMessages || (len(w.sizes) > 0 && w.bytes+size > maxBytes)
}

// add takes the next message in and gives its number.
func (w *window) add(size int) uint64 {
	w.sizes = append(w.sizes, size)
	w.bytes += size
	return w.acked + uint64(len(w.sizes))
}

// ack lets go all messages up to number: those of one socket take effect in
// order. Numbers that are not in the window change nothing.
func (w *window) ack(number uint64) {
	if number <= w.acked || number > w.acked+uint64(len(w.sizes)) {
		return
	}
	n := int(number - w.acked)
	for _, size := range w.sizes[:n] {
		w.bytes -= size
	}
	w.acked = number
	if n == len(w.sizes) {
		w.sizes = nil
		return
	}
	w.sizes = w.sizes[:copy(w.sizes, w.sizes[n:])]
}
