package actor

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
	"unicode/utf8"
)

// MaxNameBytes bounds the name of an object.
const MaxNameBytes = 1024

// IDSecretBytes is the length of the secret from which IDs are derived.
const IDSecretBytes = 32

// Errors of names and IDs that a client gave.
var (
	ErrBadName = fmt.Errorf("actor: a name is 1 to %d bytes of valid UTF-8", MaxNameBytes)
	ErrBadID   = errors.New("actor: not the ID of an object of this class: want the 64 hex digits that this cluster gave")
)

// ID names one object of one class: 16 bytes that are derived from a name or
// random, then 16 bytes that prove class and cluster. It is comparable.
type ID [32]byte

// String gives 64 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IDSource makes and checks the IDs of one class in one cluster. IDs of another
// class, of another cluster and invented ones are refused, because the second
// half is a MAC of the first under a key that only the cluster has.
type IDSource struct {
	macs *sync.Pool // of hash.Hash under the class's key: a new one costs as much as four sums
}

// NewIDSource derives the class's key from the cluster's ID secret.
func NewIDSource(secret []byte, class string) IDSource {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("holdfast class\x00" + class))
	key := mac.Sum(nil)
	return IDSource{macs: &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Named gives the ID of the object with that name: the same for ever.
func (s IDSource) Named(name string) (ID, error) {
	if name == "" || len(name) > MaxNameBytes || !utf8.ValidString(name) {
		return ID{}, ErrBadName
	}
	return s.seal(s.sum("name\x00", []byte(name))), nil
}

// Unique gives an ID that never comes again.
func (s IDSource) Unique() ID {
	var first [16]byte
	rand.Read(first[:])
	return s.seal(first)
}

// Parse checks the text form of an ID.
func (s IDSource) Parse(text string) (ID, error) {
	var id ID
	if len(text) != hex.EncodedLen(len(id)) {
		return ID{}, ErrBadID
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return ID{}, ErrBadID
	}
	if want := s.seal([16]byte(id[:16])); !hmac.Equal(want[:], id[:]) {
		return ID{}, ErrBadID
	}
	return id, nil
}

func (s IDSource) seal(first [16]byte) ID {
	var id ID
	copy(id[:16], first[:])
	second := s.sum("check\x00", first[:])
	copy(id[16:], second[:])
	return id
}

func (s IDSource) sum(purpose string, data []byte) [16]byte {
	mac := s.macs.Get().(hash.Hash) //nolint:errcheck,forcetypeassert // the pool makes nothing else
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(purpose))
	mac.Write(data)
	var buf [sha256.Size]byte
	return [16]byte(mac.Sum(buf[:0])[:16])
}
