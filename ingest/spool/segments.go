package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A record on disk:
//
//	magic 4 bytes | length of the body, 4 | CRC-32C of length and body, 4 | body
//
// all little endian. The magic lets a reader find the next record after a
// damaged one; the checksum decides whether it is one.
const (
	recordMagic  = 0xFF_75_66_54 // "Tfu" and a byte that is never in UTF-8
	headerBytes  = 12
	maxBodyBytes = 64 << 20 // a payload.MaxBytes message in any encoding, many times over
	segmentBytes = 8 << 20  // a segment is closed when it has grown to this
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	magicBytes = binary.LittleEndian.AppendUint32(nil, recordMagic)
)

// hole is the first byte of a body that replaces a damaged range; every other
// body starts with another byte.
const hole = 0

// appendRecord appends a record to dst, with the body that write appends.
func appendRecord(dst []byte, write func([]byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerBytes)...)
	dst = write(dst)
	seal(dst[start:])
	return dst
}

// seal fills in the header of a record.
func seal(record []byte) {
	binary.LittleEndian.PutUint32(record[0:], recordMagic)
	binary.LittleEndian.PutUint32(record[4:], uint32(len(record)-headerBytes))
	binary.LittleEndian.PutUint32(record[8:], checksum(record))
}

func checksum(record []byte) uint32 {
	crc := crc32.Update(0, castagnoli, record[4:8])
	return crc32.Update(crc, castagnoli, record[headerBytes:])
}

// wholeRecord returns the first record of b, header included, or nil if b does
// not start with a whole and undamaged one.
func wholeRecord(b []byte) []byte {
	if len(b) < headerBytes+1 || binary.LittleEndian.Uint32(b) != recordMagic {
		return nil
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n == 0 || n > maxBodyBytes || int(n) > len(b)-headerBytes {
		return nil
	}
	record := b[:headerBytes+int(n)]
	if binary.LittleEndian.Uint32(record[8:]) != checksum(record) {
		return nil
	}
	return record
}

// A segment is one file of a log, named by the position of its first byte.
type segment struct {
	base uint64
	size int64 // bytes that are committed
}

func (s segment) end() uint64 { return s.base + uint64(s.size) }

// A Damage is a range of a log that could not be read back.
type Damage struct {
	Position uint64 // of its first byte
	File     string // where the range was set aside, as it was
	Bytes    []byte // the range
	Tail     bool   // the end of the newest file: what a crash cuts short
}

// segments are an append-only log of records in a folder of files. A position
// counts bytes from the beginning of the log's life and never goes back. One
// goroutine may commit while another one reads and trims.
type segments struct {
	dir      string
	setAside string   // folder for damaged ranges
	rollAt   int64    // how many bytes a segment grows to
	active   *os.File // the newest segment, open for writing
	distrust bool     // the disk failed active: the next commit starts a new segment

	mu   sync.Mutex
	list []segment // oldest first, never empty
}

func (s *segments) path(base uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%020d.log", base))
}

// openSegments opens the log in dir, or starts one. From from on, where a record
// starts, it calls visit with each record, in order, and damaged with each range
// that it had to set aside in the folder setAside.
func openSegments(dir, setAside string, from uint64, visit func(position uint64, body []byte) error, damaged func(Damage) error) (*segments, error) {
	s := &segments{dir: dir, setAside: setAside, rollAt: segmentBytes}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("create spool folder: %w", err)
	}
	bases, err := segmentBases(dir)
	if err != nil {
		return nil, err
	}
	for i, base := range bases {
		last := i == len(bases)-1
		info, err := os.Stat(s.path(base))
		if err != nil {
			return nil, fmt.Errorf("look at segment: %w", err)
		}
		seg := segment{base, info.Size()}
		if !last {
			// What lies behind the next segment's beginning was never committed.
			seg.size = min(seg.size, int64(bases[i+1]-base))
			if bases[i+1] <= from {
				s.list = append(s.list, seg) // read to its end in an earlier life
				continue
			}
		}
		size, err := s.scan(seg, last, from, visit, damaged)
		if err != nil {
			return nil, err
		}
		s.list = append(s.list, segment{base, size})
	}
	if len(s.list) == 0 {
		return s, s.roll(from)
	}
	tail := s.newest()
	s.active, err = os.OpenFile(s.path(tail.base), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	if err := s.active.Truncate(tail.size); err != nil {
		return nil, fmt.Errorf("cut torn tail: %w", err)
	}
	return s, nil
}

// segmentBases lists the segments of dir, oldest first.
func segmentBases(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var bases []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".log")
		base, err := strconv.ParseUint(name, 10, 64)
		if !ok || err != nil || e.IsDir() {
			continue // not ours
		}
		bases = append(bases, base)
	}
	slices.Sort(bases)
	return bases, nil
}

