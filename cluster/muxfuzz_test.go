package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func someMessages() []message {
	return []message{
		{kind: messageAppend, term: 1 << 60, index: 7, at: 3, commit: 6, entries: []*raft.Log{
			{Index: 8, Term: 4, Type: raft.LogCommand, Data: []byte("data"), AppendedAt: time.Unix(5, 6)},
			{Index: 9, Term: 4, Type: raft.LogConfiguration, Extensions: []byte("ext")},
		}},
		{kind: messageAppend, term: 2},
		{kind: messageVote, term: 3, index: 4, at: 2, transfer: true},
		{kind: messagePreVote, term: 3, index: 4, at: 2},
		{kind: messageTicket, term: 9},
		{kind: messageTimeoutNow, term: 9, ticket: 1 << 63},
		{kind: messageSnapshot, term: 9, index: 100, at: 8, snapshot: snapshotHead{
			version: 1, configuration: []byte("configuration"), configuredAt: 50, size: 1 << 40,
		}},
	}
}

// FuzzMuxMessage: what decodes encodes to a message that decodes to the same, and
// its size is bounded by what size says.
func FuzzMuxMessage(f *testing.F) {
	for _, m := range someMessages() {
		f.Add(appendMessage(nil, &m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMessage(data)
		if err != nil {
			if !errors.Is(err, errMuxFrame) {
				t.Errorf("decodeMessage = %v, want errMuxFrame", err)
			}
			return
		}
		again := appendMessage(nil, m)
		if len(again) > m.size() {
			t.Errorf("message of %d bytes has size %d", len(again), m.size())
		}
		second, err := decodeMessage(again)
		if err != nil || !reflect.DeepEqual(m, second) {
			t.Errorf("decodeMessage(appendMessage(%+v)) = %+v, %v", m, second, err)
		}
		if request := m.request([]byte("a/0000000000000001/1")); request == nil && m.kind != messageTicket {
			t.Errorf("message of kind %d is no request", m.kind)
		}
	})
}

// FuzzMuxFrame covers the heads of all frames.
func FuzzMuxFrame(f *testing.F) {
	address := muxAddress{group: 256, directory: directoryID{1, 2, 3}, to: 1 << 50, from: 3}
	head := binary.AppendUvarint(appendAddress(beginFrame(nil, frameMessage), address), 77)
	f.Add(append(head, "message"...)[4:])
	first := binary.AppendUvarint(binary.AppendUvarint(appendAddress(beginFrame(nil, frameFirst), address), 77), maxMessageBytes)
	f.Add(append(first, "message"...)[4:])
	beats := binary.AppendUvarint(beginFrame(nil, frameHeartbeats), 2)
	beats = appendHeartbeat(beats, heartbeat{address: address, id: 5, term: 6})
	f.Add(appendHeartbeat(beats, heartbeat{address: address, id: 6, term: 7})[4:])
	f.Add(appendAnswers(nil, []numberedAnswer{
		{id: 1, answer: muxAnswer{ok: true, noRetryBackoff: true, term: 5, number: 6}}, {id: 2, answer: muxAnswer{refused: refusedBusy}},
	})[4:])
	f.Add(appendAnswers(nil, nil)[4:])
	f.Add(appendHello(nil, hello{use: laneAppends, node: "a", directory: directoryID{1}, means: "b"})[4:])
	f.Fuzz(func(t *testing.T, data []byte) {
		if frame, err := decodeFrame(data); err == nil && (frame.address.group >= groupCount || frame.total > maxMessageBytes || len(frame.body) > len(data)) {
			t.Errorf("decodeFrame = %+v", frame)
		}
		if beats, err := decodeHeartbeats(nil, data); err == nil {
			again := binary.AppendUvarint(beginFrame(nil, frameHeartbeats), uint64(len(beats)))
			for _, h := range beats {
				again = appendHeartbeat(again, h)
			}
			second, err := decodeHeartbeats(nil, again[4:])
			if err != nil || !reflect.DeepEqual(beats, second) {
				t.Errorf("heartbeats %+v became %+v, %v", beats, second, err)
			}
		}
		if answers, err := decodeAnswers(nil, data); err == nil {
			second, err := decodeAnswers(nil, appendAnswers(nil, answers)[4:])
			if err != nil || !reflect.DeepEqual(answers, second) {
				t.Errorf("answers %+v became %+v, %v", answers, second, err)
			}
		}
		if h, err := decodeHello(data); err == nil {
			if again := appendHello(nil, h); !bytes.Equal(again[4:], data) {
				t.Errorf("hello %+v from %x encodes to %x", h, data, again[4:])
			}
		}
	})
}

// FuzzMuxConn throws bytes at an accepting node: it refuses or ignores them and
// ends when they do.
func FuzzMuxConn(f *testing.F) {
	address := muxAddress{group: 1, directory: directoryID{2}, to: 2, from: 1}
	start := appendHello(nil, hello{use: laneAppends, node: "a", directory: directoryID{1}, means: "b"})
	for _, m := range someMessages() {
		whole := binary.AppendUvarint(appendAddress(beginFrame(start, frameMessage), address), 1)
		f.Add(endFrame(appendMessage(whole, &m), len(start)))
	}
	first := binary.AppendUvarint(binary.AppendUvarint(appendAddress(beginFrame(start, frameFirst), address), 1), 5)
	first = endFrame(append(first, "abc"...), len(start))
	more := binary.AppendUvarint(appendAddress(beginFrame(first, frameMore), address), 1)
	f.Add(endFrame(append(more, "de"...), len(first)))
	f.Add(appendHello(nil, hello{use: lanePeer, node: "a", directory: directoryID{1}, means: "b"}))
	f.Add(appendHello(nil, hello{use: laneSnapshot, node: "a", directory: directoryID{1}, means: "b"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			pair := newMuxPair(t)
			defer pair.close()
			b := play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
			stop := make(chan struct{})
			go func() {
				for {
					select {
					case rpc := <-b.consumer:
						rpc.Respond(nil, errors.New("no"))
					case <-stop:
						return
					}
				}
			}()
			defer close(stop)
			mine, theirs := net.Pipe()
			pair.b.serve(theirs)
			mine.SetDeadline(time.Now().Add(time.Second))
			go io.Copy(io.Discard, mine)
			mine.Write(data)
			mine.Close()
			synctest.Wait()
		})
	})
}

