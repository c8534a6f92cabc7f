package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tofuwatch/internal/testenv"
)

// A backup is made while readings come in: some are in InfluxDB by then, and some
// wait for it. On an empty machine, with the backups of both, every one is there
// that was acknowledged before.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	db := testenv.InfluxDB(t, testenv.WithDatabase("water"), testenv.WithBackups())
	n := newNetwork(t, shippedBroker(t), db)
	n.ingest()
	n.publish(2_000, 2_000)
	n.ingested(2_000)
	n.drained()
	db.Signal(syscall.SIGSTOP)
	n.publish(2_000, 2_000)
	n.ingested(4_000)
	acknowledged := len(n.expect)
	n.publish(6_000, 1_500) // goes on all the while

	dir := t.TempDir()
	archive := filepath.Join(dir, "site.tar.zst")
	if got := tofuwatch(t, "backup", "--config", n.file, "--out", archive); got.status != done {
		t.Fatalf("got status %d of a backup, want %d:\n%s", got.status, done, got.stderr)
	}
	db.Signal(syscall.SIGCONT)
	portable := filepath.Join(dir, "influxdb")
	influxd(t, "backup", "-portable", "-host", db.BackupAddr, portable)
	sent := n.expect
	n.settle() // the backup did no harm

	restoredDB := testenv.InfluxDB(t, testenv.WithBackups())
	influxd(t, "restore", "-portable", "-host", restoredDB.BackupAddr, portable)
	m := newNetwork(t, shippedBroker(t), restoredDB)
	if got := tofuwatch(t, "restore", "--config", m.file, "--from", archive); got.status != done {
		t.Fatalf("got status %d of a restore, want %d:\n%s", got.status, done, got.stderr)
	}
	m.ingest()
	l := m.drained()
	if l.received < acknowledged {
		t.Errorf("got %d readings in the ledger, want at least %d", l.received, acknowledged)
	}
	missing := 0
	got := m.readings()
	for s, want := range sent {
		v, ok := got[s]
		switch {
		case int(want) < acknowledged && !ok:
			missing++
		case ok && v != want:
			t.Errorf("got %v of %v, want %v", v, s, want)
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d readings are lost that were acknowledged before the backup, want none", missing, acknowledged)
	}
	m.stop()
}

// readings are what InfluxDB holds.
func (n *network) readings() map[sample]float64 {
	n.t.Helper()
	got := make(map[sample]float64)
	for _, row := range n.db.Query(n.t, n.database(), `SELECT cod FROM water_quality GROUP BY station`) {
		got[sample{row["station"].(string), row["time"].(time.Time).UnixMilli()}] = row["cod"].(float64)
	}
	return got
}

// ingested waits until so many readings are on the ingester's disk.
func (n *network) ingested(count int) {
	n.t.Helper()
	testenv.Eventually(n.t, func() error {
		if l := n.ledger(); l.received < count {
			return fmt.Errorf("got %d readings received, want %d", l.received, count)
		}
		return nil
	})
}

