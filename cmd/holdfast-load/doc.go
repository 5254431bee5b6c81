// Command holdfast-load writes to a running Holdfast, whatever happens to that,
// and checks in the end that it kept its promises.
//
//	holdfast-load --url http://127.0.0.1:8080 --duration 1m
//
// Its clients increment counters, append to logs, read both and talk in chat
// rooms, and go on when calls fail. Each remembers what it was told, and at the
// end all is read once more: no acknowledged write may be lost, no number given
// twice, no read stale, no message missing in a room or there twice. Then a
// report says how many calls failed for which reason, of how many nobody knows
// the outcome, and for how long no write to an object was acknowledged. The exit
// code is 1 if a promise was broken.
//
// A run without --duration goes on until somebody says that it is over. With
// --control it also takes marks, so that the report tells apart what happened
// during which step:
//
//	holdfast-load --url http://127.0.0.1:8080 --control 127.0.0.1:8099 &
//	holdfast-load mark "kill node 2"
//	holdfast-load mark --planned "stop node 3"
//	holdfast-load finish
//
// In a planned step no call through the first --url may fail, nor end so that
// nobody knows; if one does, and nothing worse happens, the exit code is 2.
//
// Each --url is a door: an address with clients of its own, who never go to
// another. One for a service and one for each node behind it show how much of a
// failure comes from the service.
//
// A client has one connection, which it keeps. It dials again when the connection
// breaks, and after 50 calls, as clients of a service whose nodes change have to.
// Dialling takes two seconds at most, a call --timeout. A call that certainly
// did not run (503, no connection) is made once more, after Retry-After or a
// second; the report has both figures: what failed, and what failed again. The
// first is what the cluster did, the second what a client with manners sees. As
// every client that is made with Go's net/http does, it silently dials anew for a
// call of which not a byte was sent, and repeats reads.
package main
