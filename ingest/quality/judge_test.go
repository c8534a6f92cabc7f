package quality

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/water"
)

// outlet reports every two minutes.
var outlet = &water.Station{ID: "ipal-01", Kind: water.Effluent, Latitude: -7, Longitude: 110, Sentinels: []float64{-9999}}

const interval = 2 * time.Minute

// builtin are the built-in parameters: one is the same in all of these tests.
var builtin = sync.OnceValues(func() (*water.Parameters, error) { return water.NewParameters() })

func parameters(t testing.TB) *water.Parameters {
	t.Helper()
	p, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A bench is a judge and what it has told: what InfluxDB would hold, corrections
// in the place of what they correct.
type bench struct {
	*Judge
	t          *testing.T
	parameters *water.Parameters
	stored     map[key]string
	corrected  []string // by the last message: "cod 2: bad was good"
	messages   int
}

type key struct {
	code string
	n    int // of the interval
}

// newBench is one where every test is on that stands in settings, for all
// parameters alike.
func newBench(t *testing.T, settings Settings) *bench {
	b := &bench{t: t, parameters: parameters(t), stored: make(map[key]string)}
	b.Judge = NewJudge(b.parameters, func(*water.Station, *water.Parameter) Settings { return settings })
	return b
}

// at is a reading of an interval.
func (b *bench) at(n int, code string, value float64) water.Reading {
	return water.Reading{Parameter: b.parameters.Lookup([]byte(code)), Value: value, Time: midnight.Add(time.Duration(n) * interval)}
}

// take judges readings that came together.
func (b *bench) take(readings ...water.Reading) {
	b.t.Helper()
	b.corrected = nil
	b.messages++ // a second apart, and none of them late
	received := midnight.Add(3*time.Hour + time.Duration(b.messages)*time.Second)
	observations, corrections := b.Judge.Judge(Batch{Station: outlet, Method: water.Sensor, Readings: readings, Received: received})
	if len(observations) != len(readings) {
		b.t.Fatalf("%d observations of %d readings", len(observations), len(readings))
	}
	for i, o := range observations {
		if o.Parameter != readings[i].Parameter || !o.Time.Equal(readings[i].Time) || o.Station != outlet || o.Method != water.Sensor {
			b.t.Fatalf("observation %d is %+v, want that of %+v", i, o, readings[i])
		}
		b.store(o)
	}
	for _, c := range corrections {
		k := b.store(c.Observation)
		was := "unknown"
		if c.Was != 0 {
			was = c.Was.String()
		}
		b.corrected = append(b.corrected, fmt.Sprintf("%s %d: %s was %s", k.code, k.n, c.Flag, was))
	}
}

func (b *bench) store(o water.Observation) key {
	k := key{o.Parameter.Code, int(o.Time.Sub(midnight) / interval)}
	b.stored[k] = fmt.Sprintf("%d %s", o.Flag, o.Tests)
	return k
}

// flags are what one test says of a parameter, in the order of time; test 0 is the
// flag.
func (b *bench) flags(code string, test water.Test) string {
	var keys []int
	for k := range b.stored {
		if k.code == code {
			keys = append(keys, k.n)
		}
	}
	slices.Sort(keys)
	var flags []string
	for _, n := range keys {
		flag, tests, _ := strings.Cut(b.stored[key{code, n}], " ")
		if test > 0 {
			flag = tests[test-1 : test]
		}
		flags = append(flags, flag)
	}
	return strings.Join(flags, " ")
}

func (b *bench) wantFlags(what, code string, test water.Test, want string) {
	b.t.Helper()
	if got := b.flags(code, test); got != want {
		b.t.Errorf("%s: %s of %s: got %s, want %s", what, test, code, got, want)
	}
}

func (b *bench) wantCorrected(what string, want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(b.corrected, want); diff != "" {
		b.t.Errorf("%s: corrections (-got +want):\n%s", what, diff)
	}
}

var everyTest = Settings{
	Timing:       Timing{Gap: time.Hour, Reception: 6 * time.Hour},
	GrossRange:   GrossRange{Fail: NewSpan(0, 1000), Suspect: NewSpan(0, 500), ZeroSuspect: true},
	Spike:        Spike{Method: Differential, Suspect: 25, Fail: 100},
	RateOfChange: RateOfChange{Suspect: 2}, // 240 in two minutes
	FlatLine:     FlatLine{Tolerance: 0.01, Suspect: 6 * time.Minute, Fail: 12 * time.Minute},
}

func TestSpikeIsFoundWhenTheNextSampleComes(t *testing.T) {
	b := newBench(t, everyTest)
	b.take(b.at(0, "cod", 100), b.at(0, "ph", 7))
	b.wantFlags("first sample", "cod", 0, "1")
	b.wantFlags("first sample", "cod", water.SpikeTest, "2")
	b.take(b.at(1, "cod", 102), b.at(1, "ph", 7.1))
	b.take(b.at(2, "cod", 250), b.at(2, "ph", 7.2)) // it looks good, so far
	b.wantFlags("spike came", "cod", 0, "1 1 1")
	b.wantFlags("spike came", "cod", water.SpikeTest, "2 1 2")
	b.wantCorrected("spike came", "cod 1: good was good", "ph 1: good was good")
	b.take(b.at(3, "cod", 103), b.at(3, "ph", 7.1))
	b.wantFlags("spike went", "cod", 0, "1 1 4 1")
	b.wantFlags("spike went", "cod", water.SpikeTest, "2 1 4 2")
	b.wantCorrected("spike went", "cod 2: bad was good", "ph 2: good was good")
}

// Whatever the order in which samples arrive: in the end each is judged as if they
// had come in the order of their time.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	settings := everyTest
	settings.Attenuated = Attenuated{Window: 20 * time.Minute, Statistic: StandardDeviation, Suspect: 1, Fail: 0.1, Least: 4}
	for round := range 50 {
		var readings []water.Reading
		b := newBench(t, settings)
		v := 100.0
		for n := range 40 {
			if random.IntN(12) == 0 {
				n += 40 // a gap
			}
			switch random.IntN(6) {
			case 0:
				v = 100 + 300*random.Float64()
			case 1:
				v = math.Trunc(v)
			case 2:
				readings = append(readings, b.at(n, "cod", []float64{-9999, math.NaN(), 0, 2000, 600}[random.IntN(5)]), b.at(n, "bod", v/2+100))
				continue
			}
			readings = append(readings, b.at(n, "cod", v), b.at(n, "bod", v/2))
		}
		slices.SortStableFunc(readings, func(a, c water.Reading) int { return a.Time.Compare(c.Time) })
		last := make(map[key]bool) // of two readings of one time the last one counts
		var once []water.Reading
		for _, r := range slices.Backward(readings) {
			k := key{r.Parameter.Code, int(r.Time.Sub(midnight) / interval)}
			if !last[k] {
				once = append(once, r)
			}
			last[k] = true
		}
		slices.Reverse(once)
		for _, r := range once {
			b.take(r)
		}
		want := b.stored

		for name, arrange := range map[string]func(readings []water.Reading){
			"shuffled": func(r []water.Reading) {
				random.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
			},
			"backwards": func(r []water.Reading) { slices.Reverse(r) },
			"a backlog": func(r []water.Reading) {
				slices.SortStableFunc(r, func(a, b water.Reading) int { return backlog(b) - backlog(a) })
			},
			"two by two":   func([]water.Reading) {},
			"all together": func([]water.Reading) {},
		} {
			other := newBench(t, settings)
			arranged := slices.Clone(once)
			arrange(arranged)
			at := 1
			switch name {
			case "two by two":
				at = 2
			case "all together":
				at = len(arranged)
			}
			for part := range slices.Chunk(arranged, at) {
				other.take(part...)
			}
			// Late is what the logger's connection was, not the water.
			if diff := cmp.Diff(other.stored, want); diff != "" {
				t.Fatalf("round %d, %s (-got +want in order):\n%s", round, name, diff)
			}
		}
	}
}

