package alerts

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tofuwatch/alerts/standards"
	"tofuwatch/internal/water"
)

// noon is when the tests of limits start.
var noon = time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)

// An outlet is an exporter that judges one station, and the clock that it goes by.
type outlet struct {
	*Exporter
	t          *testing.T
	now        time.Time
	station    *water.Station
	parameters *water.Parameters
}

// newOutlet returns an outlet under limits, at noon. It reports COD every two
// minutes and pH every ten.
func newOutlet(t *testing.T, limits water.Limits) *outlet {
	t.Helper()
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	o := &outlet{t: t, now: noon, parameters: parameters, station: &water.Station{
		ID: "ipal-01", Name: "IPAL", River: "bajak", Kind: water.Effluent,
		Instruments: map[string]water.Instrument{
			"cod": {Parameter: parameters.Lookup([]byte("cod")), Interval: 2 * time.Minute},
			"ph":  {Parameter: parameters.Lookup([]byte("ph")), Interval: 10 * time.Minute},
		},
	}}
	return o.restarted(limits)
}

// restarted returns an outlet of the same station that knows nothing yet.
func (o *outlet) restarted(limits water.Limits) *outlet {
	again := *o
	again.Exporter = NewExporter(map[string]*water.Station{o.station.ID: o.station})
	again.Judge(map[string]water.Limits{o.station.ID: limits}, func() time.Time { return again.now })
	return &again
}

// good returns a good sensor's observation.
func (o *outlet) good(code string, value float64, at time.Time) water.Observation {
	return water.Observation{
		Station: o.station, Parameter: o.parameters.Lookup([]byte(code)), Method: water.Sensor,
		Value: value, Flag: water.Good, Time: at,
	}
}

// observe takes in observations at once.
func (o *outlet) observe(observations ...water.Observation) { o.Observe(observations) }

// wants compares the named metrics that are not 0 with lines.
func (o *outlet) wants(lines string, names ...string) {
	o.t.Helper()
	if got, want := o.lines(names...), strings.TrimSpace(lines); got != want {
		o.t.Errorf("metrics are\n%s\nwant\n%s", got, want)
	}
}

// lines returns the named metrics, a series a line, without those of 0.
func (o *outlet) lines(names ...string) string {
	o.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o.Exporter)
	families, err := registry.Gather()
	if err != nil {
		o.t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, name := range names {
			if f.GetName() != name {
				continue
			}
			for _, m := range f.GetMetric() {
				value := m.GetGauge().GetValue() + m.GetCounter().GetValue()
				if value == 0 {
					continue
				}
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
				lines = append(lines, fmt.Sprintf("%s{%s} %v", name, strings.Join(labels, ","), value))
			}
		}
	}
	return strings.Join(lines, "\n")
}

func maximum(standard, parameter string, value float64) water.Limit {
	return water.Limit{
		Parameter: parameter, Unit: "mg/L", Bound: water.Max, Value: value, Statistic: water.Instant,
		Standard: standard, Law: water.Text{Indonesian: "Aturan " + standard, English: "Rule " + standard},
	}
}

const counter = "tofuwatch_exceedances_total"

// counts are wanted lines of the counter for COD's maximum by a sensor.
func counts(live, late int) string {
	var lines []string
	for _, c := range []struct {
		timing string
		n      int
	}{{"late", late}, {"live", live}} {
		if c.n > 0 {
			lines = append(lines, fmt.Sprintf("%s{bound=max,method=sensor,parameter=cod,station=ipal-01,timing=%s} %d", counter, c.timing, c.n))
		}
	}
	return strings.Join(lines, "\n")
}

