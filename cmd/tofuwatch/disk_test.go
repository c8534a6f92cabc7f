package main

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tofuwatch/internal/testenv"
)

// newestSegment returns the file that the spool in a data folder grows at.
func newestSegment(t testing.TB, dataDir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dataDir, "spool", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got spool files %v, %v, want at least one", files, err)
	}
	return slices.Max(files)
}

// tear leaves the spool of an ingester that is not running as a crash does in
// the middle of a write: the first bytes of a record that was never finished.
func tear(t testing.TB, dataDir string, most int) {
	t.Helper()
	file := newestSegment(t, dataDir)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spans := records(data)
	if len(spans) == 0 {
		return // nothing to take for an example
	}
	torn := data[:min(most, spans[0].end-1)] // never a whole one
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(torn); err != nil {
		t.Fatal(err)
	}
}

// A span is where a record stands in a file.
type span struct{ start, end int }

// records returns where the records of readings in a spool file stand: each
// starts with the same four bytes, which are no UTF-8. Those of corrections, whose
// body starts with another byte, lie between.
func records(data []byte) []span {
	if len(data) < 4 {
		return nil
	}
	const header, readings = 12, 1
	magic := data[:4]
	var spans []span
	for at := 0; at < len(data); {
		end := len(data)
		if next := bytes.Index(data[at+4:], magic); next >= 0 {
			end = at + 4 + next
		}
		if end-at > header && data[at+header] == readings {
			spans = append(spans, span{at, end})
		}
		at = end
	}
	return spans
}

// What a crash or a bad disk does to the spool while readings wait in it.
func TestNothingLostWithDamagedSpool(t *testing.T) {
	t.Parallel()
	const count = 2_000
	for _, tt := range []struct {
		name    string
		running bool                                                       // the ingester is, when the damage is done
		damage  func(t *testing.T, file string, data []byte) (lost []byte) // the records that are lost
		letters map[string]int
		log     string
	}{
		{
			name: "garbage behind",
			damage: func(t *testing.T, file string, data []byte) []byte {
				rewrite(t, file, append(data, "\x00\x00garbage"...))
				return nil
			},
			letters: map[string]int{},
			log:     "spool was cut short by a crash",
		},
		{
			name: "half a record behind",
			damage: func(t *testing.T, file string, data []byte) []byte {
				rewrite(t, file, append(data, data[:40]...))
				return nil
			},
			letters: map[string]int{},
			log:     "spool was cut short by a crash",
		},
		{
			// No crash does that: the disk lost what it had said was on it.
			name: "last record cut",
			damage: func(t *testing.T, file string, data []byte) []byte {
				last := records(data)[count-1]
				rewrite(t, file, data[:last.end-3])
				return data[last.start:last.end]
			},
			letters: map[string]int{},
			log:     "spool was cut short by a crash",
		},
		{
			name:    "record in the middle",
			damage:  func(t *testing.T, file string, data []byte) []byte { return flip(t, file, data, count/2) },
			letters: map[string]int{"damaged": 1},
			log:     "spool damaged",
		},
		{
			name:    "record in the middle, while the ingester runs",
			running: true,
			damage:  func(t *testing.T, file string, data []byte) []byte { return flip(t, file, data, count/2) },
			letters: map[string]int{"damaged": 1},
			log:     "spool damaged",
		},
		{
			name:    "first record",
			damage:  func(t *testing.T, file string, data []byte) []byte { return flip(t, file, data, 0) },
			letters: map[string]int{"damaged": 1},
			log:     "spool damaged",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
			// Nothing that is found later: a correction would bring a lost reading back.
			n.site.tests = "{timing: off, spike: off, flat_line: off, attenuated: off}"
			n.writeSite()
			n.ingest()
			n.db.Kill()
			n.publish(count, loadRate).reached(count)
			n.metricBecomes("tofuwatch_readings_pending", count)
			if !tt.running {
				n.ingester.Kill()
			}
			file := newestSegment(t, n.site.dataDir)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lost := tt.damage(t, file, slices.Clone(data))
			for s, v := range n.expect {
				if bytes.Contains(lost, fmt.Appendf(nil, "station=%s cod=%v,", s.station, v)) && bytes.Contains(lost, fmt.Appendf(nil, " %d000000\n", s.milli)) {
					delete(n.expect, s)
				}
			}
			if got, want := len(n.expect), count-min(1, len(lost)); got != want {
				t.Fatalf("got %d readings in the rest, want %d", got, want)
			}
			n.db.Start()
			if !tt.running {
				n.ingest()
			}
			got := n.settle()
			if !maps.Equal(got.deadLettered, tt.letters) {
				t.Errorf("got dead letters %v, want %v", got.deadLettered, tt.letters)
			}
			if !strings.Contains(n.ingester.Stderr(), tt.log) {
				t.Errorf("log does not say %q:\n%s", tt.log, n.ingester.Stderr())
			}
			for _, l := range n.letters() {
				if string(l.Reason) == "damaged" && l.Readings != 1 {
					t.Errorf("got dead letter %+v, want one of 1 reading", l)
				}
			}
			// What was set aside is there for somebody to look at.
			aside, err := filepath.Glob(filepath.Join(n.site.dataDir, "damaged", "spool-*"))
			if err != nil || len(aside) != 1 {
				t.Errorf("got %v, %v set aside, want one file", aside, err)
			}
		})
	}
}

func rewrite(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0); err != nil {
		t.Fatal(err)
	}
}

// flip spoils some bytes of a record and returns the record as it was.
func flip(t testing.TB, file string, data []byte, index int) []byte {
	t.Helper()
	r := records(data)[index]
	was := slices.Clone(data[r.start:r.end])
	for i := r.start + 20; i < r.start+30; i++ {
		data[i] ^= 0xFF
	}
	rewrite(t, file, data)
	return was
}

// A disk without room makes the ingester refuse messages, which stay with the
// broker until there is room again.
func TestNothingLostOnFullDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		away bool // InfluxDB, while the disk is full
	}{
		{"InfluxDB there", false},
		{"InfluxDB away", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
			n.site.dataDir = tmpfs(t, 8)
			n.writeSite()
			n.ingest()
			n.publish(2_000, loadRate).reached(2_000)
			n.drained()
			if tt.away {
				n.db.Kill()
			}
			empty := fill(t, n.site.dataDir)
			before := n.ledger()
			load := n.publish(loadCount-2_000, loadRate)
			n.answers("/readyz", http.StatusServiceUnavailable)
			load.reached(load.count) // by the broker
			if got := n.ledger().received; got != before.received {
				t.Errorf("got %d readings received with a full disk, want %d as before", got, before.received)
			}
			empty()
			n.answers("/readyz", http.StatusOK)
			if tt.away {
				n.db.Start()
			}
			if got := n.settle(); len(got.deadLettered) > 0 {
				t.Errorf("got dead letters %v, want none", got.deadLettered)
			}
		})
	}
}

// A spool that has grown to its limit takes messages again once it is drained.
func TestNothingLostPastTheLimitOfTheSpool(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.args = []string{"--spool-mib", "1"}
	n.ingest()
	n.db.Kill()
	load := n.publish(20_000, loadRate) // 2.5 MiB of points
	n.answers("/readyz", http.StatusServiceUnavailable)
	load.reached(load.count)
	if got, most := n.metric("tofuwatch_spool_bytes"), 1<<20; got > float64(most) {
		t.Errorf("got a spool of %v bytes, want at most %d", got, most)
	}
	n.db.Start()
	n.settle()
}
