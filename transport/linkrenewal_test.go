package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// linkAtWork is a link with files that are followed, on a network in memory.
type linkAtWork struct {
	link   *Link
	key    *LinkKey
	volume *secretVolume
	log    lockedBuffer
}

func newLinkAtWork(t *testing.T, volume *secretVolume, dial func(context.Context, string) (net.Conn, error)) *linkAtWork {
	t.Helper()
	l := &linkAtWork{volume: volume, key: volume.load(t)}
	l.link = NewLink(l.key, dial, slog.New(slog.NewTextHandler(&l.log, nil)))
	t.Cleanup(func() {
		if err := l.link.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return l
}

// linkedNodes is two nodes of which one dials the other, each with files of its own.
type linkedNodes struct {
	server, client *linkAtWork
	shown          chan *x509.Certificate // what the client showed, for each connection
}

func linkNodes(t *testing.T, server, client *secretVolume) *linkedNodes {
	t.Helper()
	listener, dial := memory(t)
	n := &linkedNodes{shown: make(chan *x509.Certificate, 1)}
	n.server = newLinkAtWork(t, server, nil)
	n.client = newLinkAtWork(t, client, func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) })
	n.server.link.Handle(LinkRaft, func(c net.Conn) {
		defer c.Close()
		n.shown <- c.(*tls.Conn).ConnectionState().PeerCertificates[0]
		io.Copy(c, c)
	})
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { listener.Close() })
	wg.Go(func() {
		if err := n.server.link.Serve(listener); err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return n
}

// connect dials, and gives the serial numbers that both ends showed.
func (n *linkedNodes) connect(t *testing.T) (conn net.Conn, server, client int64, err error) {
	t.Helper()
	conn, err = n.client.link.Dial(t.Context(), "server", LinkRaft)
	if err != nil {
		return nil, 0, 0, err
	}
	return conn, conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(), (<-n.shown).SerialNumber.Int64(), nil
}

func (n *linkedNodes) wantConnect(t *testing.T, server, client int64) {
	t.Helper()
	conn, gotServer, gotClient, err := n.connect(t)
	if err != nil || gotServer != server || gotClient != client {
		t.Errorf("connect() = certificates %d and %d, %v, want %d and %d", gotServer, gotClient, err, server, client)
		return
	}
	conn.Close()
}

func ping(conn net.Conn) error {
	if _, err := conn.Write([]byte("ping")); err != nil {
		return err
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != "ping" {
		return errors.New("got " + string(got))
	}
	return nil
}

// renewalWait is how long after a change at most it counts.
const renewalWait = 2*linkLook + time.Second

func TestLinkFollowsItsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newAuthority(t, "first"), newAuthority(t, "second")
		issue := func(a *authority, serial int64) (string, string) { return a.issue(t, serial, nil) }
		cert1, key1 := issue(first, 101)
		cert2, key2 := issue(first, 102)
		n := linkNodes(t, newSecretVolume(t, cert1, key1, first.pem), newSecretVolume(t, cert2, key2, first.pem))
		old, server, client, err := n.connect(t)
		if err != nil || server != 101 || client != 102 {
			t.Fatalf("connect() = %d, %d, %v, want 101, 102", server, client, err)
		}
		defer old.Close()

		// Nothing changes: nothing is renewed.
		time.Sleep(time.Minute)
		n.wantConnect(t, 101, 102)
		if said := n.server.log.String() + n.client.log.String(); said != "" {
			t.Errorf("the log says %q of files that did not change", said)
		}

		// Certificates are renewed, one node after the other, with the clock near their end.
		time.Sleep(2*time.Hour - 5*time.Minute)
		cert3, key3 := issue(first, 103)
		n.server.volume.replace(t, cert3, key3, first.pem)
		time.Sleep(renewalWait)
		n.wantConnect(t, 103, 102)
		cert4, key4 := issue(first, 104)
		n.client.volume.replace(t, cert4, key4, first.pem)
		time.Sleep(renewalWait)
		n.wantConnect(t, 103, 104)
		if left := time.Until(n.server.key.Expires()); left < 2*time.Hour-time.Minute {
			t.Errorf("the renewed certificate expires in %v, want about 2 h", left)
		}
		time.Sleep(10 * time.Minute) // the first ones have expired
		n.wantConnect(t, 103, 104)

		// A new authority: it is added everywhere, certificates come from it, the old one goes.
		both := first.pem + "\n# the new one\n" + second.pem
		n.server.volume.replace(t, cert3, key3, both)
		time.Sleep(renewalWait)
		n.wantConnect(t, 103, 104)
		n.client.volume.replace(t, cert4, key4, both)
		time.Sleep(renewalWait)
		n.wantConnect(t, 103, 104)
		cert5, key5 := issue(second, 105)
		n.client.volume.replace(t, cert5, key5, both)
		time.Sleep(renewalWait)
		n.wantConnect(t, 103, 105)
		cert6, key6 := issue(second, 106)
		n.server.volume.replace(t, cert6, key6, second.pem)
		time.Sleep(renewalWait)
		n.wantConnect(t, 106, 105)
		n.client.volume.replace(t, cert5, key5, second.pem)
		time.Sleep(renewalWait)
		n.wantConnect(t, 106, 105)

		// Whoever still comes with the old authority is no node any more.
		cert7, key7 := issue(first, 107)
		stranger := newSecretVolume(t, cert7, key7, both)
		n.client.link.key = stranger.load(t)
		if conn, _, _, err := n.connect(t); err == nil {
			conn.Close()
			t.Error("a certificate of the old authority is accepted, want an error")
		}

		// All that has not touched the connection that was open all the time.
		if err := ping(old); err != nil {
			t.Errorf("the connection from before the renewals: %v", err)
		}
		if said, want := strings.Count(n.client.log.String(), "the internal certificate is renewed"), 4; said != want || strings.Contains(n.client.log.String(), "kept") {
			t.Errorf("the log tells of %d renewals, want %d:\n%s", said, want, n.client.log.String())
		}
	})
}

