// Package alternatives asks whether a library could be the spool's storage. It
// puts each candidate behind the few calls that a spool makes and shows, in
// tests, what becomes of its records under the faults a spool must survive.
// README.md holds the answer; nothing of Tofuwatch imports this package.
package alternatives

import (
	"io"
	"iter"
)

// A Store keeps records on disk in the order they came: what a spool needs of
// a library, and no more.
type Store interface {
	// Append stores all records, or says why not. Without an error they are
	// synced: one sync for all of them where the library can do that.
	Append(records [][]byte) error

	// Records yields what is kept, oldest first, and an error in the place of
	// what can't be read; it goes on after that as far as the library can. A
	// record may be kept until the next one is asked for.
	Records() iter.Seq2[[]byte, error]

	// TruncateFront forgets the records stored before the nth of all times,
	// counted from 1, and gives their space back as far as the library does.
	// It may keep more than it was asked to.
	TruncateFront(n uint64) error

	// Close gives up the files.
	Close() error
}

// Options are what a candidate is opened with.
type Options struct {
	Limit int64     // the most bytes it may hold, where the library knows such a bound
	Log   io.Writer // gets the library's own warnings and errors, one a line
}

// A Candidate is a library that could be the storage.
type Candidate struct {
	Name   string // as people call it, and in the README's table
	Module string // its path

	// Open opens the store in dir, or makes one, the way the library's
	// documentation tells.
	Open func(dir string, opts Options) (Store, error)

	// Data is the glob pattern, below dir, of the files with records, whose
	// names sort by age.
	Data string

	// Commit is the number of bytes at the front of the data file that a
	// library writes last of all, after it has synced the rest, to make an
	// append visible; 0 for a log, where the records themselves do that.
	Commit int
}

// segmentSize is the size of a file of records where the library lets us
// choose: small, so that an experiment of a few megabytes has several.
const segmentSize = 1 << 20

// Candidates are the libraries that are compared.
var Candidates = []Candidate{
	{Name: "tidwall wal", Module: "github.com/tidwall/wal", Open: openTidwall, Data: "[0-9]*"},
	{Name: "hashicorp raft-wal", Module: "github.com/hashicorp/raft-wal", Open: openRaftWAL, Data: "*.wal"},
	{Name: "Prometheus wlog", Module: "github.com/prometheus/prometheus", Open: openWlog, Data: "[0-9]*"},
	{Name: "bbolt", Module: "go.etcd.io/bbolt", Open: openBolt, Data: "spool.db", Commit: 2 * 4096},
	{Name: "modernc SQLite", Module: "modernc.org/sqlite", Open: openSQLite, Data: "spool.db"},
	{Name: "NATS JetStream", Module: "github.com/nats-io/nats-server/v2", Open: openJetStream, Data: "jetstream/*/streams/*/msgs/*.blk"},
}
