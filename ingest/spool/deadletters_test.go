package spool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

func TestRefusedPointBecomesADeadLetter(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	later := outcome(3, 4)
	later.Topic, later.Received = "tofu/ipal-02/readings", received.Add(time.Hour)
	appendAll(t, s, outcome(1, 2), later)
	b := pending(t, s)
	done(t, s, b, refusals(t, b, 2, 3)...)
	want := []StoredLetter{
		{DeadLetter: ingest.DeadLetter{
			ID: 1, Received: received, Topic: "tofu/ipal-01/readings", Payload: []byte("2_qc=\n"),
			Reason: water.Refused, Detail: "InfluxDB says: no", Readings: 1,
		}},
		{DeadLetter: ingest.DeadLetter{
			ID: 2, Received: received.Add(time.Hour), Topic: "tofu/ipal-02/readings", Payload: []byte("3_qc=\n"),
			Reason: water.Refused, Detail: "InfluxDB says: no", Readings: 1,
		}},
	}
	if diff := cmp.Diff(letters(t, dir), want); diff != "" {
		t.Errorf("dead letters (-got +want):\n%s", diff)
	}
	ledger := ingest.Ledger{Received: 4, Stored: 2, DeadLettered: map[water.Reason]uint64{water.Refused: 2}}
	wantLedger(t, s, ledger)
	closeSpool(t, s)
	s = opened(t, options(dir), new(spoolLog))
	wantLedger(t, s, ledger)
}

// The crash between the dead letter and the move of the cursor: InfluxDB is
// asked anew, and may say something else.
func TestRefusedAgainInTheNextLife(t *testing.T) {
	for name, test := range map[string]struct {
		refused []int // the second time; 3 was the first time
		want    ingest.Ledger
		letters []string
	}{
		"the same": {
			[]int{3},
			ingest.Ledger{Received: 5, Stored: 4, DeadLettered: map[water.Reason]uint64{water.Refused: 1}},
			[]string{"3_qc=\n"},
		},
		"one before it too": {
			[]int{2, 3},
			ingest.Ledger{Received: 5, Stored: 3, DeadLettered: map[water.Reason]uint64{water.Refused: 2}},
			[]string{"3_qc=\n", "2_qc=\n"},
		},
		"another": { // 3 has both ends, and so counts twice
			[]int{4},
			ingest.Ledger{Received: 6, Stored: 4, DeadLettered: map[water.Reason]uint64{water.Refused: 2}},
			[]string{"3_qc=\n", "4_qc=\n"},
		},
		"none": {
			nil,
			ingest.Ledger{Received: 6, Stored: 5, DeadLettered: map[water.Reason]uint64{water.Refused: 1}},
			[]string{"3_qc=\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := opened(t, options(dir), new(spoolLog))
			appendAll(t, s, outcome(1, 2), outcome(3, 4), outcome(5))
			b := pending(t, s)
			if err := s.deadLetter(refusals(t, b, 3)); err != nil {
				t.Fatal(err)
			}
			between := ingest.Ledger{Received: 5, Pending: 4, DeadLettered: map[water.Reason]uint64{water.Refused: 1}}
			wantLedger(t, s, between)
			closeSpool(t, s) // the cursor has not moved

			s = opened(t, options(dir), new(spoolLog))
			wantLedger(t, s, between)
			b = wantPending(t, s, sequence(1, 5))
			done(t, s, b, refusals(t, b, test.refused...)...)
			wantLedger(t, s, test.want)
			closeSpool(t, s)
			s = opened(t, options(dir), new(spoolLog))
			wantLedger(t, s, test.want)
			var payloads []string
			for _, l := range letters(t, dir) {
				payloads = append(payloads, string(l.Payload))
			}
			if diff := cmp.Diff(payloads, test.letters); diff != "" {
				t.Errorf("dead letters (-got +want):\n%s", diff)
			}
		})
	}
}

