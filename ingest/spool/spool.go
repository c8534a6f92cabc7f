package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// DefaultLimit is how much room on the disk pending readings may take: a month
// of 300 stations with 6 readings every two minutes.
const DefaultLimit = 4 << 30

// Errors that Append reports, wrapped.
var (
	ErrFull  = errors.New("spool is full")
	ErrInUse = errors.New("data folder is in use by another process")
)

// Options say how a spool is kept.
type Options struct {
	DataDir string // holds the folders spool, deadletters and damaged
	Limit   int64  // bytes that the spool may take; 0 means DefaultLimit
	// Encode appends points for observations, each ended by a newline. It is
	// given those of one message.
	Encode func(dst []byte, observations []water.Observation) []byte
	// EncodeCare appends points for the maintenance and the visits of an outcome,
	// each ended by a newline. It may be nil where there are none.
	EncodeCare func(dst []byte, o ingest.Outcome) []byte
	// CountReadings returns how many readings there are in lines that Encode
	// wrote, or in a damaged piece of such.
	CountReadings func(lines []byte) int
	// Restore is called while the spool is opened, with every record at or behind
	// RestoreFrom, in order.
	Restore     func(Record)
	RestoreFrom uint64
}

// A Record is what the spool has of one message.
type Record struct {
	Position    uint64
	Received    time.Time
	Topic       string
	Lines       []byte // not to be kept
	Corrections bool   // the lines are no readings, but correct some
}

// A Spool holds outcomes from the moment they are on disk until InfluxDB has
// them. Append may be called from many goroutines; Next and Done from one.
type Spool struct {
	o       Options
	log     *slog.Logger
	lock    *flock.Flock
	records *segments
	letters *deadLetters
	cursor  *cursor

	mu        sync.Mutex
	corrected []water.Observation // scratch
	waiting   group               // appended, and not yet given to the committer
	room      *sync.Cond          // waiting was taken
	closed    bool                // Append refuses
	wake      chan struct{}       // tells the committer of waiting
	committed chan struct{}       // tells Next of new records
	stopped   chan struct{}       // the committer has returned
	ledger    ingest.Ledger
	oldest    time.Time // when the oldest pending message was received, if any is
	drained   uint64    // records before it are done
	restored  uint64    // records before it are in the snapshot of those who restore
	pinned    uint64    // records behind it stay on disk while a snapshot is made

	committing sync.Mutex // held while a group is written

	// Those of the goroutine that calls Next and Done.
	position uint64            // of the next record to give out
	early    map[uint64]uint64 // readings behind position that are dead letters already, by origin
	chunk    []byte
	spare    ingest.Batch // one that is done, for its memory
}

// group is what one commit writes.
type group struct {
	records  []byte
	letters  []entry
	done     []func(error)
	readings uint64 // in records
}

// maxWaiting is how many bytes, of some thousand messages, may wait for the disk
// before Append waits too. What is in memory can't be more than about twice that:
// the rest stays with the broker.
const maxWaiting = 1 << 20

// A commit costs the same for one message as for hundreds. After one of so many
// that more are on their way, the next waits for them; Mosquitto sends at most
// 20 unless told otherwise, and those never wait.
const (
	gatherFrom = 32
	gather     = 5 * time.Millisecond
)

// The first byte of a record says what its lines are.
const (
	readingsKind    = 1
	correctionsKind = 2
)

func asideFolder(dataDir string) string { return filepath.Join(dataDir, "damaged") }

// Open opens the spool in a data folder, or starts one. It mends what a crash
// left behind, and logs and dead-letters what it could not mend.
func Open(o Options, log *slog.Logger) (*Spool, error) {
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	s := &Spool{
		o: o, log: log,
		wake:      make(chan struct{}, 1),
		committed: make(chan struct{}, 1),
		stopped:   make(chan struct{}),
		restored:  math.MaxUint64,
		pinned:    math.MaxUint64,
	}
	if o.Restore != nil {
		s.restored = o.RestoreFrom
	}
	s.room = sync.NewCond(&s.mu)
	if err := os.MkdirAll(o.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	s.lock = flock.New(filepath.Join(o.DataDir, "lock"))
	switch ok, err := s.lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("lock data folder: %w", err)
	case !ok:
		return nil, fmt.Errorf("%s: %w", o.DataDir, ErrInUse)
	}
	err := CheckFormat(o.DataDir)
	if err == nil {
		s.noteFormat()
		err = s.open()
	}
	if err != nil {
		return nil, errors.Join(err, s.lock.Unlock())
	}
	go s.commit()
	return s, nil
}

