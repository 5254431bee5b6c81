package actor

import "encoding/binary"

// appendPoison has no version byte: it is part of the batch too. The zero record
// has a form there, which removes what is stored.
func appendPoison(dst []byte, p *PoisonRecord) []byte {
	dst = appendText(dst, bounded(p.Class))
	dst = appendText(dst, bounded(p.Name))
	dst = binary.AppendUvarint(dst, p.Marked)
	dst = binary.AppendVarint(dst, p.Since)
	dst = append(dst, p.Strikes)
	dst = binary.AppendVarint(dst, p.Struck)
	dst = append(dst, p.Quarantines)
	return binary.AppendVarint(dst, p.Until)
}

func readPoison(r *fieldReader) PoisonRecord {
	return PoisonRecord{
		Class: r.text(maxTextBytes), Name: r.text(maxTextBytes),
		Marked: r.uvarint(), Since: r.varint(),
		Strikes: r.byte(), Struck: r.varint(),
		Quarantines: r.byte(), Until: r.varint(),
	}
}

func decodePoison(data []byte) (PoisonRecord, error) {
	r := newRecordReader(data)
	p := readPoison(&r)
	return p, finishRecord(&r, "poison", data)
}
