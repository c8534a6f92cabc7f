package alternatives

import (
	"database/sql"
	"errors"
	"iter"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqlite is a Store in one table, with SQLite's write-ahead log before it. The
// log has checksums, the database file has none.
type sqlite struct{ db *sql.DB }

func openSQLite(dir string, _ Options) (Store, error) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "spool.db"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // the settings are the connection's
	for _, q := range []string{
		"PRAGMA auto_vacuum = INCREMENTAL", // or the file never shrinks
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA wal_autocheckpoint = 100", // pages; at 1,000 a full disk would find 4 MB in the log
		"PRAGMA cell_size_check = ON",
		"CREATE TABLE IF NOT EXISTS record (n INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL)",
	} {
		if _, err := db.Exec(q); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return sqlite{db}, nil
}

func (s sqlite) Append(records [][]byte) error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after the commit
	for _, r := range records {
		if _, err := tx.Exec("INSERT INTO record (data) VALUES (?)", r); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Records looks each number up by itself: a scan would end at the first
// damaged page.
func (s sqlite) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var last int64
		if err := s.db.QueryRow("SELECT seq FROM sqlite_sequence WHERE name = 'record'").Scan(&last); err != nil {
			if !errors.Is(err, sql.ErrNoRows) { // nothing was ever stored
				yield(nil, err)
			}
			return
		}
		for n := int64(1); n <= last; n++ {
			var data []byte
			err := s.db.QueryRow("SELECT data FROM record WHERE n = ?", n).Scan(&data)
			if errors.Is(err, sql.ErrNoRows) { // truncated
				continue
			}
			if !yield(data, err) {
				return
			}
		}
	}
}

// TruncateFront goes in small steps, and empties SQLite's log after each: on a
// full disk a step has only the room that the last one made.
func (s sqlite) TruncateFront(n uint64) error {
	var first sql.NullInt64
	if err := s.db.QueryRow("SELECT min(n) FROM record").Scan(&first); err != nil {
		return err
	}
	for i := first.Int64; i < int64(n); i += 20 {
		if _, err := s.db.Exec("DELETE FROM record WHERE n < ?", min(i+20, int64(n))); err != nil {
			return err
		}
		if _, err := s.db.Exec("PRAGMA incremental_vacuum"); err != nil {
			return err
		}
		if _, err := s.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			return err
		}
	}
	return nil
}

func (s sqlite) Close() error { return s.db.Close() }