// spoiling is what a mistake in the files is made of.
type spoiling struct {
	t          *testing.T
	volume     *secretVolume
	own, other *authority // that the nodes' certificates come from, and another one
}

func TestLinkKeepsWhatItHas(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(s spoiling)
		want  string // in the log
	}{
		{"a key that does not fit", func(s spoiling) {
			certificate, _ := s.own.issue(s.t, 2, nil)
			_, key := s.own.issue(s.t, 3, nil)
			s.volume.replace(s.t, certificate, key, s.own.pem)
		}, "does not match"},
		{"no certificate", func(s spoiling) {
			_, key := s.own.issue(s.t, 2, nil)
			s.volume.replace(s.t, "", key, s.own.pem)
		}, "failed to find"},
		{"half a certificate", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, nil)
			s.volume.replace(s.t, certificate[:len(certificate)/2], key, s.own.pem)
		}, "failed to find"},
		{"no authorities", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, nil)
			s.volume.replace(s.t, certificate, key, "none\n")
		}, "no PEM certificate"},
		{"authorities that break off", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, nil)
			s.volume.replace(s.t, certificate, key, s.own.pem+s.other.pem[:len(s.other.pem)/2])
		}, "1 of 2 PEM blocks"},
		{"a key among the authorities", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, nil)
			s.volume.replace(s.t, certificate, key, s.own.pem+key)
		}, "PRIVATE KEY"},
		{"another authority", func(s spoiling) {
			certificate, key := s.other.issue(s.t, 2, nil)
			s.volume.replace(s.t, certificate, key, s.own.pem)
		}, "unknown authority"},
		{"another host", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, func(c *x509.Certificate) { c.DNSNames = []string{"www.example.com"} })
			s.volume.replace(s.t, certificate, key, s.own.pem)
		}, "www.example.com"},
		{"not for clients", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })
			s.volume.replace(s.t, certificate, key, s.own.pem)
		}, "key usage"},
		{"not for servers", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] })
			s.volume.replace(s.t, certificate, key, s.own.pem)
		}, "key usage"},
		{"expired", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })
			s.volume.replace(s.t, certificate, key, s.own.pem)
		}, "expired"},
		{"not valid yet", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
			s.volume.replace(s.t, certificate, key, s.own.pem)
		}, "not yet valid"},
		{"a file that is gone", func(s spoiling) {
			if err := os.Remove(s.volume.files().Key); err != nil {
				s.t.Fatal(err)
			}
		}, "tls.key"},
		{"a file without an end", func(s spoiling) {
			certificate, key := s.own.issue(s.t, 2, nil)
			s.volume.replace(s.t, certificate, key, strings.Repeat(s.own.pem, maxLinkFileBytes/len(s.own.pem)+1))
		}, "more than"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { keepsWhatItHas(t, tc.spoil, tc.want) })
		})
	}
}

