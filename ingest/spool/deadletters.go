package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tofuwatch/ingest"
)

// deadLetters is the store of dead letters: a log of records that are JSON, so
// that they can be read with little more than strings(1).
type deadLetters struct {
	mu     sync.Mutex // held while committing: the two ends of the spool both add
	log    *segments
	nextID uint64
}

// entry is a record of the store: either a letter, or word that letters were
// sent through again.
type entry struct {
	Letter   *ingest.DeadLetter `json:"letter,omitempty"`
	Origin   uint64             `json:"origin,omitempty"` // where in the spool the refused point stands
	Replayed *Replayed          `json:"replayed,omitempty"`
}

// Replayed says that dead letters were sent through again.
type Replayed struct {
	IDs  []uint64  `json:"ids"`
	Time time.Time `json:"time"`
}

func deadLetterFolder(dataDir string) string { return filepath.Join(dataDir, "deadletters") }

// openDeadLetters opens the store in a data folder, or starts one, and calls
// visit with every letter in it.
func openDeadLetters(dataDir string, visit func(entry), damaged func(Damage) error) (*deadLetters, error) {
	d := &deadLetters{nextID: 1}
	var err error
	d.log, err = openSegments(deadLetterFolder(dataDir), asideFolder(dataDir), 0, func(_ uint64, body []byte) error {
		var e entry
		if json.Unmarshal(body, &e) == nil && e.Letter != nil { // else it is a mark, or of another version: it stays where it is
			d.nextID = max(d.nextID, e.Letter.ID+1)
			visit(e)
		}
		return nil
	}, damaged)
	return d, err
}

// add makes letters durable and gives them their IDs.
func (d *deadLetters) add(letters []entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var records []byte
	for i := range letters {
		letters[i].Letter.ID = d.nextID + uint64(i)
		var err error
		if records, err = appendEntry(records, letters[i]); err != nil {
			return err
		}
	}
	if err := d.log.commit(records); err != nil {
		return fmt.Errorf("keep %d dead letters: %w", len(letters), err)
	}
	d.nextID += uint64(len(letters))
	return nil
}

func (d *deadLetters) markReplayed(ids []uint64, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	record, err := appendEntry(nil, entry{Replayed: &Replayed{IDs: ids, Time: now}})
	if err != nil {
		return err
	}
	return d.log.commit(record)
}

func appendEntry(dst []byte, e entry) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return dst, fmt.Errorf("write dead letter as JSON: %w", err)
	}
	return appendRecord(dst, func(b []byte) []byte { return append(b, body...) }), nil
}

// A StoredLetter is a dead letter as it stands in the store.
type StoredLetter struct {
	ingest.DeadLetter
	Replayed time.Time `json:"replayed,omitzero"` // when it was last sent through again; zero if never
}

// MarshalJSON writes the letter as [ingest.DeadLetter] does, and when it was
// replayed.
func (l StoredLetter) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(l.DeadLetter)
	if err != nil || l.Replayed.IsZero() {
		return data, err
	}
	return fmt.Appendf(data[:len(data)-1], `,"replayed":%q}`, l.Replayed.Format(time.RFC3339Nano)), nil
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (l *StoredLetter) UnmarshalJSON(data []byte) error {
	var stored struct{ Replayed time.Time }
	if err := json.Unmarshal(data, &stored); err != nil {
		return err
	}
	l.Replayed = stored.Replayed
	return json.Unmarshal(data, &l.DeadLetter)
}

// ReadDeadLetters returns the dead letters in a data folder, oldest first. It
// changes nothing, and may run beside an ingester. A folder without any is
// empty, not an error.
func ReadDeadLetters(dataDir string) ([]StoredLetter, error) {
	dir := deadLetterFolder(dataDir)
	bases, err := segmentBases(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var letters []StoredLetter
	byID := make(map[uint64]int)
	for _, base := range bases {
		data, err := os.ReadFile((&segments{dir: dir}).path(base))
		if err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		for at := 0; at < len(data); {
			record := wholeRecord(data[at:])
			if record == nil { // damaged, or being written now
				at = nextRecord(data, at+1)
				continue
			}
			at += len(record)
			var e entry
			if record[headerBytes] == hole || json.Unmarshal(record[headerBytes:], &e) != nil {
				continue
			}
			if e.Letter != nil {
				byID[e.Letter.ID] = len(letters)
				letters = append(letters, StoredLetter{DeadLetter: *e.Letter})
			}
			if e.Replayed != nil {
				for _, id := range e.Replayed.IDs {
					if i, ok := byID[id]; ok {
						letters[i].Replayed = e.Replayed.Time
					}
				}
			}
		}
	}
	return letters, nil
}
