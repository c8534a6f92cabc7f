package alerts

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"tofuwatch/internal/water"
)

// latestMetrics are those that tell of the latest values.
var latestMetrics = []string{
	"tofuwatch_reading", "tofuwatch_reading_timestamp_seconds", "tofuwatch_reading_flag",
	"tofuwatch_expected_interval_seconds", "tofuwatch_station_info", "tofuwatch_station_online",
}

// wantExposed compares the latest values with what a scrape should show.
func wantExposed(t *testing.T, e *Exporter, want string, names ...string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(e)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// wantReading checks the latest value of cod at the outlet; "" for none.
func wantReading(t *testing.T, o *outlet, value, flag, timestamp string) {
	t.Helper()
	want := ""
	if value != "" {
		want = `
			# HELP tofuwatch_reading Latest usable value (flag 1 to 3), kept until a newer one comes.
			# TYPE tofuwatch_reading gauge
			tofuwatch_reading{kind="effluent",method="sensor",parameter="cod",river="bajak",station="ipal-01",unit="mg/L"} ` + value + `
			# HELP tofuwatch_reading_flag Quality flag of the latest usable value: 1 good, 2 not evaluated, 3 suspect.
			# TYPE tofuwatch_reading_flag gauge
			tofuwatch_reading_flag{method="sensor",parameter="cod",station="ipal-01"} ` + flag + `
			# HELP tofuwatch_reading_timestamp_seconds When the water of the latest usable value was sampled.
			# TYPE tofuwatch_reading_timestamp_seconds gauge
			tofuwatch_reading_timestamp_seconds{method="sensor",parameter="cod",station="ipal-01"} ` + timestamp + `
		`
	}
	wantExposed(t, o.Exporter, want, latestMetrics[:3]...)
}

func TestExposition(t *testing.T) {
	o := newOutlet(t, nil)
	o.station.Latitude, o.station.Longitude = -7.0051, 110.4381
	bridge := &water.Station{ID: "bajak-02", Name: `Bridge "Bajak"`, River: "bajak", Kind: water.River, Latitude: math.NaN(), Longitude: math.NaN()}
	o.stations[bridge.ID] = bridge
	lab := o.good("cod", 301, noon.Add(-time.Hour))
	lab.Method = water.Lab
	upstream := o.good("ph", 7.25, noon.Add(-1500*time.Millisecond))
	upstream.Station, upstream.Flag = bridge, water.Suspect
	o.observe(o.good("cod", 286.5, noon), lab, upstream)
	o.Online(bridge, true)
	o.Online(o.station, true)
	o.Online(o.station, false)

	golden := "testdata/exposition.txt"
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o.Exporter)
	if os.Getenv("UPDATE") != "" {
		text, err := testutil.CollectAndFormat(o.Exporter, expfmt.TypeTextPlain, latestMetrics...)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	wantExposed(t, o.Exporter, string(want), latestMetrics...)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestLatestIsBySampleTime(t *testing.T) {
	o := newOutlet(t, nil)
	wantReading(t, o, "", "", "")
	o.observe(o.good("cod", 1, noon))
	wantReading(t, o, "1", "1", "1.79541e+09")
	o.observe(o.good("cod", 2, noon.Add(-time.Millisecond))) // arrives later
	wantReading(t, o, "1", "1", "1.79541e+09")
	o.observe(o.good("cod", 3, noon)) // is told anew
	wantReading(t, o, "3", "1", "1.79541e+09")
	newest := noon.Add(time.Minute)
	o.observe(o.good("cod", 5, newest), o.good("cod", 4, newest.Add(-time.Second))) // in one message
	wantReading(t, o, "5", "1", "1.79541006e+09")
}

func TestOnlyUsableValuesAreLatest(t *testing.T) {
	for flag, usable := range map[water.Flag]bool{
		water.Good: true, water.NotEvaluated: true, water.Suspect: true, water.Bad: false, water.Missing: false, 0: false, 7: false,
	} {
		o := newOutlet(t, nil)
		o.observe(o.good("cod", 1, noon))
		newer := o.good("cod", 2, noon.Add(time.Minute))
		if newer.Flag = flag; flag == water.Missing {
			newer.Value = math.NaN()
		}
		o.observe(newer)
		if usable {
			wantReading(t, o, "2", string('0'+rune(flag)), "1.79541006e+09")
		} else {
			wantReading(t, o, "1", "1", "1.79541e+09")
		}
	}
}

func TestLatestSurviveARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "latest.json")
	o := newOutlet(t, nil)
	suspect := o.good("cod", 286.5, noon.Add(123*time.Nanosecond))
	suspect.Flag = water.Suspect
	o.observe(suspect, o.good("ph", 7, noon))
	if err := o.Save(file, 4711); err != nil {
		t.Fatal(err)
	}
	o = o.restarted(nil)
	position, err := o.Load(file, o.parameters)
	if err != nil || position != 4711 {
		t.Fatalf("Load() = %d, %v; want 4711", position, err)
	}
	o.observe(o.good("ph", 1, noon.Add(-time.Second)), o.good("cod", 1, noon.Add(122*time.Nanosecond))) // older, by a nanosecond too
	o.wants(`
tofuwatch_reading{kind=effluent,method=sensor,parameter=cod,river=bajak,station=ipal-01,unit=mg/L} 286.5
tofuwatch_reading{kind=effluent,method=sensor,parameter=ph,river=bajak,station=ipal-01,unit=} 7
tofuwatch_reading_flag{method=sensor,parameter=cod,station=ipal-01} 3
tofuwatch_reading_flag{method=sensor,parameter=ph,station=ipal-01} 1`, "tofuwatch_reading", "tofuwatch_reading_flag")
}

