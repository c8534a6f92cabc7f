package alternatives

import (
	"encoding/binary"
	"iter"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// bolt is a Store in one B+ tree file; only its two meta pages have a checksum.
type bolt struct{ db *bbolt.DB }

var boltBucket = []byte("spool")

func openBolt(dir string, opts Options) (Store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "spool.db"), 0o600, &bbolt.Options{
		Timeout:  time.Second,
		MaxSize:  int(opts.Limit),
		PageSize: 4096,
	})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(boltBucket)
		return err
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return bolt{db}, nil
}

func (s bolt) Append(records [][]byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(boltBucket)
		b.FillPercent = 1 // keys only grow
		for _, r := range records {
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			if err := b.Put(binary.BigEndian.AppendUint64(nil, n), r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s bolt) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := s.db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket(boltBucket).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				if !yield(v, nil) {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

func (s bolt) TruncateFront(n uint64) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		c := tx.Bucket(boltBucket).Cursor()
		for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) < n; k, _ = c.First() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s bolt) Close() error { return s.db.Close() }
