package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const testHost = "nodes.example.com"

// authority signs certificates for tests.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key := newTestKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
	}
	certificate, text := signTest(t, template, template, key, key)
	return &authority{certificate, key, text}
}

func newTestKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signTest(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, string) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// issue makes certificate and key of a node, valid for two hours from now on unless
// change says otherwise.
func (a *authority) issue(t *testing.T, serial int64, change func(*x509.Certificate)) (certificate, key string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{testHost}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Minute), NotAfter: time.Now().Add(2 * time.Hour),
	}
	if change != nil {
		change(template)
	}
	nodeKey := newTestKey(t)
	_, certificate = signTest(t, template, a.certificate, nodeKey, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(nodeKey)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// secretVolume is a directory as Kubernetes keeps the files of a secret in it: each
// is a link into what ..data leads to, and ..data is what turns.
type secretVolume struct {
	dir    string
	writes int
}

func newSecretVolume(t *testing.T, certificate, key, authorities string) *secretVolume {
	t.Helper()
	v := &secretVolume{dir: t.TempDir()}
	v.replace(t, certificate, key, authorities)
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func (v *secretVolume) replace(t *testing.T, certificate, key, authorities string) {
	t.Helper()
	v.writes++
	version := "..version-" + strconv.Itoa(v.writes)
	if err := os.Mkdir(filepath.Join(v.dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"tls.crt": certificate, "tls.key": key, "ca.crt": authorities} {
		if err := os.WriteFile(filepath.Join(v.dir, version, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	turning := filepath.Join(v.dir, "..data_tmp")
	if err := os.Symlink(version, turning); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(turning, filepath.Join(v.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func (v *secretVolume) files() LinkFiles {
	return LinkFiles{
		Certificate: filepath.Join(v.dir, "tls.crt"), Key: filepath.Join(v.dir, "tls.key"), Authorities: filepath.Join(v.dir, "ca.crt"), Host: testHost,
	}
}

// load is LoadLinkKey of the files.
func (v *secretVolume) load(t *testing.T) *LinkKey {
	t.Helper()
	key, err := LoadLinkKey(v.files())
	if err != nil {
		t.Fatal(err)
	}
	return key
}
