package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAdvertisedHost(t *testing.T) {
	tests := []struct {
		advertise, listening, want string
	}{
		{"node-1.example.com", "0.0.0.0", "node-1.example.com"},
		{"", "127.0.0.1", "127.0.0.1"},
		{"10.1.2.3", "127.0.0.1", "10.1.2.3"},
		{"", "2001:db8::1", "2001:db8::1"},
	}
	for _, test := range tests {
		if got, err := advertisedHost(test.advertise, &net.TCPAddr{IP: net.ParseIP(test.listening)}); err != nil || got != test.want {
			t.Errorf("advertisedHost(%q, %s) = %q, %v, want %q", test.advertise, test.listening, got, err, test.want)
		}
	}
	// On all addresses it is one that others can dial, or a mistake that says what to do.
	got, err := advertisedHost("", &net.TCPAddr{IP: net.IPv4zero})
	if err == nil && (net.ParseIP(got) == nil || net.ParseIP(got).IsUnspecified()) || err != nil && !strings.Contains(err.Error(), "--advertise") {
		t.Errorf("advertisedHost of all addresses = %q, %v", got, err)
	}
}

func TestLoadKeys(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if keys, err := loadKeys(Config{ClusterKeyFile: file(strings.Repeat("k", 32) + "\n")}); err != nil || keys.Link == nil || len(keys.Gossip) != 32 {
		t.Errorf("loadKeys(32 bytes) = %+v, %v, want both keys", keys, err)
	}
	if keys, err := loadKeys(Config{InsecureInternal: true}); err != nil || keys.Link != nil || keys.Gossip != nil {
		t.Errorf("loadKeys(insecure) = %+v, %v, want none", keys, err)
	}
	const secret = "too short and never to be seen"
	for _, cfg := range []Config{
		{ClusterKeyFile: file(secret)},
		{ClusterKeyFile: file(strings.Repeat(secret, maxClusterKeyBytes/len(secret)+1))},
		{ClusterKeyFile: filepath.Join(t.TempDir(), "missing")},
		{InternalCert: file(secret), InternalKey: file(secret), InternalCA: file(secret), InternalHost: "nodes.example.com"},
	} {
		if _, err := loadKeys(cfg); err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "--") {
			t.Errorf("loadKeys(%+v) = %v, want an error that names the flag and not the secret", cfg, err)
		}
	}
}

// A certificate that is its own authority is enough, and its end is in the metrics.
func TestLoadKeysFromCertificate(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const host = "nodes.example.com"
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := Config{InternalCert: filepath.Join(dir, "tls.crt"), InternalKey: filepath.Join(dir, "tls.key"), InternalHost: host}
	cfg.InternalCA = cfg.InternalCert
	for path, block := range map[string]*pem.Block{cfg.InternalCert: {Type: "CERTIFICATE", Bytes: certificate}, cfg.InternalKey: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := loadKeys(cfg)
	if err != nil || keys.Gossip != nil {
		t.Fatalf("loadKeys(certificate) = %+v, %v, want no key of gossip", keys, err)
	}
	if got, want := (&Network{Keys: keys}).certificateExpiry(), float64(template.NotAfter.Unix()); got != want {
		t.Errorf("certificateExpiry() = %v, want %v", got, want)
	}
	cfg.InternalHost = "www.example.com"
	if _, err := loadKeys(cfg); err == nil || !strings.Contains(err.Error(), host) || !strings.Contains(err.Error(), "--internal-host") {
		t.Errorf("loadKeys(another host) = %v, want an error with both", err)
	}
}

func TestValidateClustering(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"--cluster-key-file":  func(c *Config) { c.Join = []string{"a"} },
		"--bootstrap-expect":  func(c *Config) { c.BootstrapExpect = 1000; c.InsecureInternal = true },
		"--internal-ca":       func(c *Config) { c.InternalCert = "a" },
		"--internal-host":     func(c *Config) { c.InternalCert, c.InternalKey, c.InternalCA = "a", "b", "c" },
		"--insecure-internal": func(c *Config) { c.InsecureInternal = true; c.ClusterKeyFile = "a" },
		"--grace-period":      func(c *Config) { c.GracePeriod = 0 },
	} {
		cfg := defaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate() = %v, want an error with %s", err, want)
		}
	}
}
