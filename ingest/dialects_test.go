package ingest_test

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest"
	"tofuwatch/ingest/payload"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

const cases = "payload/testdata"

// received is when the messages of all cases came.
var received = time.Date(2026, 11, 23, 7, 0, 30, 0, time.UTC)

// TestDialects decides what becomes of the message in every folder of a format
// and compares it with the file want beside it; with UPDATE=1 it writes that
// file. A message of bytes is written as hexadecimal digits, in message.hex.
func TestDialects(t *testing.T) {
	for _, format := range slices.Sorted(maps.Keys(payload.Formats)) {
		t.Run(format, func(t *testing.T) {
			// What every format has to show.
			for _, name := range []string{"normal", "several", "missing", "bad", "clock", "duplicate"} {
				if _, err := os.Stat(filepath.Join(cases, format, name)); err != nil {
					t.Errorf("no case %q: %v", name, err)
				}
			}
			folders, err := filepath.Glob(filepath.Join(cases, format, "*", "message*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range folders {
				folder := filepath.Dir(file)
				t.Run(filepath.Base(folder), func(t *testing.T) { decideCase(t, format, folder, file) })
			}
		})
	}
}

func decideCase(t *testing.T, format, folder, file string) {
	source := filepath.Join(folder, "source.yaml")
	if _, err := os.Stat(source); err != nil {
		source = filepath.Join(cases, format, "source.yaml")
	}
	s := siteWith(t, source)
	p := ingest.NewPipeline(ingester.PipelineOptions(s), nil, nil, slog.New(slog.DiscardHandler))
	msg := ingest.Message{Topic: topicOf(s.MQTT.Sources[0]), Payload: message(t, file), Received: received}
	o := p.Decide(msg)
	got := rendered(o)
	golden := filepath.Join(folder, "want")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, string(want)); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
	if o.Readings() == 0 && !strings.Contains(folder, "ignored") {
		t.Error("the outcome accounts for no reading; want a reason at least")
	}
	for _, l := range o.DeadLetters {
		if strings.Contains(l.Detail+string(l.Payload), "hunter2") || strings.Contains(string(l.Payload), "s3cret") {
			t.Errorf("a secret is kept: %s: %s", l.Detail, l.Payload)
		}
	}

	// The message again, a minute later, is the same points: but for those that
	// take the time of its arrival.
	msg.Received = received.Add(time.Minute)
	again := p.Decide(msg).Observations
	for i := range again {
		if again[i].Time.Equal(msg.Received) {
			again[i].Time = received
		}
	}
	if !strings.HasSuffix(folder, "relative_time_allowed") {
		second := rendered(ingest.Outcome{Observations: again})
		if first := rendered(ingest.Outcome{Observations: o.Observations}); second != first {
			t.Errorf("the second time it is something else (got -second +first):\n%s", cmp.Diff(second, first))
		}
	}
}

// siteWith returns the site of all cases with one source.
func siteWith(t *testing.T, source string) *site.Site {
	t.Helper()
	base, err := os.ReadFile(filepath.Join(cases, "site.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	indented := "    - " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n      ")
	all := strings.Replace(string(base), `mqtt: {broker: "tcp://127.0.0.1:1", client_id: test}`,
		"mqtt:\n  broker: tcp://127.0.0.1:1\n  client_id: test\n  sources:\n"+indented, 1)
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(file, func(string) string { return "" })
	if err != nil {
		t.Fatalf("%v\n%s", err, all)
	}
	return s
}

// topicOf is one that a source has.
func topicOf(s site.Source) string {
	return strings.NewReplacer("{station}", "ipal-01", "{parameter}", "ph", "+", "x").Replace(s.Topic)
}

func message(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(file) != ".hex" {
		return text
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	data, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// rendered writes an outcome for people to read.
func rendered(o ingest.Outcome) string {
	var b strings.Builder
	for _, obs := range o.Observations {
		value := "no value"
		if !math.IsNaN(obs.Value) {
			value = strings.TrimSpace(strconv.FormatFloat(obs.Value, 'g', 10, 64) + " " + string(obs.Parameter.Unit))
		}
		fmt.Fprintf(&b, "%s  %s  %s  %s  %v\n", obs.Time.Format(time.RFC3339Nano), obs.Station.ID, obs.Parameter.Code, value, obs.Flag)
	}
	for _, l := range o.DeadLetters {
		fmt.Fprintf(&b, "%s of %d: %s\n", l.Reason, l.Readings, l.Detail)
		if strings.Contains(string(l.Payload), "redacted") || strings.HasPrefix(string(l.Payload), "[") && l.Reason == water.Malformed {
			fmt.Fprintf(&b, "  kept: %s\n", strings.TrimSpace(string(l.Payload)))
		}
	}
	return b.String()
}
