package transport

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"
)

// MinClusterKeyBytes is how long a cluster key must be: as long as the keys
// that are derived from it are strong.
const MinClusterKeyBytes = 32

// linkHost is the name that every node's certificate bears. Nodes are not told
// apart by certificates: whoever has the cluster key is one.
const linkHost = "node.holdfast.internal"

// LinkKey says how nodes prove to each other that they belong together.
type LinkKey struct {
	files LinkFiles // where it comes from; the zero value: it was derived and never changes

	current atomic.Pointer[linkCredentials]
	refused atomic.Bool // what is in the files now cannot be used
}

// linkCredentials are what one handshake uses.
type linkCredentials struct {
	content         linkContent // of the files that they come from
	server          *tls.Config
	client          *tls.Config
	issued, expires time.Time
}

// NewLinkKey derives the link's credentials from the cluster key: a certificate
// authority that every holder of the key can derive, and a certificate of this
// start under it. Both ends must show one, over TLS 1.3; the key itself never
// travels and stands in no error.
func NewLinkKey(clusterKey []byte) (*LinkKey, error) {
	clusterKey, err := trimClusterKey(clusterKey)
	if err != nil {
		return nil, err
	}
	seed, err := hkdf.Key(sha256.New, clusterKey, nil, "holdfast link authority", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("transport: derive link authority: %w", err)
	}
	authorityKey := ed25519.NewKeyFromSeed(seed)
	authority, err := makeCertificate(nil, authorityKey, authorityKey)
	if err != nil {
		return nil, err
	}
	_, leafKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("transport: make link key: %w", err)
	}
	leaf, err := makeCertificate(authority, leafKey, authorityKey)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	k := &LinkKey{}
	k.current.Store(newLinkCredentials(tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey, Leaf: leaf}, pool, linkHost))
	return k, nil
}

// GossipKey derives the key that encrypts gossip, 32 bytes, from the cluster key.
func GossipKey(clusterKey []byte) ([]byte, error) {
	clusterKey, err := trimClusterKey(clusterKey)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, clusterKey, nil, "holdfast gossip", 32)
	if err != nil {
		return nil, fmt.Errorf("transport: derive gossip key: %w", err)
	}
	return key, nil
}

// trimClusterKey lets a file with the key end in a new line.
func trimClusterKey(clusterKey []byte) ([]byte, error) {
	clusterKey = bytes.TrimSpace(clusterKey)
	if len(clusterKey) < MinClusterKeyBytes {
		return nil, fmt.Errorf("transport: the cluster key has %d bytes, want at least %d", len(clusterKey), MinClusterKeyBytes)
	}
	return clusterKey, nil
}

func newLinkCredentials(certificate tls.Certificate, pool *x509.CertPool, host string) *linkCredentials {
	base := &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate},
	}
	server, client := base.Clone(), base
	server.ClientAuth = tls.RequireAndVerifyClientCert
	server.ClientCAs = pool
	client.RootCAs = pool
	client.ServerName = host
	return &linkCredentials{server: server, client: client, issued: certificate.Leaf.NotBefore, expires: certificate.Leaf.NotAfter}
}

// Expires gives the time after which peers refuse this node's certificate. One that
// was derived from a cluster key does not expire for as long as X.509 can say.
func (k *LinkKey) Expires() time.Time { return k.current.Load().expires }

// Issued gives the time from which peers accept this node's certificate.
func (k *LinkKey) Issued() time.Time { return k.current.Load().issued }

// Refused says whether the files of the key hold something that cannot be used, so
// that the certificate from before is kept.
func (k *LinkKey) Refused() bool { return k.refused.Load() }

// makeCertificate makes the authority's certificate (nil authority) or one that
// it signs.
func makeCertificate(authority *x509.Certificate, key, signer ed25519.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("transport: make link certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, BasicConstraintsValid: true,
		// Made anew at each start. A clock that is wrong must not keep a node
		// outside, so it is valid for as long as X.509 can say.
		NotBefore: time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:  time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC),
	}
	if authority == nil {
		template.Subject = pkix.Name{CommonName: "holdfast link authority"}
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		authority = template
	} else {
		template.Subject = pkix.Name{CommonName: linkHost}
		template.DNSNames = []string{linkHost}
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("transport: make link certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