func TestLimitMetrics(t *testing.T) {
	var limits water.Limits
	for _, id := range []string{"id-permenlh-5-2014-tofu", "id-jateng-5-2012-tofu", "id-pp-22-2021-class-2", "jp-uniform"} {
		s, err := standards.Load(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range s.Limits(time.UTC) {
			if l.Parameter == "cod" || l.Parameter == "tss" && id != "id-pp-22-2021-class-2" || l.Parameter == "temperature" {
				limits = append(limits, l)
			}
		}
	}
	limits = append(limits, maximum(water.OwnLimit, "cod", 20))
	limits[len(limits)-1].Law = water.Text{Indonesian: "batas stasiun ini sendiri", English: "this station's own limit"}
	e := newOutlet(t, limits).Exporter
	const want = `
# HELP tofuwatch_daily_mean_limit Limit for the mean of a day that binds now, in the unit of the parameter.
# TYPE tofuwatch_daily_mean_limit gauge
tofuwatch_daily_mean_limit{bound="max",parameter="tss",standard="jp-uniform",station="ipal-01"} 150
# HELP tofuwatch_limit Limit for every sample that binds now, in the unit of the parameter: the strictest of the station's standards and its own (standard site).
# TYPE tofuwatch_limit gauge
tofuwatch_limit{bound="deviation",parameter="temperature",standard="id-pp-22-2021-class-2",station="ipal-01"} 3
tofuwatch_limit{bound="max",parameter="cod",standard="site",station="ipal-01"} 20
tofuwatch_limit{bound="max",parameter="temperature",standard="id-jateng-5-2012-tofu",station="ipal-01"} 38
tofuwatch_limit{bound="max",parameter="tss",standard="id-jateng-5-2012-tofu",station="ipal-01"} 100
# HELP tofuwatch_limit_info 1 for each standard that sets a binding limit: its law in Indonesian and English, and whether somebody compared the limit with it (verified true or false; empty for a station's own limit).
# TYPE tofuwatch_limit_info gauge
tofuwatch_limit_info{bound="deviation",law_en="PP 22/2021 annex VI, class II",law_id="PP 22/2021 Lampiran VI, kelas II",parameter="temperature",standard="id-pp-22-2021-class-2",verified="false"} 1
tofuwatch_limit_info{bound="max",law_en="Japan, uniform effluent standards",law_id="Standar efluen seragam Jepang",parameter="tss",standard="jp-uniform",verified="false"} 1
tofuwatch_limit_info{bound="max",law_en="Perda Jateng 5/2012 (Central Java), tofu",law_id="Perda Jateng 5/2012, tahu",parameter="temperature",standard="id-jateng-5-2012-tofu",verified="false"} 1
tofuwatch_limit_info{bound="max",law_en="Perda Jateng 5/2012 (Central Java), tofu",law_id="Perda Jateng 5/2012, tahu",parameter="tss",standard="id-jateng-5-2012-tofu",verified="false"} 1
tofuwatch_limit_info{bound="max",law_en="this station's own limit",law_id="batas stasiun ini sendiri",parameter="cod",standard="site",verified=""} 1
`
	if err := testutil.CollectAndCompare(e, strings.NewReader(want), "tofuwatch_limit", "tofuwatch_daily_mean_limit", "tofuwatch_limit_info"); err != nil {
		t.Error(err)
	}
}

func TestVerifiedOnlyIfAllOfARuleIs(t *testing.T) {
	verified := &water.Verification{By: "a lawyer", On: noon}
	sample, mean := maximum("a", "cod", 300), maximum("a", "cod", 200)
	mean.Statistic = water.DailyMean
	for name, test := range map[string]struct {
		sample, mean *water.Verification
		want         string
	}{
		"neither":  {nil, nil, "false"},
		"the mean": {nil, verified, "false"},
		"a sample": {verified, nil, "false"},
		"both":     {verified, verified, "true"},
	} {
		t.Run(name, func(t *testing.T) {
			sample.Verified, mean.Verified = test.sample, test.mean
			newOutlet(t, water.Limits{sample, mean}).wants(
				"tofuwatch_limit_info{bound=max,law_en=Rule a,law_id=Aturan a,parameter=cod,standard=a,verified="+test.want+"} 1",
				"tofuwatch_limit_info")
		})
	}
}

func TestEveryCombinationStartsAtZero(t *testing.T) {
	ph := water.Limit{Parameter: "ph", Bound: water.Min, Value: 6, Statistic: water.Instant, Standard: "a"}
	mean := maximum("a", "tss", 150)
	mean.Statistic = water.DailyMean
	warming := water.Limit{Parameter: "temperature", Bound: water.Deviation, Value: 3, Statistic: water.Instant, Standard: "a"}
	gone := maximum("a", "bod", 100)
	gone.To = noon.AddDate(-1, 0, 0)
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300), ph, mean, warming, gone})
	// COD's maximum, pH's minimum and BOD's maximum of old, by 2 methods, live and late.
	if got, want := testutil.CollectAndCount(o.Exporter, counter), 3*2*2; got != want {
		t.Errorf("%d counters, want %d", got, want)
	}
	o.wants("", counter)
}

