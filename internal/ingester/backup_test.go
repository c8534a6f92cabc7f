package ingester

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/ingest"
	"tofuwatch/ingest/spool"
	"tofuwatch/internal/backup"
	"tofuwatch/internal/site"
)

// restoreInto restores a backup for a site of its own and opens it.
func restoreInto(t *testing.T, archive string) *ingester {
	t.Helper()
	s := newPlace(t).site(t, "ipal-01")
	_, err := Restore(archive, s.File, func() (*site.Site, error) { return s, nil })
	if err != nil {
		t.Fatal(err)
	}
	i := opened(t, s)
	t.Cleanup(func() {
		if err := i.close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// Wherever the writer was and whatever was saved: what was taken before a backup is
// in it, in the spool or among what the cursor says InfluxDB has.
func TestBackupHoldsWhatWasTaken(t *testing.T) {
	const topic = "tofu/ipal-01/readings"
	for name, between := range map[string]func(t *testing.T, i *ingester){
		"nothing drained": func(*testing.T, *ingester) {},
		"drained":         drain,
		"drained and saved": func(t *testing.T, i *ingester) {
			drain(t, i)
			if err := i.save(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPlace(t).site(t, "ipal-01")
			i := opened(t, s)
			i.take(t, topic, cod(1, 100))
			i.take(t, topic, `{"time":"2026-11-23T07:00:00Z","cod":"much"}`)
			between(t, i)
			i.take(t, topic, cod(2, 200))
			before, latest := i.spool.Health().Ledger, i.latest(t)
			archive := filepath.Join(t.TempDir(), "b.tar.zst")
			answers := make(chan struct{})
			go func() { // as the running ingester does
				defer close(answers)
				i.makeSnapshots(t.Context(), nil)
			}()
			if _, err := Backup(t.Context(), s, archive, BackupOptions{Program: "test"}, silent); err != nil {
				t.Fatal(err)
			}
			i.take(t, topic, cod(3, 300)) // later

			restored := restoreInto(t, archive)
			if diff := cmp.Diff(restored.spool.Health().Ledger, before); diff != "" {
				t.Errorf("ledger (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(restored.latest(t), latest); diff != "" {
				t.Errorf("latest values (-got +want):\n%s", diff)
			}
			letters, err := spool.ReadDeadLetters(restored.site.DataDir)
			if err != nil || len(letters) != 1 {
				t.Errorf("got dead letters %v, error %v; want one", letters, err)
			}
		})
	}
}

func TestBackupOfAFolderAtRest(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	i := opened(t, s)
	i.take(t, "tofu/ipal-01/readings", cod(1, 100))
	if err := i.close(); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "b.tar.zst")
	m, err := Backup(t.Context(), s, archive, BackupOptions{Snapshot: func(folder string) error {
		return errors.Join(os.Mkdir(folder, 0o750), os.WriteFile(filepath.Join(folder, "shard"), []byte("x"), 0o600))
	}}, silent)
	if err != nil {
		t.Fatal(err)
	}
	if !m.InfluxDB {
		t.Error("got a backup without InfluxDB, want one with")
	}
	if _, err := os.Stat(snapshotFolder(s)); err == nil {
		t.Error("the snapshot is still there, want it removed")
	}
	restored := restoreInto(t, archive)
	if got := restored.spool.Health().Pending; got != 1 {
		t.Errorf("got %d readings pending, want 1", got)
	}
	if _, err := os.Stat(filepath.Join(restored.site.DataDir, "influxdb", "shard")); err != nil {
		t.Errorf("InfluxDB's part: %v", err)
	}
	if _, err := Backup(t.Context(), s, filepath.Join(s.DataDir, "b"), BackupOptions{}, silent); err == nil {
		t.Error("got no error of a backup into the data folder, want one")
	}
}

// A restore that was cut off keeps the ingester from starting, and can be done again.
func TestRestoreAfterItWasCutOff(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	i := opened(t, s)
	i.take(t, "tofu/ipal-01/readings", cod(1, 100))
	if err := i.close(); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "b.tar.zst")
	if _, err := Backup(t.Context(), s, archive, BackupOptions{}, silent); err != nil {
		t.Fatal(err)
	}
	to := newPlace(t).site(t, "ipal-01")
	for _, dir := range []string{"restoring/spool", "spool"} {
		if err := os.MkdirAll(filepath.Join(to.DataDir, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(to, Options{}, silent); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Fatalf("got error %v of a start, want one that the restore was cut off", err)
	}
	load := func() (*site.Site, error) { return to, nil }
	if _, err := Restore(archive, to.File, load); err != nil {
		t.Fatal(err)
	}
	j := opened(t, to)
	if got := j.spool.Health().Pending; got != 1 {
		t.Errorf("got %d readings pending, want 1", got)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(archive, to.File, load); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("got error %v of another restore, want one that the folder is not empty", err)
	}
}

// A release that is too old changes nothing.
func TestNewerDataFolderIsLeftAlone(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	if err := os.MkdirAll(s.DataDir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"format": "2\n", "care.json": "of another kind"} {
		if err := os.WriteFile(filepath.Join(s.DataDir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(s, Options{}, silent); !errors.Is(err, spool.ErrNewer) {
		t.Errorf("got error %v, want %v", err, spool.ErrNewer)
	}
	entries, err := os.ReadDir(s.DataDir)
	if err != nil || len(entries) != 2 {
		t.Errorf("got %v in the folder, error %v; want the two files as they were", entries, err)
	}
	archive := filepath.Join(t.TempDir(), "b.tar.zst")
	if _, err := backup.Write(t.Context(), archive, backup.Manifest{DataFormat: spool.Format + 1}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(archive, s.File, nil); !errors.Is(err, backup.ErrNewer) {
		t.Errorf("got error %v of restoring a newer backup, want %v", err, backup.ErrNewer)
	}
}

// The watchdog is about what a new start mends: a writer that stands still is, a
// full disk is not.
func TestWatchdogSeesAWriterThatStandsStill(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	i := opened(t, s)
	registry := prometheus.NewRegistry()
	registry.MustRegister(i.exporter)
	if err := i.works(t.Context(), registry, time.Minute); err != nil {
		t.Errorf("got error %v of one that works, want none", err)
	}
	stuck, release := make(chan struct{}), make(chan struct{})
	go i.pipeline.Keep(ingest.Outcome{}, func(error) { close(stuck); <-release })
	<-stuck
	if err := i.works(t.Context(), registry, 50*time.Millisecond); err == nil {
		t.Error("got no error while the writer stands still, want one")
	}
	close(release)
	if err := i.works(t.Context(), registry, time.Minute); err != nil {
		t.Errorf("got error %v when it goes on, want none", err)
	}
	if err := i.close(); err != nil {
		t.Fatal(err)
	}
	full, err := open(s, Options{SpoolLimit: 1}, silent)
	if err != nil {
		t.Fatal(err)
	}
	if err := full.works(t.Context(), registry, time.Minute); err != nil {
		t.Errorf("got error %v of one whose spool is full, want none", err)
	}
	if err := full.spool.Close(); err != nil {
		t.Fatal(err)
	}
}