// backlog sorts the middle of a record behind its end.
func backlog(r water.Reading) int {
	if n := r.Time.Sub(midnight) / interval; n > 10 && n < 30 {
		return 0
	}
	return 1
}

// A message is delivered again: what it led to is told again if it may be lost.
func TestMessageThatComesAgain(t *testing.T) {
	b := newBench(t, everyTest)
	for n, v := range []float64{100, 250, 100} {
		b.take(b.at(n, "cod", v))
	}
	b.wantCorrected("first time", "cod 1: bad was good")
	before := b.stored[key{"cod", 2}]
	b.take(b.at(2, "cod", 100))
	b.wantCorrected("again")
	if got := b.stored[key{"cod", 2}]; got != before {
		t.Errorf("came again: got %s, want %s", got, before)
	}

	// The disk refused it.
	last := b.at(1, "cod", 250)
	b.Lost([]water.Correction{{Observation: water.Observation{Station: outlet, Method: water.Sensor, Parameter: last.Parameter, Time: last.Time}}})
	b.take(b.at(2, "cod", 100))
	b.wantCorrected("after it was refused", "cod 1: bad was unknown")
	b.take(b.at(2, "cod", 100))
	b.wantCorrected("and told")

	// We were killed before it was acknowledged.
	file := filepath.Join(t.TempDir(), "quality")
	if err := b.Save(file, 0); err != nil {
		t.Fatal(err)
	}
	again := newBench(t, everyTest)
	if _, err := again.Load(file, map[string]*water.Station{outlet.ID: outlet}, again.parameters); err != nil {
		t.Fatal(err)
	}
	again.take(again.at(2, "cod", 100))
	again.wantCorrected("in another life", "cod 1: bad was unknown")
	again.take(again.at(2, "cod", 100))
	again.wantCorrected("in the same life")

	b.take(b.at(2, "cod", 251)) // with another value, which stands in its place
	b.wantCorrected("with another value", "cod 1: good was bad")
}

