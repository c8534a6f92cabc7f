package summary_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest"
	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/summary"
	"tofuwatch/internal/testenv"
	"tofuwatch/internal/water"
)

var zone = time.FixedZone("WIB", 7*60*60)

// midnight begins the day of these tests, in Semarang.
var midnight = time.Date(2026, 11, 23, 0, 0, 0, 0, zone).UTC()

// A place is a plant with an InfluxDB and a keeper.
type place struct {
	t          *testing.T
	db         *testenv.Database
	options    summary.Options
	history    *influx.History
	keeper     *summary.Keeper
	write      func([]byte)
	now        time.Time
	in, out    *water.Station
	cod, flow  *water.Parameter
	everything map[string]*water.Station
}

func newPlace(t *testing.T) *place {
	t.Helper()
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, db: testenv.InfluxDB(t, testenv.WithDatabase("water")), now: midnight.Add(36 * time.Hour)}
	p.cod, p.flow = parameters.Lookup([]byte("cod")), parameters.Lookup([]byte("flow"))
	station := func(id string, kind water.Kind) *water.Station {
		return &water.Station{ID: id, River: "bajak", Kind: kind, Instruments: map[string]water.Instrument{
			"cod":  {Parameter: p.cod, Interval: 30 * time.Minute},
			"flow": {Parameter: p.flow, Interval: 30 * time.Minute},
		}}
	}
	p.in, p.out = station("ipal-01-in", water.Influent), station("ipal-01", water.Effluent)
	p.everything = map[string]*water.Station{p.in.ID: p.in, p.out.ID: p.out}
	address, err := url.Parse(p.db.URL)
	if err != nil {
		t.Fatal(err)
	}
	options := influx.Options{URL: address, Bucket: "water"}
	client := influx.NewClient(options)
	t.Cleanup(client.Close)
	p.history = influx.NewHistory(client, options)
	blocking := client.WriteAPIBlocking("", "water")
	p.write = func(lines []byte) {
		t.Helper()
		if err := blocking.WriteRecord(t.Context(), string(lines)); err != nil {
			t.Fatal(err)
		}
	}
	p.options = summary.Options{
		File: filepath.Join(t.TempDir(), "marks"), Stations: p.everything, Parameters: parameters,
		Limits: map[string]water.Limits{p.out.ID: {
			{Parameter: "cod", Unit: "mg/L", Bound: water.Max, Value: 300, Statistic: water.Instant, To: midnight.Add(12 * time.Hour)},
			{Parameter: "cod", Unit: "mg/L", Bound: water.Max, Value: 250, Statistic: water.Instant, From: midnight.Add(12 * time.Hour)},
			{Parameter: "cod", Unit: "mg/L", Bound: water.Max, Value: 280, Statistic: water.DailyMean},
		}},
		Plants:   []summary.Plant{{Effluent: p.out, Influent: p.in, Retention: 24 * time.Hour}},
		TimeZone: zone, Prefix: influx.Measurement + ",", Now: func() time.Time { return p.now },
	}
	p.open()
	return p
}

// open starts the keeper, as after a restart.
func (p *place) open() {
	p.t.Helper()
	var err error
	if p.keeper, err = summary.New(p.options, p.history, slog.New(slog.DiscardHandler)); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.keeper.Close() })
}