func (s *Spool) open() error {
	dir := filepath.Join(s.o.DataDir, "spool")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create spool folder: %w", err)
	}
	var (
		fresh bool
		err   error
	)
	if s.cursor, fresh, err = openCursor(filepath.Join(dir, "cursor")); err != nil {
		return err
	}
	if bases, _ := segmentBases(dir); fresh && len(bases) > 0 {
		s.log.Error("spool cursor lost; sending again all that is on disk, which InfluxDB stores once")
		if err := s.cursor.move(bases[0], 0); err != nil {
			return err
		}
	}
	s.position, s.drained = s.cursor.position, s.cursor.position
	s.ledger = ingest.Ledger{Stored: s.cursor.stored, DeadLettered: make(map[water.Reason]uint64)}
	s.early = make(map[uint64]uint64)
	s.letters, err = openDeadLetters(s.o.DataDir, func(e entry) {
		s.ledger.DeadLettered[e.Letter.Reason] += uint64(e.Letter.Readings)
		if e.Origin >= s.position && e.Origin > 0 {
			s.early[e.Origin] = uint64(e.Letter.Readings)
		}
	}, func(d Damage) error {
		s.log.Error("dead letters damaged; the piece was set aside", "file", d.File, "bytes", len(d.Bytes))
		return nil
	})
	if err != nil {
		return err
	}
	from := min(s.position, s.restored)
	s.records, err = openSegments(dir, asideFolder(s.o.DataDir), from, func(position uint64, body []byte) error {
		r, ok := parseRecord(body)
		if !ok {
			return nil // told of when it is its turn
		}
		if position >= s.position {
			if s.ledger.Pending == 0 {
				s.oldest = r.received
			}
			s.ledger.Pending += r.readings
		}
		if s.o.Restore != nil && position >= s.o.RestoreFrom {
			s.o.Restore(Record{Position: position, Received: r.received, Topic: r.topic, Lines: r.lines, Corrections: r.corrections})
		}
		return nil
	}, s.damaged)
	if err != nil {
		return err
	}
	s.records.rollAt = min(segmentBytes, s.o.Limit/16)
	if n := s.records.missing(s.position); n > 0 {
		s.log.Error("spool lacks a piece; was a file removed from its folder?", "bytes", n)
	}
	if err := s.records.startAt(s.position); err != nil {
		return err
	}
	// Numbers of another spool, whose folder was removed, mean nothing here.
	first, end := s.records.list[0].base, s.records.end()
	maps.DeleteFunc(s.early, func(origin, _ uint64) bool { return origin < first || origin >= end })
	for _, n := range s.early {
		s.ledger.Pending -= min(n, s.ledger.Pending)
	}
	s.ledger.Received = s.ledger.Stored + s.ledger.Pending
	for _, n := range s.ledger.DeadLettered {
		s.ledger.Received += n
	}
	s.trim()
	return syncFolder(s.o.DataDir)
}

// damaged makes a damaged piece of the spool a dead letter.
func (s *Spool) damaged(d Damage) error {
	if d.Tail {
		// The usual trace of a crash. None of it was acknowledged, unless the
		// disk lost it afterwards.
		s.log.Warn("spool was cut short by a crash; the torn end was set aside", "file", d.File, "bytes", len(d.Bytes))
		return nil
	}
	if d.Position+uint64(len(d.Bytes)) <= s.position {
		s.log.Warn("spool damaged where it is drained already; the piece was set aside", "file", d.File, "bytes", len(d.Bytes))
		return nil
	}
	n := s.lost(d.Bytes)
	letter := ingest.DeadLetter{
		Received: time.Now().UTC(),
		Payload:  d.Bytes[:min(len(d.Bytes), ingest.MaxKept)],
		Reason:   water.Damaged,
		Detail:   fmt.Sprintf("%d bytes of the spool could not be read back; they are in %s", len(d.Bytes), strconv.Quote(d.File)),
		Readings: n,
	}
	s.log.Error("spool damaged; the piece was set aside", "file", d.File, "bytes", len(d.Bytes), "readings", n)
	if err := s.letters.add([]entry{{Letter: &letter}}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.DeadLettered[water.Damaged] += uint64(n)
	return nil
}

// lost returns how many readings a damaged piece held, as far as can be seen: one
// at least, but for a piece that is nothing but corrections.
func (s *Spool) lost(piece []byte) int {
	n, least := 0, 0
	for part := range bytes.SplitSeq(piece, magicBytes) {
		const kindAt = headerBytes - 4 // the magic is cut off
		switch {
		case len(part) == 0:
		case len(part) > kindAt && part[kindAt] == correctionsKind:
		default:
			n += s.o.CountReadings(part)
			least = 1
		}
	}
	return max(least, n)
}

// record is the body of a record, taken apart.
type record struct {
	received time.Time
	readings uint64
	topic    string
	lines    []byte

	corrections bool // readings is 0
}

func (r record) appendTo(dst []byte) []byte {
	kind := byte(readingsKind)
	if r.corrections {
		kind = correctionsKind
	}
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(r.received.UnixMilli()))
	dst = binary.AppendUvarint(dst, r.readings)
	dst = binary.AppendUvarint(dst, uint64(len(r.topic)))
	return append(dst, r.topic...)
}

