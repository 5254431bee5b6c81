// Package actor runs durable objects: small stateful servers with a name, at
// most one of each acting at any moment, one event at a time, with private
// storage that is durable before anybody can see what depends on it.
//
// # Writing a class
//
// A class is a constructor that takes the object's [State]; an object is an
// [http.Handler]. Further abilities are optional interfaces with one method
// each: [Alarmer], [SocketMessenger], [SocketCloser] and [SocketErrorer].
//
// Every method of storage, sockets and stubs takes the context of the event in
// which it is called (in ServeHTTP that is r.Context()). It names the event; it
// is not cancelled when the client leaves.
//
// # What holds
//
//   - One event at a time. Code between two outside waits is atomic: nothing
//     else runs in the object. Outside waits are calls to other objects,
//     [State.Outside], [Storage.Sync], and reading a request body or writing a
//     response when they must wait.
//   - All writes between two outside waits form one batch: all or nothing.
//   - Whatever could reveal a write leaves only when the write is durable: a
//     response, a frame, a call. The object itself does not wait; the next event
//     runs meanwhile.
//   - An error status keeps the writes. A panic drops the writes since the last
//     outside wait and ends the activation, never the node.
//   - A commit whose fate nobody can tell is reported as unknown
//     ([ErrOutcomeUnknown]), never as failed.
//
// The package knows no network and no Raft: it asks a [Committer] to make
// batches durable and hands frames to [Gateway]s.
package actor
