package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

	kubernetesCallTimeout    = 10 * time.Second
	maxKubernetesAnswerBytes = 2 << 20 // a Secret has at most 1 MiB, in base64
)

// kubernetes is the API server as a pod's service account may use it.
type kubernetes struct {
	url       string
	directory string // of the service account; its token is renewed now and then
	namespace string // of the pod
	http      *http.Client
}

// openKubernetes finds the API server as every pod does.
func openKubernetes(directory string, lookupEnv func(string) (string, bool)) (*kubernetes, error) {
	host, _ := lookupEnv("KUBERNETES_SERVICE_HOST")
	port, _ := lookupEnv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this works in a pod of Kubernetes only")
	}
	authorities, err := os.ReadFile(filepath.Join(directory, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("the pod's service account: %w; does the pod mount its token (automountServiceAccountToken)?", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("the pod's service account: no certificate in %s", filepath.Join(directory, "ca.crt"))
	}
	namespace, err := os.ReadFile(filepath.Join(directory, "namespace"))
	if err != nil {
		return nil, fmt.Errorf("the pod's service account: %w", err)
	}
	return &kubernetes{
		url: "https://" + net.JoinHostPort(host, port), directory: directory, namespace: strings.TrimSpace(string(namespace)),
		http: &http.Client{
			Timeout: kubernetesCallTimeout,
			Transport: &http.Transport{
				DisableKeepAlives: true,
				TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool},
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// kubernetesSecret is what matters here of a Secret.
type kubernetesSecret struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Metadata   kubernetesMetadata `json:"metadata"`
	Type       string             `json:"type,omitempty"`
	Data       map[string][]byte  `json:"data"` // JSON has bytes in base64, as Kubernetes does
}

type kubernetesMetadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
}

// kubernetesError is a refusal of the API server.
type kubernetesError struct {
	status  int
	message string
}

func (e *kubernetesError) Error() string {
	return fmt.Sprintf("the API server answers: %s (status %d)", e.message, e.status)
}

// errUnreachable means that the API server did not answer.
var errUnreachable = errors.New("the API server cannot be reached")

// passingKubernetes says whether the same call may be answered better soon.
func passingKubernetes(err error) bool {
	if refusal, ok := errors.AsType[*kubernetesError](err); ok {
		return refusal.status >= http.StatusInternalServerError || refusal.status == http.StatusTooManyRequests || refusal.status == http.StatusRequestTimeout
	}
	_, stranger := errors.AsType[*tls.CertificateVerificationError](err)
	return errors.Is(err, errUnreachable) && !stranger
}

// createSecret makes a Secret; the kubernetesError has status 409 if there is one.
func (k *kubernetes) createSecret(ctx context.Context, secret kubernetesSecret) error {
	body, err := json.Marshal(secret)
	if err != nil {
		return err
	}
	return k.call(ctx, http.MethodPost, secretsPath(secret.Metadata.Namespace), body, http.StatusCreated, nil)
}

func (k *kubernetes) secret(ctx context.Context, namespace, name string) (secret kubernetesSecret, err error) {
	err = k.call(ctx, http.MethodGet, secretsPath(namespace)+"/"+url.PathEscape(name), nil, http.StatusOK, &secret)
	return secret, err
}

func secretsPath(namespace string) string {
	return "/api/v1/namespaces/" + url.PathEscape(namespace) + "/secrets"
}

// call asks the API server. No error tells what is in a body.
func (k *kubernetes) call(ctx context.Context, method, path string, body []byte, want int, into any) error {
	token, err := os.ReadFile(filepath.Join(k.directory, "token"))
	if err != nil {
		return fmt.Errorf("the pod's service account: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, method, k.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := k.http.Do(request)
	if err != nil {
		return fmt.Errorf("%w at %s: %w", errUnreachable, k.url, withoutURL(err))
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxKubernetesAnswerBytes))
	if err != nil {
		return fmt.Errorf("%w at %s: read its answer: %w", errUnreachable, k.url, err)
	}
	if response.StatusCode != want {
		return explainKubernetes(response.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("ask the API server at %s: its answer is no JSON", k.url)
	}
	return nil
}

func explainKubernetes(status int, answer []byte) error {
	var told struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
	}
	if json.Unmarshal(answer, &told) != nil || told.Kind != "Status" || told.Message == "" {
		told.Message = http.StatusText(status)
	}
	return &kubernetesError{status: status, message: told.Message}
}
