package transport

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// ServerConfig bounds what clients may cost. A zero field means its default.
type ServerConfig struct {
	// HeaderBytes bounds the request line and the headers; beyond it 431. Default 64 KiB.
	HeaderBytes int
	// BodyBytes bounds a request body, streamed ones too; beyond it 413. Default 1 GiB.
	BodyBytes int64
	// Connections bounds open connections, sockets included; beyond it new ones
	// are answered 503 and closed, or cut if there are very many. Default 65,536.
	// More than the process may have open files helps nobody.
	Connections int
	// Requests bounds requests under way, whatever they wait for, sockets not
	// included; beyond it 503 at once. Default 16,384.
	Requests int

	// HeaderTimeout bounds the arrival of the headers. Default 10 s.
	HeaderTimeout time.Duration
	// IdleTimeout bounds how long a connection waits for its next request. Default 2 min.
	IdleTimeout time.Duration
	// BodyStall bounds how long a body may send nothing while somebody reads it; beyond it 408. Default 30 s.
	BodyStall time.Duration
	// WriteStall bounds how long a client may take for the next 64 KiB of an
	// answer or of frames; beyond it the connection is cut. Default 30 s.
	WriteStall time.Duration
	// FarewellWait is how long a server that stops waits for clients with quiet
	// connections to ask for something, so that it can tell them to go. Counts from
	// SayFarewell on. Default 2 s.
	FarewellWait time.Duration
}

// Validate fills in defaults and reports every mistake.
func (c *ServerConfig) Validate() error {
	return errors.Join(
		orDefault(&c.HeaderBytes, 64<<10, "HeaderBytes"),
		orDefault(&c.BodyBytes, 1<<30, "BodyBytes"),
		orDefault(&c.Connections, 65536, "Connections"),
		orDefault(&c.Requests, 16384, "Requests"),
		orDefault(&c.HeaderTimeout, 10*time.Second, "HeaderTimeout"),
		orDefault(&c.IdleTimeout, 2*time.Minute, "IdleTimeout"),
		orDefault(&c.BodyStall, 30*time.Second, "BodyStall"),
		orDefault(&c.WriteStall, 30*time.Second, "WriteStall"),
		orDefault(&c.FarewellWait, 2*time.Second, "FarewellWait"),
	)
}

// MaxMessageBytes bounds GatewayConfig.MessageBytes.
const MaxMessageBytes = 32 << 20

// GatewayConfig bounds what sockets may cost. A zero field means its default.
type GatewayConfig struct {
	// MessageBytes bounds a message from a client; a larger one closes its socket
	// with 1009. Default 8 MiB, at most MaxMessageBytes.
	MessageBytes int
	// WindowMessages and WindowBytes bound the messages of one socket that the
	// object has not acknowledged; at the bound the gateway stops reading from
	// the socket. They are kept until then, also while the object has no owner. One
	// message may be larger than WindowBytes. Defaults 128 and 256 KiB.
	WindowMessages int
	WindowBytes    int
	// QueueFrames and QueueBytes bound the frames that wait for one socket; a
	// client that falls further behind is closed with 1013. One frame may be
	// larger than QueueBytes. Defaults 1,024 and 4 MiB.
	QueueFrames int
	QueueBytes  int

	// PingInterval is the time between two pings to each socket. A peer from
	// which nothing comes between two pings is taken for lost. Default 30 s.
	PingInterval time.Duration
	// CloseWait bounds a close from its start to the end of the connection: the
	// frames that still wait, the Close frame and the peer's answer. Default 5 s.
	CloseWait time.Duration
	// CloseSpread is the time over which a stopping gateway spreads the closes
	// of its sockets, so that not all clients come back at once. Default 1 s.
	CloseSpread time.Duration

	// Origins lists the web origins ("https://app.example.com"), besides the
	// server's own, whose pages may open sockets; "*" allows all. A request
	// without an Origin header does not come from a web page and is always allowed.
	Origins []string
}

// Validate fills in defaults and reports every mistake.
func (c *GatewayConfig) Validate() error {
	errs := []error{
		orDefault(&c.MessageBytes, 8<<20, "MessageBytes"),
		orDefault(&c.WindowMessages, 128, "WindowMessages"),
		orDefault(&c.WindowBytes, 256<<10, "WindowBytes"),
		orDefault(&c.QueueFrames, 1024, "QueueFrames"),
		orDefault(&c.QueueBytes, 4<<20, "QueueBytes"),
		orDefault(&c.PingInterval, 30*time.Second, "PingInterval"),
		orDefault(&c.CloseWait, 5*time.Second, "CloseWait"),
		orDefault(&c.CloseSpread, time.Second, "CloseSpread"),
	}
	if c.MessageBytes > MaxMessageBytes {
		errs = append(errs, fmt.Errorf("transport: MessageBytes %d: want at most %d", c.MessageBytes, MaxMessageBytes))
	}
	for _, origin := range c.Origins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			errs = append(errs, fmt.Errorf("transport: origin %q: want scheme and host as in https://app.example.com, or *", origin))
		}
	}
	return errors.Join(errs...)
}

func orDefault[T int | int64 | time.Duration](v *T, def T, name string) error {
	if *v == 0 {
		*v = def
	}
	if *v < 0 {
		return fmt.Errorf("transport: %s %v: want a positive value", name, *v)
	}
	return nil
}
