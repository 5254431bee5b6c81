package actor

import "time"

// Limits of what a class may store and send. Each is checked before anything is
// written, and has an error of its own.
const (
	MaxKeyBytes        = 2048
	MaxValueBytes      = 2 << 20
	MaxBatchBytes      = 16 << 20 // of all that is written between two outside waits, encoded
	MaxKeysPerCall     = 128      // of the multi-key forms
	MaxListBytes       = 64 << 20 // of one List
	MaxSockets         = 32768    // of one object
	MaxTags            = 10       // of one socket
	MaxTagBytes        = 256
	MaxProtocolBytes   = 256 // of a socket's subprotocol
	MaxAttachmentBytes = 16 << 10
	MaxAutoReplyBytes  = 2048 // of the request and of the reply
	MaxFrameBytes      = 8 << 20
	MaxReasonBytes     = 123 // RFC 6455: a control frame has at most 125 bytes, 2 are the code
)

// Limits of how long things may take.
const (
	DefaultHandlerTimeout = 30 * time.Second // a handler holding the gate
	DefaultAlarmTimeout   = 15 * time.Minute // a run of Alarm
	blockTimeout          = 30 * time.Second // BlockConcurrencyWhile, and the start of an object
	taskTimeout           = 15 * time.Minute // how long WaitUntil keeps an object in memory
	bodyTimeout           = 30 * time.Second // reading a body whose length is known
	bodySilence           = time.Second      // after which a body of unknown length is streamed
)

// Limits of what waits.
const (
	maxMailboxEvents  = 1024
	maxMailboxBytes   = 16 << 20
	bodyBytes         = 1 << 20   // read before the event starts
	answerBufferBytes = 64 << 10  // of an answer; what would run over is flushed
	answerQueueBytes  = 256 << 10 // flushed and not yet taken by the client; then the handler waits
	maxAlarmRuns      = 256       // alarm runs under way on one node
)

// Retrying of a failed alarm.
const (
	maxAlarmRetries  = 6
	alarmBackoff     = 2 * time.Second // before the first retry; doubles
	alarmJitter      = 4               // up to 1/alarmJitter is added
	alarmPlatformGap = time.Second     // before a run that the platform broke is tried again
)