// store has the writer store readings and mark them.
func (p *place) store(all ...water.Observation) {
	p.t.Helper()
	lines := influx.Encode(nil, all)
	p.write(lines)
	if err := p.keeper.Stored(lines); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) round() {
	p.t.Helper()
	if err := p.keeper.Round(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// reading returns one of a sensor, some minutes after midnight.
func (p *place) reading(s *water.Station, of *water.Parameter, minutes int, value float64, flag water.Flag) water.Observation {
	return water.Observation{Station: s, Parameter: of, Method: water.Sensor, Value: value, Flag: flag, Time: midnight.Add(time.Duration(minutes) * time.Minute)}
}

// day stores a day of readings, each half hour.
func (p *place) day(s *water.Station, from int, cod, flow float64) {
	p.t.Helper()
	var all []water.Observation
	for i := range 48 {
		all = append(all, p.reading(s, p.cod, from+30*i, cod, water.Good), p.reading(s, p.flow, from+30*i, flow, water.Good))
	}
	p.store(all...)
}

// summaries returns those of COD at the outlet, by start, in words.
func (p *place) summaries(span water.Span) map[string]string {
	p.t.Helper()
	all, err := p.history.Summaries(context.Background(), span, p.everything, p.options.Parameters, midnight.AddDate(0, -1, 0), midnight.AddDate(0, 0, 8))
	if err != nil {
		p.t.Fatal(err)
	}
	words := make(map[string]string)
	for _, s := range all {
		if s.Station == p.out && s.Parameter == p.cod && s.Method == water.Sensor {
			words[s.Start.In(zone).Format("02 15:04")] = fmt.Sprintf("%.4g (%.4g..%.4g) of %d, suspect %d, bad %d, missing %d, expected %d, over %d/%d, %v/%v, times %.3g, mean over %d/%d, load %.4g of %d h, before %.4g, %.4g",
				s.Mean, s.Min, s.Max, s.Valid, s.Suspect, s.Bad, s.Missing, s.Expected, s.Over, s.Judged, s.OverTime, s.JudgedTime, s.Times, s.MeanOver, s.MeanJudged, s.Load, s.LoadHours, s.DayAgo, s.WeekAgo)
		}
	}
	return words
}

func TestHours(t *testing.T) {
	p := newPlace(t)
	nan := math.NaN()
	p.store(
		p.reading(p.out, p.cod, 0, 200, water.Good), p.reading(p.out, p.cod, 30, 301, water.NotEvaluated),
		p.reading(p.out, p.cod, 60, 300, water.Good), p.reading(p.out, p.cod, 90, 9999, water.Suspect),
		p.reading(p.out, p.cod, 120, 9999, water.Bad), p.reading(p.out, p.cod, 150, nan, water.Missing),
		// nothing from 03:00 to 11:00
		p.reading(p.out, p.cod, 11*60, 300, water.Good),
		p.reading(p.out, p.cod, 12*60, 300, water.Good), // under the new limit
		p.reading(p.out, p.flow, 0, 2, water.Good),
	)
	p.now = midnight.Add(12*time.Hour + 20*time.Minute)
	p.round()
	want := map[string]string{
		"23 00:00": "250.5 (200..301) of 2, suspect 0, bad 0, missing 0, expected 2, over 1/2, 30m0s/1h0m0s, times 1, mean over 0/0, load 0.501 of 1 h, before NaN, NaN",
		"23 01:00": "300 (300..300) of 1, suspect 1, bad 0, missing 0, expected 2, over 0/1, 0s/30m0s, times 1, mean over 0/0, load NaN of 0 h, before NaN, NaN",
		"23 02:00": "NaN (NaN..NaN) of 0, suspect 0, bad 1, missing 1, expected 2, over 0/0, 0s/0s, times NaN, mean over 0/0, load NaN of 0 h, before NaN, NaN",
		"23 11:00": "300 (300..300) of 1, suspect 0, bad 0, missing 0, expected 2, over 0/1, 0s/30m0s, times 1, mean over 0/0, load NaN of 0 h, before NaN, NaN",
		"23 12:00": "300 (300..300) of 1, suspect 0, bad 0, missing 0, expected 1, over 1/1, 30m0s/30m0s, times 1.2, mean over 0/0, load NaN of 0 h, before NaN, NaN",
	}
	for h := 3; h <= 10; h++ { // silence counts
		want[fmt.Sprintf("23 %02d:00", h)] = "NaN (NaN..NaN) of 0, suspect 0, bad 0, missing 0, expected 2, over 0/0, 0s/0s, times NaN, mean over 0/0, load NaN of 0 h, before NaN, NaN"
	}
	if diff := cmp.Diff(p.summaries(water.Hour), want); diff != "" {
		t.Errorf("hours (-got +want):\n%s", diff)
	}

	// Hours go by, and nothing comes.
	p.now = midnight.Add(14*time.Hour + time.Minute)
	p.round()
	want["23 12:00"] = "300 (300..300) of 1, suspect 0, bad 0, missing 0, expected 2, over 1/1, 30m0s/30m0s, times 1.2, mean over 0/0, load NaN of 0 h, before NaN, NaN"
	want["23 13:00"] = want["23 03:00"]
	want["23 14:00"] = "NaN (NaN..NaN) of 0, suspect 0, bad 0, missing 0, expected 1, over 0/0, 0s/0s, times NaN, mean over 0/0, load NaN of 0 h, before NaN, NaN"
	if diff := cmp.Diff(p.summaries(water.Hour), want); diff != "" {
		t.Errorf("hours after two more (-got +want):\n%s", diff)
	}
}

// What comes late, and what is flagged otherwise later, makes hour, day and month
// anew, and all that looks back at them.
func TestLateAndCorrected(t *testing.T) {
	p := newPlace(t)
	p.now = midnight.Add(8*24*time.Hour + 12*time.Hour)
	p.day(p.in, 0, 6000, 5)
	p.day(p.out, 24*60, 240, 5)
	p.day(p.out, 0, 200, 4)
	p.day(p.out, 7*24*60, 290, 4)
	p.round()
	before := p.summaries(water.Day)
	want := map[string]string{
		"23 00:00": "200 (200..200) of 48, suspect 0, bad 0, missing 0, expected 48, over 0/48, 0s/24h0m0s, times 0.8, mean over 0/1, load 19.2 of 24 h, before NaN, NaN",
		"24 00:00": "240 (240..240) of 48, suspect 0, bad 0, missing 0, expected 48, over 0/48, 0s/24h0m0s, times 0.96, mean over 0/1, load 28.8 of 24 h, before NaN, NaN",
		"30 00:00": "290 (290..290) of 48, suspect 0, bad 0, missing 0, expected 48, over 48/48, 24h0m0s/24h0m0s, times 1.16, mean over 1/1, load 27.84 of 24 h, before NaN, NaN",
	}
	for start, words := range want {
		if before[start] != words {
			t.Errorf("day %s is %q, want %q", start, before[start], words)
		}
	}
	if got, want := p.removal(), "23 NaN 24 0.96"; got != want {
		t.Errorf("removal is %s, want %s", got, want)
	}
	if got, want := p.summaries(water.Hour)["30 07:00"], "before NaN, 200"; got[len(got)-len(want):] != want {
		t.Errorf("an hour that looks back is %q, want %q", got, want)
	}

	// A week late: what the logger held back of 07:00, and another judgement of
	// 08:00 and of the whole influent.
	p.store(p.reading(p.out, p.cod, 7*60+10, 800, water.Good))
	p.store(p.reading(p.out, p.cod, 8*60, 200, water.Bad), p.reading(p.out, p.cod, 8*60+30, 200, water.Bad))
	p.day(p.in, 0, 3000, 5)
	p.round()
	hours := p.summaries(water.Hour)
	for start, words := range map[string]string{
		"23 07:00": "400 (200..800) of 3, suspect 0, bad 0, missing 0, expected 2, over 1/3, 20m0s/1h0m0s, times 2.67, mean over 0/0, load 1.6 of 1 h, before NaN, NaN",
		"23 08:00": "NaN (NaN..NaN) of 0, suspect 0, bad 2, missing 0, expected 2, over 0/0, 0s/0s, times NaN, mean over 0/0, load NaN of 0 h, before NaN, NaN",
	} {
		if hours[start] != words {
			t.Errorf("hour %s is %q, want %q", start, hours[start], words)
		}
	}
	for start, words := range map[string]string{"24 07:00": "before 400, NaN", "30 07:00": "before NaN, 400"} {
		if got := hours[start]; got[len(got)-len(words):] != words {
			t.Errorf("hour %s that looks back is %q, want %q", start, got, words)
		}
	}
	if got, want := p.summaries(water.Day)["23 00:00"], "212.8 (200..800) of 47, suspect 0, bad 2, missing 0, expected 48, over 1/47, 20m0s/23h0m0s, times 2.67, mean over 0/1, load 20.03 of 23 h, before NaN, NaN"; got != want {
		t.Errorf("day is %q, want %q", got, want)
	}
	if got, want := p.summaries(water.Month)["01 00:00"], "247.8"; got[:len(want)] != want {
		t.Errorf("month is %q, want a mean of %s", got, want)
	}
	if got, want := p.removal(), "23 NaN 24 0.92"; got != want {
		t.Errorf("removal is %s, want %s", got, want)
	}
}

// removal returns what was removed on two days, in words.
func (p *place) removal() string {
	p.t.Helper()
	shares := map[int]float64{23: math.NaN(), 24: math.NaN()}
	for _, row := range p.db.Query(p.t, "water", "SELECT removal FROM treatment_daily WHERE station = 'ipal-01' AND parameter = 'cod'") {
		shares[row["time"].(time.Time).In(zone).Day()] = row["removal"].(float64)
	}
	return fmt.Sprintf("23 %.4g 24 %.4g", shares[23], shares[24])
}

// A crash after a batch was stored loses no mark; and without marks, as on the
// first start of a release that makes summaries, all there is is made.
func TestAfterACrash(t *testing.T) {
	for name, crash := range map[string]func(*place){
		"with its marks": func(*place) {},
		"without marks":  func(p *place) { p.options.File += ".lost" },
	} {
		p := newPlace(t)
		p.day(p.out, 0, 200, 4)
		crash(p) // the keeper is left as it is
		p.open()
		p.round()
		if got := p.summaries(water.Day)["23 00:00"]; got == "" || got[:3] != "200" {
			t.Errorf("%s: day is %q, want a mean of 200", name, got)
		}
	}
}

// failing is a spool whose cursor must not move.
type failing struct{ t *testing.T }

func (f failing) Next(context.Context, int, time.Duration) (*ingest.Batch, error) { return nil, nil }

func (f failing) Done(*ingest.Batch, []ingest.Refusal) error {
	f.t.Error("the spool let go of a batch that could not be marked")
	return nil
}

func TestSpoolKeepsWhatCannotBeMarked(t *testing.T) {
	p := newPlace(t)
	if err := p.keeper.Close(); err != nil {
		t.Fatal(err)
	}
	lines := influx.Encode(nil, []water.Observation{p.reading(p.out, p.cod, 0, 200, water.Good)})
	if err := p.keeper.Watch(failing{t}).Done(&ingest.Batch{Lines: lines}, nil); err == nil {
		t.Error("Done gives no error, want one")
	}
}