func keepsWhatItHas(t *testing.T, spoil func(spoiling), want string) {
	t.Helper()
	a, other := newAuthority(t, "nodes"), newAuthority(t, "other")
	certificate, key := a.issue(t, 1, nil)
	peer, peerKey := a.issue(t, 9, nil)
	v := newSecretVolume(t, certificate, key, a.pem)
	n := linkNodes(t, newSecretVolume(t, peer, peerKey, a.pem), v)
	expires := n.client.key.Expires()

	spoil(spoiling{t, v, a, other})
	if _, err := LoadLinkKey(v.files()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("LoadLinkKey = %v, want an error with %q", err, want)
	}
	time.Sleep(10 * time.Minute)
	n.wantConnect(t, 9, 1)
	if !n.client.key.Refused() || n.client.key.Expires() != expires || n.server.key.Refused() {
		t.Errorf("Refused() = %v, Expires() = %v, want true and what it was, %v", n.client.key.Refused(), n.client.key.Expires(), expires)
	}
	if said := n.client.log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "the old one is kept") || !strings.Contains(said, want) {
		t.Errorf("the log is %q, want one line with %q", said, want)
	}

	// Repaired, it counts; and a mistake that comes back is told of again.
	if err := os.RemoveAll(v.files().Key); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..data/tls.key", v.files().Key); err != nil {
		t.Fatal(err)
	}
	certificate, key = a.issue(t, 4, nil)
	v.replace(t, certificate, key, a.pem)
	time.Sleep(renewalWait)
	n.wantConnect(t, 9, 4)
	if n.client.key.Refused() {
		t.Error("Refused() = true of files that are in use")
	}
	spoil(spoiling{t, v, a, other})
	time.Sleep(renewalWait)
	n.wantConnect(t, 9, 4)
	if said := strings.Count(n.client.log.String(), "the old one is kept"); said != 2 {
		t.Errorf("the log tells %d times of what cannot be used, want 2", said)
	}
}

// What the old files held is not refused when it comes back.
func TestLinkTakesBackARollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "nodes")
		certificate, key := a.issue(t, 1, nil)
		l := newLinkAtWork(t, newSecretVolume(t, certificate, key, a.pem), nil)
		l.volume.replace(t, certificate, "nonsense", a.pem)
		time.Sleep(renewalWait)
		if !l.key.Refused() {
			t.Error("Refused() = false, want true")
		}
		l.volume.replace(t, certificate, key, a.pem)
		time.Sleep(renewalWait)
		if l.key.Refused() {
			t.Error("Refused() = true after the old files came back")
		}
	})
}

// A certificate of tomorrow is taken when tomorrow comes.
func TestLinkWaitsForValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "nodes")
		certificate, key := a.issue(t, 1, nil)
		l := newLinkAtWork(t, newSecretVolume(t, certificate, key, a.pem), nil)
		later, laterKey := a.issue(t, 2, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Hour)
			c.NotAfter = time.Now().Add(48 * time.Hour)
		})
		l.volume.replace(t, later, laterKey, a.pem)
		time.Sleep(time.Hour - time.Minute)
		if !l.key.Refused() || time.Until(l.key.Expires()) > 24*time.Hour {
			t.Errorf("Refused() = %v, Expires() = %v before it is valid", l.key.Refused(), l.key.Expires())
		}
		time.Sleep(2 * time.Minute)
		if l.key.Refused() || time.Until(l.key.Expires()) < 24*time.Hour {
			t.Errorf("Refused() = %v, Expires() = %v after it is valid", l.key.Refused(), l.key.Expires())
		}
	})
}

// While files are being written nothing is taken from them, and nothing is told.
func TestLinkLeavesWhatIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newAuthority(t, "first"), newAuthority(t, "second")
		certificate, key := first.issue(t, 1, nil)
		l := newLinkAtWork(t, newSecretVolume(t, certificate, key, first.pem), nil)
		expires := l.key.Expires()
		time.Sleep(linkLook / 2) // from here on writes lie between looks
		bundle := first.pem + second.pem
		newer, newerKey := first.issue(t, 2, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(48 * time.Hour) })
		for _, part := range []string{"", bundle[:100], first.pem, bundle[:len(first.pem)+100]} {
			l.volume.replace(t, newer, newerKey, part)
			time.Sleep(linkLook)
			if l.key.Expires() != expires || l.key.Refused() || l.log.String() != "" {
				t.Fatalf("with %d bytes of %d: Expires() = %v, Refused() = %v, log %q, want nothing", len(part), len(bundle), l.key.Expires(), l.key.Refused(), l.log.String())
			}
		}
		l.volume.replace(t, newer, newerKey, bundle)
		time.Sleep(renewalWait)
		if l.key.Expires().Equal(expires) {
			t.Error("the finished files are not taken")
		}
	})
}
