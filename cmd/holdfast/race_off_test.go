//go:build !race

package main

// underRace says whether the race detector is on, which makes everything slow.
const underRace = false
