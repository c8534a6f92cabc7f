package ingester

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"

	"tofuwatch/internal/site"
)

// A snapshot is the data folder as of one moment, in the folder "snapshot" in it.
// Whoever owns the data folder makes it, in milliseconds, since most of it is
// links. Who asked holds the lock beside it while it is read; without that it is
// removed.
type snapshot struct {
	Sizes    map[string]int64 `json:"sizes"` // bytes of files that grow, by the path in the folder
	InfluxDB bool             `json:"influxdb"`
	Problem  string           `json:"problem,omitempty"` // why there is none; empty if there is
}

func snapshotFolder(s *site.Site) string { return filepath.Join(s.DataDir, "snapshot") }

func snapshotLock(s *site.Site) *flock.Flock {
	return flock.New(filepath.Join(s.DataDir, "snapshot.lock"), flock.SetPermissions(0o660))
}

func snapshotDesk(s *site.Site) desk[struct{}, snapshot] {
	return desk[struct{}, snapshot]{folder: filepath.Join(s.DataDir, "snapshots"), what: "make a snapshot"}
}

// notKept are entries of a data folder that a snapshot leaves out: what belongs to
// a running process, what others ask of it, and what engines in the same process
// keep in ways of their own. The spool and the dead letters are copied apart.
// Everything else is kept, so that nothing is forgotten that is added later.
var notKept = []string{
	"lock", "snapshot", "snapshot.lock", "snapshots", "replay", "notices", restoringName,
	"spool", "deadletters", registerName,
	"influxdb", "broker", "prometheus", "alertmanager", "mail",
}

// makeSnapshots answers requests for snapshots, and removes those that nobody
// reads any more, until ctx is done.
func (i *ingester) makeSnapshots(ctx context.Context, influxDB func(string) error) {
	every(ctx, lookEvery, func() {
		err := snapshotDesk(i.site).serve(func(struct{}) (snapshot, error) {
			s, err := i.snapshot(influxDB)
			if err != nil {
				s.Problem = err.Error()
			}
			return s, nil
		})
		if err != nil {
			i.log.Error("request for a snapshot not answered", "err", err)
		}
		i.removeSnapshot()
	})
}

// removeSnapshot removes a snapshot unless somebody holds its lock.
func (i *ingester) removeSnapshot() {
	if _, err := os.Stat(snapshotFolder(i.site)); err != nil {
		return
	}
	lock := snapshotLock(i.site)
	if ok, err := lock.TryLock(); err != nil || !ok {
		return
	}
	defer lock.Unlock() //nolint:errcheck // closing the file unlocks it
	if err := os.RemoveAll(snapshotFolder(i.site)); err != nil {
		i.log.Warn("old snapshot still takes room", "err", err)
	}
}

// snapshot makes the snapshot. What InfluxDB has comes after the spool: see
// [spool.Spool.Snapshot].
func (i *ingester) snapshot(influxDB func(string) error) (snapshot, error) {
	folder := snapshotFolder(i.site)
	if err := os.RemoveAll(folder); err != nil {
		return snapshot{}, fmt.Errorf("remove the snapshot before: %w", err)
	}
	if err := os.Mkdir(folder, 0o750); err != nil {
		return snapshot{}, fmt.Errorf("make snapshot: %w", err)
	}
	sizes, err := i.snapshotSpool(folder)
	if err != nil {
		return snapshot{}, err
	}
	s := snapshot{Sizes: sizes}
	if influxDB != nil {
		if err := influxDB(filepath.Join(folder, "influxdb")); err != nil {
			return snapshot{}, fmt.Errorf("make snapshot of InfluxDB: %w", err)
		}
		s.InfluxDB = true
	}
	return s, nil
}

// snapshotSpool copies the spool and what was saved of it.
func (i *ingester) snapshotSpool(folder string) (sizes map[string]int64, err error) {
	// Latest values and the register change together, or not at all.
	i.saving.Lock()
	defer i.saving.Unlock()
	return i.spool.Snapshot(folder, func() error { return i.copySaved(folder) })
}

// copySaved copies what is neither spool nor dead letters. Those files are small.
// Each is replaced as a whole when it changes, or else reading it copes with a
// torn end, as after a crash.
func (i *ingester) copySaved(folder string) error {
	// The batches first: one that is gone when the spool is copied is in there.
	err := fs.WalkDir(os.DirFS(i.site.DataDir), ".", func(name string, e fs.DirEntry, err error) error {
		switch top, _, _ := strings.Cut(name, "/"); {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it was there a moment ago
		case err != nil:
			return err
		case name == ".":
			return nil
		case slices.Contains(notKept, top), strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return os.Mkdir(filepath.Join(folder, name), 0o750)
		case !e.Type().IsRegular():
			return nil
		}
		return copyFile(filepath.Join(i.site.DataDir, name), filepath.Join(folder, name))
	})
	if err != nil {
		return fmt.Errorf("make snapshot: %w", err)
	}
	if i.register != nil {
		return i.register.Copy(filepath.Join(folder, registerName))
	}
	err = copyFile(filepath.Join(i.site.DataDir, registerName), filepath.Join(folder, registerName))
	if err != nil {
		return fmt.Errorf("make snapshot: %w", err)
	}
	return nil
}

// copyFile copies a file, unless it is not there.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
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
