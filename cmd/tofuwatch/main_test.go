package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tofuwatch/internal/testenv"
)

// The scripts run the built command. Each names what a person types, and what
// comes back.
func TestScripts(t *testing.T) {
	t.Parallel()
	command := testenv.Command(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(command)+string(filepath.ListSeparator)+e.Getenv("PATH"))
			return nil
		},
	})
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := filepath.Join(dir, "site.yaml")
	siteFile{
		broker: "tcp://127.0.0.1:1", influx: "http://127.0.0.1:1", bucket: "water", listen: "127.0.0.1:0",
		dataDir: filepath.Join(dir, "data"), stations: []string{"ipal-01"},
	}.write(t, good)
	bad := filepath.Join(dir, "bad.yaml")
	writeFile(t, bad, "site: semarang\n")
	results := filepath.Join(dir, "results.csv")
	writeFile(t, results, "date,COD (mg/L)\n2025-10-05,286.5\n")
	for _, tt := range []struct {
		args string // GOOD and BAD stand for site files, FILE for one of a laboratory
		want int
	}{
		{"", usage},
		{"--help", done},
		{"--version", done},
		{"help", done},
		{"help ingest", done},
		{"ingst", usage},
		{"--no-such-flag", usage},
		{"check", usage},
		{"check --help", done},
		{"check --config", usage},
		{"check --config " + filepath.Join(dir, "none.yaml"), usage},
		{"check --config BAD", usage},
		{"check --config GOOD", done},
		{"check --config GOOD --live", failed},
		{"check --config GOOD more", usage},
		{"check --config GOOD --no-such-flag", usage},
		{"backup --config GOOD", usage},
		{"backup --config BAD --out " + filepath.Join(dir, "b"), usage},
		{"restore --config GOOD", usage},
		{"restore --from none --config GOOD", failed},
		{"web", usage},
		{"web --out DIR", usage},
		{"ready --config BAD", usage},
		{"ready --config GOOD", failed},
		{"ingest", usage},
		{"ingest --config BAD", usage},
		{"ingest --config GOOD more", usage},
		{"ingest --config GOOD --spool-mib 0", usage},
		{"ingest --config GOOD --spool-mib much", usage},
		{"import", usage},
		{"import FILE", usage},
		{"import --config GOOD", usage},
		{"import FILE --config BAD", usage},
		{"import FILE --config GOOD --dry-run", failed}, // no column says which station
		{"import FILE --config GOOD --dry-run --station ipal-01", done},
		{"import FILE --config GOOD --dry-run --station ipal-09", usage},
		{"import FILE --config GOOD --dry-run --station ipal-01 --as laboratory", usage},
		{"import FILE --config GOOD --dry-run --station ipal-01 --as guess", done},
		{"import FILE --config GOOD --dry-run --station ipal-01 --method estimate", usage},
		{"import FILE --config GOOD --dry-run --station ipal-01 --decimal ;", usage},
		{"import FILE --config GOOD --dry-run --station ipal-01 --language jv", usage},
		{"import FILE --config GOOD --dry-run --station ipal-01 --report /no/such/folder/x.csv", failed},
		{"import FILE none.csv --config GOOD --dry-run --station ipal-01", failed},
		{"import FILE --config GOOD --station ipal-01", done},
		{"decode", usage},
		{"decode --format tofuwatch more", usage},
		{"decode --format xml", usage},
		{"decode --format tofuwatch --config BAD", usage},
		{"decode --config GOOD", usage},
		{"deadletter", usage},
		{"deadletter lst", usage},
		{"deadletter list", usage},
		{"deadletter list --config GOOD", done},
		{"deadletter list --config GOOD --reason refused", done},
		{"deadletter list --config GOOD --reason because", usage},
		{"deadletter list --config BAD", usage},
		{"deadletter show --config GOOD", usage},
		{"deadletter show first --config GOOD", usage},
		{"deadletter show 0 --config GOOD", usage},
		{"deadletter show 1 --config GOOD", failed},
		{"deadletter show 1 2 --config GOOD", usage},
		{"deadletter show 1 --raw --json --config GOOD", usage},
		{"deadletter replay --config GOOD", usage},
		{"deadletter replay --all 1 --config GOOD", usage},
		{"deadletter replay --all --reason refused --config GOOD", usage},
		{"deadletter replay --reason because --config GOOD", usage},
		{"deadletter replay --all --config GOOD", done},
		{"deadletter replay 1 --config GOOD", failed},
		{"deadletter replay -1 --config GOOD", usage},
		{"fit", usage},
		{"fit bod --config GOOD", usage},
		{"fit bod --config GOOD --station ipal-01", failed},
		{"fit bod --config GOOD --station ipal-01 --score", failed},
		{"fit bod --config GOOD --station ipal-01 --with ph", usage},
		{"fit bod --config GOOD --station ipal-01 --window 0s", usage},
		{"fit bod --config GOOD --station ipal-01 --from soon", usage},
		{"fit bod --config GOOD --station ipal-01 --from 2026-02-01 --to 2026-01-01", usage},
		{"fit bod --config GOOD --station ipal-01 --lab none.csv", usage},
		{"calibrate --config GOOD", usage},
		{"calibrate --config BAD --station ipal-01 --parameter ph --before 7.1 --reference 7", usage},
		{"calibrate --config GOOD --station ipal-01 --parameter ph --before much --reference 7", usage},
		{"calibrate --config GOOD --station ipal-01 --parameter ph --before NaN --reference 7", usage},
		{"calibrate --config GOOD --station ipal-01 --parameter ph --before 7.1 --reference 7", done},
		{"calibrate --config GOOD --station ipal-01 --parameter ph --before 7.1 --reference 7 --json", done},
		{"calibrate --config GOOD --station ipal-01 --parameter ph --before 7.1", failed},
		{"calibrate --config GOOD --station ipal-99 --parameter ph --before 7.1 --reference 7", failed},
	} {
		t.Run(strings.ReplaceAll(tt.args, dir, ""), func(t *testing.T) {
			args := strings.Fields(strings.NewReplacer("GOOD", good, "BAD", bad, "FILE", results).Replace(tt.args))
			var stdout, stderr bytes.Buffer
			if got := run(t.Context(), args, &stdout, &stderr); got != tt.want {
				t.Errorf("got status %d, want %d\nstandard output: %s\nstandard error: %s", got, tt.want, &stdout, &stderr)
			}
			if tt.want == usage && stderr.Len() == 0 {
				t.Error("nothing on standard error says what is wrong")
			}
		})
	}
}

