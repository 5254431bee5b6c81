package actor

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
)

// keyedBatch uses every form of a change of a request key.
func keyedBatch() *Batch {
	mark := Fingerprint{0: 1, 31: 2}
	return &Batch{Object: ID{1}, Keyed: []KeyedChange{
		{Op: KeyedStarted, Key: "a", Expires: 1, Fingerprint: mark},
		{Op: KeyedAnswered, Key: "b", Expires: math.MaxInt64, Fingerprint: mark, Answer: []byte("yes")},
		{Op: KeyedExpired, Key: "c", Expires: -1},
	}}
}

// The bytes are in logs on disk.
func TestKeyedBatchFormatNeverChanges(t *testing.T) {
	mark := "01" + "000000000000000000000000000000000000000000000000000000000000" + "02"
	want := "0140" + "01" + "00000000000000000000000000000000000000000000000000000000000000" + "00" + "00" + "00" + "00" + "00" +
		"03" + "01" + "0161" + "02" + mark + "02" + "0162" + "feffffffffffffffff01" + mark + "03796573" + "03" + "0163" + "01"
	if got := hex.EncodeToString(keyedBatch().Append(nil)); got != want {
		t.Errorf("Append = %s\nwant     %s", got, want)
	}
}

// checkKeyed compares what is kept under the request keys of an object with the model.
func checkKeyed(s *Store, id ID, o *modelObject) error {
	want := KeyedTotals{}
	for _, key := range []string{"a", "a\x00", "b", "\xff"} {
		got, ok, err := s.Keyed(id, key)
		if err != nil {
			return err
		}
		record, there := o.keyed[key]
		if ok != there || !reflect.DeepEqual(got, record) {
			return fmt.Errorf("Keyed(%q) = %+v, %v, want %+v, %v", key, got, ok, record, there)
		}
		if there {
			want.Keys++
			want.Bytes += uint64(len(key) + len(appendKeyedRecord(nil, &record)))
		}
	}
	if got, err := s.KeyedTotals(id); err != nil || got != want {
		return fmt.Errorf("KeyedTotals = %+v, %w, want %+v", got, err, want)
	}
	return nil
}

// checkExpiries asks for each possible split of a shard's request keys into
// expired and not.
func checkExpiries(s *Store, m *storeModel, shard uint32) error {
	var all []ExpiredKey
	for id, o := range m.objects {
		if testShardOf(id) == shard {
			for _, key := range slices.Collect(maps.Keys(o.keyed)) {
				all = append(all, ExpiredKey{Object: id, Key: key, Expires: o.keyed[key].Expires})
			}
		}
	}
	slices.SortFunc(all, func(a, b ExpiredKey) int {
		return cmp.Or(cmp.Compare(a.Expires, b.Expires), bytes.Compare(a.Object[:], b.Object[:]), cmp.Compare(a.Key, b.Key))
	})
	for limit := range len(all) + 2 {
		for _, until := range []int64{-8, -7, 0, 1, 10, 11, 1 << 50} {
			expired, next, err := s.ExpiredKeys(shard, until, limit)
			if err != nil {
				return err
			}
			n := 0
			for n < len(all) && n < limit && all[n].Expires <= until {
				n++
			}
			wantNext := int64(0)
			if n < len(all) {
				wantNext = all[n].Expires
			}
			if !slices.Equal(expired, all[:n]) || next != wantNext {
				return fmt.Errorf("ExpiredKeys(%d, %d, %d) = %v, %d, want %v, %d", shard, until, limit, expired, next, all[:n], wantNext)
			}
		}
	}
	return nil
}

func FuzzParseRequestKey(f *testing.F) {
	for _, value := range []string{``, `""`, `abc`, `"abc"`, `"a\"b\\c"`, `"a`, `a"b`, `"a\n"`, `a b`, `"a b"`, `a,b`, "\"\x7f\"", `"a";p=1`} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text, ok := parseRequestKey(value)
		if !ok {
			return
		}
		if text == "" || len(text) > maxRequestKey {
			t.Errorf("parseRequestKey(%q) has %d bytes", value, len(text))
		}
		quoted := []byte{'"'}
		for _, c := range []byte(text) {
			if c == '"' || c == '\\' {
				quoted = append(quoted, '\\')
			}
			quoted = append(quoted, c)
		}
		if again, ok := parseRequestKey(string(append(quoted, '"'))); !ok || again != text {
			t.Errorf("parseRequestKey(%q) = %q, its quoted form gives %q, %v", value, text, again, ok)
		}
	})
}
