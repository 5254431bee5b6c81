// Package actortest runs objects in memory for tests of classes and of the
// runtime: a host on a store in memory, and a committer whose answers a test can
// delay, refuse or lose.
package actortest
