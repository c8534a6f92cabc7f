package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// drainedOneByOne is a data folder in which the readings 1 to 3 of 5 were
// drained, one after the other.
func drainedOneByOne(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	for n := 1; n <= 5; n++ {
		appendAll(t, s, outcome(n))
	}
	for range 3 {
		b, err := s.Next(t.Context(), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		done(t, s, b)
	}
	closeSpool(t, s)
	return dir
}

// The slots of a cursor that was made and moved three times.
const older, newer = 1, 0

// spoilSlot makes a slot of the cursor unreadable.
func spoilSlot(t *testing.T, dir string, slot int) {
	t.Helper()
	file := filepath.Join(dir, "spool", "cursor")
	data := readFile(t, file)
	data[slot*slotBytes+9] ^= 0xFF
	writeFile(t, file, data)
}

func TestCursorNewerSlotSpoiled(t *testing.T) {
	dir := drainedOneByOne(t)
	spoilSlot(t, dir, newer)
	log := new(spoolLog)
	s := opened(t, options(dir), log)
	wantPending(t, s, []int{3, 4, 5}) // 3 is sent again, and stored once
	wantLedger(t, s, ingest.Ledger{Received: 5, Stored: 2, Pending: 3, DeadLettered: map[water.Reason]uint64{}})
	if log.String() != "" {
		t.Errorf("logged: %s", log)
	}
}

func TestCursorOlderSlotSpoiled(t *testing.T) {
	dir := drainedOneByOne(t)
	spoilSlot(t, dir, older)
	s := opened(t, options(dir), new(spoolLog))
	done(t, s, wantPending(t, s, []int{4, 5}))
	closeSpool(t, s)
	s = opened(t, options(dir), new(spoolLog))
	wantPending(t, s, nil)
	wantLedger(t, s, ingest.Ledger{Received: 5, Stored: 5, DeadLettered: map[water.Reason]uint64{}})
}

func TestCursorLost(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, dir string){
		"both slots spoiled": func(t *testing.T, dir string) { spoilSlot(t, dir, older); spoilSlot(t, dir, newer) },
		"file removed":       func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "spool", "cursor")) },
		"file cut short": func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "spool", "cursor"), 10); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := drainedOneByOne(t)
			lose(t, dir)
			log := new(spoolLog)
			s := opened(t, options(dir), log)
			b := wantPending(t, s, []int{1, 2, 3, 4, 5})
			wantLedger(t, s, ingest.Ledger{Received: 5, Pending: 5, DeadLettered: map[water.Reason]uint64{}})
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "spool cursor lost") {
				t.Errorf("logged %q, want one line that says so", got)
			}
			done(t, s, b)
			closeSpool(t, s)
			s = opened(t, options(dir), new(spoolLog))
			wantPending(t, s, nil)
		})
	}
}

func TestCursorLostAfterSegmentsWereRemoved(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	s.records.rollAt = 1
	for n := 1; n <= 5; n++ {
		appendAll(t, s, outcome(n))
	}
	b, err := s.Next(t.Context(), 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	done(t, s, b, refusals(t, b, 2)...)
	closeSpool(t, s)
	remove(t, filepath.Join(dir, "spool", "cursor"))

	log := new(spoolLog)
	s = opened(t, options(dir), log)
	wantPending(t, s, []int{4, 5})
	wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: map[water.Reason]uint64{water.Refused: 1}})
	if got := log.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("logged %q, want one line about the cursor", got)
	}
}

// A new log in an old data folder: what was appended must not stand before the
// cursor, where nobody looks.
func TestSegmentsRemovedByHand(t *testing.T) {
	for name, o := range map[string]func(dir string) Options{
		"without latest values": options,
		"with latest values older than the cursor": func(dir string) Options {
			o := options(dir)
			o.Restore = func(Record) {}
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := drainedOneByOne(t)
			s := opened(t, options(dir), new(spoolLog))
			done(t, s, wantPending(t, s, []int{4, 5}))
			closeSpool(t, s)
			for _, file := range segmentFiles(t, dir, "spool") {
				remove(t, file)
			}
			s = opened(t, o(dir), new(spoolLog))
			appendAll(t, s, outcome(6))
			wantPending(t, s, []int{6})
			wantLedger(t, s, ingest.Ledger{Received: 6, Stored: 5, Pending: 1, DeadLettered: map[water.Reason]uint64{}})
			closeSpool(t, s)
			s = opened(t, o(dir), new(spoolLog))
			wantPending(t, s, []int{6})
		})
	}
}

func TestPendingSegmentRemovedByHandIsTold(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	s.records.rollAt = 1
	for n := 1; n <= 3; n++ {
		appendAll(t, s, outcome(n))
	}
	closeSpool(t, s)
	remove(t, segmentFiles(t, dir, "spool")[1])
	log := new(spoolLog)
	s = opened(t, options(dir), log)
	wantPending(t, s, []int{1, 3})
	wantLedger(t, s, ingest.Ledger{Received: 2, Pending: 2, DeadLettered: map[water.Reason]uint64{}})
	if got := log.String(); !strings.Contains(got, "spool lacks a piece") {
		t.Errorf("logged %q, want a line that says so", got)
	}
}

// The folder of the spool was removed: positions start anew, and those of dead
// letters from before mean nothing.
func TestSpoolFolderRemovedByHand(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	appendAll(t, s, outcome(1), outcome(2))
	b := pending(t, s)
	done(t, s, b, refusals(t, b, 2)...)
	closeSpool(t, s)
	if err := os.RemoveAll(filepath.Join(dir, "spool")); err != nil {
		t.Fatal(err)
	}
	s = opened(t, options(dir), new(spoolLog))
	appendAll(t, s, outcome(3), outcome(4))
	b = pending(t, s)
	done(t, s, b, refusals(t, b, 4)...)
	wantLedger(t, s, ingest.Ledger{Received: 3, Stored: 1, DeadLettered: map[water.Reason]uint64{water.Refused: 2}})
	if got := letters(t, dir); len(got) != 2 || string(got[1].Payload) != "4_qc=\n" {
		t.Errorf("dead letters %+v, want those of 2 and 4", got)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