// While somebody holds a probe into a buffer it says nothing of the water, nor of
// the readings before and after.
func TestMaintenanceStandsApart(t *testing.T) {
	b := newBench(t, everyTest)
	work := func(_ *water.Station, _ *water.Parameter, at time.Time) bool {
		n := at.Sub(midnight) / interval
		return n >= 3 && n < 6
	}
	var told []string
	for n, v := range []float64{100, 101, 103, 400, 400, -9999, 102, 100} {
		batch := Batch{Station: outlet, Method: water.Sensor, Readings: []water.Reading{b.at(n, "cod", v)}, Received: midnight.Add(time.Hour), Maintained: work}
		looked := b.Look(batch)
		o, c := b.Judge.Judge(batch)
		b.store(o[0])
		for _, c := range c {
			b.store(c.Observation)
		}
		if o[0].Flag != looked[0].Flag || o[0].Maintenance != looked[0].Maintenance {
			t.Errorf("reading %d is %s, and looked at %s", n, o[0].Flag, looked[0].Flag)
		}
		told = append(told, fmt.Sprintf("%v %d %t", o[0].Value, o[0].Flag, o[0].Maintenance))
	}
	want := []string{"100 1 false", "101 1 false", "103 1 false", "400 4 true", "400 4 true", "NaN 9 true", "102 1 false", "100 1 false"}
	if diff := cmp.Diff(told, want); diff != "" {
		t.Errorf("observations (-got +want):\n%s", diff)
	}
	b.wantFlags("around the work", "cod", 0, "1 1 1 4 4 9 1 1")
	b.wantFlags("around the work", "cod", water.SpikeTest, "2 1 2 2 2 9 2 2")
	b.wantFlags("around the work", "cod", water.RateOfChangeTest, "1 1 1 2 2 9 1 1")
}

