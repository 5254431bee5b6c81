package actor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
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
		"request key": func(data []byte) ([]byte, error) {
			k, err := decodeKeyedRecord(data)
			return appendKeyedRecord(nil, &k), err
		},
		"request key totals": func(data []byte) ([]byte, error) {
			t, err := decodeKeyedTotals(data)
			return appendKeyedTotals(nil, t), err
		},
		"kept answer": func(data []byte) ([]byte, error) {
			a, err := decodeKeyedAnswer(data)
			if err != nil {
				return nil, err
			}
			return a.append(nil), nil
		},
	}
}

// The bytes are in databases on disk: version 1 stays as it is for ever.
func recordSamples() map[string][]string {
	object := objectRecord{ObjectRecord: ObjectRecord{Class: "Counter", Name: "a", Frame: 300}, accepted: 3, open: 2}
	withAuto := objectRecord{ObjectRecord: ObjectRecord{Auto: &AutoReply{Request: "p", Reply: "q"}}}
	socket := SocketRecord{Sequence: 5, Tags: []string{"x", ""}, Protocol: "chat"}
	poison := PoisonRecord{Class: "Counter", Name: "a", Marked: 300, Since: 1, Strikes: 2, Struck: -1, Quarantines: 1, Until: 2}
	started := KeyedRecord{Expires: -1, Fingerprint: Fingerprint([]byte("0123456789abcdefghijklmnopqrstuv"))}
	answered := KeyedRecord{Expires: 300, Fingerprint: started.Fingerprint, Answer: []byte("a")}
	answer := keyedAnswer{status: 201, header: http.Header{"B": {"2", ""}, "A": nil}, body: []byte("body")}
	return map[string][]string{
		"request key": {
			string(appendKeyedRecord(nil, &started)), "\x01\x010123456789abcdefghijklmnopqrstuv\x00",
			string(appendKeyedRecord(nil, &answered)), "\x01\xd8\x040123456789abcdefghijklmnopqrstuv\x02a",
		},
		"request key totals": {string(appendKeyedTotals(nil, KeyedTotals{Keys: 2, Bytes: 300})), "\x01\x02\xac\x02"},
		"kept answer":        {string(answer.append(nil)), "\x01\xc9\x01\x02\x01A\x00\x01B\x02\x012\x00body"},
		"poison":             {string(appendPoison([]byte{recordVersion}, &poison)), "\x01\x07Counter\x01a\xac\x02\x02\x02\x01\x01\x04"},
		"object":             {string(appendObject(nil, &object)), "\x01\x07Counter\x01a\xac\x02\x03\x02\x00", string(appendObject(nil, &withAuto)), "\x01\x00\x00\x00\x00\x00\x01\x01p\x01q"},
		"alarm":              {string(appendAlarm([]byte{recordVersion}, AlarmRecord{Due: 2, Scheduled: -1, Retries: 6})), "\x01\x04\x01\x06"},
		"socket":             {string(appendSocket(nil, &socket)), "\x01\x05\x04chat\x02\x01x\x00"},
		"number":             {string(appendNumber(nil, 300)), "\x01\xac\x02"},
		"position":           {string(appendPosition(nil, 300, []byte("h"))), "\x01\xac\x02\x02h", string(appendPosition(nil, 1, nil)), "\x01\x01\x00"},
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
		if kind == "kept answer" { // what comes last has no length
			bad, good = bad[:3], strings.TrimSuffix(good, "body")
		}
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
		"010070":                                     appendKindKey(nil, 256, kindPosition),
		"00026f" + idHex:                             appendObjectKey(nil, 2, kindObject, id),
		"00026b" + idHex + "61":                      append(appendObjectKey(nil, 2, kindKey, id), 'a'),
		"000261" + idHex:                             appendObjectKey(nil, 2, kindAlarm, id),
		"000278" + idHex:                             appendObjectKey(nil, 2, kindPoison, id),
		"000264" + "8000000000000001" + idHex:        appendDueKey(nil, 2, 1, id),
		"000264" + "7fffffffffffffff" + idHex:        appendDueKey(nil, 2, -1, id),
		"000269" + idHex:                             appendObjectKey(nil, 2, kindKeyed, id),
		"000265" + "8000000000000001" + idHex + "61": appendExpiryKey(nil, 2, 1, id, "a"),
		"000273" + idHex + socketHex + "02":          appendSocketKey(nil, 2, id, socket, partAttachment),
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
	expired := ExpiredKey{Object: id, Key: "a", Expires: -1}
	if got, ok := splitExpiryKey(appendExpiryKey(nil, 2, -1, id, "a")); got != expired || !ok {
		t.Errorf("splitExpiryKey = %+v, %v, want %+v", got, ok, expired)
	}
	if _, ok := splitExpiryKey(appendExpiryKey(nil, 2, -1, id, "")); ok {
		t.Error("splitExpiryKey of a key without a request key: ok")
	}
	for prefix, want := range map[string]string{"a": "b", "a\xff": "b", "a\xff\xfe": "a\xff\xff", "\xff": ""} {
		if got := keyAfter([]byte(prefix)); string(got) != want {
			t.Errorf("keyAfter(%q) = %q, want %q", prefix, got, want)
		}
	}
}