// TestMuxDecodeRefuses: each of these is refused although most of it is right.
func TestMuxDecodeRefuses(t *testing.T) {
	name := strings.Repeat("n", maxNameBytes+1)
	good := hello{use: laneControl, node: "a", directory: directoryID{1}, means: "b"}
	change := func(f func(*hello)) []byte {
		h := good
		f(&h)
		return appendHello(nil, h)[4:]
	}
	if h, err := decodeHello(appendHello(nil, good)[4:]); err != nil || h != good {
		t.Errorf("decodeHello = %+v, %v, want %+v", h, err, good)
	}
	version := appendHello(nil, good)[4:]
	version[0]++
	if _, err := decodeHello(version); !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("decodeHello of another version = %v, want ErrUnknownVersion", err)
	}
	for _, data := range [][]byte{
		nil,
		change(func(h *hello) { h.use = lanePeer + 1 }),
		change(func(h *hello) { h.use = 0 }),
		change(func(h *hello) { h.node = "" }),
		change(func(h *hello) { h.means = name }),
		change(func(h *hello) { h.node = "a/b" }),
		append(appendHello(nil, good)[4:], 0),
	} {
		if h, err := decodeHello(data); err == nil {
			t.Errorf("decodeHello(%x) = %+v, want an error", data, h)
		}
	}
	many := make([]numberedAnswer, maxAnswers+1)
	if _, err := decodeAnswers(nil, appendAnswers(nil, many)[4:]); !errors.Is(err, errMuxFrame) {
		t.Errorf("decodeAnswers of too many = %v, want errMuxFrame", err)
	}
	if _, err := decodeAnswers(nil, appendAnswers(nil, []numberedAnswer{{answer: muxAnswer{refused: refusedBusy, ok: true}}})[4:]); !errors.Is(err, errMuxFrame) {
		t.Errorf("decodeAnswers of a refusal with success = %v, want errMuxFrame", err)
	}
	long := binary.BigEndian.AppendUint32(nil, maxFrameBytes+1)
	if _, err := readFrame(bufio.NewReader(bytes.NewReader(long)), nil, maxFrameBytes); !errors.Is(err, errMuxFrame) {
		t.Errorf("readFrame of a frame that is too long = %v, want errMuxFrame", err)
	}
}

// TestMuxProtocolErrors: frames out of turn end the connection.
func TestMuxProtocolErrors(t *testing.T) {
	address := muxAddress{group: 1, directory: directoryID{2}, to: 2, from: 1}
	part := func(kind frameKind, a muxAddress, id, total uint64, body string) []byte {
		dst := binary.AppendUvarint(appendAddress(beginFrame(nil, kind), a), id)
		if kind == frameFirst {
			dst = binary.AppendUvarint(dst, total)
		}
		return endFrame(append(dst, body...), 0)
	}
	other := address
	other.from = 9
	tests := []struct {
		name   string
		frames [][]byte
	}{
		{"continuation of nothing", [][]byte{part(frameMore, address, 1, 0, "x")}},
		{"two beginnings", [][]byte{part(frameFirst, address, 1, 9, "x"), part(frameFirst, address, 1, 9, "x")}},
		{"more than announced", [][]byte{part(frameFirst, address, 1, 3, "x"), part(frameMore, address, 1, 0, "xxx")}},
		{"continuation of another replica", [][]byte{part(frameFirst, address, 1, 3, "x"), part(frameMore, other, 1, 0, "x")}},
		{"too many beginnings", func() (frames [][]byte) {
			for id := range maxOpenMessages + 1 {
				frames = append(frames, part(frameFirst, address, uint64(id), 3, "x"))
			}
			return frames
		}()},
		{"not a message", [][]byte{part(frameMessage, address, 1, 0, "\xff")}},
		{"a snapshot", [][]byte{part(frameMessage, address, 1, 0, string(appendMessage(nil, &someMessages()[6])))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pair := newMuxPair(t)
				defer pair.close()
				play(t, pair.b, shardGroup(0), 2, raft.Follower, 5)
				mine, theirs := net.Pipe()
				defer mine.Close()
				pair.b.serve(theirs)
				mine.Write(appendHello(nil, hello{use: laneAppends, node: "a", directory: directoryID{1}, means: "b"}))
				for i, frame := range tt.frames {
					if _, err := mine.Write(frame); err != nil && i < len(tt.frames)-1 {
						t.Errorf("write of frame %d = %v", i, err)
					}
				}
				mine.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := mine.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("read = %v, want io.EOF", err)
				}
			})
		})
	}
}

// TestMuxHelloTimeout: who says nothing is not waited for.
func TestMuxHelloTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newRaftMux(raftMuxConfig{node: "b", timeout: DefaultHeartbeatTimeout, log: slog.New(slog.DiscardHandler)})
		defer m.Close()
		mine, theirs := net.Pipe()
		m.serve(theirs)
		start := time.Now()
		if _, err := mine.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("read = %v, want io.EOF", err)
		}
		if took := time.Since(start); took != helloTimeout {
			t.Errorf("the connection was closed after %v, want %v", took, helloTimeout)
		}
	})
}
