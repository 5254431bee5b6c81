// Package objects has the seven classes that the holdfast binary serves. They
// are useful as they are, and meant to be read: each shows a way to write
// durable objects in Go. [Classes] gives them all.
//
//	Counter              one number; the smallest class                     counter.go
//	UserSession          many small records that expire                     usersession.go
//	ChatRoom             sockets, broadcast, a history of bounded length    chatroom.go
//	GameSession          a game for two, kept up over broken connections    gamesession.go
//	DocumentEditor       a text that several people edit at the same time   documenteditor.go, document.go, operation.go, ot.go
//	CoordinationService  locks that expire, queues with priorities          coordination.go, queue.go
//	EventStore           an append-only log with projections and snapshots  eventstore.go, projection.go, rules.go, facts.go
//
// The comment of each type has its routes, its socket messages and the keys
// under which it stores what. A pattern that recurs: a class keeps in storage
// one key for each thing that changes on its own, and in fields only what it
// needs at every event, read by the constructor. A socket's facts are kept with
// the socket, as attachment and tags, because sockets stay open while the object
// is out of memory.
//
// # Answers
//
// Values are answered as JSON, refusals and unknown paths as plain text. A body
// that is no JSON object, or too large, is answered by an error in the shape
// that the runtime uses for its own: {"error":{"code","message","id"}}. A
// message on a socket that cannot be used is answered on that socket by
// {"type":"error","message"}; one of an unknown type is ignored. What is refused
// changes nothing. JSON that a user wrote comes back as it was written, with its
// order of keys and the text of its numbers.
//
// # Differences
//
// The classes have the routes, messages and rules of seven well-known JavaScript
// examples for durable objects. Where the examples do what their authors cannot
// have meant, these differ.
//
// All:
//   - A body that is no JSON is 400, not 500.
//   - JSON of users is not encoded anew.
//
// Counter:
//   - /increment goes on from the stored value after an eviction.
//
// UserSession:
//   - Sessions do expire: 24 hours after their last activity.
//   - Reading a session writes that session's last activity, not all sessions.
//
// ChatRoom:
//   - The alarm works on a room that was evicted, where it used to delete the
//     whole history; there is one only while there are messages, and it comes when
//     the oldest is 7 days old, not every minute.
//   - A socket message without username or text is refused.
//   - Those who stay get user_count when somebody leaves.
//   - The history of a new socket leaves out old messages that do not fit into a frame.
//
// DocumentEditor:
//   - POST /operations works. It takes the operation itself and answers
//     {"operation","version"} with what was applied; all sockets are told.
//   - Those present get the list of collaborators at a join, as at a leave.
//   - A socket operation with an "id" is answered by
//     {"type":"ack","id","version","operation"}.
//   - Operations made at the same time end in the same text everywhere, and keep
//     what each author meant: of two texts inserted at one place the later stands
//     second, text inserted into what is deleted or replaced stays, what two
//     delete is deleted once. An operation that must spare what others wrote in its
//     range comes as the replacement of the range, with its splices as "parts".
//   - Positions and lengths count UTF-16 code units. An operation is refused if a
//     field is missing or of the wrong type, lies outside the text of its version,
//     cuts a surrogate pair, has half of one in its content, or makes the text
//     longer than 524,288 units. One that is more than 1,000 versions old is refused
//     with the advice to reload.
//   - There are at most 2,000 collaborators; cursor and selection have at most
//     about 4,000 bytes together.
//
// GameSession:
//   - A player gets the symbol that is free, not always O.
//   - A game that goes on after a pause goes on with the player whose turn it was.
//   - After a restart a running game waits until two players are there again.
//   - A finished game is as full as any other with two players.
//   - A position is a whole number from 0 to 8.
//
// CoordinationService:
//   - Queues survive a restart.
//   - A lock is gone the moment it expires.
//   - Keys and names of queues in paths are percent-decoded.
//   - ttl is a positive number of milliseconds, at most 24 hours; priority is a number.
//   - Any JSON value can be queued, also null, 0, false and "".
//
// EventStore:
//   - An event that a projection cannot take is refused and not stored. Projections
//     are stored with snapshots, which are also made without being asked for.
//   - A restart counts nothing twice.
//   - "expectedVersion":null is the same as none; any other value that is no number is refused.
//   - There may be any number of events; GET /events gives them as it reads them.
//   - updatedAt is the time of the newest event, also after a restart.
package objects
