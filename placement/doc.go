// Package placement decides who should hold what. It is pure: no I/O, no
// clock, no goroutine, no randomness, so that every node that starts from the
// same facts comes to the same answer.
package placement
