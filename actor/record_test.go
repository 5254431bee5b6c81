package actor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// recordForms gives, for each kind of record, one decoder that also encodes again.
func recordForms() map[string]func(data []byte) ([]byte, error) {
	return map[string]func(data []byte) ([]byte, error){
		"object": func(data []byte) ([]byte, error) {
			o, err := decodeObject(data)
			return appendObject(nil, &o), err
		},
		"alarm": func(data []byte) ([]byte, error) {
			a, err := decodeAlarm(data)
			return appendAlarm([]byte{recordVersion}, a), err
		},
		"socket": func(data []byte) ([]byte, error) {
			var s SocketRecord
			err := decodeSocket(&s, data)
			return appendSocket(nil, &s), err
		},
		"number": func(data []byte) ([]byte, error) {
			n, err := decodeNumber(data)
			return appendNumber(nil, n), err
		},
		"poison": func(data []byte) ([]byte, error) {
			p, err := decodePoison(data)
			return appendPoison([]byte{recordVersion}, &p), err
		},
		"position": func(data []byte) ([]byte, error) {
			index, header, err := decodePosition(data)
			return appendPosition(nil, index, header), err
		},
	}
}

// The bytes are in databases on disk: version 1 stays as it is for ever.
func recordSamples() map[string][]string {
	object := objectRecord{ObjectRecord: ObjectRecord{Class: "Counter", Name: "a", Frame: 300}, accepted: 3, open: 2}
	withAuto := objectRecord{ObjectRecord: ObjectRecord{Auto: &AutoReply{Request: "p", Reply: "q"}}}
	socket := SocketRecord{Sequence: 5, Tags: []string{"x", ""}, Protocol: "chat"}
	poison := PoisonRecord{Class: "Counter", Name: "a", Marked: 300, Since: 1, Strikes: 2, Struck: -1, Quarantines: 1, Until: 2}
	return map[string][]string{
		"poison":   {string(appendPoison([]byte{recordVersion}, &poison)), "\x01\x07Counter\x01a\xac\x02\x02\x02\x01\x01\x04"},
		"object":   {string(appendObject(nil, &object)), "\x01\x07Counter\x01a\xac\x02\x03\x02\x00", string(appendObject(nil, &withAuto)), "\x01\x00\x00\x00\x00\x00\x01\x01p\x01q"},
		"alarm":    {string(appendAlarm([]byte{recordVersion}, AlarmRecord{Due: 2, Scheduled: -1, Retries: 6})), "\x01\x04\x01\x06"},
		"socket":   {string(appendSocket(nil, &socket)), "\x01\x05\x04chat\x02\x01x\x00"},
		"number":   {string(appendNumber(nil, 300)), "\x01\xac\x02"},
		"position": {string(appendPosition(nil, 300, []byte("h"))), "\x01\xac\x02\x02h", string(appendPosition(nil, 1, nil)), "\x01\x01\x00"},
	}
}

func TestRecordFormatsNeverChange(t *testing.T) {
	forms := recordForms()
	for kind, samples := range recordSamples() {
		for i := 0; i < len(samples); i += 2 {
			got, want := samples[i], samples[i+1]
			if got != want {
				t.Errorf("%s record = %q, want %q", kind, got, want)
			}
			again, err := forms[kind]([]byte(want))
			if err != nil || string(again) != want {
				t.Errorf("%s record %q comes back as %q, %v", kind, want, again, err)
			}
		}
	}
}

func TestRecordsRefuseWhatIsNotTheirs(t *testing.T) {
	forms := recordForms()
	for kind, samples := range recordSamples() {
		good := samples[1]
		bad := []string{"", "\x00" + good[1:], "\x02" + good[1:], good + "\x00"}
		for n := range good {
			bad = append(bad, good[:n])
		}
		for _, data := range bad {
			if got, err := forms[kind]([]byte(data)); !errors.Is(err, ErrCorruptState) {
				t.Errorf("%s record %q is read as %q, %v, want ErrCorruptState", kind, data, got, err)
			}
		}
	}
}

func FuzzDecodeRecords(f *testing.F) {
	for _, samples := range recordSamples() {
		for _, s := range samples {
			f.Add([]byte(s))
		}
	}
	forms := recordForms()
	f.Fuzz(func(t *testing.T, data []byte) {
		for kind, form := range forms {
			again, err := form(data)
			if err != nil && !errors.Is(err, ErrCorruptState) {
				t.Errorf("%s: %v, want ErrCorruptState", kind, err)
			}
			if err == nil && !bytes.Equal(again, data) {
				t.Errorf("%s: two encodings, %x and %x", kind, data, again)
			}
		}
	})
}

func TestKeysOfTheStateDatabaseNeverChange(t *testing.T) {
	id, socket := ID{0: 0xaa, 31: 0xbb}, SocketID{0: 0xcc, 15: 0xdd}
	const idHex, socketHex = "aa000000000000000000000000000000000000000000000000000000000000bb", "cc0000000000000000000000000000dd"
	for want, got := range map[string][]byte{
		"010070":                              appendKindKey(nil, 256, kindPosition),
		"00026f" + idHex:                      appendObjectKey(nil, 2, kindObject, id),
		"00026b" + idHex + "61":               append(appendObjectKey(nil, 2, kindKey, id), 'a'),
		"000261" + idHex:                      appendObjectKey(nil, 2, kindAlarm, id),
		"000278" + idHex:                      appendObjectKey(nil, 2, kindPoison, id),
		"000264" + "8000000000000001" + idHex: appendDueKey(nil, 2, 1, id),
		"000264" + "7fffffffffffffff" + idHex: appendDueKey(nil, 2, -1, id),
		"000273" + idHex + socketHex + "02":   appendSocketKey(nil, 2, id, socket, partAttachment),
	} {
		if hex.EncodeToString(got) != want {
			t.Errorf("key = %x, want %s", got, want)
		}
	}
	due, object, ok := splitDueKey(appendDueKey(nil, 2, -1, id))
	if due != -1 || object != id || !ok {
		t.Errorf("splitDueKey = %d, %v, %v, want -1, %v", due, object, ok, id)
	}
	if _, _, ok := splitDueKey(appendObjectKey(nil, 2, kindDue, id)); ok {
		t.Error("splitDueKey of a key that is too short: ok")
	}
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\xff\xfe": "a\xff\xff", "\xff": ""} {
		if got := keyAfter([]byte(prefix)); string(got) != want {
			t.Errorf("keyAfter(%q) = %q, want %q", prefix, got, want)
		}
	}
}