// parseRecord takes a body apart; what it returns points into it.
func parseRecord(body []byte) (r record, ok bool) {
	if body[0] != readingsKind && body[0] != correctionsKind {
		return record{}, false
	}
	b := body[1:]
	var numbers [3]uint64
	for i := range numbers {
		n, width := binary.Uvarint(b)
		if width <= 0 {
			return record{}, false
		}
		numbers[i], b = n, b[width:]
	}
	if numbers[2] > uint64(len(b)) {
		return record{}, false
	}
	return record{
		received: time.UnixMilli(int64(numbers[0])).UTC(),
		readings: numbers[1],
		topic:    string(b[:numbers[2]]),
		lines:    b[numbers[2]:],

		corrections: body[0] == correctionsKind,
	}, true
}

// Append gives an outcome to the spool and calls done, once, when it is on disk
// or can't be: then the error says why, and nothing of the outcome was kept. It
// returns at once, unless the disk is far behind. done runs on the goroutine
// that writes and must not block; it may be called before Append returns.
func (s *Spool) Append(o ingest.Outcome, done func(error)) {
	s.mu.Lock()
	for len(s.waiting.records) > maxWaiting && !s.closed {
		s.room.Wait()
	}
	if s.closed {
		s.mu.Unlock()
		done(errors.New("spool is closed"))
		return
	}
	g := &s.waiting
	if n := len(o.Observations); n > 0 {
		r := record{received: o.Received, readings: uint64(n), topic: o.Topic}
		g.records = appendRecord(g.records, func(dst []byte) []byte { return s.o.Encode(r.appendTo(dst), o.Observations) })
		g.readings += r.readings
	}
	if len(o.Maintenance)+len(o.Visits) > 0 {
		r := record{received: o.Received, topic: o.Topic} // of no reading
		g.records = appendRecord(g.records, func(dst []byte) []byte { return s.o.EncodeCare(r.appendTo(dst), o) })
	}
	if len(o.Corrections) > 0 {
		s.corrected = s.corrected[:0]
		for i := range o.Corrections {
			s.corrected = append(s.corrected, o.Corrections[i].Observation)
		}
		r := record{received: o.Received, topic: o.Topic, corrections: true}
		g.records = appendRecord(g.records, func(dst []byte) []byte { return s.o.Encode(r.appendTo(dst), s.corrected) })
	}
	for i := range o.DeadLetters {
		g.letters = append(g.letters, entry{Letter: &o.DeadLetters[i]})
	}
	g.done = append(g.done, done)
	s.mu.Unlock()
	signal(s.wake)
}

// signal tells a goroutine that waits on c, or that will.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// commit writes what was appended, group by group, until the spool is closed.
func (s *Spool) commit() {
	defer close(s.stopped)
	var g group // its memory and that of waiting change places
	for range s.wake {
		s.mu.Lock()
		g, s.waiting = s.waiting, group{records: g.records[:0], letters: g.letters[:0], done: g.done[:0]}
		closed := s.closed
		s.room.Broadcast()
		s.mu.Unlock()

		if len(g.done) > 0 {
			err := s.write(g)
			for _, done := range g.done {
				done(err)
			}
			signal(s.committed)
		}
		if len(g.done) > gatherFrom && !closed {
			time.Sleep(gather)
		}
		clear(g.done)
		clear(g.letters)
		if cap(g.records) > 2*maxWaiting { // one message was that large
			g.records = nil
		}
		if closed {
			return
		}
	}
}