// The disk fails under the cursor and comes back: Done is called again.
func TestDoneAgainAfterTheCursorFailed(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	appendAll(t, s, outcome(1, 2, 3))
	b := pending(t, s)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	good := s.cursor.file
	s.cursor.file = full
	refused := refusals(t, b, 2)
	for range 3 {
		if err := s.Done(b, refused); err == nil {
			t.Fatal("Done succeeds on a full disk")
		}
		wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: map[water.Reason]uint64{water.Refused: 1}})
	}
	s.cursor.file = good
	done(t, s, b, refused...)
	want := ingest.Ledger{Received: 3, Stored: 2, DeadLettered: map[water.Reason]uint64{water.Refused: 1}}
	wantLedger(t, s, want)
	closeSpool(t, s)
	s = opened(t, options(dir), new(spoolLog))
	wantLedger(t, s, want)
	if got := letters(t, dir); len(got) != 1 {
		t.Errorf("%d dead letters, want 1", len(got))
	}
}

// A drained segment that can't be removed is no reason to call Done again, which
// would count its readings twice.
func TestDoneThoughASegmentStays(t *testing.T) {
	dir := t.TempDir()
	log := new(spoolLog)
	s := opened(t, options(dir), log)
	s.records.rollAt = 1
	appendAll(t, s, outcome(1), outcome(2))
	b := pending(t, s)
	file := segmentFiles(t, dir, "spool")[0]
	remove(t, file)
	if err := os.MkdirAll(filepath.Join(file, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	done(t, s, b)
	wantLedger(t, s, ingest.Ledger{Received: 2, Stored: 2, DeadLettered: map[water.Reason]uint64{}})
	if log.String() == "" {
		t.Error("nothing logged")
	}
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, outcome(3))
	done(t, s, wantPending(t, s, []int{3}))
	if got := segmentFiles(t, dir, "spool"); len(got) != 1 {
		t.Errorf("segments %v, want the last one only", got)
	}
}

func TestReadDeadLettersOfNothing(t *testing.T) {
	for name, dir := range map[string]string{
		"no folder":    filepath.Join(t.TempDir(), "none"),
		"empty folder": t.TempDir(),
	} {
		if got, err := ReadDeadLetters(dir); len(got) != 0 || err != nil {
			t.Errorf("%s: %v, %v; want none and no error", name, got, err)
		}
	}
}

func TestReadDeadLettersBesideAWriter(t *testing.T) {
	const all = 200
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	s.letters.log.rollAt = 2000
	written := make(chan error, 1)
	go func() {
		var err error
		for n := 1; n <= all && err == nil; n++ {
			err = appendOne(s, useless(fmt.Sprint(n)))
		}
		written <- err
	}()
	for count := 0; count < all; {
		got := letters(t, dir)
		if len(got) < count {
			t.Fatalf("%d dead letters after there were %d", len(got), count)
		}
		count = len(got)
		for i, l := range got {
			if l.ID != uint64(i+1) || string(l.Payload) != fmt.Sprint(i+1) {
				t.Fatalf("dead letter %d of %d has ID %d and payload %q", i+1, count, l.ID, l.Payload)
			}
		}
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			written = nil
		default:
		}
	}
}

func TestMarkReplayed(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	appendAll(t, s, useless("one"), useless("two"), useless("three"))
	at := received.Add(time.Hour)
	if err := s.MarkReplayed([]uint64{1, 3}, at); err != nil {
		t.Fatal(err)
	}
	closeSpool(t, s)
	s = opened(t, options(dir), new(spoolLog))
	appendAll(t, s, useless("four"))
	var ids []uint64
	var replayed []time.Time
	for _, l := range letters(t, dir) {
		ids, replayed = append(ids, l.ID), append(replayed, l.Replayed)
	}
	if want := []uint64{1, 2, 3, 4}; !slices.Equal(ids, want) {
		t.Errorf("IDs %v, want %v", ids, want)
	}
	if diff := cmp.Diff(replayed, []time.Time{at, {}, at, {}}); diff != "" {
		t.Errorf("times of replay (-got +want):\n%s", diff)
	}
	wantLedger(t, s, ingest.Ledger{Received: 4, DeadLettered: map[water.Reason]uint64{water.Malformed: 4}})
}
