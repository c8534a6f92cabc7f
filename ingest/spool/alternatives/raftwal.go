package alternatives

import (
	"iter"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftwal "github.com/hashicorp/raft-wal"
)

// raftWAL is a Store of preallocated segment files beside a bbolt file that
// lists them; a checksum guards each append and is looked at when the last
// segment is opened.
type raftWAL struct{ log *raftwal.WAL }

func openRaftWAL(dir string, opts Options) (Store, error) {
	log, err := raftwal.Open(dir,
		raftwal.WithSegmentSize(segmentSize),
		raftwal.WithLogger(hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: opts.Log})))
	if err != nil {
		return nil, err
	}
	return raftWAL{log}, nil
}

func (s raftWAL) Append(records [][]byte) error {
	last, err := s.log.LastIndex()
	if err != nil {
		return err
	}
	entries := make([]*raft.Log, len(records))
	for i, r := range records {
		entries[i] = &raft.Log{Index: last + 1 + uint64(i), Data: r}
	}
	return s.log.StoreLogs(entries)
}

func (s raftWAL) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		first, err := s.log.FirstIndex()
		if err != nil {
			yield(nil, err)
			return
		}
		last, err := s.log.LastIndex()
		if err != nil {
			yield(nil, err)
			return
		}
		for i := max(first, 1); i <= last; i++ {
			var entry raft.Log
			err := s.log.GetLog(i, &entry)
			if !yield(entry.Data, err) {
				return
			}
		}
	}
}

func (s raftWAL) TruncateFront(n uint64) error {
	first, err := s.log.FirstIndex()
	if err != nil || n <= first {
		return err
	}
	return s.log.DeleteRange(first, n-1)
}

func (s raftWAL) Close() error { return s.log.Close() }
