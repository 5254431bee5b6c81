package transport

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLinkFileBytes bounds what is read of a file with certificates or a key.
const maxLinkFileBytes = 1 << 20

// LinkFiles say where a node's credentials for its peers are. All files are PEM.
type LinkFiles struct {
	Certificate string // the node's own, and behind it those that lead to an authority
	Key         string // private key of the certificate
	Authorities string // that all nodes' certificates come from
	Host        string // name in every node's certificate
}

// LoadLinkKey takes the credentials from files. Peers of the same configuration
// would accept them, else it is an error: the certificate fits its key, comes from
// one of the authorities, bears the host name, is for servers and clients, and is
// valid now. A Link with this key follows the files.
func LoadLinkKey(files LinkFiles) (*LinkKey, error) {
	credentials, err := files.read().credentials(files.Host)
	if err != nil {
		return nil, err
	}
	k := &LinkKey{files: files}
	k.current.Store(credentials)
	return k, nil
}

// linkContent is what the files held at a moment.
type linkContent struct {
	certificate, key, authorities string
	unreadable                    string // why, if so
}

func (f LinkFiles) read() (c linkContent) {
	for _, part := range []struct {
		path string
		text *string
	}{{f.Certificate, &c.certificate}, {f.Key, &c.key}, {f.Authorities, &c.authorities}} {
		var err error
		if *part.text, err = readLinkFile(part.path); err != nil {
			return linkContent{unreadable: err.Error()}
		}
	}
	return c
}

func readLinkFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxLinkFileBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if len(text) > maxLinkFileBytes {
		return "", fmt.Errorf("%s has more than %d bytes", path, maxLinkFileBytes)
	}
	return string(text), nil
}

// credentials makes of the files what handshakes use, if peers would accept it.
func (c linkContent) credentials(host string) (*linkCredentials, error) {
	if c.unreadable != "" {
		return nil, fmt.Errorf("transport: load link certificate: %s", c.unreadable)
	}
	certificate, err := tls.X509KeyPair([]byte(c.certificate), []byte(c.key))
	if err != nil {
		return nil, fmt.Errorf("transport: load link certificate: %w", err)
	}
	pool, err := parseAuthorities(c.authorities)
	if err != nil {
		return nil, fmt.Errorf("transport: load link authorities: %w", err)
	}
	if err := acceptable(certificate, pool, host); err != nil {
		return nil, fmt.Errorf("transport: peers would not accept the link certificate: %w", err)
	}
	credentials := newLinkCredentials(certificate, pool, host)
	credentials.content = c
	return credentials, nil
}

// parseAuthorities is strict, unlike AppendCertsFromPEM: of a file that is not
// written to its end it must not take the first half.
func parseAuthorities(text string) (*x509.CertPool, error) {
	pool, rest, found := x509.NewCertPool(), []byte(text), 0
	for {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		rest = after
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a %s among them", block.Type)
		}
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(authority)
		found++
	}
	if begun := strings.Count(text, "-----BEGIN"); begun != found { // Decode leaves out what is broken
		return nil, fmt.Errorf("%d of %d PEM blocks are broken", begun-found, begun)
	}
	if found == 0 {
		return nil, errors.New("no PEM certificate in them")
	}
	return pool, nil
}

// acceptable verifies this node's certificate as a peer of the same configuration
// would, at either end.
func acceptable(certificate tls.Certificate, pool *x509.CertPool, host string) error {
	options := x509.VerifyOptions{DNSName: host, Roots: pool, Intermediates: x509.NewCertPool()}
	for _, der := range certificate.Certificate[1:] {
		between, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		options.Intermediates.AddCert(between)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		options.KeyUsages = []x509.ExtKeyUsage{usage}
		if _, err := certificate.Leaf.Verify(options); err != nil {
			return err
		}
	}
	return nil
}
