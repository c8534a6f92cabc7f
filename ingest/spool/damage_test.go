package spool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// A bench is a closed data folder whose only segment holds the readings 1 to n,
// each in a record of its own; it can be put back to that.
type bench struct {
	dir, file string
	whole     []byte
	starts    []int // of the records, and the end
}

func newBench(t *testing.T, n int) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir()}
	s := opened(t, options(b.dir), new(spoolLog))
	for i := 1; i <= n; i++ {
		appendAll(t, s, outcome(i))
	}
	closeSpool(t, s)
	b.file = segmentFiles(t, b.dir, "spool")[0]
	b.whole = readFile(t, b.file)
	for at := 0; at < len(b.whole); {
		b.starts = append(b.starts, at)
		at += len(wholeRecord(b.whole[at:]))
	}
	b.starts = append(b.starts, len(b.whole))
	return b
}

// reset puts segment in place of the bench's, and forgets all that was made of
// the earlier one.
func (b *bench) reset(t *testing.T, segment []byte) {
	t.Helper()
	for _, name := range []string{"deadletters", "damaged"} {
		if err := os.RemoveAll(filepath.Join(b.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, b.file, segment)
}

// flipped is the bench's segment with one byte turned over.
func (b *bench) flipped(at int) []byte {
	segment := bytes.Clone(b.whole)
	segment[at] ^= 0xFF
	return segment
}

// aside are the pieces that were set aside, by file name.
func aside(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	pieces := make(map[string][]byte)
	names, err := filepath.Glob(filepath.Join(dir, "damaged", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		pieces[filepath.Base(name)] = readFile(t, name)
	}
	return pieces
}

func TestTornTailIsCutOff(t *testing.T) {
	bench := newBench(t, 3)
	last := bench.starts[2]
	garbage := bytes.Repeat([]byte("\x00\xFFTfu"), 9)
	for cut := last; cut < len(bench.whole); cut++ {
		for name, torn := range map[string][]byte{
			"cut":                   bench.whole[:cut],
			"cut, garbage behind":   append(bytes.Clone(bench.whole[:cut]), garbage...),
			"cut, zeros to the end": append(bytes.Clone(bench.whole[:cut]), make([]byte, len(bench.whole)-cut)...),
		} {
			if bytes.Equal(torn, bench.whole) {
				continue // what was lost was zeros
			}
			t.Run(fmt.Sprintf("%s at %d", name, cut-last), func(t *testing.T) {
				bench.reset(t, torn)
				log := new(spoolLog)
				s := opened(t, options(bench.dir), log)
				wantPending(t, s, []int{1, 2})
				want := map[string][]byte{}
				if len(torn) > last {
					want[fmt.Sprintf("spool-%020d.bin", last)] = torn[last:]
				}
				if diff := cmp.Diff(aside(t, bench.dir), want); diff != "" {
					t.Errorf("set aside (-got +want):\n%s", diff)
				}
				if got := strings.Count(log.String(), "spool was cut short by a crash"); got != len(want) || strings.Count(log.String(), "\n") != got {
					t.Errorf("logged %q, want %d line that says so", log, len(want))
				}
				appendAll(t, s, outcome(4))
				wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 3, DeadLettered: map[water.Reason]uint64{}})
				closeSpool(t, s)

				again := new(spoolLog)
				s = opened(t, options(bench.dir), again)
				defer closeSpool(t, s)
				wantPending(t, s, []int{1, 2, 4})
				if again.String() != "" || len(letters(t, bench.dir)) != 0 {
					t.Errorf("opened again: logged %q, dead letters %+v; want neither", again, letters(t, bench.dir))
				}
			})
		}
	}
}

// wantDamage checks all that should be known of the only damaged piece in dir.
func wantDamage(t *testing.T, dir, file string, piece []byte, log *spoolLog) {
	t.Helper()
	if diff := cmp.Diff(aside(t, dir), map[string][]byte{file: piece}); diff != "" {
		t.Errorf("set aside (-got +want):\n%s", diff)
	}
	got := letters(t, dir)
	if len(got) != 1 {
		t.Fatalf("%d dead letters, want 1", len(got))
	}
	l := got[0]
	if l.Reason != water.Damaged || l.Readings != 1 || !bytes.Equal(l.Payload, piece) || !strings.Contains(l.Detail, file) || l.Received.IsZero() {
		t.Errorf("dead letter %+v, want one of the reason %s with 1 reading, the piece and the name %s", l, water.Damaged, file)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "spool damaged; the piece was set aside") {
		t.Errorf("logged %q, want one line about the damage", got)
	}
}

func TestDamagedMiddleCostsItselfOnly(t *testing.T) {
	bench := newBench(t, 3)
	damaged := map[water.Reason]uint64{water.Damaged: 1}
	from, to := bench.starts[1], bench.starts[2]
	file := fmt.Sprintf("spool-%020d.bin", from)
	for at := from; at < to; at++ {
		segment := bench.flipped(at)
		t.Run(fmt.Sprintf("found when opened, byte %d", at-from), func(t *testing.T) {
			bench.reset(t, segment)
			log := new(spoolLog)
			s := opened(t, options(bench.dir), log)
			wantPending(t, s, []int{1, 3})
			wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: damaged})
			closeSpool(t, s)

			s = opened(t, options(bench.dir), log) // says nothing more
			defer closeSpool(t, s)
			wantPending(t, s, []int{1, 3})
			wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: damaged})
			wantDamage(t, bench.dir, file, segment[from:to], log)
		})
		t.Run(fmt.Sprintf("found when read, byte %d", at-from), func(t *testing.T) {
			bench.reset(t, bench.whole)
			log := new(spoolLog)
			s := opened(t, options(bench.dir), log)
			writeFile(t, bench.file, segment)
			wantPending(t, s, []int{1, 3})
			wantPending(t, s, []int{1, 3}) // says nothing more
			wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: damaged})
			closeSpool(t, s)

			s = opened(t, options(bench.dir), log) // nor now
			defer closeSpool(t, s)
			wantPending(t, s, []int{1, 3})
			wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: damaged})
			wantDamage(t, bench.dir, file, segment[from:to], log)
		})
	}
}