// So that each sample is one line for InfluxDB.
func TestCorrectionsOfASampleAreTogether(t *testing.T) {
	settings := everyTest
	settings.Alone = true
	b := newBench(t, settings)
	for n, v := range []float64{100, 250, 100, 250, 100} {
		b.take(b.at(2*n, "cod", v), b.at(2*n, "bod", v))
	}
	b.wantFlags("zigzag", "cod", 0, "1 4 4 4 1")
	b.take(b.at(3, "cod", 200), b.at(5, "cod", 200), b.at(3, "bod", 200), b.at(5, "bod", 200))
	b.wantCorrected("late ones between",
		"cod 2: suspect was bad", "bod 2: suspect was bad", "cod 4: suspect was bad", "bod 4: suspect was bad",
		"cod 6: suspect was bad", "bod 6: suspect was bad")
}

// A reading after an outage is as good as any: what the gap says is in the digits,
// and not in the flag.
func TestGapIsToldAndDoesNotCount(t *testing.T) {
	b := newBench(t, everyTest)
	b.take(b.at(0, "cod", 100))
	b.take(b.at(1, "cod", 110))
	b.take(b.at(100, "cod", 120))
	b.wantFlags("after a gap", "cod", water.TimingTest, "1 1 4")
	b.wantFlags("after a gap", "cod", 0, "1 1 1")
}

func TestLateReadingIsTold(t *testing.T) {
	b := newBench(t, everyTest)
	r := []water.Reading{b.at(0, "cod", 100)}
	for name, test := range map[string]struct {
		after time.Duration
		want  water.Flag
	}{
		"in time": {6 * time.Hour, water.NotEvaluated},
		"late":    {6*time.Hour + 1, water.Bad},
	} {
		judge := NewJudge(b.parameters, func(*water.Station, *water.Parameter) Settings { return everyTest })
		o, _ := judge.Judge(Batch{Station: outlet, Method: water.Sensor, Readings: r, Received: r[0].Time.Add(test.after)})
		if got := o[0].Tests.Flag(water.TimingTest); got != test.want || o[0].Flag != water.Good {
			t.Errorf("%s: timing %s and flag %s, want %s and good", name, got, o[0].Flag, test.want)
		}
	}
}

func TestComparisonsWithinASample(t *testing.T) {
	b := newBench(t, Settings{GrossRange: GrossRange{Fail: NewSpan(0, 1000)}})
	for n, test := range []struct {
		first, second   water.Reading
		one, two        string // flags
		digitOne, digit string
	}{
		{b.at(0, "bod", 150), b.at(0, "cod", 300), "1", "1", "1", "1"},
		{b.at(1, "bod", 300), b.at(1, "cod", 300), "1", "1", "1", "1"},
		{b.at(2, "bod", 301), b.at(2, "cod", 300), "3", "3", "3", "3"},
		{b.at(3, "bod", 301), b.at(3, "cod", -9999), "1", "9", "2", "9"},
		{b.at(4, "bod", 301), b.at(4, "cod", -1), "1", "4", "2", "2"},
		{b.at(5, "do", 12.3), b.at(5, "temperature", 25), "1", "1", "1", "2"},
		{b.at(6, "do", 12.5), b.at(6, "temperature", 25), "3", "1", "3", "2"},
		{b.at(7, "do", 12.5), b.at(7, "temperature", 20), "1", "1", "1", "2"},
	} {
		for _, together := range []bool{true, false} {
			b := newBench(t, Settings{GrossRange: GrossRange{Fail: NewSpan(0, 1000)}})
			if together {
				b.take(test.first, test.second)
			} else { // a topic for each parameter
				b.take(test.first)
				b.take(test.second)
			}
			one, two := test.first.Parameter.Code, test.second.Parameter.Code
			what := fmt.Sprintf("case %d, together %t", n, together)
			b.wantFlags(what, one, 0, test.one)
			b.wantFlags(what, two, 0, test.two)
			b.wantFlags(what, one, water.MultiVariateTest, test.digitOne)
			b.wantFlags(what, two, water.MultiVariateTest, test.digit)
		}
		for _, method := range []water.Method{water.Lab, water.Sensor} {
			if method == water.Lab && n == 3 {
				continue // to a laboratory -9999 is a number, and a bad one
			}
			o := b.Look(Batch{Station: outlet, Method: method, Readings: []water.Reading{test.first, test.second}, Received: midnight})
			if got := fmt.Sprintf("%d %d", o[0].Flag, o[1].Flag); got != test.one+" "+test.two {
				t.Errorf("case %d by itself: flags %s, want %s %s", n, got, test.one, test.two)
			}
		}
	}
	alone := newBench(t, Settings{Alone: true})
	alone.take(alone.at(0, "bod", 301), alone.at(0, "cod", 300))
	alone.wantFlags("switched off", "bod", water.MultiVariateTest, "2")
}

