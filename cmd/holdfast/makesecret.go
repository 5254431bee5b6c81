package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-dev/holdfast/transport"
)

const (
	// makeSecretPatience bounds the tries while the API server is not reachable, as in
	// a cluster that is just coming up.
	makeSecretPatience = 2 * time.Minute
	makeSecretPause    = time.Second

	secretBytes = 32 // of randomness, for each of the two
)

// What a Secret for holdfast holds, by the names of the files that nodes read.
const (
	secretClusterKey = "cluster.key"
	secretAdminToken = "admin.token"
)

func newMakeSecretCommand(s surroundings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "make-secret",
		Short: "Make the Kubernetes Secret with cluster key and admin token, once",
		Long: `Make a Kubernetes Secret with two random values: cluster.key, by which nodes trust each
other (--cluster-key-file), and admin.token, which operators give (--admin-token-file).

It runs in a pod, once before the first node starts, and uses the pod's service account,
which must be allowed to create secrets and to get this one. A Secret of that name that
is there already is left as it is, and is a success if it holds both. While the API
server cannot be reached it tries for two minutes. The values are shown to nobody.`,
		Example: `  holdfast make-secret --name holdfast
  kubectl get secret holdfast -o jsonpath='{.data.admin\.token}' | base64 -d`,
		Args: noArgs,
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	name := flags.String("name", "", "of the Secret")
	namespace := flags.String("namespace", "", "of the Secret; default: the pod's")
	directory := flags.String("service-account", serviceAccountDir, "directory with token, ca.crt and namespace of the service account")
	output := addOutputFlag(flags)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *name == "" {
			return &usageError{errors.New("--name is empty: want the name of the Secret")}
		}
		if err := output.validate(); err != nil {
			return &usageError{err}
		}
		api, err := openKubernetes(*directory, s.lookupEnv)
		if err != nil {
			return err
		}
		m := secretMaker{api: api, name: *name, namespace: *namespace}
		if m.namespace == "" {
			m.namespace = api.namespace
		}
		made, err := m.run(cmd.Context())
		if err != nil {
			return fmt.Errorf("make secret %s/%s: %w", m.namespace, m.name, err)
		}
		if output.json() {
			return writeJSON(s.stdout, madeSecret{Namespace: m.namespace, Name: m.name, Made: made})
		}
		text := "is there already; nothing was changed"
		if made {
			text = "is made"
		}
		_, err = fmt.Fprintf(s.stdout, "Secret %s in namespace %s %s.\n", m.name, m.namespace, text)
		return err
	}
	return cmd
}

// madeSecret is what make-secret has come to. Its JSON form is stable.
type madeSecret struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Made      bool   `json:"made"` // false: it was there
}

type secretMaker struct {
	api             *kubernetes
	name, namespace string
}

// run makes the Secret, or finds one that will do. It tries again where that may
// help: a create whose answer was lost finds its own Secret then.
func (m secretMaker) run(ctx context.Context) (made bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, makeSecretPatience)
	defer cancel()
	secret := newSecret(m.namespace, m.name)
	for {
		made, err := m.try(ctx, secret)
		if err == nil || !passingKubernetes(err) {
			return made, err
		}
		timer := time.NewTimer(makeSecretPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, fmt.Errorf("no success in time; the last try: %w", err)
		}
	}
}

func (m secretMaker) try(ctx context.Context, secret kubernetesSecret) (made bool, err error) {
	err = m.api.createSecret(ctx, secret)
	if refusal, ok := errors.AsType[*kubernetesError](err); ok && refusal.status == http.StatusConflict {
		return false, m.inspect(ctx)
	}
	return err == nil, err
}

// lackError refuses a Secret that is there and will not do.
type lackError struct{ lacks string }

func (e *lackError) Error() string {
	return "one of that name is there, but does not have " + e.lacks + "; nothing was changed. Add it, or choose another name"
}

// inspect looks whether the Secret that is there has what nodes need. Who may not
// look is believed.
func (m secretMaker) inspect(ctx context.Context) error {
	secret, err := m.api.secret(ctx, m.namespace, m.name)
	if refusal, ok := errors.AsType[*kubernetesError](err); ok && refusal.status == http.StatusForbidden {
		return nil
	}
	if err != nil {
		return err
	}
	var lacks []string
	if len(secret.Data[secretClusterKey]) < transport.MinClusterKeyBytes {
		lacks = append(lacks, fmt.Sprintf("a %s of at least %d bytes", secretClusterKey, transport.MinClusterKeyBytes))
	}
	if _, err := transport.ParseAdminToken(secret.Data[secretAdminToken]); err != nil {
		lacks = append(lacks, fmt.Sprintf("an %s of at least %d printable characters", secretAdminToken, transport.MinAdminTokenBytes))
	}
	if len(lacks) > 0 {
		return &lackError{strings.Join(lacks, " and ")}
	}
	return nil
}

// newSecret makes one as the documentation's head -c 32 /dev/urandom | base64 does.
func newSecret(namespace, name string) kubernetesSecret {
	random := func() []byte {
		var b [secretBytes]byte
		rand.Read(b[:]) // never fails: it ends the process instead
		return slices.Concat(base64.StdEncoding.AppendEncode(nil, b[:]), []byte("\n"))
	}
	return kubernetesSecret{
		APIVersion: "v1", Kind: "Secret", Type: "Opaque",
		Metadata: kubernetesMetadata{Name: name, Namespace: namespace, Labels: map[string]string{"app.kubernetes.io/name": "holdfast"}},
		Data:     map[string][]byte{secretClusterKey: random(), secretAdminToken: random()},
	}
}