// The law limits what is measured. An estimate is shown, and exceeds nothing.
func TestAnEstimateExceedsNothing(t *testing.T) {
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300)})
	estimate := o.good("cod", 9000, noon)
	estimate.Method, estimate.Estimation = water.Estimate, &water.Estimation{Model: "m", Low: 8000, High: 10000}
	o.observe(estimate)
	o.wants("", counter)
	if got := testutil.CollectAndCount(o.Exporter, "tofuwatch_reading"); got != 1 {
		t.Errorf("%d latest values, want the estimate", got)
	}
}

func TestLint(t *testing.T) {
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300)})
	o.observe(o.good("cod", 500, noon), o.good("cod", 500, noon.Add(-time.Hour)))
	problems, err := testutil.CollectAndLint(o.Exporter)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestExceedances(t *testing.T) {
	limits := water.Limits{
		maximum("a", "cod", 300),
		{Parameter: "ph", Bound: water.Min, Value: 6, Statistic: water.Instant, Range: true, Standard: "a"},
		{Parameter: "ph", Bound: water.Max, Value: 9, Statistic: water.Instant, Range: true, Standard: "a"},
		{Parameter: "temperature", Unit: "°C", Bound: water.Deviation, Value: 3, Statistic: water.Instant, Standard: "a"},
		{Parameter: "tss", Unit: "mg/L", Bound: water.Max, Value: 150, Statistic: water.DailyMean, Standard: "a"},
	}
	const ph = counter + "{bound=%s,method=sensor,parameter=ph,station=ipal-01,timing=live} 1"
	flagged := func(f water.Flag) func(*water.Observation) {
		return func(o *water.Observation) { o.Flag = f }
	}
	censored := func(c water.Censor) func(*water.Observation) {
		return func(o *water.Observation) { o.Censor = c }
	}
	by := func(m water.Method) func(*water.Observation) {
		return func(o *water.Observation) { o.Method = m }
	}
	for name, test := range map[string]struct {
		code   string
		value  float64
		change func(*water.Observation)
		want   string
	}{
		"at the limit":            {"cod", 300, nil, ""},
		"above the limit":         {"cod", 300.1, nil, counts(1, 0)},
		"flag 2":                  {"cod", 500, flagged(water.NotEvaluated), counts(1, 0)},
		"flag 3":                  {"cod", 500, flagged(water.Suspect), counts(1, 0)},
		"flag 4":                  {"cod", 500, flagged(water.Bad), ""},
		"flag 9":                  {"cod", 500, flagged(water.Missing), ""},
		"below a range":           {"ph", 5.9, nil, fmt.Sprintf(ph, "min")},
		"above a range":           {"ph", 9.1, nil, fmt.Sprintf(ph, "max")},
		"within a range":          {"ph", 7, nil, ""},
		"deviation, no reference": {"temperature", 90, nil, ""},
		"a daily mean's":          {"tss", 500, nil, ""},
		"no limit":                {"bod", 1e6, nil, ""},
		"of a laboratory":         {"cod", 500, by(water.Lab), strings.ReplaceAll(counts(0, 1), "sensor", "lab")}, // however soon it comes
		"less than more than it":  {"cod", 500, censored(water.Below), ""},
		"more than the limit":     {"cod", 300, censored(water.Above), counts(1, 0)},
		"taken back":              {"cod", 500, by(water.LabSuperseded), ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutlet(t, limits)
			observation := o.good(test.code, test.value, noon)
			if test.change != nil {
				test.change(&observation)
			}
			o.observe(observation)
			o.wants(test.want, counter)
		})
	}
}

func TestLiveAndLate(t *testing.T) {
	limits := water.Limits{
		maximum("a", "cod", 300), maximum("a", "tss", 100),
		{Parameter: "ph", Bound: water.Max, Value: 9, Statistic: water.Instant, Standard: "a"},
	}
	for name, test := range map[string]struct {
		code string
		age  time.Duration
		want string
	}{
		"a clock ahead":                    {"cod", -5 * time.Minute, "live"},
		"15 minutes at every 2":            {"cod", 15 * time.Minute, "live"},
		"past 15 minutes at every 2":       {"cod", 15*time.Minute + 1, "late"},
		"30 minutes at every 10":           {"ph", 30 * time.Minute, "live"},
		"past 30 minutes at every 10":      {"ph", 30*time.Minute + 1, "late"},
		"past 15 minutes, no instrument":   {"tss", 15*time.Minute + 1, "late"},
		"within 15 minutes, no instrument": {"tss", 15 * time.Minute, "live"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutlet(t, limits)
			o.observe(o.good(test.code, 1000, noon.Add(-test.age)))
			o.wants(fmt.Sprintf("%s{bound=max,method=sensor,parameter=%s,station=ipal-01,timing=%s} 1", counter, test.code, test.want), counter)
		})
	}
}

