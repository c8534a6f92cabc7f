package alternatives

import (
	"iter"

	"github.com/tidwall/wal"
)

// tidwall is a Store of numbered segment files; an entry is a length and its
// bytes, without a checksum.
type tidwall struct{ log *wal.Log }

func openTidwall(dir string, _ Options) (Store, error) {
	log, err := wal.Open(dir, &wal.Options{SegmentSize: segmentSize})
	if err != nil {
		return nil, err
	}
	return tidwall{log}, nil
}

func (s tidwall) Append(records [][]byte) error {
	last, err := s.log.LastIndex()
	if err != nil {
		return err
	}
	var b wal.Batch
	for i, r := range records {
		b.Write(last+1+uint64(i), r)
	}
	return s.log.WriteBatch(&b)
}

func (s tidwall) Records() iter.Seq2[[]byte, error] {
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
			if !yield(s.log.Read(i)) {
				return
			}
		}
	}
}

func (s tidwall) TruncateFront(n uint64) error { return s.log.TruncateFront(n) }

func (s tidwall) Close() error { return s.log.Close() }
