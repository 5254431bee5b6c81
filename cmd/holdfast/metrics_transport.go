package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/holdfast-dev/holdfast/transport"
)

// transportEvents turns what happens at the door into metrics.
func transportEvents(f promauto.Factory) transport.Events {
	connections := f.NewGauge(prometheus.GaugeOpts{Name: "connections", Help: "Open connections of clients, sockets included."})
	connectionsRefused := f.NewCounter(prometheus.CounterOpts{Name: "connections_refused_total", Help: "Connections of clients beyond the bound."})
	underWay := f.NewGauge(prometheus.GaugeOpts{Name: "requests_under_way", Help: "Requests of clients that have no answer yet, sockets not included."})
	requests := f.NewHistogramVec(prometheus.HistogramOpts{Name: "request_seconds", Help: "Requests of clients, by class and status class; cut: the answer was cut off.", Buckets: latencyBuckets()}, []string{"class", "status"})
	sockets := f.NewGaugeVec(prometheus.GaugeOpts{Name: "sockets", Help: "Open WebSockets."}, []string{"class"})
	closed := f.NewCounterVec(prometheus.CounterOpts{Name: "sockets_closed_total", Help: "WebSockets that ended, by close code."}, []string{"class", "code"})
	messages := f.NewCounter(prometheus.CounterOpts{Name: "socket_messages_total", Help: "Messages from WebSockets handed to objects."})
	messageBytes := f.NewCounter(prometheus.CounterOpts{Name: "socket_message_bytes_total", Help: "Bytes of those messages."})
	replies := f.NewCounter(prometheus.CounterOpts{Name: "socket_auto_replies_total", Help: "Messages answered without waking the object."})
	frames := f.NewCounter(prometheus.CounterOpts{Name: "socket_frames_total", Help: "Frames written to WebSockets, each receiver counted."})
	frameBytes := f.NewCounter(prometheus.CounterOpts{Name: "socket_frame_bytes_total", Help: "Bytes of those frames."})

	return transport.Events{
		ConnOpened:  connections.Inc,
		ConnClosed:  connections.Dec,
		ConnRefused: connectionsRefused.Inc,
		Requests:    func(change int) { underWay.Add(float64(change)) },
		RequestDone: func(class string, status int, took time.Duration) {
			requests.WithLabelValues(class, statusClass(status)).Observe(took.Seconds())
		},
		SocketOpened: func(class string) { sockets.WithLabelValues(class).Inc() },
		SocketClosed: func(class string, code int) {
			sockets.WithLabelValues(class).Dec()
			closed.WithLabelValues(class, closeCode(code)).Inc()
		},
		MessageIn: func(bytes int) {
			messages.Inc()
			messageBytes.Add(float64(bytes))
		},
		AutoReplied: replies.Inc,
		FramesOut: func(count, bytes int) {
			frames.Add(float64(count))
			frameBytes.Add(float64(bytes))
		},
	}
}

// statusClass gives 2xx for 204: an object may answer any number.
func statusClass(status int) string {
	const hundred = 100
	if status < hundred || status >= 10*hundred {
		return "cut"
	}
	return strconv.Itoa(status/hundred) + "xx"
}

// closeCode bounds the codes that peers may invent.
func closeCode(code int) string {
	const reserved, private = 1016, 3000
	switch {
	case code >= 1000 && code < reserved:
		return strconv.Itoa(code)
	case code >= private:
		return "application"
	default:
		return "other"
	}
}
