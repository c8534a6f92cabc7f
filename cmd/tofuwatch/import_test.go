package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

// newImportNetwork returns a network with a law, and without a load on the broker.
func newImportNetwork(t testing.TB) *network {
	t.Helper()
	n := newNetwork(t, testenv.Mosquitto(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.site.standard = "id-permenlh-5-2014-tofu"
	n.writeSite()
	return n
}

// importFile runs the command on a file, and fails the test unless it ends with a
// status.
func (n *network) importFile(status int, args ...string) ending {
	n.t.Helper()
	got := tofuwatch(n.t, append([]string{"import", "--config", n.file}, args...)...)
	if got.status != status || got.stderr != "" {
		n.t.Fatalf("import %v: got exit status %d, want %d\n%s%s", args, got.status, status, got.stdout, got.stderr)
	}
	return got
}

// file writes a file beside the site file.
func (n *network) textFile(name, content string) string {
	n.t.Helper()
	file := filepath.Join(filepath.Dir(n.file), name)
	writeFile(n.t, file, content)
	return file
}

// results returns what InfluxDB has of laboratories, a value a line, sorted:
//
//	lab ipal-01 2025-10-06T00:30:00Z bod=181.5 qc=1 rev=1
func (n *network) results(parameters ...string) []string {
	n.t.Helper()
	var lines []string
	for _, p := range parameters {
		query := fmt.Sprintf(`SELECT %[1]s, %[1]s_qc, %[1]s_censor, %[1]s_revision, %[1]s_sample FROM water_quality WHERE method =~ /^lab/ GROUP BY method, station`, p)
		for _, row := range n.db.Query(n.t, "water", query) {
			if row[p] == nil {
				continue
			}
			sign := "="
			if c, ok := row[p+"_censor"].(string); ok && c != "" {
				sign = c
			}
			line := fmt.Sprintf("%s %s %s %s%s%v qc=%v rev=%v", row["method"], row["station"], row["time"].(time.Time).Format(time.RFC3339Nano), p, sign, row[p], row[p+"_qc"], row[p+"_revision"])
			if s, ok := row[p+"_sample"].(string); ok && s != "" {
				line += " " + s
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// exceedances returns the late exceedances of laboratories that are not 0, as
// "ipal-01 cod max: 2", sorted.
func (n *network) exceedances() []string {
	n.t.Helper()
	families, err := n.metrics()
	if err != nil {
		n.t.Fatal(err)
	}
	var lines []string
	for _, m := range families["tofuwatch_exceedances_total"].GetMetric() {
		labels := make(map[string]string)
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		if labels["method"] == "lab" && value(m) > 0 {
			lines = append(lines, fmt.Sprintf("%s %s %s %s: %v", labels["station"], labels["parameter"], labels["bound"], labels["timing"], value(m)))
		}
	}
	slices.Sort(lines)
	return lines
}

func wantLines(t testing.TB, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var (
	tenFaults     = "testdata/import/ten-faults.csv"
	tenFaultsGood = []string{
		"lab ipal-01 2025-10-06T00:30:00Z bod=181.5 qc=1 rev=1 S-102",
		"lab ipal-01 2025-10-06T00:30:00Z cod=412 qc=1 rev=1 S-102",
		"lab ipal-01 2025-10-06T00:30:00Z ph=5.8 qc=1 rev=1 S-102",
		"lab ipal-01 2025-10-20T00:30:00Z bod=142 qc=1 rev=1 S-101",
		"lab ipal-01 2025-10-20T00:30:00Z cod=286.5 qc=1 rev=1 S-101",
		"lab ipal-01 2025-10-20T00:30:00Z ph=6.9 qc=1 rev=1 S-101",
		"lab ipal-01 2025-10-20T00:30:00Z total_coliform>2400 qc=1 rev=1 S-101",
		"lab ipal-02 2025-10-07T00:30:00Z bod=98 qc=1 rev=1 S-103",
		"lab ipal-02 2025-10-07T00:30:00Z ph=7.1 qc=1 rev=1 S-103",
		"lab ipal-02 2025-10-10T00:30:00Z cod=24 qc=1 rev=1 S-107",
		"lab ipal-02 2025-10-10T00:30:00Z ph=7.2 qc=1 rev=1 S-107",
		"lab ipal-02 2025-10-13T07:05:00Z bod<2 qc=1 rev=1 S-110",
		"lab ipal-02 2025-10-13T07:05:00Z ph=7 qc=1 rev=1 S-110",
		"lab ipal-02 2025-10-13T07:05:00Z total_coliform=900 qc=1 rev=1 S-110",
		"lab ipal-02 2025-10-15T00:30:00Z cod=1234.5 qc=1 rev=1 S-113",
		"lab ipal-02 2025-10-15T00:30:00Z ph=6.5 qc=1 rev=1 S-113",
	}
	tenFaultsOver = []string{"ipal-01 bod max late: 1", "ipal-01 cod max late: 1", "ipal-01 ph min late: 1", "ipal-02 cod max late: 1"}
)

// A laboratory's file with 10 deliberate faults: 10 lines, every good value at its
// sample's time, its exceedances told as late; and nothing twice, whatever happens.
func TestImportOfALaboratory(t *testing.T) {
	t.Parallel()
	n := newImportNetwork(t)
	report := filepath.Join(t.TempDir(), "refused.csv")

	// First nothing but words.
	dry := n.importFile(failed, tenFaults, "--dry-run")
	if _, err := os.Stat(n.site.dataDir); err == nil {
		t.Error("a dry run made the data folder")
	}
	golden(t, "import/dry-run.txt", dry.stdout)

	n.ingest()
	first := n.importFile(failed, tenFaults, "--report", report)
	golden(t, "import/ten-faults.en.txt", first.stdout)
	if got := strings.Count(first.stdout, "ten-faults.csv:") - 1; got != 10 {
		t.Errorf("got %d lines about faults, want 10:\n%s", got, first.stdout)
	}
	refused, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "import/ten-faults.report.csv", string(refused))
	all := []string{"cod", "bod", "ph", "total_coliform"}
	books := n.drained()
	wantLines(t, "results in InfluxDB", tenFaultsGood, n.results(all...))
	wantLines(t, "exceedances", tenFaultsOver, n.exceedances())
	if books.received != len(tenFaultsGood) || books.stored != len(tenFaultsGood) {
		t.Errorf("got ledger %+v, want %d readings", books, len(tenFaultsGood))
	}
	n.metricBecomes("tofuwatch_messages_received_total", 0)

	unchanged := func(what string, n *network) {
		t.Helper()
		n.drained()
		wantLines(t, "results after "+what, tenFaultsGood, n.results(all...))
		wantLines(t, "exceedances after "+what, tenFaultsOver, n.exceedances())
		if got := n.ledger(); got.stored != books.stored {
			t.Errorf("got %d readings stored after %s, want %d as before", got.stored, what, books.stored)
		}
	}
	// The same file twice.
	again := n.importFile(failed, tenFaults, "--language", "id")
	golden(t, "import/again.id.txt", normal(again.stdout))
	unchanged("the same file again", n)

	// The same rows in another order are another file, of the same results.
	content, err := os.ReadFile(tenFaults)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(content), "\r\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, ";290;") }) // contradicts another
	slices.Reverse(lines[4:])
	shuffled := n.textFile("shuffled.csv", strings.Join(lines, "\n"))
	n.importFile(failed, shuffled)
	unchanged("the same rows in another order", n)

	// Over restarts too, the hard way.
	n.ingester.Kill()
	n.ingest()
	n.importFile(failed, tenFaults)
	n.importFile(failed, shuffled)
	n.metric("tofuwatch_exceedances_total")
	unchanged("a kill and the same files", n)

	// For an InfluxDB that lost its data.
	n.db.Exec(t, `DROP DATABASE water`)
	n.db.Exec(t, `CREATE DATABASE water`)
	n.importFile(failed, tenFaults, "--again")
	n.drained()
	wantLines(t, "results after the database was lost", tenFaultsGood, n.results(all...))
	wantLines(t, "exceedances after the database was lost", tenFaultsOver, n.exceedances())
}

// A corrected file takes the place of the first, and each earlier result is kept.
func TestImportOfACorrection(t *testing.T) {
	t.Parallel()
	n := newImportNetwork(t)
	n.ingest()
	send := func(name, rows string) string {
		t.Helper()
		out := n.importFile(done, n.textFile(name, "date;station;sample;COD;BOD\n"+rows)).stdout
		n.drained()
		return out
	}
	send("first.csv", "2025-10-05;ipal-01;S-1;310;<2\n2025-10-06;ipal-01;S-2;250;100\n2025-10-06;ipal-01;S-3;260;\n")
	out := send("corrected.csv", "2025-10-05;ipal-01;S-1;290;5\n2025-10-06;ipal-01;S-2;350;100\n2025-10-06;ipal-01;S-3;260;\n")
	for _, want := range []string{"values stored                                 3", "correct an earlier result, which is kept      3", "known already, unchanged                      2"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("got\n%swant it to say %q", out, want)
		}
	}
	send("corrected-again.csv", "2025-10-05;ipal-01;S-1;295;5\n")
	n.importFile(done, filepath.Join(filepath.Dir(n.file), "first.csv")) // old news
	n.drained()
	wantLines(t, "results", []string{
		"lab ipal-01 2025-10-04T17:00:00Z bod=5 qc=1 rev=2 S-1",
		"lab ipal-01 2025-10-04T17:00:00Z cod=295 qc=1 rev=3 S-1",
		"lab ipal-01 2025-10-05T17:00:00.000000001Z cod=260 qc=1 rev=1 S-3",
		"lab ipal-01 2025-10-05T17:00:00Z bod=100 qc=1 rev=1 S-2",
		"lab ipal-01 2025-10-05T17:00:00Z cod=350 qc=1 rev=2 S-2",
		"lab_superseded ipal-01 2025-10-04T17:00:00.001Z cod=290 qc=1 rev=2 S-1",
		"lab_superseded ipal-01 2025-10-04T17:00:00Z bod<2 qc=1 rev=1 S-1",
		"lab_superseded ipal-01 2025-10-04T17:00:00Z cod=310 qc=1 rev=1 S-1",
		"lab_superseded ipal-01 2025-10-05T17:00:00Z cod=250 qc=1 rev=1 S-2",
	}, n.results("cod", "bod"))
	// Each sample past a limit counts once, whenever it is known to be.
	wantLines(t, "exceedances", []string{"ipal-01 cod max late: 2"}, n.exceedances())
}

// Without an ingester values wait in the spool. When it starts they reach InfluxDB,
// and Prometheus sees the exceedances come.
func TestImportWithoutTheIngester(t *testing.T) {
	t.Parallel()
	n := newImportNetwork(t)
	n.ingest()
	n.stop()
	n.db.Stop()
	n.importFile(failed, tenFaults)
	if entries, err := os.ReadDir(filepath.Join(n.site.dataDir, "import")); err != nil || len(entries) > 0 {
		t.Errorf("got %v, %v left of the import, want nothing", entries, err)
	}
	n.launch()
	wantLines(t, "exceedances at the first scrape", nil, n.exceedances())
	wantLines(t, "exceedances at the second scrape", tenFaultsOver, n.exceedances())
	n.db.Start()
	n.drained()
	wantLines(t, "results", tenFaultsGood, n.results("cod", "bod", "ph", "total_coliform"))
}

// logFile writes a logger's file of so many rows, a minute apart and in no order,
// and returns what InfluxDB must have of it.
func (n *network) logFile(name string, rows int) (file string, want map[sample]float64) {
	n.t.Helper()
	file = filepath.Join(filepath.Dir(n.file), name)
	f, err := os.Create(file)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "timestamp;station;COD (mg/L);pH")
	want = make(map[sample]float64, rows)
	start := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		i = i * 7919 % rows // 7919 is prime
		at, station := start.Add(time.Duration(i)*time.Minute), n.site.stations[i%2]
		fmt.Fprintf(w, "%s;%s;%d,5;7,%02d\n", at.Format(time.RFC3339), station, 100+i%250, i%100)
		want[sample{station, at.UnixMilli()}] = float64(100+i%250) + 0.5
	}
	if err := w.Flush(); err != nil {
		n.t.Fatal(err)
	}
	return file, want
}

// Whoever takes a file in may be killed at any time: nothing is lost, and nothing is
// there twice.
func TestImportSurvivesKills(t *testing.T) {
	t.Parallel()
	const rows = 100_000 // ten chunks
	for _, tt := range []struct {
		name    string
		running bool
	}{
		{"of the ingester", true},
		{"of the command", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newImportNetwork(t)
			file, want := n.logFile("log.csv", rows)
			register := filepath.Join(n.site.dataDir, "laboratory.db")
			if tt.running {
				n.ingest()
			}
			cmd := testenv.Start(t, exec.Command(testenv.Command(t), "import", file, "--method", "sensor", "--config", n.file))
			// A chunk is in the register when the spool has more than one.
			spooled := func(bytes int64) {
				t.Helper()
				testenv.Eventually(t, func() error {
					var size int64
					files, _ := filepath.Glob(filepath.Join(n.site.dataDir, "spool", "*"))
					for _, f := range files {
						if info, err := os.Stat(f); err == nil {
							size += info.Size()
						}
					}
					if _, err := os.Stat(register); err != nil || size < bytes {
						return fmt.Errorf("%d bytes in the spool, want %d", size, bytes)
					}
					return nil
				})
			}
			if tt.running {
				spooled(1 << 20)
				n.ingester.Kill()
				n.ingest()
				spooled(4 << 20)
				n.ingester.Kill()
				n.ingest()
				if got := cmd.Wait(); got != done {
					t.Errorf("got exit status %d of the command that waited, want %d:\n%s%s", got, done, cmd.Stdout(), cmd.Stderr())
				}
			} else {
				spooled(2 << 20)
				cmd.Kill()
				n.ingest()
			}
			testenv.Within(t, 3*time.Minute, func() error {
				waiting, err := filepath.Glob(filepath.Join(n.site.dataDir, "import", "batch-*"))
				if err == nil && len(waiting) > 0 {
					err = fmt.Errorf("import still waits: %v", waiting)
				}
				return err
			})
			n.expect = want
			l := n.drained()
			n.compare()
			if l.stored != 2*rows || l.received != 2*rows {
				t.Errorf("got ledger %+v, want %d readings stored", l, 2*rows)
			}
			// Each value past the limit counts once.
			over := 0
			for _, v := range want {
				if v > 300 {
					over++
				}
			}
			n.metric("tofuwatch_exceedances_total")
			n.metricBecomes("tofuwatch_exceedances_total", float64(over))
		})
	}
}

// A broken import file of ours is set aside, and those behind it are taken in.
func TestImportThatCannotBeReadBack(t *testing.T) {
	t.Parallel()
	n := newImportNetwork(t)
	folder := filepath.Join(n.site.dataDir, "import")
	if err := os.MkdirAll(folder, 0o770); err != nil {
		t.Fatal(err)
	}
	const name = "00000000000000000001-00"
	writeFile(t, filepath.Join(folder, "batch-"+name), `{"file":"old.csv","method":"lab"}`+"\n"+`{"line":2,"station":"ipal-01","time":1,"val`)
	n.ingest()
	file := n.textFile("new.csv", "date;station;COD\n2025-10-05;ipal-01;290\n")
	n.importFile(done, file)
	n.drained()
	wantLines(t, "results", []string{"lab ipal-01 2025-10-04T17:00:00Z cod=290 qc=1 rev=1"}, n.results("cod"))
	if _, err := os.Stat(filepath.Join(folder, "unreadable-"+name)); err != nil {
		t.Errorf("the import that cannot be read back was not kept: %v", err)
	}
}

// The file that the documentation tells a laboratory to start from is good.
func TestSampleOfTheDocumentation(t *testing.T) {
	t.Parallel()
	got := tofuwatch(t, "import", "../../docs/laboratory-sample.csv", "--config", "../../deploy/site.example.yaml", "--dry-run")
	if got.status != done || got.stderr != "" || !strings.Contains(got.stdout, "values would be stored      19\n") {
		t.Errorf("got exit status %d, want %d and 19 values:\n%s%s", got.status, done, got.stdout, got.stderr)
	}
}

// Programs read an object a line.
func TestImportAsJSON(t *testing.T) {
	t.Parallel()
	n := newImportNetwork(t)
	out := n.importFile(failed, tenFaults, "--json").stdout
	types := make(map[string]int)
	var last map[string]any
	for line := range strings.Lines(out) {
		last = nil
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		types[last["type"].(string)]++
	}
	if diff := cmp.Diff(map[string]int{"refused": 10, "file": 1}, types); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	for key, want := range map[string]any{"rows": 13.0, "values": 16.0, "stored": 16.0, "refused": 22.0, "refused_rows": 10.0, "censored": 2.0, "over_limit": 4.0, "taken_in": true} {
		if last[key] != want {
			t.Errorf("got %s %v, want %v", key, last[key], want)
		}
	}
}

// An import, a scrape, a rule: a late exceedance is told with its sample's date.
func TestLateExceedanceOfAnImport(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	w.importFile(failed, tenFaults)
	var got []string
	want := []string{
		"bod max 181.5 of 2025-10-06T00:30:00Z, limit 150, firing",
		"cod max 286.5 of 2025-10-20T00:30:00Z, limit 275, firing", // the newest of two
		"ph min 5.8 of 2025-10-06T00:30:00Z, limit 6, firing",
	}
	testenv.Eventually(t, func() error {
		var answer struct {
			Data struct {
				Alerts []struct {
					Labels, Annotations map[string]string
					State               string
				}
			}
		}
		if err := json.Unmarshal([]byte(testenv.Get(t, w.prometheus.URL+"/api/v1/alerts")), &answer); err != nil {
			return err
		}
		got = nil
		for _, a := range answer.Data.Alerts {
			if a.Labels["alertname"] != "LateExceedance" || a.Labels["station"] != "ipal-01" || a.Labels["method"] != "lab" {
				continue
			}
			seconds, err := strconv.ParseInt(a.Annotations["sampled"], 10, 64)
			if err != nil {
				return err
			}
			got = append(got, fmt.Sprintf("%s %s %s of %s, limit %s, %s", a.Labels["parameter"], a.Labels["bound"], a.Annotations["value"],
				time.Unix(seconds, 0).UTC().Format(time.RFC3339), a.Annotations["limit"], a.State))
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("late exceedances (-want +got):\n%s", diff)
		}
		return nil
	})
	w.stop()
}
