package score

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tofuwatch/ingest/quality"
	"tofuwatch/internal/simulate"
)

// The goal: nine of ten faulty readings are found, and no sensor raises more than
// one false flag a day. A film is apart: no test that looks at one sensor alone can
// tell it from water that changes for days.
func TestDefaultsFindSimulatedFaults(t *testing.T) {
	start := time.Date(2026, 7, 6, 17, 0, 0, 0, time.UTC)
	for scenario, faulty := range map[simulate.Scenario]bool{simulate.SensorFaults: true, simulate.Normal: false} {
		parameters, records, err := Simulated(scenario, 2, start, 8)
		if err != nil {
			t.Fatal(err)
		}
		s := Judge(parameters, records, quality.DefaultsAt)
		var report strings.Builder
		if err := s.Write(&report, Drift); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s:\n%s", scenario, report.String())
		if got := s.FalseAlarms(); got > 0.05 {
			t.Errorf("%s: %.3f false flags a day and series, want at most 0.05", scenario, got)
		}
		if !faulty {
			continue
		}
		if got := s.Recall(Drift); got < 0.95 {
			t.Errorf("recall is %.3f, want at least 0.95", got)
		}
		for _, label := range []simulate.Cause{simulate.Stuck, simulate.Zero, simulate.Sentinel, simulate.NoValue, simulate.OutOfRange, simulate.Clock1970, simulate.Clock2000, simulate.ClockAhead} {
			if l := s.ByLabel[string(label)]; l.Readings == 0 || float64(l.Found) < 0.9*float64(l.Readings) {
				t.Errorf("%s: %d of %d found, want nine of ten", label, l.Found, l.Readings)
			}
		}
		if l := s.ByLabel[string(simulate.Bubbles)]; l.Readings == 0 || float64(l.Found) < 0.5*float64(l.Readings) {
			t.Errorf("bubbles: %d of %d found, want half: one beside another is no spike", l.Found, l.Readings)
		}
	}
}

// A dump of whey is no fault of a sensor, and has to be told of at once.
func TestDumpsAndUpsetsAreNotTakenForFaults(t *testing.T) {
	start := time.Date(2026, 7, 6, 17, 0, 0, 0, time.UTC)
	for _, scenario := range []simulate.Scenario{simulate.Spill, simulate.PlantUpset} {
		parameters, records, err := Simulated(scenario, 1, start, 6)
		if err != nil {
			t.Fatal(err)
		}
		s := Judge(parameters, records, quality.DefaultsAt)
		for _, cause := range []simulate.Cause{simulate.Dump, simulate.Upset} {
			if l := s.ByLabel[string(cause)]; l.Found > l.Readings/500 {
				t.Errorf("%s: %d of %d readings are flagged, want next to none", cause, l.Found, l.Readings)
			}
		}
		if len(s.ByLabel) != 1 {
			t.Errorf("%s: labels %v, want one", scenario, s.ByLabel)
		}
	}
}

func TestReadCSV(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 7, minute, 0, 0, time.UTC) }
	got, err := ReadCSV(strings.NewReader("\ufeffdatetime,note,raw,anomaly\n"+
		"2026-11-23 07:00:00,,7.1,False\n"+
		"2026-11-23T07:15:00Z,\"a, b\",NaN,\n"+
		"2026-11-23T14:30:00+07:00,,15.2,out of range\n"+
		"2026-11-23 07:45,,-9999,True\n"), Columns{"datetime", "raw", "anomaly"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Reading{
		{Time: at(0), Value: 7.1},
		{Time: at(15), Value: math.NaN()},
		{Time: at(30), Value: 15.2, Label: "out of range"},
		{Time: at(45), Value: -9999, Label: "True"},
	}
	if diff := cmp.Diff(got, want, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("readings (-got +want):\n%s", diff)
	}
	if every, ok := Interval(got); !ok || every != 15*time.Minute {
		t.Errorf("interval is %s (%t), want 15m", every, ok)
	}

	var written strings.Builder
	if err := WriteCSV(&written, want); err != nil {
		t.Fatal(err)
	}
	again, err := ReadCSV(strings.NewReader(written.String()), Columns{"time", "value", "label"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(again, want, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("written and read (-got +want):\n%s", diff)
	}
}

func TestReadCSVTellsWhatIsWrong(t *testing.T) {
	columns := Columns{"time", "value", "label"}
	for text, want := range map[string]string{
		"":                                  "the file is empty",
		"time,wert,label\n":                 `no column "value"; have time, wert, label`,
		"time,value,label\n\"23 Nov\",1,\n": `line 2: "23 Nov" is no time; write it like`,
		"time,value,label\n2026-11-23,1,\n2026-11-24,\"7,1\",\n": `line 3: "7,1" is no number`,
		"time,value,label\n2026-11-23,1\n":                       "wrong number of fields",
	} {
		if _, err := ReadCSV(strings.NewReader(text), columns); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
