package spool

import (
	"bytes"
	"os"
	"testing"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// FuzzRecords looks for records in any bytes, and for one that is known to be
// there behind them.
func FuzzRecords(f *testing.F) {
	r := record{received: received, readings: 1, topic: "tofu/ipal-01/readings"}
	known := appendRecord(nil, func(dst []byte) []byte { return append(r.appendTo(dst), "1_qc=\n"...) })
	f.Add([]byte{})
	f.Add(magicBytes)
	f.Add(known)
	f.Add(known[:len(known)-1])
	f.Add(append(bytes.Clone(magicBytes), "\xFF\xFF\xFF\xFF\x00\x00\x00\x00body"...))
	f.Add(append(bytes.Clone(magicBytes), "\x00\x00\x00\x00\x00\x00\x00\x00"...))
	for _, body := range []string{"\x00", "\x01", "\x01\x80", "\x01\x01\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", "\x01\x01\x01\x05topic", "\x02"} {
		f.Add(appendRecord(nil, func(dst []byte) []byte { return append(dst, body...) }))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		log := append(bytes.Clone(data), known...)
		at, found := 0, false
		for at < len(log) {
			rec := wholeRecord(log[at:])
			if rec == nil {
				next := nextRecord(log, at+1)
				if next <= at || next > len(log) {
					t.Fatalf("next record after %d of %d bytes is at %d", at, len(log), next)
				}
				at = next
				continue
			}
			found = found || at == len(data)
			if body := rec[headerBytes:]; body[0] != hole {
				if got, ok := parseRecord(body); ok && len(got.lines)+len(got.topic) > len(body) {
					t.Fatalf("record of %d bytes yields topic %q and lines %q", len(body), got.topic, got.lines)
				}
			}
			at += len(rec)
		}
		// A record in data may hold the known one, which is then no record.
		if !found && wholeRecord(data) == nil && bytes.Count(data, magicBytes) == 0 {
			t.Error("the record behind the bytes was not found")
		}
	})
}

// Whatever stands in the file, the letters that can be listed are those that the
// spool finds when it is opened.
func FuzzDeadLetters(f *testing.F) {
	whole, err := appendEntry(nil, entry{Letter: &ingest.DeadLetter{ID: 1, Reason: water.Malformed, Payload: []byte("x"), Readings: 1}})
	if err != nil {
		f.Fatal(err)
	}
	marked, err := appendEntry(bytes.Clone(whole), entry{Replayed: &Replayed{IDs: []uint64{1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(marked)
	f.Add(append(bytes.Clone(whole[:len(whole)-3]), marked...))
	f.Add(appendRecord(nil, func(b []byte) []byte { return append(b, `{"letter":{"id":-1}}`...) }))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.MkdirAll(deadLetterFolder(dir), 0o750); err != nil {
			t.Fatal(err)
		}
		file := (&segments{dir: deadLetterFolder(dir)}).path(0)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		listed, err := ReadDeadLetters(dir)
		if err != nil {
			t.Fatal(err)
		}
		var opened int
		d, err := openDeadLetters(dir, func(entry) { opened++ }, func(Damage) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if opened != len(listed) {
			t.Errorf("got %d letters when opened, and %d listed", opened, len(listed))
		}
		if err := d.log.close(); err != nil {
			t.Fatal(err)
		}
	})
}
