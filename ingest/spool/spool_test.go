package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// Readings in these tests are numbers, and a point is a line that holds one:
// "17_qc=\n".
func encode(dst []byte, observations []water.Observation) []byte {
	for _, o := range observations {
		dst = strconv.AppendFloat(dst, o.Value, 'f', -1, 64)
		dst = append(dst, "_qc=\n"...)
	}
	return dst
}

func countReadings(lines []byte) int { return bytes.Count(lines, []byte("_qc=")) }

// numbers are the readings in lines.
func numbers(t testing.TB, lines []byte) []int {
	t.Helper()
	var got []int
	for line := range bytes.Lines(lines) {
		text, ok := strings.CutSuffix(string(line), "_qc=\n")
		n, err := strconv.Atoi(text)
		if !ok || err != nil {
			t.Fatalf("line %q is not as it was written", line)
		}
		got = append(got, n)
	}
	return got
}

// sequence is the numbers from first to last.
func sequence(first, last int) []int {
	var s []int
	for n := first; n <= last; n++ {
		s = append(s, n)
	}
	return s
}

var received = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// outcome is that of a message which holds readings.
func outcome(readings ...int) ingest.Outcome {
	o := ingest.Outcome{Topic: "tofu/ipal-01/readings", Received: received}
	for _, n := range readings {
		o.Observations = append(o.Observations, water.Observation{Value: float64(n), Flag: water.Good})
	}
	return o
}

// useless is the outcome of a message of which nothing can be used.
func useless(payload string) ingest.Outcome {
	return ingest.Outcome{Topic: "tofu/ipal-01/readings", Received: received, DeadLetters: []ingest.DeadLetter{{
		Received: received, Topic: "tofu/ipal-01/readings", Payload: []byte(payload),
		Reason: water.Malformed, Detail: "not JSON", Readings: 1,
	}}}
}

// A spoolLog keeps what a spool logs at the level of warnings and above.
type spoolLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *spoolLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *spoolLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *spoolLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func options(dir string) Options {
	return Options{DataDir: dir, Encode: encode, CountReadings: countReadings}
}

// opened is the spool in a data folder. It is closed at the end of the test at
// the latest.
func opened(t testing.TB, o Options, log *spoolLog) *Spool {
	t.Helper()
	s, err := Open(o, log.logger())
	if err != nil {
		t.Fatalf("open the spool: %v", err)
	}
	t.Cleanup(func() { closeSpool(t, s) })
	return s
}

func closeSpool(t testing.TB, s *Spool) {
	t.Helper()
	select {
	case <-s.stopped:
		return // was closed before
	default:
	}
	if err := s.Close(); err != nil {
		t.Errorf("close the spool: %v", err)
	}
}

// appendAll appends outcomes, one after the other is on disk.
func appendAll(t testing.TB, s *Spool, outcomes ...ingest.Outcome) {
	t.Helper()
	for _, o := range outcomes {
		if err := appendOne(s, o); err != nil {
			t.Fatalf("append %d readings: %v", o.Readings(), err)
		}
	}
}

func appendOne(s *Spool, o ingest.Outcome) error {
	done := make(chan error, 1)
	s.Append(o, func(err error) { done <- err })
	return <-done
}

// pending is a batch of all that is pending, without waiting for more.
func pending(t testing.TB, s *Spool) *ingest.Batch {
	t.Helper()
	b := &ingest.Batch{End: s.position}
	for before := b.End; ; before = b.End {
		if err := s.extend(b, 1<<30); err != nil {
			t.Fatalf("read the spool: %v", err)
		}
		if b.End == before {
			return b
		}
	}
}

func wantPending(t testing.TB, s *Spool, want []int) *ingest.Batch {
	t.Helper()
	b := pending(t, s)
	got := numbers(t, b.Lines)
	if !slices.Equal(got, want) {
		t.Errorf("pending readings (-got +want):\n%s", cmp.Diff(got, want))
	}
	return b
}

// wantLedger compares the ledger, in which nothing of DeadLettered is zero, and
// checks that it balances.
func wantLedger(t testing.TB, s *Spool, want ingest.Ledger) {
	t.Helper()
	got := s.Health().Ledger
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("ledger (-got +want):\n%s", diff)
	}
	checkBalance(t, got)
}

func checkBalance(t testing.TB, l ingest.Ledger) {
	t.Helper()
	sum := l.Stored + l.Pending
	for _, n := range l.DeadLettered {
		sum += n
	}
	if l.Received != sum {
		t.Errorf("ledger does not balance: received %d, elsewhere %d: %+v", l.Received, sum, l)
	}
}

