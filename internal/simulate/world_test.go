package simulate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest/payload"
	"tofuwatch/internal/simulate"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

const day = 24 * time.Hour

// start is a Monday's midnight in Semarang, in the dry season.
var start = time.Date(2026, 7, 12, 17, 0, 0, 0, time.UTC)

// world returns the world that o describes; it starts at start unless o says
// otherwise.
func world(t testing.TB, o simulate.Options) *simulate.World {
	t.Helper()
	if o.Start.IsZero() {
		o.Start = start
	}
	w, err := simulate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// messages returns those of w up to a time.
func messages(w *simulate.World, until time.Time) []simulate.Message {
	var all []simulate.Message
	for {
		m := w.Next()
		if !m.Time.Before(until) {
			return all
		}
		all = append(all, m)
	}
}

// A value is one number as it was sent, by the time at which it was sampled.
type value struct {
	at time.Time
	v  float64
}

// series returns what was sent, by "station parameter". What a station calls
// no value is absent.
func series(t testing.TB, all []simulate.Message) map[string][]value {
	t.Helper()
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]value)
	native := payload.New("tofuwatch", payload.Settings{Parameters: parameters})
	var d payload.Decoded
	for _, m := range all {
		if m.Retained {
			continue
		}
		d.Reset()
		native.Decode(&d, payload.Input{Payload: m.Payload})
		if len(d.Faults) > 0 || d.Ignored > 0 {
			t.Fatalf("decode %s: faults %v, ignored keys %d", m.Payload, d.Faults, d.Ignored)
		}
		for _, r := range d.Readings {
			if !math.IsNaN(r.Value) {
				key := m.Station + " " + r.Parameter.Code
				got[key] = append(got[key], value{r.Time, r.Value})
			}
		}
	}
	return got
}

// mean returns the mean of those values that keep wants, by local hour.
func mean(values []value, keep func(at time.Time, hour int) bool) float64 {
	var sum float64
	n := 0
	for _, v := range values {
		if keep == nil || keep(v.at, v.at.Add(7*time.Hour).Hour()) {
			sum += v.v
			n++
		}
	}
	return sum / float64(n)
}

func night(_ time.Time, hour int) bool   { return hour == 23 || hour < 3 }
func working(_ time.Time, hour int) bool { return hour >= 6 && hour < 13 }

// after wants what was sampled in the hours from one to another after from.
func after(from time.Time, first, last float64) func(time.Time, int) bool {
	return func(at time.Time, _ int) bool {
		h := at.Sub(from).Hours()
		return h >= first && h < last
	}
}

// transcript returns messages as lines that can be compared.
func transcript(all []simulate.Message) []string {
	lines := make([]string, len(all))
	for i, m := range all {
		lines[i] = fmt.Sprint(m.Time, m.Topic, m.Retained, string(m.Payload))
	}
	return lines
}

func TestSameOptionsSameMessages(t *testing.T) {
	for _, s := range simulate.Scenarios() {
		o := simulate.Options{Stations: 12, Scenario: s, Seed: 7}
		first := transcript(messages(world(t, o), start.Add(2*day)))
		if !slices.Equal(transcript(messages(world(t, o), start.Add(2*day))), first) {
			t.Errorf("%s: the same options give other messages the second time", s)
		}
		o.Seed = 8
		if slices.Equal(transcript(messages(world(t, o), start.Add(2*day))), first) {
			t.Errorf("%s: seeds 7 and 8 give the same messages", s)
		}
	}
}

func TestMoreStationsChangeNothing(t *testing.T) {
	few := messages(world(t, simulate.Options{}), start.Add(day))
	more := messages(world(t, simulate.Options{Stations: 20}), start.Add(day))
	more = slices.DeleteFunc(more, func(m simulate.Message) bool { return strings.HasPrefix(m.Station, "workshop-") })
	if !slices.Equal(transcript(more), transcript(few)) {
		t.Error("the base stations say something else where there are 20")
	}
}