func TestLoadLeavesOutWhatTheSiteNoLongerHas(t *testing.T) {
	file := filepath.Join(t.TempDir(), "latest.json")
	o := newOutlet(t, nil)
	o.observe(o.good("cod", 1, noon), o.good("ph", 7, noon))
	if err := o.Save(file, 1); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.ReplaceAll(string(data), `"ph"`, `"was_here"`))
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	o = o.restarted(nil)
	if _, err := o.Load(file, o.parameters); err != nil {
		t.Fatal(err)
	}
	wantReading(t, o, "1", "1", "1.79541e+09")
	other := NewExporter(map[string]*water.Station{"bajak-02": {ID: "bajak-02"}})
	if _, err := other.Load(file, o.parameters); err != nil {
		t.Fatal(err)
	}
	wantExposed(t, other, "", latestMetrics[:3]...)
}

func TestLoadTellsOfABadFile(t *testing.T) {
	o := newOutlet(t, nil)
	dir := t.TempDir()
	if position, err := o.Load(filepath.Join(dir, "none"), o.parameters); position != 0 || err != nil {
		t.Errorf("no file: %d, %v; want 0 and no error", position, err)
	}
	file := filepath.Join(dir, "latest.json")
	if err := os.WriteFile(file, []byte(`{"position":7,"latest":[{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if position, err := o.Load(file, o.parameters); position != 0 || err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that was cut short: %d, %v; want 0 and an error that names it", position, err)
	}
	if err := o.Save(filepath.Join(dir, "no folder", "latest.json"), 1); err == nil {
		t.Error("Save into a folder that is not there succeeds")
	}
}

// correct tells o that readings of cod, by their minute, have other flags by now.
func (o *outlet) correct(value float64, minute int, was, is water.Flag) {
	observation := o.good("cod", value, noon.Add(time.Duration(minute)*time.Minute))
	observation.Flag = is
	o.Correct([]water.Correction{{Observation: observation, Was: was}})
}

func TestCorrections(t *testing.T) {
	o := newOutlet(t, nil)
	for n := range 3 {
		o.observe(o.good("cod", float64(n), noon.Add(time.Duration(n)*time.Minute)))
	}
	o.correct(2, 2, water.Good, water.Suspect)
	wantReading(t, o, "2", "3", "1.79541012e+09")
	o.correct(2, 2, water.Suspect, water.Bad) // the one before is the latest again
	wantReading(t, o, "1", "1", "1.79541006e+09")
	o.correct(0, 0, water.Good, water.Suspect) // not the latest: nothing is shown of it
	wantReading(t, o, "1", "1", "1.79541006e+09")
	o.correct(2, 2, water.Bad, water.Good) // a late neighbour says that it is right
	wantReading(t, o, "2", "1", "1.79541012e+09")
	o.wants(`
tofuwatch_observations_total{flag=1,method=sensor,parameter=cod,station=ipal-01} 3
tofuwatch_observations_total{flag=3,method=sensor,parameter=cod,station=ipal-01} 2
tofuwatch_observations_total{flag=4,method=sensor,parameter=cod,station=ipal-01} 1`, "tofuwatch_observations_total")
}

// The next sample often arrives before the verdict, and is not to be withdrawn.
func TestCorrectionOfWhatIsNoLongerLatest(t *testing.T) {
	o := newOutlet(t, nil)
	o.observe(o.good("cod", 1, noon), o.good("cod", 2, noon.Add(time.Minute)), o.good("cod", 3, noon.Add(2*time.Minute)))
	o.correct(2, 1, water.Good, water.Bad)
	wantReading(t, o, "3", "1", "1.79541012e+09")
	o.correct(3, 2, water.Good, water.Bad) // and the one before that is bad already
	wantExposed(t, o.Exporter, "", latestMetrics[:3]...)
}