func influxd(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testenv.Program(t, "influxd"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("influxd %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// A backup that is killed at any moment leaves nothing, or all, under its name.
func TestKilledBackupLeavesNoHalf(t *testing.T) {
	t.Parallel()
	db := testenv.InfluxDB(t, testenv.WithDatabase("water"))
	n := newNetwork(t, shippedBroker(t), db)
	n.ingest()
	db.Signal(syscall.SIGSTOP)
	n.publish(2_000, 2_000)
	n.ingested(2_000)
	dir := t.TempDir()
	killed := 0
	for try := range 6 {
		archive := filepath.Join(dir, fmt.Sprintf("%d.tar.zst", try))
		p := testenv.Start(t, exec.Command(testenv.Command(t), "backup", "--config", n.file, "--out", archive))
		testenv.Eventually(t, func() error { // later each time
			entries, err := os.ReadDir(dir)
			if err != nil {
				return err
			}
			begun := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.Contains(e.Name(), fmt.Sprintf("%d.tar.zst", try)) })
			if _, err := os.Stat(filepath.Join(n.site.dataDir, "snapshot")); p.State() == nil && !begun && (try > 2 || err != nil) {
				return fmt.Errorf("not begun")
			}
			return nil
		})
		p.Kill()
		if p.State().ExitCode() < 0 {
			killed++
		}
		if _, err := os.Stat(archive); err != nil {
			continue
		}
		fresh := newNetwork(t, n.broker, n.db)
		if got := tofuwatch(t, "restore", "--config", fresh.file, "--from", archive); got.status != done {
			t.Errorf("got status %d of restoring a backup that was killed and has its name, want %d:\n%s", got.status, done, got.stderr)
		}
	}
	if killed == 0 {
		t.Error("no backup was killed before its end, want some")
	}
	db.Signal(syscall.SIGCONT)
	testenv.Eventually(t, func() error { // its room is given back
		if _, err := os.Stat(filepath.Join(n.site.dataDir, "snapshot")); err == nil {
			return fmt.Errorf("the snapshot is still there")
		}
		return nil
	})
	n.settle()
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := siteFile{broker: "tcp://127.0.0.1:1", influx: "http://127.0.0.1:1", bucket: "water", listen: "127.0.0.1:0", dataDir: filepath.Join(dir, "data"), stations: []string{"ipal-01"}}
	file, archive := filepath.Join(dir, "site.yaml"), filepath.Join(dir, "b.tar.zst")
	s.write(t, file)
	if err := os.Mkdir(s.dataDir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dataDir, "damaged"), 0o750); err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20) // that no compression makes shorter
	if _, err := rand.NewChaCha8([32]byte{}).Read(piece); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.dataDir, "damaged", "piece.bin"), string(piece))
	if got := tofuwatch(t, "backup", "--config", file, "--out", archive); got.status != done {
		t.Fatalf("got status %d of a backup, want %d:\n%s", got.status, done, got.stderr)
	}
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	for _, tt := range []struct {
		name    string
		archive []byte
		empty   bool // the data folder
		want    string
	}{
		{"data folder not empty", whole, false, "is not empty"},
		{"cut off", whole[:len(whole)/2], true, `is damaged in "data/damaged/piece.bin"`},
		{"a bit flipped", flipped, true, `is damaged in "data/damaged/piece.bin"`},
		{"no backup", []byte("site: test\n"), true, "is no backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other := filepath.Join(t.TempDir(), "b.tar.zst")
			if err := os.WriteFile(other, tt.archive, 0o600); err != nil {
				t.Fatal(err)
			}
			to := s
			if tt.empty {
				to.dataDir = filepath.Join(t.TempDir(), "data")
			}
			config := filepath.Join(t.TempDir(), "site.yaml")
			to.write(t, config)
			got := tofuwatch(t, "restore", "--config", config, "--from", other)
			if got.status != failed || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("got status %d, %q; want %d and %q", got.status, got.stderr, failed, tt.want)
			}
			if entries, _ := os.ReadDir(to.dataDir); tt.empty && len(entries) > 0 {
				t.Errorf("got %v restored, want nothing", entries)
			}
		})
	}
}

// The site file comes back with what it names, but for its secrets.
func TestRestoreBringsTheSiteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := siteFile{broker: "tcp://127.0.0.1:1", influx: "http://127.0.0.1:1", bucket: "water", listen: "127.0.0.1:0", dataDir: filepath.Join(dir, "data"), tokenFile: "influxdb.token", stations: []string{"ipal-01"}}
	file, archive := filepath.Join(dir, "site.yaml"), filepath.Join(dir, "b.tar.zst")
	s.write(t, file)
	const secret = "user:this-is-secret"
	writeFile(t, filepath.Join(dir, "influxdb.token"), secret)
	if err := os.Mkdir(s.dataDir, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		status int
	}{
		{"without secrets", nil, usage},
		{"with secrets", []string{"--with-secrets"}, done},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tofuwatch(t, append([]string{"backup", "--config", file, "--out", archive}, tt.args...)...)
			if got.status != done {
				t.Fatalf("got status %d of a backup, want %d:\n%s", got.status, done, got.stderr)
			}
			told := strings.Contains(got.stderr, "influxdb.token (a secret)")
			if want := tt.args == nil; told != want {
				t.Errorf("got the secret that is left out told %t, want %t:\n%s", told, want, got.stderr)
			}
			if err := os.RemoveAll(s.dataDir); err != nil { // it is the new machine's too
				t.Fatal(err)
			}
			config := filepath.Join(t.TempDir(), "etc", "tofuwatch.yaml")
			got = tofuwatch(t, "restore", "--config", config, "--from", archive)
			if got.status != tt.status {
				t.Errorf("got status %d, want %d:\n%s", got.status, tt.status, got.stderr)
			}
			if tt.status == usage {
				if want := "give the same command again"; !strings.Contains(got.stderr, want) {
					t.Errorf("got %q, want %q", got.stderr, want)
				}
				writeFile(t, filepath.Join(filepath.Dir(config), "influxdb.token"), secret)
				if got := tofuwatch(t, "restore", "--config", config, "--from", archive); got.status != done {
					t.Errorf("got status %d with the secret in place, want %d:\n%s", got.status, done, got.stderr)
				}
			}
			restored, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			original, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(restored, original) {
				t.Errorf("got site file\n%s\nwant\n%s", restored, original)
			}
			if token, err := os.ReadFile(filepath.Join(filepath.Dir(config), "influxdb.token")); err != nil || string(token) != secret {
				t.Errorf("got token %q, error %v; want %q", token, err, secret)
			}
		})
	}
}