func TestStations(t *testing.T) {
	w := world(t, simulate.Options{Stations: simulate.MaxStations})
	if got, want := len(w.Stations()), simulate.MaxStations; got != want {
		t.Fatalf("stations: got %d, want %d", got, want)
	}
	seen := make(map[string]bool)
	for _, s := range w.Stations() {
		if seen[s.ID] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(s.ID) {
			t.Errorf("station %q: repeated, or no ID", s.ID)
		}
		seen[s.ID] = true
		if s.Latitude < -7.05 || s.Latitude > -6.93 || s.Longitude < 110.40 || s.Longitude > 110.50 {
			t.Errorf("%s lies at %v, %v: not in the east of Semarang", s.ID, s.Latitude, s.Longitude)
		}
		if !slices.Contains(water.Kinds(), s.Kind) || s.Name == "" || s.River == "" || len(s.Instruments) < 5 {
			t.Errorf("%s is not equipped: %+v", s.ID, s)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		options simulate.Options
		want    string
	}{
		"no start":                         {simulate.Options{}, "start: required, 1970 or later"},
		"a scenario nobody wrote":          {simulate.Options{Start: start, Scenario: "flood"}, `no scenario "flood"; have normal, spill, plant-upset, sensor-faults`},
		"too many stations":                {simulate.Options{Start: start, Stations: 309}, "309 stations: from 1 to 308"},
		"too few stations for a spill":     {simulate.Options{Start: start, Stations: 2, Scenario: simulate.Spill}, "2 stations: spill needs 8 or more"},
		"an interval below a millisecond":  {simulate.Options{Start: start, Interval: time.Microsecond}, "interval 1µs: whole milliseconds, up to 24h"},
		"an interval longer than one day":  {simulate.Options{Start: start, Interval: 25 * time.Hour}, "interval 25h0m0s: whole milliseconds, up to 24h"},
		"stations and scenario, both told": {simulate.Options{Start: start, Stations: -1, Scenario: "x"}, "-1 stations: from 1 to 308\nno scenario \"x\"; have normal, spill, plant-upset, sensor-faults"},
	} {
		if _, err := simulate.New(tc.options); fmt.Sprint(err) != tc.want {
			t.Errorf("%s: got %v, want %s", name, err, tc.want)
		}
	}
}

func TestMessages(t *testing.T) {
	w := world(t, simulate.Options{Stations: 9})
	last := start
	samples := make(map[string]int)
	for _, m := range messages(w, start.Add(day)) {
		if m.Time.Before(last) {
			t.Fatalf("%s at %s follows %s", m.Topic, m.Time, last)
		}
		last = m.Time
		if want := "tofu/" + m.Station + "/readings"; m.Topic != want || m.Retained {
			t.Fatalf("topic %q, retained %v; want %q, not retained", m.Topic, m.Retained, want)
		}
		var body struct{ Time time.Time }
		if err := json.Unmarshal(m.Payload, &body); err != nil {
			t.Fatalf("%s: %v", m.Payload, err)
		}
		if !body.Time.Equal(m.Time) {
			t.Fatalf("sampled at %s, sent at %s", body.Time, m.Time)
		}
		samples[m.Station]++
	}
	for station, interval := range map[string]time.Duration{
		"ipal-01": 2 * time.Minute, "bkt-hilir": 5 * time.Minute, "workshop-001": 5 * time.Minute,
	} {
		all := int(day / interval)
		if n := samples[station]; n < all*98/100 || n > all {
			t.Errorf("%s sent %d samples of %d: want nearly all", station, n, all)
		}
	}
}

func TestInterval(t *testing.T) {
	w := world(t, simulate.Options{Stations: 1, Interval: 250 * time.Millisecond})
	first, second := w.Next(), w.Next()
	if got, want := second.Time.Sub(first.Time), 250*time.Millisecond; got != want {
		t.Errorf("interval: got %s, want %s", got, want)
	}
	if !bytes.HasPrefix(second.Payload, []byte(`{"time":"2026-07-12T17:00:00.25Z",`)) {
		t.Errorf("payload %s: its time lacks the milliseconds", second.Payload)
	}
}

func TestSiteFileLoads(t *testing.T) {
	w := world(t, simulate.Options{Stations: 30, Interval: 90 * time.Second})
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, simulate.SiteFile(w, simulate.SiteOptions{}), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(file, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	var got []water.Station
	for _, st := range s.Stations {
		got = append(got, *st.Station)
	}
	if diff := cmp.Diff(got, w.Stations()); diff != "" {
		t.Errorf("stations of the file (-got +want):\n%s", diff)
	}
}

// Everyday life, in the dry season and in the wet one.
func TestNormal(t *testing.T) {
	for _, from := range []time.Time{start, time.Date(2026, 1, 11, 17, 0, 0, 0, time.UTC)} {
		t.Run(from.Format("2006-01"), func(t *testing.T) {
			w := world(t, simulate.Options{Stations: 14, Start: from, Interval: 10 * time.Minute})
			got := series(t, messages(w, from.Add(14*day)))
			ranges := map[string][2]float64{
				"influent flow": {0, 16}, "influent ph": {4, 5.5}, "influent temperature": {25, 46},
				"influent cod": {2500, 14000}, "influent tss": {250, 1200},
				"effluent flow": {0, 8}, "effluent ph": {6.5, 7.8}, "effluent temperature": {24, 36},
				"effluent cod": {180, 3000}, "effluent bod": {80, 1500}, "effluent tss": {60, 450}, "effluent nh3n": {8, 60},
				"river level": {0.05, 4}, "river ph": {6.5, 8}, "river temperature": {24, 32}, "river do": {0.5, 8},
				"river ec": {80, 2500}, "river turbidity": {3, 1500}, "river tss": {3, 1800},
				"river cod": {8, 140}, "river bod": {1, 30},
			}
			for _, s := range w.Stations() {
				for code := range s.Instruments {
					span, ok := ranges[string(s.Kind)+" "+code]
					if !ok {
						t.Fatalf("%s measures %s: no range for it here", s.ID, code)
					}
					values := got[s.ID+" "+code]
					if len(values) == 0 {
						t.Errorf("%s %s: nothing sent", s.ID, code)
					}
					for _, v := range values {
						if v.v < span[0] || v.v > span[1] {
							t.Errorf("%s %s is %v at %s; want from %v to %v", s.ID, code, v.v, v.at, span[0], span[1])
							break
						}
					}
				}
			}

			if n, w := mean(got["ipal-01-in flow"], night), mean(got["ipal-01-in flow"], working); n > w/10 {
				t.Errorf("influent flow: %.2f m3/h at night, %.2f by day: want a tenth", n, w)
			}
			if n, w := mean(got["ipal-01 flow"], night), mean(got["ipal-01 flow"], working); n < w/10 || n > w {
				t.Errorf("effluent flow: %.2f m3/h at night, %.2f by day: want it smoothed", n, w)
			}
			if c := mean(got["ipal-01 cod"], nil); c < 280 || c > 520 {
				t.Errorf("effluent COD is %.0f mg/L on the mean: want 280 to 520", c)
			}
			if b := mean(got["ipal-01 bod"], nil); b < 120 || b > 380 {
				t.Errorf("effluent BOD is %.0f mg/L on the mean: want 120 to 380", b)
			}
			weekday := func(want time.Weekday) func(time.Time, int) bool {
				return func(at time.Time, _ int) bool { return at.Add(7*time.Hour).Weekday() == want }
			}
			if s, m := mean(got["ipal-01-in flow"], weekday(time.Sunday)), mean(got["ipal-01-in flow"], weekday(time.Monday)); s > 0.8*m {
				t.Errorf("influent flow: %.2f m3/h on Sundays, %.2f on Mondays: want less", s, m)
			}
			for _, river := range []string{"bajak", "bkt", "tenggang"} {
				upper, lower := mean(got[river+"-hulu do"], nil), mean(got[river+"-hilir do"], nil)
				if lower > upper-0.2 {
					t.Errorf("%s: DO %.2f above, %.2f below: want less below", river, upper, lower)
				}
				before, behind := mean(got[river+"-hulu bod"], working), mean(got[river+"-hilir bod"], working)
				if behind < before*1.2 {
					t.Errorf("%s: BOD %.1f above, %.1f below: want more below", river, before, behind)
				}
				dark := mean(got[river+"-hulu do"], func(_ time.Time, h int) bool { return h < 5 })
				light := mean(got[river+"-hulu do"], func(_ time.Time, h int) bool { return h >= 13 && h < 17 })
				if light < dark+0.5 {
					t.Errorf("%s: DO %.2f by day, %.2f at night: want a swing", river, light, dark)
				}
			}
		})
	}
}

func TestRainDilutesAndRaisesSolids(t *testing.T) {
	wet := time.Date(2026, 1, 4, 17, 0, 0, 0, time.UTC)
	got := series(t, messages(world(t, simulate.Options{Start: wet, Interval: 5 * time.Minute}), wet.Add(28*day)))
	highest := slices.MaxFunc(got["bajak-hulu tss"], func(a, b value) int { return int(a.v - b.v) })
	if highest.v < 300 {
		t.Errorf("TSS reaches %v mg/L in January: want a storm's 300", highest.v)
	}
	storm := after(highest.at, 0, 1)
	before := after(highest.at, -6, -3)
	for _, code := range []string{"ec", "temperature"} {
		if s, b := mean(got["bajak-hulu "+code], storm), mean(got["bajak-hulu "+code], before); s > 0.95*b {
			t.Errorf("%s: %.1f in the storm, %.1f before: want less", code, s, b)
		}
	}
	if s, b := mean(got["bajak-hulu level"], storm), mean(got["bajak-hulu level"], before); s < 1.2*b {
		t.Errorf("level: %.2f m in the storm, %.2f before: want more", s, b)
	}
}

func TestSpill(t *testing.T) {
	for _, from := range []time.Time{start, time.Date(2026, 1, 11, 17, 0, 0, 0, time.UTC)} {
		t.Run(from.Format("2006-01"), func(t *testing.T) {
			o := simulate.Options{Scenario: simulate.Spill, Start: from, Incident: from.Add(3*day + 10*time.Hour), Interval: 5 * time.Minute}
			w := world(t, o)
			incidents := w.Incidents(from, from.Add(14*day))
			want := []simulate.Incident{{
				Cause: simulate.Dump, Station: "tenggang-hilir",
				Parameters: []string{"ph", "temperature", "do", "ec", "turbidity", "tss", "cod", "bod"},
				From:       o.Incident, To: o.Incident.Add(150 * time.Minute),
			}}
			if diff := cmp.Diff(incidents, want); diff != "" {
				t.Fatalf("incidents (-got +want):\n%s", diff)
			}
			o.Scenario = simulate.Normal
			spill, normal := messages(w, from.Add(5*day)), messages(world(t, o), from.Add(5*day))
			got, usual := series(t, spill), series(t, normal)

			for _, code := range []string{"cod", "bod"} {
				values := got["tenggang-hilir "+code]
				first := slices.IndexFunc(values, func(v value) bool { return !v.at.Before(o.Incident) })
				if a, b := values[first-1].v, values[first].v; b < 10*a {
					t.Errorf("%s: %v, then %v: want ten times as much", code, a, b)
				}
				during := mean(values, after(o.Incident, 0, 1.2))
				later := mean(values, after(o.Incident, 2.5, 3.5)) / mean(usual["tenggang-hilir "+code], after(o.Incident, 2.5, 3.5))
				if during < 300 || later > 1.05 {
					t.Errorf("%s: %.0f mg/L during the spill, %.2f times the usual after it", code, during, later)
				}
			}
			if v := mean(got["tenggang-hilir do"], after(o.Incident, 0, 1.2)); v > 0.5 {
				t.Errorf("DO during the spill: %.2f mg/L; want hardly any", v)
			}
			hit := func(m simulate.Message) bool {
				return m.Station == "tenggang-hilir" && !m.Time.Before(o.Incident)
			}
			spill, normal = slices.DeleteFunc(spill, hit), slices.DeleteFunc(normal, hit)
			if !slices.Equal(transcript(spill), transcript(normal)) {
				t.Error("the spill changes more than tenggang-hilir")
			}
		})
	}
}

func TestPlantUpset(t *testing.T) {
	begin := start.Add(2 * day)
	w := world(t, simulate.Options{Scenario: simulate.PlantUpset, Incident: begin, Interval: 10 * time.Minute})
	got := series(t, messages(w, start.Add(15*day)))
	removal := func(first, last float64) float64 {
		keep := after(begin, first, last)
		// Of load, as concentrations of a moment say little.
		return 1 - mean(got["ipal-01 cod"], keep)/6400
	}
	if r := removal(-48, 0); r < 0.9 {
		t.Errorf("removal before: %.2f; want 0.9", r)
	}
	if r := removal(72, 120); r > 0.5 {
		t.Errorf("removal from the third day on: %.2f; want below 0.5", r)
	}
	if r := removal(252, 300); r < 0.9 {
		t.Errorf("removal from the tenth day on: %.2f; want it well again", r)
	}
	// pH has fallen while removal has hardly begun to.
	if p, r := mean(got["ipal-01 ph"], after(begin, 17, 19)), removal(17, 19); p > 6.7 || r < 0.85 {
		t.Errorf("after 18 h: pH %.2f, removal %.2f; want pH to fall first", p, r)
	}
	if p := mean(got["ipal-01 ph"], after(begin, 72, 120)); p < 5 || p > 6 {
		t.Errorf("pH from the third day on: %.2f; want 5 to 6", p)
	}
	for i, v := range got["ipal-01 bod"] {
		if c := got["ipal-01 cod"][i]; v.v > c.v {
			t.Fatalf("BOD %v is more than COD %v at %s", v.v, c.v, c.at)
		}
	}
}