// startAt makes sure that what is committed next stands at or behind position.
// The log ends before it only if files were removed or damaged.
func (s *segments) startAt(position uint64) error {
	if s.end() >= position {
		return nil
	}
	return s.roll(position)
}

// missing returns how many bytes behind position the files lack. None do, unless
// somebody removed one or cut it short.
func (s *segments) missing(position uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n uint64
	for _, seg := range s.list {
		if seg.base > position {
			n += seg.base - position
		}
		position = max(position, seg.end())
	}
	return n
}

// scan reads a segment from from on, mends it, and returns how many bytes of it
// are committed.
func (s *segments) scan(seg segment, last bool, from uint64, visit func(uint64, []byte) error, damaged func(Damage) error) (int64, error) {
	data, err := os.ReadFile(s.path(seg.base))
	if err != nil {
		return 0, fmt.Errorf("read segment: %w", err)
	}
	data = data[:min(int64(len(data)), seg.size)]
	at := 0
	if from > seg.base {
		at = int(min(from-seg.base, uint64(len(data))))
	}
	for at < len(data) {
		if record := wholeRecord(data[at:]); record != nil {
			if body := record[headerBytes:]; body[0] != hole {
				if err := visit(seg.base+uint64(at), body); err != nil {
					return 0, err
				}
			}
			at += len(record)
			continue
		}
		next := nextRecord(data, at+1)
		tail := last && next == len(data)
		d, err := s.aside(seg.base+uint64(at), data[at:next], tail)
		if err != nil {
			return 0, err
		}
		if err := damaged(d); err != nil {
			return 0, err
		}
		if tail {
			return int64(at), nil // the caller cuts it off
		}
		if err := s.fill(seg.base, int64(at), next-at); err != nil {
			return 0, err
		}
		at = next
	}
	return int64(at), nil
}

// nextRecord returns the offset of the first whole record at or behind at, or
// len(data).
func nextRecord(data []byte, at int) int {
	for at < len(data) {
		i := bytes.Index(data[at:], magicBytes)
		if i < 0 {
			break
		}
		if at += i; wholeRecord(data[at:]) != nil {
			return at
		}
		at++
	}
	return len(data)
}

// aside copies a damaged range into a file of its own.
func (s *segments) aside(position uint64, data []byte, tail bool) (Damage, error) {
	if err := os.MkdirAll(s.setAside, 0o750); err != nil {
		return Damage{}, fmt.Errorf("set damaged piece aside: %w", err)
	}
	file := filepath.Join(s.setAside, fmt.Sprintf("%s-%020d.bin", filepath.Base(s.dir), position))
	if err := writeSynced(file, data); err != nil {
		return Damage{}, fmt.Errorf("set damaged piece aside: %w", err)
	}
	return Damage{Position: position, File: file, Bytes: data, Tail: tail}, nil
}

// fill makes a damaged range one record that readers pass over, so that it is
// reported once.
func (s *segments) fill(base uint64, at int64, n int) error {
	if n <= headerBytes {
		return nil // no record of ours was so short; it is passed over each time
	}
	record := make([]byte, n)
	record[headerBytes] = hole
	seal(record)
	f, err := os.OpenFile(s.path(base), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("mend segment: %w", err)
	}
	_, err = f.WriteAt(record, at)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("mend segment: %w", err)
	}
	return nil
}

// writeSynced writes data to a new file and waits until the disk has it.
func writeSynced(file string, data []byte) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// newest is the segment that grows.
func (s *segments) newest() segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[len(s.list)-1]
}

// end is the position behind the last committed record.
func (s *segments) end() uint64 { return s.newest().end() }

// bytes is the room that the log takes on the disk.
func (s *segments) bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	for _, seg := range s.list {
		n += seg.size
	}
	return n
}

