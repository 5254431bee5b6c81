package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// maxInFlight bounds the appends of a group to a peer that have no answer yet.
	// More were found to bring nothing: the next append gathers what comes meanwhile.
	maxInFlight = 2
	// maxUncollected bounds the answers that the library has not collected.
	maxUncollected = 128
)

// appendPipeline is the raft.AppendPipeline of a group to one peer. It has no
// goroutine: the connection's receiver puts the answers where the library
// collects them.
type appendPipeline struct {
	port   *raftPort
	id     raft.ServerID
	slots  chan struct{} // one element for each append without an answer
	done   chan raft.AppendFuture
	closed chan struct{}
	closer sync.Once
}

func newAppendPipeline(p *raftPort, id raft.ServerID) *appendPipeline {
	return &appendPipeline{
		port: p, id: id, slots: make(chan struct{}, maxInFlight),
		done: make(chan raft.AppendFuture, maxUncollected), closed: make(chan struct{}),
	}
}

// AppendEntries implements raft.AppendPipeline. It blocks while too many appends
// have no answer. What is too large for one append goes as several, each with a
// future of its own; the last one is returned.
func (p *appendPipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	rest := args
	for {
		part := *rest
		part.Entries = firstEntries(rest.Entries)
		future := &appendFuture{start: time.Now(), request: &part, response: resp, done: make(chan struct{})}
		if err := p.start(future); err != nil {
			return nil, err
		}
		n := len(part.Entries)
		if n == len(rest.Entries) {
			return future, nil
		}
		next := *rest
		next.PrevLogEntry, next.PrevLogTerm = rest.Entries[n-1].Index, rest.Entries[n-1].Term
		next.Entries = rest.Entries[n:]
		rest, resp = &next, new(raft.AppendEntriesResponse)
	}
}

func (p *appendPipeline) start(f *appendFuture) error {
	select {
	case <-p.closed:
		return raft.ErrPipelineShutdown
	case <-p.port.closed:
		return raft.ErrPipelineShutdown
	default:
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.closed:
		return raft.ErrPipelineShutdown
	case <-p.port.closed:
		return raft.ErrPipelineShutdown
	}
	m := messageOfAppend(f.request)
	m.kind = messageAppend // one without entries, too, keeps its place among the others
	err := p.port.start(p.id, m, appendTimeout, p.closed, func(c *call) { p.finished(f, c) })
	if err != nil {
		<-p.slots
	}
	return err
}

// finished hands the answer to the library. A failed append is an answer without
// success, on which the library gives the pipeline up.
func (p *appendPipeline) finished(f *appendFuture, c *call) {
	f.err = c.err
	if c.err == nil {
		*f.response = c.answer.appendResponse()
	}
	close(f.done)
	<-p.slots
	select {
	case p.done <- f:
	default: // the library is far behind: it shall begin anew
		p.close()
	}
}

// Consumer implements raft.AppendPipeline.
func (p *appendPipeline) Consumer() <-chan raft.AppendFuture { return p.done }

// Close implements raft.AppendPipeline. Appends that were sent may still arrive.
func (p *appendPipeline) Close() error {
	p.close()
	return nil
}

func (p *appendPipeline) close() { p.closer.Do(func() { close(p.closed) }) }

// appendFuture implements raft.AppendFuture.
type appendFuture struct {
	start    time.Time
	request  *raft.AppendEntriesRequest
	response *raft.AppendEntriesResponse
	done     chan struct{}
	err      error // written before done is closed
}

// Error waits for the answer.
func (f *appendFuture) Error() error {
	<-f.done
	return f.err
}

// Start is when the append was begun.
func (f *appendFuture) Start() time.Time { return f.start }

// Request is what was sent.
func (f *appendFuture) Request() *raft.AppendEntriesRequest { return f.request }

// Response is the answer, once Error has returned.
func (f *appendFuture) Response() *raft.AppendEntriesResponse { return f.response }
