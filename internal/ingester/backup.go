package ingester

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"tofuwatch/ingest/spool"
	"tofuwatch/internal/backup"
	"tofuwatch/internal/site"
)

// BackupOptions say what goes into a backup.
type BackupOptions struct {
	Program     string // that makes it, with its version
	WithSecrets bool   // also passwords, tokens and keys that the site file names
	// Snapshot copies what InfluxDB has stored into a folder, where no ingester
	// runs and InfluxDB would run with it. It may be nil.
	Snapshot func(folder string) error
}

// Backup writes a backup of a site into file: all that is in its data folder, the
// site file, and the files that it names. All that was acknowledged before the
// call is in it, but for what InfluxDB has stored, unless InfluxDB runs in the
// same process as the ingester.
//
// Where an ingester runs on the data folder, it goes on, and makes the snapshot
// that is backed up.
func Backup(ctx context.Context, s *site.Site, file string, o BackupOptions, log *slog.Logger) (m backup.Manifest, err error) {
	out, err := filepath.Abs(file)
	if err != nil {
		return m, fmt.Errorf("write backup: %w", err)
	}
	if _, err := os.Stat(s.DataDir); err != nil {
		return m, fmt.Errorf("look at data_dir: %w", err)
	}
	if inside, err := filepath.Rel(s.DataDir, out); err == nil && filepath.IsLocal(inside) {
		return m, fmt.Errorf("%s lies in data_dir, and would be lost with it; want another place, best on another disk", file)
	}
	lock := snapshotLock(s)
	switch ok, err := lock.TryLock(); {
	case err != nil:
		return m, fmt.Errorf("lock snapshot: %w", err)
	case !ok:
		return m, fmt.Errorf("another backup of %s is being made; wait for its end", s.DataDir)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file unlocks it
	if err := giveTo(s.DataDir, lock.Path()); err != nil {
		return m, err
	}
	m = backup.Manifest{Program: o.Program, Site: s.Name, DataFormat: spool.Format, Made: time.Now().UTC().Truncate(time.Second)}
	taken, release, err := takeSnapshot(ctx, s, o, log)
	if err != nil {
		return m, err
	}
	defer release()
	m.InfluxDB = taken.InfluxDB
	members, err := snapshotMembers(s, taken)
	if err != nil {
		return m, err
	}
	ofSite, err := siteMembers(s, o.WithSecrets, &m)
	if err != nil {
		return m, err
	}
	return backup.Write(ctx, out, m, append(members, ofSite...))
}

// takeSnapshot has the owner of the data folder make a snapshot, or becomes the
// owner. release is to be called when it was read.
func takeSnapshot(ctx context.Context, s *site.Site, o BackupOptions, log *slog.Logger) (taken snapshot, release func(), err error) {
	i, err := open(s, Options{}, log)
	if errors.Is(err, spool.ErrInUse) {
		taken, err := snapshotDesk(s).ask(ctx, struct{}{})
		if err == nil && taken.Problem != "" {
			err = fmt.Errorf("the ingester could make no snapshot: %s", taken.Problem)
		}
		return taken, func() {}, err // the ingester removes it
	}
	if err != nil {
		return snapshot{}, nil, err
	}
	release = func() {
		if err := errors.Join(os.RemoveAll(snapshotFolder(s)), i.close()); err != nil {
			log.Warn("data folder not left as it was", "err", err)
		}
		i.client.Close()
	}
	if taken, err = i.snapshot(o.Snapshot); err != nil {
		release()
	}
	return taken, release, err
}

// snapshotMembers lists the files of a snapshot.
func snapshotMembers(s *site.Site, taken snapshot) ([]backup.Member, error) {
	var members []backup.Member
	folder := snapshotFolder(s)
	found := make(map[string]bool)
	err := fs.WalkDir(os.DirFS(folder), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		size, grows := taken.Sizes[name]
		if !grows {
			size = -1
		}
		found[name] = true
		members = append(members, backup.Member{Name: "data/" + name, Path: filepath.Join(folder, name), Bytes: size})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(taken.Sizes)) {
		if !found[name] {
			return nil, fmt.Errorf("read snapshot: %s has disappeared", name)
		}
	}
	return members, nil
}

// siteMembers lists the site file, and the files that it names in its own folder
// or below; m tells of those that are left out.
func siteMembers(s *site.Site, secrets bool, m *backup.Manifest) ([]backup.Member, error) {
	file, err := filepath.Abs(s.File)
	if err != nil {
		return nil, fmt.Errorf("back up the site file: %w", err)
	}
	m.SiteFile = filepath.Base(file)
	members := []backup.Member{{Name: "site/" + m.SiteFile, Path: file, Bytes: -1}}
	for _, f := range s.Files {
		name, err := filepath.Rel(filepath.Dir(file), f.Path)
		switch {
		case f.Secret && !secrets:
			m.LeftOut = append(m.LeftOut, f.Path+" (a secret)")
			continue
		case err != nil || !filepath.IsLocal(name):
			m.LeftOut = append(m.LeftOut, f.Path+" (not in the folder of the site file)")
			continue
		}
		member := backup.Member{Name: "site/" + filepath.ToSlash(name), Path: f.Path, Bytes: -1}
		if !slices.Contains(members, member) {
			members = append(members, member)
		}
	}
	return members, nil
}

// restoringName is the folder in a data folder that is being restored: what is in
// it is not in its place yet.
const restoringName = "restoring"

// restored returns an error if a restore into a data folder has not ended.
func restored(dataDir string) error {
	if _, err := os.Stat(filepath.Join(dataDir, restoringName)); err == nil {
		return fmt.Errorf("a restore into %s was cut off; start \"tofuwatch restore\" again", dataDir)
	}
	return nil
}

// Restore brings a backup back: the data folder of the site file config, which
// must be empty, and where there is no site file the one of the backup with the
// files that it names. The backup is read to its end before anything is written.
// load loads the site file.
func Restore(file, config string, load func() (*site.Site, error)) (backup.Manifest, error) {
	m, err := backup.Verify(file)
	if err != nil {
		return m, err
	}
	if m.DataFormat > spool.Format {
		return m, fmt.Errorf("%s: is %w: its data folder has format %d, and this release knows those up to %d", file, backup.ErrNewer, m.DataFormat, spool.Format)
	}
	if _, err := os.Stat(config); errors.Is(err, fs.ErrNotExist) {
		if err := restoreSite(file, config, m); err != nil {
			return m, err
		}
	}
	s, err := load()
	if err != nil {
		return m, err
	}
	return m, restoreData(file, s.DataDir)
}

// restoreSite puts the site file of a backup where config says, and what it names
// beside it. Files that are there already stay as they are.
func restoreSite(file, config string, m backup.Manifest) error {
	dir := filepath.Dir(config)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("restore the site file: %w", err)
	}
	temporary, err := os.MkdirTemp(dir, ".restoring-")
	if err != nil {
		return fmt.Errorf("restore the site file: %w", err)
	}
	defer os.RemoveAll(temporary)
	names, err := backup.Extract(file, "site", temporary)
	if err != nil {
		return err
	}
	// The site file last: as long as it is missing, all of this is done again.
	names = append(slices.DeleteFunc(names, func(name string) bool { return name == m.SiteFile }), m.SiteFile)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("restore the site file: %w", err)
	}
	defer root.Close()
	for _, name := range names {
		to := name
		if name == m.SiteFile {
			to = filepath.Base(config)
		}
		if _, err := root.Lstat(to); err == nil {
			continue
		}
		err := root.MkdirAll(filepath.Dir(to), 0o750)
		if err == nil {
			err = root.Rename(filepath.Join(filepath.Base(temporary), name), to)
		}
		if err != nil {
			return fmt.Errorf("restore %s: %w", to, err)
		}
	}
	return nil
}