func TestArrivalBeforeARestart(t *testing.T) {
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300)})
	o.now = noon.Add(5 * time.Hour) // the ingester was down for so long
	o.ObserveAt(noon, []water.Observation{o.good("cod", 500, noon)})
	o.wants(counts(1, 0), counter)
}

// On the day of a change each reading is judged by the law of its own moment,
// whenever it arrives.
func TestDayOfAChange(t *testing.T) {
	zone := time.FixedZone("WIB", 7*3600)
	midnight := time.Date(2026, 11, 24, 0, 0, 0, 0, zone)
	before, after := maximum("old", "cod", 300), maximum("new", "cod", 200)
	before.To, after.From = midnight, midnight
	o := newOutlet(t, water.Limits{before, after})
	o.now = midnight.Add(-time.Second)
	const limit = "tofuwatch_limit{bound=max,parameter=cod,standard=%s,station=ipal-01} %d"
	o.wants(fmt.Sprintf(limit, "old", 300), "tofuwatch_limit")
	o.now = midnight
	o.wants(fmt.Sprintf(limit, "new", 200), "tofuwatch_limit")

	o.now = midnight.Add(5 * time.Minute)
	o.observe(o.good("cod", 250, midnight), o.good("cod", 250, midnight.Add(-time.Second)), o.good("cod", 300.5, midnight.Add(-2*time.Second)))
	o.wants(counts(2, 0), counter)

	o.now = midnight.AddDate(0, 1, 0)
	o.observe(o.good("cod", 299, midnight.Add(-time.Hour)), o.good("cod", 301, midnight.Add(-2*time.Hour)))
	o.wants(counts(2, 1), counter)
	o.wants("tofuwatch_late_exceedance_limit{bound=max,method=sensor,parameter=cod,standard=old,station=ipal-01} 300", "tofuwatch_late_exceedance_limit")
}

func TestDuplicatesCountOnce(t *testing.T) {
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300)})
	first, second := o.good("cod", 500, noon), o.good("cod", 600, noon.Add(-2*time.Minute))
	o.observe(first, second, first)
	o.observe(second)
	o.wants(counts(2, 0), counter)
	o.now = noon.Add(48 * time.Hour) // what was live does not come again as late
	o.observe(second, first)
	o.wants(counts(2, 0), counter)

	lab := first
	lab.Method = water.Lab
	o.observe(lab) // another series
	o.wants(strings.ReplaceAll(counts(0, 1), "sensor", "lab")+"\n"+counts(2, 0), counter)
}

func TestCorrectionThatExceeds(t *testing.T) {
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300)})
	o.observe(o.good("cod", 290, noon))
	o.observe(o.good("cod", 310, noon))
	o.wants(counts(1, 0), counter)
	o.observe(o.good("cod", 290, noon), o.good("cod", 320, noon))
	o.wants(counts(1, 0), counter)
}

func TestBacklog(t *testing.T) {
	const n = 10_000
	start := noon.Add(-n * 2 * time.Minute)
	for name, order := range map[string]func(i int) int{
		"in order":         func(i int) int { return i },
		"newest first":     func(i int) int { return n - 1 - i },
		"from both halves": func(i int) int { return i/2 + i%2*n/2 },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutlet(t, water.Limits{maximum("a", "cod", 300)})
			o.now = noon.Add(time.Hour)
			backlog := make([]water.Observation, n)
			for i := range backlog {
				backlog[i] = o.good("cod", 500+float64(order(i)), start.Add(time.Duration(order(i))*2*time.Minute))
			}
			o.Observe(backlog)
			o.Observe(backlog) // and all of it again
			o.wants(counts(0, n), counter)
			const late = "tofuwatch_late_exceedance_"
			newest := start.Add((n - 1) * 2 * time.Minute)
			o.wants(fmt.Sprintf(`
tofuwatch_late_exceedance_limit{bound=max,method=sensor,parameter=cod,standard=a,station=ipal-01} 300
tofuwatch_late_exceedance_timestamp_seconds{method=sensor,parameter=cod,station=ipal-01} %v
tofuwatch_late_exceedance_value{method=sensor,parameter=cod,station=ipal-01,unit=mg/L} %v
`, float64(newest.Unix()), 500.0+n-1), late+"limit", late+"timestamp_seconds", late+"value")
		})
	}
}

