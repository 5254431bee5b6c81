// Package history says whether counters and logs can have answered what clients
// were told: nothing that was acknowledged is lost, nothing took effect twice, no
// number was given twice, and no read was stale. What nobody knows the outcome of
// may have taken effect, once, or not.
//
// It knows objects by what clients see of them, and nothing else of the project:
// whoever loads a node from inside a test or a cluster from outside writes a
// [History], and checks it in the end against what the objects hold.
package history
