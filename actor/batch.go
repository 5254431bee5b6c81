package actor

// Batch is the write set of one object between two outside waits: all of it
// takes effect, or nothing. The object's first batch carries its class; one that
// has no class, name, frame, automatic reply or socket change makes no record.
type Batch struct {
	Object ID
	Class  string // kept with the object's first write, so that an alarm finds its class
	Name   string // kept likewise; "" where the object has none or it is not known yet

	Wipe   bool    // delete all keys and the alarm before the rest takes effect
	Writes []Write // ascending by key (bytewise), each key once

	Alarm   AlarmChange
	Sockets []SocketChange // in the order in which the object made them
	Auto    *AutoChange

	Frame  uint64 // number of the last kept frame that the object has made so far; 0 = as in the batch before
	Outbox OutboxChange
	Forget bool // remove the object's record if it has no key, alarm, socket or automatic reply

	Keyed  []KeyedChange // what is kept for calls with a key
	Poison *PoisonRecord // replaces the object's record of poison; zero removes it
}

// Write puts or deletes one key.
type Write struct {
	Key    string
	Value  []byte // tag byte and bytes; unused with Delete
	Delete bool
}

// AlarmOp says what a batch does to the object's alarm.
type AlarmOp uint8

// What a batch does to the object's alarm.
const (
	AlarmKeep   AlarmOp = 0
	AlarmSet    AlarmOp = 1 // Record replaces what is there
	AlarmDelete AlarmOp = 2
)

// AlarmChange changes the object's alarm.
type AlarmChange struct {
	Op     AlarmOp
	Record AlarmRecord
	// If, unless zero, makes the change take effect only if an alarm is stored
	// whose Due is If (milliseconds): the end of a run must not touch an alarm
	// that was set meanwhile.
	If int64
}

// AlarmRecord is an alarm as it is stored. Times are milliseconds of the Unix epoch.
type AlarmRecord struct {
	Due       int64 // when it fires next
	Scheduled int64 // what the object asked for; differs from Due while it is retried
	Retries   uint8 // failed runs so far
}

// SocketOp says what happened to a socket.
type SocketOp uint8

// What happened to a socket. The numbers are part of the disk format.
const (
	SocketOpen    SocketOp = 1 // accepted: Tags, Protocol
	SocketClosed  SocketOp = 2 // gone, or closed by the object
	SocketAttach  SocketOp = 3 // Attachment replaces the one before; nil removes it
	SocketMessage SocketOp = 4 // message number Number has taken effect
	SocketSession SocketOp = 5 // belongs to Session, its client is at Conn, whose last message that took effect was Number
)

// SocketChange is one change to one socket.
type SocketChange struct {
	Op         SocketOp
	Socket     SocketID
	Tags       []string
	Protocol   string
	Attachment []byte
	Number     uint64
	Session    Session
	Conn       SocketID
}

// AutoChange sets (Reply) or removes (nil) the object's automatic reply.
type AutoChange struct {
	Reply *AutoReply
}

// OutboxChange adds the frames of a batch to the object's outbox and removes
// those that have arrived.
type OutboxChange struct {
	Number    uint64   // of the first frame of Part
	Part      []byte   // the batch's kept frames, encoded; empty = none
	Delivered []uint64 // numbers of parts that are not needed any more, ascending
}