// A laboratory's results are told of with the date of their own sample, also
// where an older one arrives after a newer one.
func TestLateResultsOneByOne(t *testing.T) {
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300)})
	arrives := func(after time.Duration, sampled time.Time, want time.Time) {
		t.Helper()
		o.now = noon.Add(after)
		o.observe(o.good("cod", 500, sampled))
		const name = "tofuwatch_late_exceedance_timestamp_seconds"
		o.wants(fmt.Sprintf("%s{method=sensor,parameter=cod,station=ipal-01} %v", name, float64(want.Unix())), name)
	}
	first, second, third := noon.AddDate(0, 0, -9), noon.AddDate(0, 0, -8), noon.AddDate(0, 0, -7)
	arrives(0, second, second)
	arrives(30*time.Minute, first, second) // with the one before
	arrives(89*time.Minute, first.Add(time.Minute), second)
	arrives(3*time.Hour, first.Add(2*time.Minute), first.Add(2*time.Minute)) // on its own
	arrives(4*time.Hour, third, third)
	arrives(6*time.Hour, first, third) // counted already
}

// A snapshot and the records behind it may overlap: nothing is lost or doubled.
func TestRestart(t *testing.T) {
	limits := water.Limits{
		maximum("a", "cod", 300), maximum("b", "tss", 100),
		{Parameter: "ph", Bound: water.Min, Value: 6, Statistic: water.Instant, Standard: "a"},
	}
	o := newOutlet(t, limits)
	file := filepath.Join(t.TempDir(), "latest.json")
	var records []water.Observation
	for i := range 200 {
		sampled := noon.Add(time.Duration(i) * 2 * time.Minute)
		records = append(records, o.good("cod", 250+float64(i), sampled), o.good("tss", 99+float64(i%3), sampled), o.good("ph", 5.5, sampled.Add(-30*24*time.Hour)))
	}
	send := func(o *outlet, records []water.Observation) {
		for _, r := range records {
			o.now = noon.Add(r.Time.Sub(noon) % (30 * 24 * time.Hour)).Add(30 * 24 * time.Hour)
			if r.Parameter.Code != "ph" {
				o.now = r.Time
			}
			o.observe(r)
		}
	}
	send(o, records)
	names := []string{counter, "tofuwatch_late_exceedance_timestamp_seconds", "tofuwatch_late_exceedance_value", "tofuwatch_late_exceedance_limit", "tofuwatch_reading"}
	want := o.lines(names...)

	for name, cut := range map[string]struct{ saved, replayed int }{
		"nothing after the snapshot":      {600, 600},
		"all of it after the snapshot":    {0, 0},
		"some after the snapshot":         {300, 300},
		"some in the snapshot come again": {450, 300},
		"all in the snapshot come again":  {600, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := o.restarted(limits)
			before.t = t
			send(before, records[:cut.saved])
			if err := before.Save(file, 42); err != nil {
				t.Fatal(err)
			}
			after := before.restarted(limits)
			position, err := after.Load(file, o.parameters)
			if err != nil || position != 42 {
				t.Fatalf("Load = %d, %v; want 42", position, err)
			}
			send(after, records[cut.replayed:])
			after.lines(counter) // the first scrape shows what the last one before the restart did
			after.wants(want, names...)
			send(after, records)
			after.wants(want, names...)
		})
	}
}

// Prometheus has to see a counter rise. What was counted while nobody collected
// shows from the second scrape on, also over a restart.
func TestLateExceedancesCountedUnseenAreSeenToCome(t *testing.T) {
	limits := water.Limits{maximum("a", "cod", 300)}
	file := filepath.Join(t.TempDir(), "latest.json")
	restarted := func(o *outlet) *outlet {
		t.Helper()
		if err := o.Save(file, 1); err != nil {
			t.Fatal(err)
		}
		after := o.restarted(limits)
		if _, err := after.Load(file, o.parameters); err != nil {
			t.Fatal(err)
		}
		return after
	}
	late := func(o *outlet, days int) {
		result := o.good("cod", 500, noon.Add(-time.Duration(days)*24*time.Hour))
		result.Method = water.Lab
		o.observe(result)
	}
	seen := func(o *outlet, want int) {
		t.Helper()
		lines := strings.ReplaceAll(counts(0, want), "sensor", "lab")
		if want == 0 {
			lines = ""
		}
		o.wants(lines, counter)
	}
	o := newOutlet(t, limits)
	late(o, 1)
	seen(o, 1)
	if !o.Told() {
		t.Error("got nothing told after a late exceedance was collected")
	}

	o = restarted(o)
	if o.Told() {
		t.Error("got something told right after a restart")
	}
	late(o, 2) // unseen, like those of a command that ends
	late(o, 3)
	o = restarted(o)
	seen(o, 1)
	seen(o, 3)
	seen(o, 3)
	o = restarted(o)
	seen(o, 3)
	late(o, 3) // counted already
	seen(o, 3)
}