// restoreData fills an empty data folder. Everything is on disk before the first
// of it gets its name, and no ingester starts before the last of it has.
func restoreData(file, dataDir string) error {
	if err := os.MkdirAll(dataDir, 0o750); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	cutOff, err := restorable(dataDir)
	if err != nil {
		return err
	}
	lock := flock.New(filepath.Join(dataDir, "lock"))
	switch ok, err := lock.TryLock(); {
	case err != nil:
		return fmt.Errorf("lock data folder: %w", err)
	case !ok:
		return fmt.Errorf("%s: %w", dataDir, spool.ErrInUse)
	}
	defer lock.Unlock() //nolint:errcheck // closing the file unlocks it
	restoring := filepath.Join(dataDir, restoringName)
	if cutOff {
		if err := os.RemoveAll(restoring); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	if err := os.Mkdir(restoring, 0o750); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if _, err := backup.Extract(file, "data", restoring); err != nil {
		return errors.Join(err, os.RemoveAll(restoring))
	}
	entries, err := os.ReadDir(restoring)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for _, e := range entries {
		to := filepath.Join(dataDir, e.Name())
		if cutOff { // what an earlier try has put there
			if err := os.RemoveAll(to); err != nil {
				return fmt.Errorf("restore: %w", err)
			}
		}
		if err := os.Rename(filepath.Join(restoring, e.Name()), to); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		if err := giveTo(dataDir, to); err != nil {
			return err
		}
	}
	if err := errors.Join(syncFolder(dataDir), os.Remove(restoring), giveTo(dataDir, lock.Path())); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// restorable returns an error unless a data folder is empty, or what is in it
// comes from a restore that was cut off.
func restorable(dataDir string) (cutOff bool, err error) {
	if restored(dataDir) != nil {
		return true, nil
	}
	entries, err := os.ReadDir(dataDir)
	if err != nil {
		return false, fmt.Errorf("restore: %w", err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "lock" && name != "lost+found" {
			return false, fmt.Errorf("%s is not empty: it has %q; nothing was restored. Name another data_dir, or move what is there away", dataDir, name)
		}
	}
	return false, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// giveTo gives files, and all below, to the owner of a folder, where root works on
// what the service's own user has to read.
func giveTo(folder, file string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return filepath.WalkDir(file, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, int(owner.Uid), int(owner.Gid))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the service was faster
		}
		return err
	})
}
