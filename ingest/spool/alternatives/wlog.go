package alternatives

import (
	"errors"
	"iter"
	"log/slog"

	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// walLog is a Store of segment files of 32 KiB pages; each record has a
// checksum. The log doesn't number its records, so this counts them.
type walLog struct {
	log   *wlog.WL
	count uint64         // records ever stored, as far as the files tell
	first map[int]uint64 // by segment, the number of its first record
}

// openWlog does what Prometheus does at its start: read everything, and have a
// fault repaired.
func openWlog(dir string, opts Options) (Store, error) {
	logger := slog.New(slog.NewTextHandler(opts.Log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := wlog.NewSize(logger, nil, dir, segmentSize, compression.None)
	if err != nil {
		return nil, err
	}
	s := &walLog{log: log, first: map[int]uint64{}}
	if err := s.replay(); err != nil {
		if err := log.Repair(err); err != nil {
			return nil, errors.Join(err, log.Close())
		}
	}
	return s, nil
}

// replay reads the whole log to learn which record is where.
func (s *walLog) replay() error {
	segments, err := wlog.NewSegmentsReader(s.log.Dir())
	if err != nil {
		return err
	}
	defer segments.Close()
	r := wlog.NewReader(segments)
	for r.Next() {
		if s.count == 0 {
			s.count = number(r.Record()) - 1 // what came before is truncated
		}
		s.stored(r.Segment(), 1)
	}
	return r.Err()
}

// stored counts n records that are now in segment.
func (s *walLog) stored(segment, n int) {
	if _, ok := s.first[segment]; !ok {
		s.first[segment] = s.count + 1
	}
	s.count += uint64(n)
}

func (s *walLog) Append(records [][]byte) error {
	if err := s.log.Log(records...); err != nil {
		return err
	}
	if err := s.log.Sync(); err != nil {
		return err
	}
	segment, _, err := s.log.LastSegmentAndOffset()
	if err != nil {
		return err
	}
	s.stored(segment, len(records))
	return nil
}

func (s *walLog) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		segments, err := wlog.NewSegmentsReader(s.log.Dir())
		if err != nil {
			yield(nil, err)
			return
		}
		defer segments.Close()
		r := wlog.NewReader(segments)
		for r.Next() {
			if !yield(r.Record(), nil) {
				return
			}
		}
		if err := r.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// TruncateFront drops whole segments. A batch is booked under the segment it
// ends in, though it may begin in the one before: that one stays too.
func (s *walLog) TruncateFront(n uint64) error {
	keep := 0
	for segment, first := range s.first {
		if first <= n {
			keep = max(keep, segment-1)
		}
	}
	return s.log.Truncate(keep)
}

func (s *walLog) Close() error { return s.log.Close() }