func TestRestartWithOtherLimits(t *testing.T) {
	o := newOutlet(t, water.Limits{maximum("a", "cod", 300), maximum("a", "tss", 100)})
	o.observe(o.good("cod", 500, noon), o.good("tss", 500, noon), o.good("tss", 500, noon.Add(-time.Hour)))
	file := filepath.Join(t.TempDir(), "latest.json")
	if err := o.Save(file, 1); err != nil {
		t.Fatal(err)
	}
	after := o.restarted(water.Limits{maximum("b", "cod", 200)})
	if _, err := after.Load(file, o.parameters); err != nil {
		t.Fatal(err)
	}
	after.wants(counts(1, 0), counter, "tofuwatch_late_exceedance_timestamp_seconds")
}

func TestSampleTimes(t *testing.T) {
	const minute = int64(time.Minute)
	var s sampleTimes
	for i := range int64(1_000_000) { // two years of every minute
		if !s.add(i * minute) {
			t.Fatalf("time %d counts as known", i)
		}
	}
	if got := len(s.runs); got != 1 {
		t.Errorf("regular times take %d runs, want 1", got)
	}
	for _, at := range []int64{0, 1, 500_000, 999_999} {
		if s.add(at * minute) {
			t.Errorf("time %d counts as new", at)
		}
	}
	if !s.add(minute / 2) {
		t.Error("a time between two known ones is not new")
	}

	random := rand.New(rand.NewPCG(1, 2))
	irregular := make([]int64, 10_000)
	for i := range irregular {
		irregular[i] = random.Int64N(1 << 60)
		if !s.add(irregular[i]) {
			t.Fatalf("irregular time %d counts as known", irregular[i])
		}
	}
	if got := len(s.runs); got > mostRuns {
		t.Errorf("%d runs are kept, want %d at most", got, mostRuns)
	}
	var restored sampleTimes
	restored.restore(s.saved())
	for _, kept := range []*sampleTimes{&s, &restored} {
		for _, at := range irregular[len(irregular)-mostRuns:] {
			if kept.add(at) {
				t.Errorf("time %d, one of the last %d, is forgotten", at, mostRuns)
			}
		}
	}
	restored.restore([][3]int64{{1, 0, 2}, {1, 1, 0}, {5, 0, 1}})
	if got := restored.saved(); len(got) != 1 || got[0] != [3]int64{5, 0, 1} {
		t.Errorf("of runs that cannot be, %v are taken up", got)
	}
}

// Whatever the order, a set of times says of each whether it is in.
func TestSampleTimesAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var s sampleTimes
		known := make(map[int64]bool)
		for range 150 { // fewer than mostRuns
			at := random.Int64N(200) * int64(time.Minute)
			if got, want := s.add(at), !known[at]; got != want {
				t.Fatalf("add(%d) = %v, want %v, with %v", at, got, want, s.runs)
			}
			known[at] = true
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	parameters, err := water.NewParameters()
	if err != nil {
		b.Fatal(err)
	}
	s := &water.Station{ID: "ipal-01", Kind: water.Effluent, Instruments: map[string]water.Instrument{}}
	e := NewExporter(map[string]*water.Station{s.ID: s})
	e.Judge(map[string]water.Limits{s.ID: {maximum("a", "cod", 300)}}, time.Now)
	observations := make([]water.Observation, 1)
	for name, value := range map[string]float64{"complies": 100, "exceeds": 500} {
		b.Run(name, func(b *testing.B) {
			at := noon
			for b.Loop() {
				at = at.Add(time.Minute)
				observations[0] = water.Observation{
					Station: s, Parameter: parameters.Lookup([]byte("cod")), Method: water.Sensor,
					Value: value, Flag: water.Good, Time: at,
				}
				e.ObserveAt(at, observations)
			}
		})
	}
}
