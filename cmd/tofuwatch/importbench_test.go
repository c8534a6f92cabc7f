//go:build bench

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"tofuwatch/internal/testenv"
)

// TestBenchImport measures what importing a logger's and a laboratory's file costs,
// of 100,000 rows and of 1,000,000, with 4 values each: until all of it is in the
// spool, without an ingester, and for the largest until InfluxDB has it.
func TestBenchImport(t *testing.T) {
	const (
		most       = time.Minute // for a million rows
		mostMemory = 2.0         // times that of a tenth of the rows
	)
	dir := t.TempDir()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "rows\tmethod\tseconds\tCPU seconds\tpeak memory\t")
	peak := make(map[string]int64) // of 100,000 rows
	for _, rows := range []int{100_000, 1_000_000} {
		file := filepath.Join(dir, fmt.Sprintf("%d.csv", rows))
		writeRows(t, file, rows)
		for _, method := range []string{"sensor", "lab"} {
			n := newNetwork(t, testenv.Mosquitto(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
			n.site.standard = "id-permenlh-5-2014-tofu"
			n.writeSite()
			cmd := exec.CommandContext(t.Context(), testenv.Command(t), "import", file, "--method", method, "--config", n.file)
			start := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("import: %v\n%s", err, out)
			}
			took := time.Since(start)
			usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			fmt.Fprintf(w, "%d\t%s\t%.1f\t%.1f\t%d MiB\t\n", rows, method, took.Seconds(),
				(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), usage.Maxrss>>10)
			if before := peak[method]; before > 0 && float64(usage.Maxrss) > mostMemory*float64(before) {
				t.Errorf("%s: got %d MiB for %d rows, and %d MiB for a tenth; want it flat", method, usage.Maxrss>>10, rows, before>>10)
			}
			peak[method] = usage.Maxrss
			if rows == 1_000_000 && took > most {
				t.Errorf("%s: got %v for %d rows, want %v at most", method, took, rows, most)
			}
			if rows == 1_000_000 && method == "sensor" {
				start = time.Now()
				n.ingest()
				testenv.Within(t, 10*time.Minute, func() error {
					l, err := n.readLedger()
					if err == nil && l.stored < 4*rows {
						err = fmt.Errorf("%d values stored", l.stored)
					}
					return err
				})
				t.Logf("InfluxDB had all of %d values %.1f s after the ingester was started", 4*rows, time.Since(start).Seconds())
				n.stop()
			}
		}
	}
	w.Flush()
	t.Logf("\n%s", &table)
}

// writeRows writes a file of a logger that reports every two minutes, with decimal
// commas.
func writeRows(t *testing.T, file string, rows int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "timestamp;station;COD (mg/L);pH;Suhu (°C);Debit (L/s)")
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		fmt.Fprintf(w, "%s;ipal-01;%d,%d;7,%02d;%d,5;0,%04d\n", at.Format("02/01/2006 15:04"), 180+i%140, i%10, i%37, 26+i%6, 1000+i%5000)
		at = at.Add(2 * time.Minute)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}
