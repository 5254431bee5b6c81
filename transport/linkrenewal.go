package transport

import (
	"log/slog"
	"time"
)

// linkLook is how often the files of a key are looked at.
const linkLook = 10 * time.Second

// linkRenewal takes over what is new in the files of a key.
//
// It reads them, since neither times nor inodes tell of every way in which files are
// replaced: renamed over, written in place, or behind a link that turns, as with
// volumes of Kubernetes. What is new counts only when two looks have seen the same:
// the first one may have come while they were being written, or between two of them.
type linkRenewal struct {
	// Fixed after newLinkRenewal.
	key *LinkKey
	log *slog.Logger

	// Owned by run.
	seen linkContent // by the look before
	told linkContent // of which the log says that it cannot be used
}

func newLinkRenewal(key *LinkKey, log *slog.Logger) *linkRenewal {
	return &linkRenewal{key: key, log: log}
}

func (r *linkRenewal) run(stop <-chan struct{}) {
	ticker := time.NewTicker(linkLook)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.look()
		case <-stop:
			return
		}
	}
}

func (r *linkRenewal) look() {
	content := r.key.files.read()
	settled := content == r.seen
	r.seen = content
	if content == r.key.current.Load().content {
		r.told = linkContent{}
		r.key.refused.Store(false)
		return
	}
	if !settled {
		return
	}
	// What was refused is tried again: it may become valid later.
	credentials, err := content.credentials(r.key.files.Host)
	if err != nil {
		r.refuse(content, err)
		return
	}
	r.key.current.Store(credentials)
	r.told = linkContent{}
	r.key.refused.Store(false)
	r.log.Info("the internal certificate is renewed", "file", r.key.files.Certificate, "expires", credentials.expires)
}

// refuse keeps what is in use, and says so once for each content of the files.
func (r *linkRenewal) refuse(content linkContent, err error) {
	r.key.refused.Store(true)
	if content == r.told {
		return
	}
	r.told = content
	r.log.Error("what is new in the files of the internal certificate cannot be used; the old one is kept",
		"error", err, "file", r.key.files.Certificate, "expires", r.key.Expires())
}
