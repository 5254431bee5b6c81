package cluster

import (
	"encoding/binary"
	"fmt"

	"github.com/hashicorp/raft"
)

// maxAnswers bounds the answers in a frame.
const maxAnswers = maxHeartbeats

// refusal says why a request got no answer of its replica. It is on the wire.
type refusal byte

const (
	refusedNot     refusal = iota // it did get one
	refusedReplica                // the replica is not here, not yet or not any more
	refusedBusy                   // too much waits for the replica
	refusedYoung                  // no vote so soon after the start
	refusedEmpty                  // no vote without a configuration
	refusedSilent                 // no vote while the disk is stalled
	refusedTicket                 // no ticket, or not with this one
	refusedFailed                 // the replica itself reports an error, which its node has logged
	refusedEnd                    // the first that does not exist
)

// String says it in words.
func (r refusal) String() string {
	switch r {
	case refusedReplica:
		return "the replica is not there"
	case refusedBusy:
		return "too much waits for the replica"
	case refusedYoung:
		return "no vote so soon after the start"
	case refusedEmpty:
		return "no vote without a configuration"
	case refusedSilent:
		return "no vote while the disk is stalled"
	case refusedTicket:
		return "no valid ticket"
	case refusedFailed:
		return "the replica failed"
	default:
		return fmt.Sprintf("reason %d", byte(r))
	}
}

// muxAnswer is what comes back for any message.
type muxAnswer struct {
	refused        refusal
	ok             bool // success, or vote granted
	noRetryBackoff bool // of an append
	term           uint64
	number         uint64 // last log index of an append, or the ticket
}

// numberedAnswer is an answer and the request that it answers.
type numberedAnswer struct {
	id     uint64
	answer muxAnswer
}

const (
	answerOK             = 1
	answerNoRetryBackoff = 2
)

func appendAnswer(dst []byte, a numberedAnswer) []byte {
	dst = binary.AppendUvarint(dst, a.id)
	var flags byte
	if a.answer.ok {
		flags |= answerOK
	}
	if a.answer.noRetryBackoff {
		flags |= answerNoRetryBackoff
	}
	dst = append(dst, byte(a.answer.refused), flags)
	dst = binary.AppendUvarint(dst, a.answer.term)
	return binary.AppendUvarint(dst, a.answer.number)
}

// appendAnswers adds a frame. An empty one says that the peer is alive.
func appendAnswers(dst []byte, answers []numberedAnswer) []byte {
	start := len(dst)
	dst = binary.AppendUvarint(beginFrame(dst, frameAnswers), uint64(len(answers)))
	for _, a := range answers {
		dst = appendAnswer(dst, a)
	}
	return endFrame(dst, start)
}

// decodeAnswers adds the answers of a frame to dst.
func decodeAnswers(dst []numberedAnswer, data []byte) ([]numberedAnswer, error) {
	r := reader{rest: data}
	if kind := frameKind(r.octet()); kind != frameAnswers {
		r.bad = true
	}
	count := r.uvarint()
	if count > maxAnswers {
		r.bad = true
	}
	for i := uint64(0); i < count && !r.bad; i++ {
		a := numberedAnswer{id: r.uvarint()}
		refused, flags := refusal(r.octet()), r.octet()
		a.answer = muxAnswer{
			refused: refused, ok: flags&answerOK != 0, noRetryBackoff: flags&answerNoRetryBackoff != 0,
			term: r.uvarint(), number: r.uvarint(),
		}
		if refused >= refusedEnd || flags > answerOK|answerNoRetryBackoff || refused != refusedNot && flags != 0 {
			r.bad = true
		}
		dst = append(dst, a)
	}
	if r.bad || len(r.rest) > 0 {
		return dst[:0], fmt.Errorf("%w: answers in %d bytes", errMuxFrame, len(data))
	}
	return dst, nil
}

// answerOf is what the library responded.
func answerOf(response raft.RPCResponse) muxAnswer {
	if response.Error != nil {
		return muxAnswer{refused: refusedFailed}
	}
	switch r := response.Response.(type) {
	case *raft.AppendEntriesResponse:
		return muxAnswer{ok: r.Success, noRetryBackoff: r.NoRetryBackoff, term: r.Term, number: r.LastLog}
	case *raft.RequestVoteResponse:
		return muxAnswer{ok: r.Granted, term: r.Term}
	case *raft.RequestPreVoteResponse:
		return muxAnswer{ok: r.Granted, term: r.Term}
	case *raft.InstallSnapshotResponse:
		return muxAnswer{ok: r.Success, term: r.Term}
	case *raft.TimeoutNowResponse:
		return muxAnswer{ok: true}
	default:
		return muxAnswer{refused: refusedFailed}
	}
}
