package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// image is what an archive is made of.
type image struct {
	name    string // and tag
	version string
	arch    string
	binary  []byte
	created time.Time
}

// Media types of the OCI image specification. Layers are not compressed: a digest
// then depends on no version of a compressor.
const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
)

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type config struct {
	platform

	Created time.Time `json:"created"`
	Config  settings  `json:"config"`
	RootFS  rootFS    `json:"rootfs"`
	History []history `json:"history"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// dockerManifest is an element of manifest.json, by which docker finds its way.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// makeArchive gives the archive, which is an OCI image layout and a docker archive
// at once, and the digest of the manifest.
func makeArchive(i image) (archive []byte, digest string, err error) {
	layers, err := i.layers()
	if err != nil {
		return nil, "", err
	}
	var files []file
	blob := func(mediaType string, content []byte) descriptor {
		sum := sha256.Sum256(content)
		d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(content)}
		files = append(files, file{path: d.path(), mode: 0o644, content: content})
		return d
	}
	document := func(v any) []byte {
		var text []byte
		if err == nil {
			text, err = json.Marshal(v) // keys of maps are sorted
		}
		return text
	}
	here := platform{Architecture: i.arch, OS: "linux"}
	c := config{platform: here, Created: i.created, Config: i.settings(), RootFS: rootFS{Type: "layers"}}
	m := manifest{SchemaVersion: 2, MediaType: mediaManifest}
	d := dockerManifest{RepoTags: []string{i.name}}
	for _, l := range layers {
		at := blob(mediaLayer, l.content)
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, at.Digest)
		c.History = append(c.History, history{Created: i.created, CreatedBy: l.what})
		m.Layers = append(m.Layers, at)
		d.Layers = append(d.Layers, at.path())
	}
	m.Config = blob(mediaConfig, document(c))
	d.Config = m.Config.path()
	at := blob(mediaManifest, document(m))
	at.Platform = &here
	// containerd names the image by the first of these, skopeo by the second.
	at.Annotations = map[string]string{"io.containerd.image.name": i.name, "org.opencontainers.image.ref.name": i.name}
	files = append(
		files,
		file{path: "index.json", mode: 0o644, content: document(index{SchemaVersion: 2, MediaType: mediaIndex, Manifests: []descriptor{at}})},
		file{path: "manifest.json", mode: 0o644, content: document([]dockerManifest{d})},
		file{path: "oci-layout", mode: 0o644, content: []byte(`{"imageLayoutVersion":"1.0.0"}`)},
	)
	if err != nil {
		return nil, "", fmt.Errorf("describe the image: %w", err)
	}
	archive, err = pack(files, i.created)
	return archive, at.Digest, err
}

// path is where the blob is in the archive.
func (d descriptor) path() string {
	return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:")
}

// layer is a part of the image's file system.
type layer struct {
	what    string
	content []byte
}

// layers gives the files of the image, what changes least first.
func (i image) layers() ([]layer, error) {
	data, err := pack([]file{{path: dataPath[1:] + "/", mode: 0o755, owner: nonroot}}, i.created)
	if err != nil {
		return nil, err
	}
	program, err := pack([]file{{path: binaryPath[1:], mode: 0o755, content: i.binary}}, i.created)
	if err != nil {
		return nil, err
	}
	return []layer{{"directory " + dataPath, data}, {"program " + binaryPath, program}}, nil
}

// file is a file, or a directory if its path ends in a slash.
type file struct {
	path    string
	mode    int64
	owner   int // user and group
	content []byte
}

// pack makes a tar archive that depends on nothing but what it is given.
func pack(files []file, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.path, Size: int64(len(f.content)), Mode: f.mode,
			Uid: f.owner, Gid: f.owner, ModTime: at, Format: tar.FormatUSTAR,
		}
		if strings.HasSuffix(f.path, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.path, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