func TestSaturation(t *testing.T) {
	for temperature, want := range map[float64]float64{0: 14.62, 20: 9.09, 25: 8.26, 30: 7.56, 35: 6.95, 90: 6.41, -5: 14.62} {
		if got := Saturation(temperature); math.Abs(got-want) > 0.005 {
			t.Errorf("saturation at %v °C is %.3f mg/L, want %.2f", temperature, got, want)
		}
	}
}

// A laboratory's samples are days apart, come in any order, and repeat: by
// themselves they are judged, and nothing remembers them. What an instrument can
// measure, and what a logger sends for no value, says nothing of them.
func TestLaboratoryIsJudgedByItself(t *testing.T) {
	b := newBench(t, everyTest)
	for range 10 {
		o, c := b.Judge.Judge(Batch{Station: outlet, Method: water.Lab, Readings: []water.Reading{b.at(0, "cod", 300), b.at(5, "cod", 300), b.at(2, "cod", 1001), b.at(3, "cod", 50_001), b.at(4, "cod", -9999)}, Received: midnight.AddDate(0, 0, 5)})
		var got []string
		for _, o := range o {
			got = append(got, fmt.Sprintf("%d %s", o.Flag, o.Tests))
		}
		want := []string{"1 21112222222", "1 21112222222", "3 21132222222", "4 21142222222", "4 21142222222"}
		if diff := cmp.Diff(got, want); diff != "" || len(c) > 0 {
			t.Fatalf("laboratory values (-got +want), %d corrections:\n%s", len(c), diff)
		}
	}
	if n, _ := b.Series(); n != 0 {
		t.Errorf("%d series are kept, want none", n)
	}
}

func TestLookChangesNothing(t *testing.T) {
	b := newBench(t, everyTest)
	for n := range 5 {
		b.take(b.at(n, "cod", 100))
	}
	b.Look(Batch{Station: outlet, Method: water.Sensor, Readings: []water.Reading{b.at(5, "cod", 900)}, Received: midnight})
	b.take(b.at(5, "cod", 100))
	b.wantFlags("after a look", "cod", water.FlatLineTest, "1 1 1 3 3 3")
	b.wantFlags("after a look", "cod", water.RateOfChangeTest, "1 1 1 1 1 1")
}