// A piece whose readings can't be counted any more: the ledger must balance all
// the same, and nothing must stay pending for ever.
func TestDamagedPieceOfUnknownReadings(t *testing.T) {
	for name, test := range map[string]struct {
		piece string
		want  uint64 // damaged in the ledger once all is drained
	}{
		"fewer to be seen": {strings.Repeat("\x00", 50), 3},
		"more to be seen":  {strings.Repeat("_qc=", 20), 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := opened(t, options(dir), new(spoolLog))
			appendAll(t, s, outcome(1), outcome(2, 3, 4), outcome(5))
			file := segmentFiles(t, dir, "spool")[0]
			segment := readFile(t, file)
			at := len(wholeRecord(segment))
			n := len(wholeRecord(segment[at:]))
			copy(segment[at:at+n], test.piece+strings.Repeat("\x00", n))
			writeFile(t, file, segment)

			b := wantPending(t, s, []int{1, 5})
			checkBalance(t, s.Health().Ledger)
			done(t, s, b)
			h := s.Health()
			checkBalance(t, h.Ledger)
			if h.Pending != 0 || h.Stored != 2 || h.DeadLettered[water.Damaged] > test.want || h.DeadLettered[water.Damaged] < 3 {
				t.Errorf("ledger %+v when all is drained, want 2 stored, 3 to %d damaged and none pending", h.Ledger, test.want)
			}
		})
	}
}

func TestDamagedTailOfAnOlderSegment(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	s.records.rollAt = 1
	appendAll(t, s, outcome(1), outcome(2), outcome(3))
	closeSpool(t, s)
	file := segmentFiles(t, dir, "spool")[1]
	piece := readFile(t, file)
	piece[len(piece)-3] ^= 0xFF
	writeFile(t, file, piece)

	log := new(spoolLog)
	for range 2 {
		s = opened(t, options(dir), log)
		wantPending(t, s, []int{1, 3})
		wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: map[water.Reason]uint64{water.Damaged: 1}})
		closeSpool(t, s)
	}
	wantDamage(t, dir, "spool-"+strings.TrimSuffix(filepath.Base(file), ".log")+".bin", piece, log)
}