func (s *Spool) write(g group) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	err := s.roomFor(int64(len(g.records)))
	if err == nil && len(g.letters) > 0 {
		err = s.letters.add(g.letters)
	}
	lettered := err == nil
	if err == nil && len(g.records) > 0 {
		err = s.records.write(g.records)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if lettered { // also where the records beside them failed, and come again
		for _, e := range g.letters {
			s.ledger.Received += uint64(e.Letter.Readings)
			s.ledger.DeadLettered[e.Letter.Reason] += uint64(e.Letter.Readings)
		}
	}
	if err == nil && len(g.records) > 0 { // counted before anybody can be done with them
		s.ledger.Received += g.readings
		s.ledger.Pending += g.readings
		s.records.publish(len(g.records))
	}
	return err
}

// Writable says why nothing should be appended now, or nil. It wants a little
// more room than Append does: who stays away until there is room would otherwise
// come back for every message.
func (s *Spool) Writable() error { return s.roomFor(min(1<<20, s.o.Limit/16)) }

// roomFor refuses what would grow the spool past its limit, or take the last
// room on the disk: that is kept for dead letters, the cursor and the latest
// values, so that a full spool can still be drained.
func (s *Spool) roomFor(n int64) error {
	if used := s.records.bytes(); used+n > s.o.Limit {
		return fmt.Errorf("%w: %d MiB of readings wait for InfluxDB, and %d MiB is the limit", ErrFull, used>>20, s.o.Limit>>20)
	}
	free, size, err := s.disk()
	if err != nil {
		return err
	}
	if reserve := min(size/20, maxReserve); free-n < reserve {
		return fmt.Errorf("%w: %d KiB are free on the disk of %s, and %d KiB are kept in reserve", ErrFull, free>>10, s.o.DataDir, reserve>>10)
	}
	return nil
}

// disk returns how many bytes are free on the disk of the data folder, and how many
// it has.
func (s *Spool) disk() (free, size int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.o.DataDir, &fs); err != nil {
		return 0, 0, fmt.Errorf("look at the room on the disk: %w", err)
	}
	block := int64(fs.Bsize) //nolint:unconvert // an int32 on 32-bit machines
	return int64(fs.Bavail) * block, int64(fs.Blocks) * block, nil
}

// maxReserve bounds what is left free on the disk, which is a twentieth of it.
const maxReserve = 64 << 20

// Health returns the ledger and the rest, all as of one moment.
func (s *Spool) Health() ingest.SpoolHealth {
	bytes := s.records.bytes()
	free, _, _ := s.disk() // 0 where the disk does not say: appending tells why
	s.mu.Lock()
	defer s.mu.Unlock()
	h := ingest.SpoolHealth{Ledger: s.ledger, Bytes: bytes, Free: free}
	h.DeadLettered = maps.Clone(s.ledger.DeadLettered)
	if h.Pending > 0 {
		h.Oldest = s.oldest
	}
	return h
}