// Where samples come faster than anybody thought, windows are longer than what is
// kept: that is said, and does not take memory.
func TestSeriesIsBounded(t *testing.T) {
	b := newBench(t, everyTest)
	for n := range 1000 {
		r := b.at(0, "cod", 100)
		r.Time = r.Time.Add(time.Duration(n) * time.Second)
		o, _ := b.Judge.Judge(Batch{Station: outlet, Method: water.Sensor, Readings: []water.Reading{r}, Received: r.Time})
		want := water.Good
		switch {
		case n >= MostKept:
			want = water.NotEvaluated // 360 s are not kept any more
		case n >= 360:
			want = water.Suspect
		}
		if got := o[0].Tests.Flag(water.FlatLineTest); got != want && n > MostKept {
			t.Fatalf("reading %d: flat line %s, want %s", n, got, want)
		}
	}
	if _, n := b.Series(); n > MostKept {
		t.Errorf("%d samples are kept, want at most %d", n, MostKept)
	}
	// What is older than what is kept is judged by itself.
	b.take(b.at(-10, "cod", 2000))
	b.wantFlags("too old", "cod", 0, "4")
	b.wantFlags("too old", "cod", water.SpikeTest, "2")
}

// A message of a whole week is judged as if it had come one by one.
func TestLongBacklog(t *testing.T) {
	one, all := newBench(t, everyTest), newBench(t, everyTest)
	var week []water.Reading
	for n := range 5000 {
		week = append(week, one.at(n, "cod", 100+50*math.Sin(float64(n)/7)), one.at(n, "ph", float64(n/5)))
	}
	for _, r := range week {
		one.take(r)
	}
	all.take(week...)
	flags := func(b *bench) map[key]byte { // of so many, details are left out
		flags := make(map[key]byte)
		for k, v := range b.stored {
			flags[k] = v[0]
		}
		return flags
	}
	if diff := cmp.Diff(flags(all), flags(one)); diff != "" {
		t.Errorf("all at once (-got +want one by one):\n%s", diff)
	}
}

// Thousands of samples a second are not a time for details.
func TestDetailsGiveWay(t *testing.T) {
	b := newBench(t, everyTest)
	const second = 2000
	told, corrected := 0, 0
	for n := range second {
		r := b.at(0, "cod", 100+float64(n%2))
		r.Time = r.Time.Add(time.Duration(n) * time.Millisecond)
		o, c := b.Judge.Judge(Batch{Station: outlet, Method: water.Sensor, Readings: []water.Reading{r}, Received: midnight})
		if o[0].Flag != water.Good {
			t.Fatalf("reading %d is %s, want good", n, o[0].Flag)
		}
		if o[0].Tests != 0 {
			told++
		}
		corrected += len(c)
	}
	if want := 10 * MostDetailed; told != want || corrected != want {
		t.Errorf("of %d samples in a second %d are told of in detail and %d again, want %d", second, told, corrected, want)
	}
	spike := func(n int, value float64) ([]water.Observation, []water.Correction) {
		return b.Judge.Judge(Batch{Station: outlet, Method: water.Sensor, Readings: []water.Reading{b.at(n, "cod", value)}, Received: midnight})
	}
	if o, _ := spike(1, 400); o[0].Flag != water.Suspect || o[0].Tests.Flag(water.RateOfChangeTest) != water.Suspect {
		t.Errorf("a jump is %s by %s, want suspect by its rate of change", o[0].Flag, o[0].Tests)
	}
	if _, c := spike(2, 100); len(c) != 1 || c[0].Flag != water.Bad || c[0].Tests.Flag(water.SpikeTest) != water.Bad {
		t.Errorf("corrections %+v, want that of the spike", c)
	}
}

func TestStateSurvives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quality")
	stations := map[string]*water.Station{outlet.ID: outlet}
	random := rand.New(rand.NewPCG(3, 4))
	value := func(n int) float64 {
		switch {
		case n%17 == 0:
			return -9999
		case n > 300 && n < 380:
			return 70 // stuck
		}
		return 100 + math.Round(random.NormFloat64()*100)/10
	}
	whole, broken := newBench(t, everyTest), newBench(t, everyTest)
	for n := range 400 {
		cod, bod := whole.at(n, "cod", value(n)), whole.at(n, "bod", math.Inf(-1))
		bod.Value = 50 + float64(n%3)
		whole.take(cod, bod)
		broken.take(cod, bod)
		if n%37 != 0 && n != 310 {
			continue
		}
		if err := broken.Save(file, uint64(n)); err != nil {
			t.Fatal(err)
		}
		again := newBench(t, everyTest)
		position, err := again.Load(file, stations, again.parameters)
		if err != nil || position != uint64(n) {
			t.Fatalf("loaded from position %d: %v; want %d", position, err, n)
		}
		again.stored = broken.stored
		broken = again
	}
	if diff := cmp.Diff(broken.stored, whole.stored); diff != "" {
		t.Errorf("with restarts (-got +want without):\n%s", diff)
	}
	if got := whole.stored[key{"cod", 379}]; !strings.HasPrefix(got, "4 ") {
		t.Errorf("the stuck sensor has %s, want it bad", got)
	}
}

