package objects

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"unicode/utf16"

	"github.com/holdfast-dev/holdfast/actor"
)

const (
	maxDocumentUnits = 512 << 10 // UTF-16 code units of the text; at most 1.5 MiB of UTF-8
	keptOperations   = 1000      // older ones are forgotten
	// The text is stored anew after so many operations, or so many code units
	// inserted by them. A start reads the text and what came after.
	operationsPerText = 100
	unitsPerText      = 256 << 10
)

var errTooOld = &refusal{http.StatusBadRequest, "Operation is too old, reload the document"}

// document is a text and the operations that made it.
//
// Storage: "operation/<version, 16 digits>" the edit that made that version;
// "text" the text of some version, in UTF-8, and "text/version" which one.
type document struct {
	storage *actor.Storage
	text    []uint16
	version int

	// What came after the stored text.
	operations int
	units      int
}

// record is an edit as it is stored. Length is that of the text before it.
type record struct {
	Length int    `json:"length"`
	Parts  []part `json:"parts"`
}

func loadDocument(ctx context.Context, storage *actor.Storage) (*document, error) {
	d := &document{storage: storage}
	text, _, err := storage.Get(ctx, "text")
	if err != nil {
		return nil, err
	}
	version, _, err := actor.Get[int](ctx, storage, "text/version")
	if err != nil {
		return nil, err
	}
	d.text, d.version = utf16.Encode([]rune(string(text))), version
	for r, err := range d.since(ctx, version) {
		if err != nil {
			return nil, err
		}
		d.change(editOf(r.Value.Parts))
	}
	return d, nil
}

// content gives the text.
func (d *document) content() string { return string(utf16.Decode(d.text)) }

func operationKey(version int) string { return fmt.Sprintf("operation/%016d", version) }

// since gives the edits that came after a version.
func (d *document) since(ctx context.Context, version int) iter.Seq2[actor.TypedEntry[record], error] {
	return scan[record](ctx, d.storage, actor.ListOptions{Prefix: "operation/", Start: operationKey(version + 1)})
}

// apply takes an operation that was made for some version, gives it the form
// that fits the text as it is, and makes the next version. It gives the operation
// in that form. A refusal changes nothing.
func (d *document) apply(ctx context.Context, op operation) (object, error) {
	e, err := d.rebase(ctx, op)
	if err != nil {
		return nil, err
	}
	if d.cutsPair(e) || len(d.text)+e.Growth() > maxDocumentUnits {
		return nil, errInvalid
	}
	err = actor.Put(ctx, d.storage, operationKey(d.version+1), record{len(d.text), partsOf(e)})
	if err != nil {
		return nil, asRefusal(err, errInvalid)
	}
	if d.version >= keptOperations {
		if _, err := d.storage.Delete(ctx, operationKey(d.version+1-keptOperations)); err != nil {
			return nil, err
		}
	}
	applied := op.as(e, d.text)
	d.change(e)
	return applied, d.store(ctx)
}

// rebase transforms an operation against all that came after its version.
func (d *document) rebase(ctx context.Context, op operation) (Edit, error) {
	switch {
	case op.version > d.version:
		return nil, errInvalid
	case op.version < d.version-keptOperations:
		return nil, errTooOld
	}
	e, length := Edit{op.splice}, -1 // length of the text for which op was made
	for past, err := range d.since(ctx, op.version) {
		if err != nil {
			return nil, err
		}
		if length < 0 {
			length = past.Value.Length
			if op.splice.At+op.splice.Delete > length {
				return nil, errInvalid
			}
		}
		_, e = Transform(editOf(past.Value.Parts), e)
	}
	if length < 0 && op.splice.At+op.splice.Delete > len(d.text) {
		return nil, errInvalid
	}
	return e, nil
}

// cutsPair says whether an edit begins or ends inside a surrogate pair.
func (d *document) cutsPair(e Edit) bool {
	inside := func(at int) bool {
		return at > 0 && at < len(d.text) && utf16.DecodeRune(rune(d.text[at-1]), rune(d.text[at])) != '\uFFFD'
	}
	for _, s := range e {
		if inside(s.At) || inside(s.At+s.Delete) {
			return true
		}
	}
	return false
}

// change makes the next version in memory.
func (d *document) change(e Edit) {
	d.text = e.Apply(d.text)
	d.version++
	d.operations++
	for _, s := range e {
		d.units += len(s.Insert)
	}
}

// store stores the text if a start would have too much to read after the last one.
func (d *document) store(ctx context.Context) error {
	if d.operations < operationsPerText && d.units < unitsPerText {
		return nil
	}
	d.operations, d.units = 0, 0
	return errors.Join(
		d.storage.Put(ctx, "text", []byte(d.content())),
		actor.Put(ctx, d.storage, "text/version", d.version),
	)
}