// Next returns the oldest pending points, about atMost of them, waiting until
// there is one. Where there are fewer it waits for up to linger after the first
// one, so that InfluxDB gets few large requests rather than many small ones.
// What it returns stays pending until Done; the next call may use its memory then.
func (s *Spool) Next(ctx context.Context, atMost int, linger time.Duration) (*ingest.Batch, error) {
	b := &ingest.Batch{Lines: s.spare.Lines[:0], Records: s.spare.Records[:0], End: s.position}
	s.spare = ingest.Batch{}
	var late <-chan time.Time
	for {
		for b.Points < atMost {
			before := b.End
			if err := s.extend(b, atMost); err != nil {
				return nil, err
			}
			if b.End == before {
				break
			}
		}
		if b.Points >= atMost {
			return b, nil
		}
		first, more := s.committed, (<-chan time.Time)(nil)
		if b.Points > 0 {
			first, more = nil, time.After(lookEvery)
			if late == nil {
				late = time.After(linger)
			}
		}
		select {
		case <-first:
		case <-more:
		case <-late:
			return b, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lookEvery is how often Next looks for more points while it lingers: not after
// each commit, of which there may be hundreds a second.
const lookEvery = 20 * time.Millisecond

// extend adds records to b until it has atMost points or the spool is read.
func (s *Spool) extend(b *ingest.Batch, atMost int) error {
	var err error
	b.End, s.chunk, err = s.records.read(b.End, s.chunk, func(position uint64, body []byte) bool {
		if b.Points >= atMost {
			return false
		}
		r, ok := parseRecord(body)
		if !ok { // of another version of this program
			s.log.Error("spool record of an unknown kind passed over", "position", position, "bytes", len(body))
			return true
		}
		if len(b.Records) == 0 {
			s.mu.Lock()
			s.oldest = r.received
			s.mu.Unlock()
		}
		lineAt := position + headerBytes + uint64(len(body)-len(r.lines))
		b.Records = append(b.Records, ingest.BatchRecord{
			Offset: len(b.Lines), Position: lineAt, Topic: r.topic, Received: r.received, Corrections: r.corrections,
		})
		b.Lines = append(b.Lines, r.lines...)
		b.Points += bytes.Count(r.lines, []byte{'\n'})
		b.Readings += r.readings
		return true
	}, func(d Damage) error {
		if err := s.damaged(d); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notPending(uint64(s.lost(d.Bytes)))
		return nil
	})
	return err
}

// notPending takes n readings out of the pending ones, which may be fewer: how
// many a damaged piece held is a guess, and must not unbalance the ledger. s.mu
// is held.
func (s *Spool) notPending(n uint64) {
	pending := min(n, s.ledger.Pending)
	s.ledger.Pending -= pending
	s.ledger.Received += n - pending
}

// Done says that every point of b is in InfluxDB, or among refused. The dead
// letters are on disk before the cursor moves. After an error the batch is still
// pending, and Done may be called again.
func (s *Spool) Done(b *ingest.Batch, refused []ingest.Refusal) error {
	if err := s.deadLetter(refused); err != nil {
		return err
	}
	var lost uint64
	for _, r := range refused {
		lost += uint64(r.Letter.Readings)
	}
	if err := s.cursor.move(b.End, s.cursor.stored+b.Readings-lost); err != nil {
		return err
	}
	s.position, s.spare = b.End, *b
	var early uint64 // those of lost, and of what InfluxDB refused in an earlier life only
	maps.DeleteFunc(s.early, func(origin, n uint64) bool {
		if origin >= b.End {
			return false
		}
		early += n
		return true
	})
	s.mu.Lock()
	s.ledger.Stored += b.Readings - lost
	s.ledger.Received += early - lost // dead letters that are in InfluxDB after all
	s.notPending(b.Readings - min(early, b.Readings))
	if s.ledger.Pending > 0 && s.position == s.records.end() {
		// All is drained. What is left is what the guess at a damaged piece was short by.
		s.ledger.DeadLettered[water.Damaged] += s.ledger.Pending
		s.ledger.Pending = 0
	}
	s.drained = s.position
	s.mu.Unlock()
	s.trim()
	return nil
}

// deadLetter makes refused dead letters, but for those which are: an earlier
// call, or an earlier life, may have ended before the cursor moved.
func (s *Spool) deadLetter(refused []ingest.Refusal) error {
	var letters []entry
	for i := range refused {
		if _, ok := s.early[refused[i].Origin]; !ok {
			letters = append(letters, entry{Letter: &refused[i].Letter, Origin: refused[i].Origin})
		}
	}
	if len(letters) == 0 {
		return nil
	}
	if err := s.letters.add(letters); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range letters {
		n := uint64(e.Letter.Readings)
		s.early[e.Origin] = n
		s.ledger.DeadLettered[e.Letter.Reason] += n
		s.notPending(n)
	}
	return nil
}

// trim removes the segments that nobody needs any more.
func (s *Spool) trim() {
	s.mu.Lock()
	keep := min(s.drained, s.restored, s.pinned)
	s.mu.Unlock()
	if err := s.records.trim(keep); err != nil {
		s.log.Warn("drained part of the spool still takes room; trying again later", "err", err)
	}
}

// End is the position behind the last outcome on disk.
func (s *Spool) End() uint64 { return s.records.end() }

// Drained is the position before which InfluxDB has everything, or refused it.
func (s *Spool) Drained() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drained
}

// Restored says that records before position need not be given to Restore
// again. Where there is a Restore, drained ones stay on disk until then.
func (s *Spool) Restored(position uint64) {
	s.mu.Lock()
	s.restored = position
	s.mu.Unlock()
	s.trim()
}

// MarkReplayed notes that dead letters were sent through again.
func (s *Spool) MarkReplayed(ids []uint64, now time.Time) error {
	return s.letters.markReplayed(ids, now)
}

// Close commits what was appended and closes the files. Next and Done must not
// be called any more.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closed = true
	s.room.Broadcast()
	s.mu.Unlock()
	signal(s.wake)
	<-s.stopped
	return errors.Join(s.records.close(), s.letters.log.close(), s.cursor.close(), s.lock.Unlock())
}