// What keeps an ingester from starting is told at once.
func TestIngestDoesNotStart(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	site := siteFile{
		broker: "tcp://127.0.0.1:1", influx: "http://127.0.0.1:1", bucket: "water", listen: listener.Addr().String(),
		dataDir: filepath.Join(dir, "data"), stations: []string{"ipal-01"},
	}
	for _, tt := range []struct {
		name   string
		change func(s *siteFile)
		want   string
	}{
		{"port in use", func(*siteFile) {}, "address already in use"},
		{"data folder in use", func(s *siteFile) {
			s.listen = "127.0.0.1:0"
			ctx, cancel := context.WithCancel(t.Context())
			first := make(chan int, 1)
			file := filepath.Join(dir, "first.yaml")
			s.write(t, file)
			go func() { first <- run(ctx, []string{"ingest", "--config", file}, new(bytes.Buffer), new(bytes.Buffer)) }()
			t.Cleanup(func() {
				cancel()
				if got := <-first; got != done {
					t.Errorf("got status %d of the first ingester, want %d", got, done)
				}
			})
			testenv.Eventually(t, func() error {
				_, err := os.Stat(filepath.Join(s.dataDir, "spool", "cursor"))
				return err
			})
		}, "in use by another process"},
		{"data folder is a file", func(s *siteFile) {
			s.listen = "127.0.0.1:0"
			s.dataDir = filepath.Join(dir, "file")
			writeFile(t, s.dataDir, "")
		}, "not a directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := site
			tt.change(&s)
			file := filepath.Join(dir, "site.yaml")
			s.write(t, file)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var stdout, stderr bytes.Buffer
			if got := run(ctx, []string{"ingest", "--config", file}, &stdout, &stderr); got != failed || ctx.Err() != nil {
				t.Errorf("got status %d (%v), want %d", got, ctx.Err(), failed)
			}
			if !strings.Contains(stderr.String(), tt.want) {
				t.Errorf("got %q, want it to say %q", &stderr, tt.want)
			}
		})
	}
}

func TestShippedSiteFilesAreValid(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got site files %v, %v in deploy, want at least one", files, err)
	}
	for _, file := range files {
		var stdout, stderr bytes.Buffer
		if got := run(t.Context(), []string{"check", "--config", file}, &stdout, &stderr); got != done || stderr.Len() > 0 {
			t.Errorf("check %s: got status %d, want %d:\n%s", file, got, done, &stderr)
		}
	}
}

// The README shows what a faulty file looks like.
func TestFaultsInReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if got := run(t.Context(), []string{"check", "--config", "testdata/site.yaml"}, &stdout, &stderr); got != usage {
		t.Errorf("got status %d, want %d", got, usage)
	}
	if lines := strings.ReplaceAll(stderr.String(), "testdata/", ""); !strings.Contains(string(readme), "\n"+lines) {
		t.Errorf("README.md does not show these lines:\n%s", lines)
	}
}
