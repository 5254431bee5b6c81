package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-dev/holdfast/transport"
)

// fakeKubernetes is as much of an API server as make-secret needs.
type fakeKubernetes struct {
	*httptest.Server

	directory   string // of a service account
	environment map[string]string

	mu      sync.Mutex // guards the following fields
	secrets map[string]kubernetesSecret
	refuse  []int // statuses of the next answers
	posts   int
}

func newFakeKubernetes(t *testing.T) *fakeKubernetes {
	t.Helper()
	k := &fakeKubernetes{directory: newFakeDirectory(t), secrets: make(map[string]kubernetesSecret)}
	k.Server = httptest.NewTLSServer(k)
	t.Cleanup(k.Close)
	address, err := url.Parse(k.URL)
	if err != nil {
		t.Fatal(err)
	}
	k.environment = map[string]string{"KUBERNETES_SERVICE_HOST": address.Hostname(), "KUBERNETES_SERVICE_PORT": address.Port()}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(k.directory, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// newFakeDirectory makes one as a pod's service account has it, but for ca.crt.
func newFakeDirectory(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range map[string]string{"namespace": "there", "token": "pods-token\n"} {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func (k *fakeKubernetes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	status := func(code int, message string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "status": "Failure", "message": message, "code": code})
	}
	if r.Header.Get("Authorization") != "Bearer pods-token" {
		status(http.StatusUnauthorized, "Unauthorized")
		return
	}
	if r.Method == http.MethodPost {
		k.posts++
	}
	if len(k.refuse) > 0 {
		code := k.refuse[0]
		k.refuse = k.refuse[1:]
		status(code, "not now")
		return
	}
	space, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"), "/secrets")
	switch r.Method {
	case http.MethodPost:
		body, _ := io.ReadAll(r.Body)
		var secret kubernetesSecret
		if err := json.Unmarshal(body, &secret); err != nil || secret.Kind != "Secret" || secret.APIVersion != "v1" || name != "" {
			status(http.StatusBadRequest, "not a Secret")
			return
		}
		if _, ok := k.secrets[space+"/"+secret.Metadata.Name]; ok {
			status(http.StatusConflict, `secrets "x" already exists`)
			return
		}
		k.secrets[space+"/"+secret.Metadata.Name] = secret
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(secret)
	case http.MethodGet:
		secret, ok := k.secrets[space+name]
		if !ok {
			status(http.StatusNotFound, "not found")
			return
		}
		_ = json.NewEncoder(w).Encode(secret)
	}
}

func (k *fakeKubernetes) makeSecret(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command(t, k.environment, append([]string{"make-secret", "--name", "keys", "--service-account", k.directory}, args...)...)
}

func TestMakeSecret(t *testing.T) {
	k := newFakeKubernetes(t)
	code, stdout, stderr := k.makeSecret(t)
	if code != 0 || !strings.Contains(stdout, "Secret keys in namespace there is made") {
		t.Fatalf("make-secret = %d, %q, %q", code, stdout, stderr)
	}
	secret := k.secrets["there/keys"]
	key, token := string(secret.Data["cluster.key"]), string(secret.Data["admin.token"])
	for name, value := range map[string]string{"cluster.key": key, "admin.token": token} {
		text, ends := strings.CutSuffix(value, "\n")
		if random, err := base64.StdEncoding.DecodeString(text); err != nil || len(random) != 32 || !ends {
			t.Errorf("%s = %q, want a line of base64 of 32 bytes", name, value)
		}
	}
	if key == token || len(secret.Data) != 2 || secret.Type != "Opaque" {
		t.Errorf("the Secret is %+v, want two different values", secret)
	}
	if _, err := transport.NewLinkKey([]byte(key)); err != nil {
		t.Errorf("the cluster key will not do: %v", err)
	}
	if _, err := transport.ParseAdminToken([]byte(token)); err != nil {
		t.Errorf("the admin token will not do: %v", err)
	}
	said := stdout + stderr

	// Once more: nothing changes, and whoever may not look believes it.
	for _, forbidden := range []bool{false, true} {
		if forbidden {
			k.refuse = []int{http.StatusConflict, http.StatusForbidden}
		}
		code, stdout, stderr = k.makeSecret(t, "-o", "json")
		var made madeSecret
		if err := json.Unmarshal([]byte(stdout), &made); code != 0 || err != nil || made != (madeSecret{Namespace: "there", Name: "keys"}) {
			t.Errorf("make-secret once more = %d, %q, %q", code, stdout, stderr)
		}
		said += stdout + stderr
	}
	if now := k.secrets["there/keys"]; string(now.Data["cluster.key"]) != key {
		t.Error("the second run has changed the Secret")
	}

	code, stdout, stderr = k.makeSecret(t, "--namespace", "elsewhere")
	if other := k.secrets["elsewhere/keys"]; code != 0 || string(other.Data["cluster.key"]) == key || len(other.Data) != 2 {
		t.Errorf("make-secret in another namespace = %d, %q, %q, %+v, want other values", code, stdout, stderr, other)
	}
	for _, value := range []string{key, token} {
		if strings.Contains(said+stdout+stderr, strings.TrimSpace(value)) {
			t.Error("make-secret has shown what it made")
		}
	}
}

func TestMakeSecretErrors(t *testing.T) {
	k := newFakeKubernetes(t)
	k.refuse = []int{http.StatusInternalServerError}
	if code, stdout, stderr := k.makeSecret(t); code != 0 || k.posts != 2 || !strings.Contains(stdout, "is made") {
		t.Errorf("make-secret when the API server is busy = %d, %q, %q after %d tries", code, stdout, stderr, k.posts)
	}
	k.refuse, k.posts = []int{http.StatusForbidden}, 0
	if code, _, stderr := k.makeSecret(t, "--namespace", "b"); code != exitFailure || !strings.Contains(stderr, "not now (status 403)") || k.posts != 1 {
		t.Errorf("make-secret that is not allowed = %d, %q after %d tries, want %d at once", code, stderr, k.posts, exitFailure)
	}
	k.secrets["there/keys"] = kubernetesSecret{Data: map[string][]byte{"cluster.key": []byte("a-value-that-is-too-short")}}
	code, _, stderr := k.makeSecret(t)
	if code != exitFailure || !strings.Contains(stderr, "cluster.key of at least 32 bytes") || !strings.Contains(stderr, "admin.token") || strings.Contains(stderr, "too-short") {
		t.Errorf("make-secret with one that will not do = %d, %q, want %d and what it lacks", code, stderr, exitFailure)
	}

	if code, _, stderr := command(t, nil, "make-secret", "--name", "keys"); code != exitFailure || !strings.Contains(stderr, "in a pod") {
		t.Errorf("make-secret outside = %d, %q", code, stderr)
	}
	k.directory = t.TempDir()
	if code, _, stderr := k.makeSecret(t); code != exitFailure || !strings.Contains(stderr, "automountServiceAccountToken") {
		t.Errorf("make-secret without a service account = %d, %q", code, stderr)
	}
	for _, args := range [][]string{{}, {"--name", "x", "-o", "xml"}, {"--name", "x", "y"}} {
		if code, _, stderr := command(t, k.environment, append([]string{"make-secret"}, args...)...); code != exitUsage {
			t.Errorf("make-secret %v = %d, %q, want %d", args, code, stderr, exitUsage)
		}
	}
}

// A server with a certificate of somebody else is not asked twice, and gets no token.
func TestMakeSecretTrustsTheClusterOnly(t *testing.T) {
	k := newFakeKubernetes(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	other, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(k.directory, "ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other}), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := k.makeSecret(t); code != exitFailure || !strings.Contains(stderr, "certificate") || k.posts != 0 {
		t.Errorf("make-secret at a stranger's = %d, %q after %d calls, want it refused", code, stderr, k.posts)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// While nobody answers it tries, for two minutes.
func TestMakeSecretGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFakeDirectory(t)
		began, tries := time.Now(), 0
		api := &kubernetes{url: "https://10.0.0.1:443", directory: k, http: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			tries++
			return nil, errAway
		})}}
		_, err := secretMaker{api: api, name: "keys", namespace: "there"}.run(t.Context())
		if took := time.Since(began); !errors.Is(err, errAway) || took != makeSecretPatience || tries < 100 {
			t.Errorf("make-secret without an API server = %v after %v and %d tries, want %v after %v", err, took, tries, errAway, makeSecretPatience)
		}
	})
}