// refusals are those of the given readings of b.
func refusals(t testing.TB, b *ingest.Batch, readings ...int) []ingest.Refusal {
	t.Helper()
	var refused []ingest.Refusal
	at := 0
	for line := range bytes.Lines(b.Lines) {
		if slices.Contains(readings, numbers(t, line)[0]) {
			refused = append(refused, b.Refuse(at, line, 1, "InfluxDB says: no"))
		}
		at += len(line)
	}
	if len(refused) != len(readings) {
		t.Fatalf("%d of the readings %v are in the batch %v", len(refused), readings, numbers(t, b.Lines))
	}
	return refused
}

func done(t testing.TB, s *Spool, b *ingest.Batch, refused ...ingest.Refusal) {
	t.Helper()
	if err := s.Done(b, refused); err != nil {
		t.Fatalf("be done with %d readings, %d of them refused: %v", b.Readings, len(refused), err)
	}
}

// letters are the dead letters in a data folder.
func letters(t testing.TB, dir string) []StoredLetter {
	t.Helper()
	got, err := ReadDeadLetters(dir)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// segmentFiles are the segments in a folder of a data folder, oldest first.
func segmentFiles(t testing.TB, dir, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, folder, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAppendCallsBackWhenOthersCanReadIt(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	o := outcome(1, 2)
	o.DeadLetters = useless("not JSON").DeadLetters
	seen := make(chan string, 1)
	s.Append(o, func(err error) {
		seen <- fmt.Sprintf("%v %d %d", err,
			bytes.Count(readFile(t, segmentFiles(t, dir, "spool")[0]), []byte("1_qc=\n2_qc=\n")),
			bytes.Count(readFile(t, segmentFiles(t, dir, "deadletters")[0]), []byte(`"payload":"not JSON"`)))
	})
	if got, want := <-seen, fmt.Sprintf("%v %d %d", nil, 1, 1); got != want {
		t.Errorf("error, records and letters on disk when called back: %s, want %s", got, want)
	}
	wantLedger(t, s, ingest.Ledger{Received: 3, Pending: 2, DeadLettered: map[water.Reason]uint64{water.Malformed: 1}})
}

func TestOneCommitServesAllThatWaited(t *testing.T) {
	s := opened(t, options(t.TempDir()), new(spoolLog))
	writing, goOn := make(chan bool), make(chan bool)
	s.Append(outcome(0), func(error) { writing <- true; <-goOn })
	<-writing // the committer is busy from here on
	received := make(chan uint64, 100)
	for n := 1; n <= 100; n++ {
		s.Append(outcome(n), func(err error) {
			if err != nil {
				t.Error(err)
			}
			received <- s.Health().Received
		})
	}
	close(goOn)
	for range 100 {
		if got := <-received; got != 101 {
			t.Fatalf("%d readings were on disk when one of the group was called back, want all 101", got)
		}
	}
	wantPending(t, s, sequence(0, 100))
}

func TestReopenKeepsPendingAndOrder(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	for n := range 30 {
		appendAll(t, s, outcome(2*n, 2*n+1))
	}
	closeSpool(t, s)

	log := new(spoolLog)
	s = opened(t, options(dir), log)
	wantLedger(t, s, ingest.Ledger{Received: 60, Pending: 60, DeadLettered: map[water.Reason]uint64{}})
	if got := s.Health().Oldest; !got.Equal(received) {
		t.Errorf("oldest pending message is of %v, want %v", got, received)
	}
	b, err := s.Next(t.Context(), 25, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(numbers(t, b.Lines), sequence(0, 25)); diff != "" { // whole messages
		t.Errorf("first batch (-got +want):\n%s", diff)
	}
	if got, want := b.Records[1].Received, received; !got.Equal(want) || b.Records[1].Topic != "tofu/ipal-01/readings" {
		t.Errorf("second record of the batch is %+v, want one of tofu/ipal-01/readings, received %v", b.Records[1], want)
	}
	done(t, s, b)
	closeSpool(t, s)

	s = opened(t, options(dir), log)
	done(t, s, wantPending(t, s, sequence(26, 59)))
	wantLedger(t, s, ingest.Ledger{Received: 60, Stored: 60, DeadLettered: map[water.Reason]uint64{}})
	if h := s.Health(); !h.Oldest.IsZero() {
		t.Errorf("oldest pending message is of %v while none is pending", h.Oldest)
	}
	if log.String() != "" {
		t.Errorf("logged: %s", log)
	}
}

func TestNextLingersAfterTheFirstPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, options(t.TempDir()), new(spoolLog))
		defer closeSpool(t, s)
		start := time.Now()
		time.AfterFunc(time.Hour, func() { s.Append(outcome(1), func(error) {}) })
		time.AfterFunc(time.Hour+time.Minute, func() { s.Append(outcome(2), func(error) {}) })
		time.AfterFunc(3*time.Hour, func() { s.Append(outcome(3), func(error) {}) })
		b, err := s.Next(t.Context(), 10, 2*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), time.Hour+2*time.Minute; got != want {
			t.Errorf("first batch came after %v, want %v", got, want)
		}
		if diff := cmp.Diff(numbers(t, b.Lines), []int{1, 2}); diff != "" {
			t.Errorf("first batch (-got +want):\n%s", diff)
		}
		done(t, s, b)
		if b, err = s.Next(t.Context(), 1, 2*time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(start), 3*time.Hour; got != want {
			t.Errorf("full batch came after %v, want %v", got, want)
		}
		done(t, s, b)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := s.Next(ctx, 1, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next on an empty spool ended with %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestRecordLargerThanAChunk(t *testing.T) {
	s := opened(t, options(t.TempDir()), new(spoolLog))
	many := sequence(2, chunkBytes/8)
	appendAll(t, s, outcome(1), outcome(many...), outcome(-1), outcome(many...), outcome(-2))
	if got := s.Health().Bytes; got < 2*chunkBytes {
		t.Fatalf("%d bytes in the spool are less than two chunks of %d", got, chunkBytes)
	}
	done(t, s, wantPending(t, s, slices.Concat([]int{1}, many, []int{-1}, many, []int{-2})))
}

func TestNextWithoutDoneGivesTheSameAgain(t *testing.T) {
	s := opened(t, options(t.TempDir()), new(spoolLog))
	appendAll(t, s, outcome(1), outcome(2))
	for range 2 {
		b, err := s.Next(t.Context(), 2, 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(numbers(t, b.Lines), []int{1, 2}); diff != "" {
			t.Errorf("batch (-got +want):\n%s", diff)
		}
	}
}

func TestSegmentsRollAndAreRemovedWhenDrained(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	s.records.rollAt = 100
	for n := 1; n <= 20; n++ {
		appendAll(t, s, outcome(n))
	}
	if got := len(segmentFiles(t, dir, "spool")); got < 5 {
		t.Fatalf("%d segments, want at least 5", got)
	}
	closeSpool(t, s)

	s = opened(t, options(dir), new(spoolLog))
	s.records.rollAt = 100
	b, err := s.Next(t.Context(), 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	done(t, s, b)
	some := len(segmentFiles(t, dir, "spool"))
	done(t, s, wantPending(t, s, sequence(11, 20)))
	if got := segmentFiles(t, dir, "spool"); len(got) != 1 || some <= 1 {
		t.Errorf("segments after half and all is drained: %d and %d, want several and 1", some, len(got))
	}
	appendAll(t, s, outcome(21))
	wantPending(t, s, []int{21})
}

func TestDrainedSegmentsStayUntilRestored(t *testing.T) {
	dir := t.TempDir()
	var restored []byte
	o := options(dir)
	o.Restore = func(r Record) { restored = append(restored, r.Lines...) }
	s := opened(t, o, new(spoolLog))
	s.records.rollAt = 100
	for n := 1; n <= 10; n++ {
		appendAll(t, s, outcome(n))
	}
	halfway := s.End()
	for n := 11; n <= 20; n++ {
		appendAll(t, s, outcome(n))
	}
	all := len(segmentFiles(t, dir, "spool"))
	done(t, s, wantPending(t, s, sequence(1, 20)))
	if got := len(segmentFiles(t, dir, "spool")); got != all {
		t.Errorf("%d segments after all is drained and nothing restored, want all %d", got, all)
	}
	closeSpool(t, s)

	s = opened(t, o, new(spoolLog))
	wantPending(t, s, nil)
	if diff := cmp.Diff(numbers(t, restored), sequence(1, 20)); diff != "" {
		t.Errorf("restored from the beginning (-got +want):\n%s", diff)
	}
	closeSpool(t, s)

	restored, o.RestoreFrom = nil, halfway
	s = opened(t, o, new(spoolLog))
	if diff := cmp.Diff(numbers(t, restored), sequence(11, 20)); diff != "" {
		t.Errorf("restored from halfway (-got +want):\n%s", diff)
	}
	if got := len(segmentFiles(t, dir, "spool")); got <= 1 || got >= all {
		t.Errorf("%d segments when half is restored, want more than 1 and fewer than %d", got, all)
	}
	s.Restored(s.End())
	if got := len(segmentFiles(t, dir, "spool")); got != 1 {
		t.Errorf("%d segments when all is restored, want 1", got)
	}
}

func TestFullSpoolRefusesUntilItIsDrained(t *testing.T) {
	dir := t.TempDir()
	o := options(dir)
	o.Limit = 16 << 10
	s := opened(t, o, new(spoolLog))
	n := 0
	var refusal error
	for refusal == nil {
		if refusal = appendOne(s, outcome(n)); refusal == nil {
			n++
		}
	}
	if !errors.Is(refusal, ErrFull) {
		t.Fatalf("Append ended with %v, want %v", refusal, ErrFull)
	}
	if err := s.Writable(); !errors.Is(err, ErrFull) {
		t.Errorf("Writable() = %v, want %v", err, ErrFull)
	}
	if got := s.Health().Bytes; got > o.Limit || got < o.Limit/2 {
		t.Errorf("a full spool takes %d bytes, want nearly %d", got, o.Limit)
	}
	wantLedger(t, s, ingest.Ledger{Received: uint64(n), Pending: uint64(n), DeadLettered: map[water.Reason]uint64{}})
	closeSpool(t, s)

	s = opened(t, o, new(spoolLog)) // a full spool opens
	done(t, s, wantPending(t, s, sequence(0, n-1)))
	if err := s.Writable(); err != nil {
		t.Errorf("Writable() = %v after all is drained", err)
	}
	appendAll(t, s, outcome(n), useless("{"))
	wantPending(t, s, []int{n})
	wantLedger(t, s, ingest.Ledger{Received: uint64(n + 2), Stored: uint64(n), Pending: 1, DeadLettered: map[water.Reason]uint64{water.Malformed: 1}})
}

// All is drained, and nothing more comes to be done with: the room must come
// back when the latest values are saved.
func TestFullSpoolOfDrainedReadingsWorksWhenRestored(t *testing.T) {
	o := options(t.TempDir())
	o.Limit = 16 << 10
	o.Restore = func(Record) {}
	s := opened(t, o, new(spoolLog))
	var err error
	for n := 0; err == nil; n++ {
		err = appendOne(s, outcome(n))
	}
	done(t, s, pending(t, s))
	if err := appendOne(s, outcome(1)); !errors.Is(err, ErrFull) {
		t.Fatalf("Append ended with %v while nothing is restored, want %v", err, ErrFull)
	}
	s.Restored(s.End())
	appendAll(t, s, outcome(1))
}

// A file that takes writes and whose fsync fails: /dev/null has none.
func TestFailedSyncRefuses(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	appendAll(t, s, outcome(1))
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := null.Sync(); err == nil {
		t.Fatalf("fsync of %s succeeds here; this test needs another file", os.DevNull)
	}
	good := s.records.active
	s.records.active = null
	if err := appendOne(s, outcome(2)); err == nil {
		t.Error("Append called back without an error though the fsync failed")
	}
	if err := good.Close(); err != nil {
		t.Fatal(err)
	}
	wantPending(t, s, []int{1})
	appendAll(t, s, outcome(2)) // in a new file: the old one is not trusted
	if got := len(segmentFiles(t, dir, "spool")); got != 2 {
		t.Errorf("%d segments, want 2", got)
	}
	wantPending(t, s, []int{1, 2})
	closeSpool(t, s)
	log := new(spoolLog)
	s = opened(t, options(dir), log)
	wantPending(t, s, []int{1, 2})
	wantLedger(t, s, ingest.Ledger{Received: 2, Pending: 2, DeadLettered: map[water.Reason]uint64{}})
	if log.String() != "" {
		t.Errorf("logged: %s", log)
	}
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	var group sync.WaitGroup
	for n := range 50 {
		group.Add(1)
		s.Append(outcome(n), func(err error) {
			defer group.Done()
			if err != nil {
				t.Error(err)
			}
		})
	}
	closeSpool(t, s)
	group.Wait()
	if err := appendOne(s, outcome(50)); err == nil {
		t.Error("Append on a closed spool called back without an error")
	}
	s = opened(t, options(dir), new(spoolLog))
	wantPending(t, s, sequence(0, 49))
}

func TestSecondSpoolInTheFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	if _, err := Open(options(dir), slog.New(slog.DiscardHandler)); !errors.Is(err, ErrInUse) {
		t.Errorf("opening it twice ended with %v, want %v", err, ErrInUse)
	}
	closeSpool(t, s)
	opened(t, options(dir), new(spoolLog))
}

func TestAllAtOnce(t *testing.T) {
	const writers, each = 8, 60
	s := opened(t, options(t.TempDir()), new(spoolLog))
	s.records.rollAt = 2000
	var appending, watching sync.WaitGroup
	stop := make(chan bool)
	watching.Go(func() { // the ledger balances at every moment
		for {
			select {
			case <-stop:
				return
			default:
				checkBalance(t, s.Health().Ledger)
			}
		}
	})
	for w := range writers {
		appending.Go(func() {
			for n := range each {
				o := outcome(w*1000 + n)
				if n%10 == 0 {
					o.DeadLetters = useless("{").DeadLetters
				}
				if err := appendOne(s, o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := make(map[int]int)
	refused := 0
	for len(seen) < writers*each {
		b, err := s.Next(t.Context(), 20, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		got := numbers(t, b.Lines)
		for _, n := range got {
			seen[n]++
		}
		var bad []ingest.Refusal
		if got[0]%7 == 0 {
			bad = refusals(t, b, got[0])
			refused++
		}
		done(t, s, b, bad...)
	}
	appending.Wait()
	close(stop)
	watching.Wait()
	for n, times := range seen {
		if times != 1 {
			t.Errorf("reading %d was given out %d times", n, times)
		}
	}
	want := ingest.Ledger{
		Received: writers*each + writers*each/10, Stored: uint64(writers*each - refused),
		DeadLettered: map[water.Reason]uint64{water.Malformed: writers * each / 10},
	}
	if refused > 0 {
		want.DeadLettered[water.Refused] = uint64(refused)
	}
	wantLedger(t, s, want)
}

// corrected is outcome for a message that corrects what came before.
func corrected(o ingest.Outcome, numbers ...int) ingest.Outcome {
	for _, n := range numbers {
		o.Corrections = append(o.Corrections, water.Correction{Observation: water.Observation{Value: float64(n), Flag: water.Bad}})
	}
	return o
}

// Corrections are written like readings, behind them, and count as none.
func TestCorrectionsAreNoReadings(t *testing.T) {
	dir := t.TempDir()
	var restored []string
	o := options(dir)
	o.Restore = func(r Record) {
		restored = append(restored, fmt.Sprintf("%v %t", numbers(t, r.Lines), r.Corrections))
	}
	s := opened(t, o, new(spoolLog))
	appendAll(t, s, outcome(1), corrected(outcome(2, 3), 1), corrected(outcome(4), 2, 3))
	want := ingest.Ledger{Received: 4, Pending: 4, DeadLettered: map[water.Reason]uint64{}}
	wantLedger(t, s, want)
	closeSpool(t, s)

	s = opened(t, o, new(spoolLog))
	defer closeSpool(t, s)
	if diff := cmp.Diff(restored, []string{"[1] false", "[2 3] false", "[1] true", "[4] false", "[2 3] true"}); diff != "" {
		t.Errorf("restored (-got +want):\n%s", diff)
	}
	wantLedger(t, s, want)
	b := wantPending(t, s, []int{1, 2, 3, 1, 4, 2, 3})
	if b.Readings != 4 {
		t.Errorf("a batch of %d readings, want 4", b.Readings)
	}
	// InfluxDB refuses a reading, and a correction.
	at := func(line string, from int) int { return from + strings.Index(string(b.Lines[from:]), line) }
	reading := at("2_qc=\n", 0)
	correction := at("2_qc=\n", reading+1)
	refused := []ingest.Refusal{
		b.Refuse(reading, []byte("2_qc=\n"), 1, "no"),
		b.Refuse(correction, []byte("2_qc=\n"), 1, "no"),
	}
	if err := s.Done(b, refused); err != nil {
		t.Fatal(err)
	}
	wantLedger(t, s, ingest.Ledger{Received: 4, Stored: 3, DeadLettered: map[water.Reason]uint64{water.Refused: 1}})
	stored, err := ReadDeadLetters(dir)
	if err != nil {
		t.Fatal(err)
	}
	var lost []int
	for _, l := range stored {
		lost = append(lost, l.Readings)
	}
	if !slices.Equal(lost, []int{1, 0}) {
		t.Errorf("dead letters of %v readings, want 1 and 0", lost)
	}
}

func TestDamagedCorrectionsAreNoReadings(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, options(dir), new(spoolLog))
	appendAll(t, s, corrected(outcome(1), 7), outcome(2))
	file := segmentFiles(t, dir, "spool")[0]
	segment := readFile(t, file)
	segment[len(wholeRecord(segment))+headerBytes+3] ^= 0xFF
	writeFile(t, file, segment)
	b := wantPending(t, s, []int{1, 2})
	done(t, s, b)
	wantLedger(t, s, ingest.Ledger{Received: 2, Stored: 2, DeadLettered: map[water.Reason]uint64{water.Damaged: 0}})
	closeSpool(t, s)
}
