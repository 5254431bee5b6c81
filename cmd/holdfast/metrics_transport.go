package main

import (
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-dev/holdfast/transport"
)

// transportEvents turns what happens at the door, and on the way to owners, into
// metrics.
func transportEvents(m *meters) transport.Events {
	e := transport.Events{}
	m.ofRequests(&e)
	m.ofForwards(&e)
	m.ofSockets(&e)
	m.ofMessages(&e)
	return e
}

func (m *meters) ofRequests(e *transport.Events) {
	connections := m.gauge("connections", "Open connections of clients, sockets included.")
	refused := m.counter("connections_refused_total", "Connections of clients beyond the bound.")
	underWay := m.gauge("requests_under_way", "Requests of clients that have no answer yet, sockets not included.")
	classes := append(slices.Clone(m.classes), noClass)
	requests := m.counters2("requests_total", "Requests of clients, by class and kind of status; cut: the answer was cut off.", "class", classes, "code", statusClasses())
	took := m.histograms("request_duration_seconds", "Requests of clients from their head to the end of their answer, or of a WebSocket's handshake.", latencyBuckets(), "class", classes)
	problems := m.counters("request_errors_total", "Requests of clients that the runtime answered with an error, and not the object, by its code.", "reason", transport.Problems())

	e.ConnOpened, e.ConnClosed, e.ConnRefused = connections.Inc, connections.Dec, refused.Inc
	e.Requests = func(change int) { underWay.Add(float64(change)) }
	e.RequestDone = func(class string, status int, problem string, duration time.Duration) {
		if class == "" {
			class = noClass
		}
		requests.of(class).of(statusClass(status)).Inc()
		took.of(class).Observe(duration.Seconds())
		if problem != "" {
			problems.of(problem).Inc()
		}
	}
}

func (m *meters) ofForwards(e *transport.Events) {
	forwards := m.counters("forwards_total", "Calls sent to the node that owns their object, by what became of them. One call may be sent again.", "outcome", words(transport.ForwardEnds()))
	took := m.histogram("forward_duration_seconds", "Calls sent to another node, from the first byte to the end of the answer.", latencyBuckets())
	retries := m.counter("request_retries_total", "Calls sent again, here or to another node, because they certainly had not run.")
	waited := m.histogram("owner_wait_seconds", "How long calls that were not taken at first looked for their object's owner.", latencyBuckets())

	e.Forwarded = func(end transport.ForwardEnd, duration time.Duration) {
		forwards.of(end.String()).Inc()
		took.Observe(duration.Seconds())
	}
	e.Retried = retries.Inc
	e.OwnerWaited = func(duration time.Duration) { waited.Observe(duration.Seconds()) }
}

func (m *meters) ofSockets(e *transport.Events) {
	open := m.gauges("sockets", "Open WebSockets of clients.", "class", m.classes)
	opened := m.counters("sockets_opened_total", "WebSockets that clients opened.", "class", m.classes)
	closed := m.counters("sockets_closed_total", "WebSockets of clients that ended, by close code.", "code", closeCodes())
	overruns := m.counter("sockets_overrun_total", "WebSockets closed because their client reads too slowly.")
	givenUp := m.counter("sockets_given_up_total", "WebSockets closed because no owner of their object was found in time.")
	links := m.counters("socket_links_ended_total", "Socket links to other nodes that ended, by cause.", "cause", words(transport.LinkEnds()))

	e.SocketOpened = func(class string) {
		open.of(class).Inc()
		opened.of(class).Inc()
	}
	e.SocketClosed = func(class string, code int) {
		open.of(class).Dec()
		closed.of(closeCode(code)).Inc()
	}
	e.SocketOverrun = overruns.Inc
	e.SocketsGivenUp = func(sockets int) { givenUp.Add(float64(sockets)) }
	e.SocketLinkEnded = func(end transport.LinkEnd) { links.of(end.String()).Inc() }
}

func (m *meters) ofMessages(e *transport.Events) {
	messages := m.counter("socket_messages_total", "Messages from WebSockets handed to objects.")
	messageBytes := m.counter("socket_message_bytes_total", "Bytes of messages from WebSockets handed to objects.")
	replies := m.counter("socket_auto_replies_total", "Messages from WebSockets answered without waking the object.")
	frames := m.counter("socket_frames_total", "Frames written to WebSockets, each receiver counted.")
	frameBytes := m.counter("socket_frame_bytes_total", "Bytes of frames written to WebSockets.")

	e.MessageIn = func(bytes int) {
		messages.Inc()
		messageBytes.Add(float64(bytes))
	}
	e.AutoReplied = replies.Inc
	e.FramesOut = func(count, bytes int) {
		frames.Add(float64(count))
		frameBytes.Add(float64(bytes))
	}
}

// statusClasses gives the values of statusClass.
func statusClasses() []string { return []string{"1xx", "2xx", "3xx", "4xx", "5xx", "cut"} }

// statusClass gives 2xx for 204. An object may answer with any number from 200 to
// 999; what is beyond 599 is no less an error than what is below.
func statusClass(status int) string {
	const hundred = 100
	switch status / hundred {
	case 0:
		return "cut"
	case 1:
		return "1xx"
	case 2:
		return "2xx"
	case 3:
		return "3xx"
	case 4:
		return "4xx"
	default:
		return "5xx"
	}
}

// closeCodes gives the values of closeCode.
func closeCodes() (codes []string) {
	for code := firstCloseCode; code < endOfCloseCodes; code++ {
		codes = append(codes, strconv.Itoa(code))
	}
	return append(codes, "application", "other")
}

// Codes of RFC 6455; those of applications begin at 3000.
const (
	firstCloseCode  = 1000
	endOfCloseCodes = 1016
	firstOwnCode    = 3000
)

// closeCode bounds the codes that peers may invent.
func closeCode(code int) string {
	switch {
	case code >= firstCloseCode && code < endOfCloseCodes:
		return strconv.Itoa(code)
	case code >= firstOwnCode:
		return "application"
	default:
		return "other"
	}
}