// A write failed and could not be taken back; the spool went on in a new file.
func TestUncommittedEndOfAnOlderSegmentIsNotRead(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	s.records.rollAt = 1
	appendAll(t, s, outcome(1), outcome(2))
	closeSpool(t, s)
	files := segmentFiles(t, dir, "spool")
	writeFile(t, files[0], append(readFile(t, files[0]), readFile(t, files[1])...))
	log := new(spoolLog)
	s = opened(t, options(dir), log)
	wantPending(t, s, []int{1, 2})
	wantLedger(t, s, ingest.Ledger{Received: 2, Pending: 2, DeadLettered: map[water.Reason]uint64{}})
	if log.String() != "" {
		t.Errorf("logged: %s", log)
	}
}

// The last record is damaged after it was drained: that costs nothing, and what
// comes next must not stand before the cursor.
func TestDamageInWhatIsDrained(t *testing.T) {
	for name, o := range map[string]func(dir string) Options{
		"without latest values": options,
		"with latest values older than the cursor": func(dir string) Options {
			o := options(dir)
			o.Restore = func(Record) {}
			return o
		},
	} {
		for record := range 2 {
			t.Run(fmt.Sprintf("%s, record %d of 2", name, record+1), func(t *testing.T) {
				bench := newBench(t, 2)
				s := opened(t, options(bench.dir), new(spoolLog))
				done(t, s, wantPending(t, s, []int{1, 2}))
				closeSpool(t, s)
				writeFile(t, bench.file, bench.flipped(bench.starts[record]+headerBytes))

				s = opened(t, o(bench.dir), new(spoolLog))
				wantPending(t, s, nil)
				appendAll(t, s, outcome(3))
				wantPending(t, s, []int{3})
				want := ingest.Ledger{Received: 3, Stored: 2, Pending: 1, DeadLettered: map[water.Reason]uint64{}}
				wantLedger(t, s, want)
				closeSpool(t, s)
				s = opened(t, o(bench.dir), new(spoolLog))
				wantPending(t, s, []int{3})
				wantLedger(t, s, want)
			})
		}
	}
}

func TestDamagedDeadLetter(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	appendAll(t, s, useless("one"), useless("two"), useless("three"))
	closeSpool(t, s)
	file := segmentFiles(t, dir, "deadletters")[0]
	whole := readFile(t, file)
	from := len(wholeRecord(whole))
	to := from + len(wholeRecord(whole[from:]))
	payloads := func() []string {
		var got []string
		for _, l := range letters(t, dir) {
			got = append(got, fmt.Sprint(l.ID, " ", string(l.Payload)))
		}
		return got
	}
	for at := from; at < to; at += 5 {
		t.Run(fmt.Sprintf("byte %d", at-from), func(t *testing.T) {
			segment := bytes.Clone(whole)
			segment[at] ^= 0xFF
			writeFile(t, file, segment)
			if diff := cmp.Diff(payloads(), []string{"1 one", "3 three"}); diff != "" {
				t.Errorf("read before it was mended (-got +want):\n%s", diff)
			}
			log := new(spoolLog)
			s := opened(t, options(dir), log)
			wantLedger(t, s, ingest.Ledger{Received: 2, DeadLettered: map[water.Reason]uint64{water.Malformed: 2}})
			appendAll(t, s, useless("four"))
			closeSpool(t, s)
			s = opened(t, options(dir), log)
			defer closeSpool(t, s)
			if diff := cmp.Diff(payloads(), []string{"1 one", "3 three", "4 four"}); diff != "" {
				t.Errorf("read after it was mended (-got +want):\n%s", diff)
			}
			name := fmt.Sprintf("deadletters-%020d.bin", from)
			if diff := cmp.Diff(aside(t, dir)[name], segment[from:to]); diff != "" {
				t.Errorf("set aside in %s (-got +want):\n%s", name, diff)
			}
			if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "dead letters damaged") {
				t.Errorf("logged %q, want one line that says so", log)
			}
		})
	}
}