// roll starts a new segment at base.
func (s *segments) roll(base uint64) error {
	f, err := os.OpenFile(s.path(base), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return fmt.Errorf("start segment: %w", err)
	}
	if err := syncFolder(s.dir); err != nil {
		return errors.Join(fmt.Errorf("start segment: %w", err), f.Close(), os.Remove(s.path(base)))
	}
	if s.active != nil {
		_ = s.active.Close() // its data is synced; nothing can be lost by it
	}
	s.active, s.distrust = f, false
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.list); n > 0 && s.list[n-1].base == base {
		return nil // it was empty, and is the same file
	}
	s.list = append(s.list, segment{base: base})
	return nil
}

// commit appends sealed records. After an error the log is as it was before.
func (s *segments) commit(records []byte) error {
	if err := s.write(records); err != nil {
		return err
	}
	s.publish(len(records))
	return nil
}

// write waits until the disk has records. They are of the log only once they
// are published; the next write replaces them otherwise.
func (s *segments) write(records []byte) error {
	if last := s.newest(); last.size >= s.rollAt || s.distrust {
		if err := s.roll(last.end()); err != nil {
			return err
		}
	}
	at := s.newest().size
	_, err := s.active.WriteAt(records, at)
	if err == nil {
		// A failed sync is not tried again on the same file: the kernel may have
		// dropped the pages and call the next one a success.
		err = s.active.Sync()
		s.distrust = err != nil
	}
	if err != nil {
		err = fmt.Errorf("write %d bytes to spool: %w", len(records), err)
		if cut := s.active.Truncate(at); cut != nil {
			s.distrust = true
			err = errors.Join(err, cut)
		}
		return err
	}
	return nil
}

// publish shows the last n bytes that were written to readers.
func (s *segments) publish(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[len(s.list)-1].size += int64(n)
}

// A chunk is what read takes from the disk at once, unless a record is larger.
const chunkBytes = 256 << 10

// read calls visit with the records from position on, holes left out, until
// visit returns false or about a chunk was read. It returns the position behind
// the last record that visit accepted, and the memory that it read into, for the
// next call. A damaged range is set aside, mended and reported as at opening.
func (s *segments) read(position uint64, chunk []byte, visit func(position uint64, body []byte) bool, damaged func(Damage) error) (uint64, []byte, error) {
	seg, ok := s.holding(position)
	if !ok {
		return position, chunk, nil
	}
	position = max(position, seg.base) // over a gap that a damaged tail left
	f, err := os.Open(s.path(seg.base))
	if err != nil {
		return position, chunk, fmt.Errorf("read spool: %w", err)
	}
	defer f.Close()

	rest := int(seg.end() - position)
	for size := min(rest, chunkBytes); ; size = rest {
		chunk = slices.Grow(chunk[:0], size)[:size]
		if _, err := f.ReadAt(chunk, int64(position-seg.base)); err != nil {
			return position, chunk, fmt.Errorf("read spool at %d: %w", position, err)
		}
		at := 0
		for at < len(chunk) {
			record := wholeRecord(chunk[at:])
			if record == nil {
				break
			}
			if body := record[headerBytes:]; body[0] != hole && !visit(position+uint64(at), body) {
				return position + uint64(at), chunk, nil
			}
			at += len(record)
		}
		if at > 0 || size == 0 {
			return position + uint64(at), chunk, nil
		}
		if size == rest { // not cut off by the chunk's end: damaged
			stop := nextRecord(chunk, 1)
			d, err := s.aside(position, chunk[:stop], false)
			if err != nil {
				return position, chunk, err
			}
			if err := damaged(d); err != nil {
				return position, chunk, err
			}
			return position + uint64(stop), chunk, s.fill(seg.base, int64(position-seg.base), stop)
		}
	}
}

// holding returns the segment that has the record at position, or the first one
// behind it; none if position is the end.
func (s *segments) holding(position uint64) (segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.list, func(seg segment) bool { return position < seg.end() })
	if i < 0 {
		return segment{}, false
	}
	return s.list[i], true
}

// trim removes the segments that lie wholly before position.
func (s *segments) trim(position uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.list) > 1 && s.list[1].base <= position {
		if err := os.Remove(s.path(s.list[0].base)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove drained segment: %w", err)
		}
		s.list = s.list[1:]
	}
	return nil
}

func (s *segments) close() error { return s.active.Close() }

// syncFolder makes the creation of a file in dir durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