func TestDamagedStateStartsEmpty(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "quality")
	stations := map[string]*water.Station{outlet.ID: outlet}
	b := newBench(t, everyTest)
	for n := range 20 {
		b.take(b.at(n, "cod", 100), b.at(n, "ph", 7))
	}
	if err := b.Save(file, 7); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := map[string][]byte{
		"empty":           {},
		"another version": bytes.Replace(good, []byte("quality 1"), []byte("quality 2"), 1),
		"longer":          append(slices.Clone(good), 0),
	}
	for i := range good {
		damaged[fmt.Sprintf("cut at %d", i)] = good[:i]
		flipped := slices.Clone(good)
		flipped[i] ^= 0x10
		damaged[fmt.Sprintf("bit of byte %d", i)] = flipped
	}
	for name, data := range damaged {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		j := newBench(t, everyTest)
		position, err := j.Load(file, stations, j.parameters)
		n, _ := j.Series()
		if err == nil || position != 0 || n != 0 {
			t.Errorf("%s: position %d, %d series, error %v; want an error and nothing", name, position, n, err)
		}
	}
	j := newBench(t, everyTest)
	if position, err := j.Load(filepath.Join(dir, "none"), stations, j.parameters); position != 0 || err != nil {
		t.Errorf("no file: position %d, error %v; want neither", position, err)
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if position, err := j.Load(file, nil, j.parameters); position != 7 || err != nil {
		t.Errorf("the station is gone: position %d, error %v; want 7", position, err)
	}
}

// The series of a few hundred stations fit a small board. A fifth of them is
// measured.
func TestMemoryOfTenThousandSeries(t *testing.T) {
	const part = 5
	p := parameters(t)
	all := p.All()[:20]
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	j := NewJudge(p, func(_ *water.Station, p *water.Parameter) Settings {
		return Defaults(p, NewSpan(p.Min, p.Max), interval)
	})
	stations := make([]*water.Station, 500/part)
	for i := range stations {
		stations[i] = &water.Station{ID: fmt.Sprint("outlet-", i)}
	}
	readings := make([]water.Reading, len(all))
	for n := range MostKept + 2*atOnce {
		at := midnight.Add(time.Duration(n) * interval)
		for i, q := range all {
			readings[i] = water.Reading{Parameter: q, Value: float64(n%100) / 10, Time: at}
		}
		for _, s := range stations {
			j.Judge(Batch{Station: s, Method: water.Sensor, Readings: readings, Received: at})
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	series, samples := j.Series()
	if series != 10_000/part || samples != series*MostKept {
		t.Fatalf("%d series with %d samples, want %d full ones", series, samples, 10_000/part)
	}
	took := part * float64(after.HeapAlloc-before.HeapAlloc) / 1e6
	t.Logf("10,000 series with %d samples each take %.0f MB", MostKept, took)
	if took > 100 {
		t.Errorf("they take %.0f MB, want less than 100", took)
	}
	file := filepath.Join(t.TempDir(), "quality")
	began := time.Now()
	if err := j.Save(file, 0); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("on disk %.1f MB, saved in %s", part*float64(info.Size())/1e6, part*time.Since(began))
	runtime.KeepAlive(j)
}
