package spool

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
)

// Snapshot keeps a copy of the spool and the dead letters in the folders spool
// and deadletters below dir, a folder of the data folder's file system. It is one
// that a crash might have left behind, with all that was acknowledged before the
// call. sizes are how many bytes of a file belong to it, by its path below dir:
// the newest ones go on growing, since they are the same files.
//
// beside is called in between; it copies what was saved of the spool's contents.
//
// The order makes it safe. The cursor is taken first: what it says is in InfluxDB
// stays there, so a copy of InfluxDB that is made later has it, and what moves
// there meanwhile is in the snapshot's spool too; a reading sent twice is stored
// once. From then on no segment is removed. What was saved comes next, since it
// says where in the spool to go on from, which has to be there. The segments come
// last, between two commits, so that no outcome is kept by half.
func (s *Spool) Snapshot(dir string, beside func() error) (sizes map[string]int64, err error) {
	s.mu.Lock()
	s.pinned = min(s.drained, s.restored)
	position, stored := s.drained, s.ledger.Stored
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.pinned = math.MaxUint64
		s.mu.Unlock()
	}()

	for _, name := range []string{"spool", "deadletters"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o750); err != nil {
			return nil, fmt.Errorf("make snapshot: %w", err)
		}
	}
	c, _, err := openCursor(filepath.Join(dir, "spool", "cursor"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.move(position, stored), c.close()); err != nil {
		return nil, err
	}
	if err := beside(); err != nil {
		return nil, err
	}

	s.committing.Lock()
	defer s.committing.Unlock()
	s.letters.mu.Lock()
	defer s.letters.mu.Unlock()
	sizes = make(map[string]int64)
	for _, log := range []*segments{s.letters.log, s.records} {
		linked, err := log.snapshot(filepath.Join(dir, filepath.Base(log.dir)))
		if err != nil {
			return nil, err
		}
		maps.Copy(sizes, linked)
	}
	return sizes, nil
}

// snapshot links the files into dir, and returns how many bytes of each are
// committed, by the path from the folder above.
func (s *segments) snapshot(dir string) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sizes := make(map[string]int64)
	for _, seg := range s.list {
		name := filepath.Base(s.path(seg.base))
		if err := linkOrCopy(s.path(seg.base), filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("make snapshot: %w", err)
		}
		sizes[filepath.Join(filepath.Base(dir), name)] = seg.size
	}
	return sizes, nil
}

// linkOrCopy has file under another name too, and copies it where the file system
// knows no links.
func linkOrCopy(file, to string) error {
	if os.Link(file, to) == nil {
		return nil
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
