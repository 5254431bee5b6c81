package objects

import (
	"slices"
	"unicode/utf16"
)

// operation is an edit as a client wrote it: one splice of the document's text
// at a version.
//
//	{"type":"insert","position":n,"content":"…","version":n}
//	{"type":"delete","position":n,"length":n,"version":n}
//	{"type":"replace","position":n,"length":n,"content":"…","version":n}
type operation struct {
	given   object // with whatever else the client wrote
	version int
	splice  Splice
}

// parseOperation checks what can be checked without the document.
func parseOperation(in object) (operation, error) {
	op := operation{given: in}
	kind, _ := in.text("type")
	deletes, inserts := kind == "delete" || kind == "replace", kind == "insert" || kind == "replace"
	var ok [4]bool
	op.version, ok[0] = in.integer("version")
	op.splice.At, ok[1] = in.integer("position")
	ok[2], ok[3] = deletes || inserts, true
	if deletes {
		op.splice.Delete, ok[2] = in.integer("length")
	}
	if inserts {
		var content string
		content, ok[3] = in.text("content")
		op.splice.Insert = utf16.Encode([]rune(content))
	}
	if slices.Contains(ok[:], false) || op.version < 0 || op.splice.At < 0 || op.splice.Delete < 0 {
		return operation{}, errInvalid
	}
	return op, nil
}

// part is a splice in JSON.
type part struct {
	Position int    `json:"position"`
	Length   int    `json:"length"`
	Content  string `json:"content"`
}

func partsOf(e Edit) []part {
	parts := make([]part, len(e))
	for i, s := range e {
		parts[i] = part{s.At, s.Delete, string(utf16.Decode(s.Insert))}
	}
	return parts
}

func editOf(parts []part) Edit {
	e := make(Edit, len(parts))
	for i, p := range parts {
		e[i] = Splice{p.Position, p.Length, utf16.Encode([]rune(p.Content))}
	}
	return e
}

// as gives the operation with the edit that it has become, for the text to which
// that is about to be applied.
//
// An edit of several splices is a delete or replace around text that others have
// inserted meanwhile. It is given as the replacement of the whole range, which
// is right for a client that only applies it, with the splices as "parts" for
// one that transforms edits of its own against it.
func (op operation) as(e Edit, text []uint16) object {
	out := slices.Clone(op.given)
	if len(e) == 1 {
		if e[0].At != op.splice.At {
			out.set("position", encode(e[0].At))
		}
		if e[0].Delete != op.splice.Delete {
			out.set("length", encode(e[0].Delete))
		}
		return out
	}
	start := e[0].At
	end := e[len(e)-1].At + e[len(e)-1].Delete
	inside := slices.Clone(e)
	for i := range inside {
		inside[i].At -= start
	}
	content := inside.Apply(slices.Clone(text[start:end]))
	out.set("type", encode("replace"))
	out.set("position", encode(start))
	out.set("length", encode(end-start))
	out.set("content", encode(string(utf16.Decode(content))))
	out.set("parts", encode(partsOf(e)))
	return out
}
