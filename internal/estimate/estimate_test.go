package estimate

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

var (
	outlet = &water.Station{ID: "ipal-01", River: "bajak", Kind: water.Effluent}
	bridge = &water.Station{ID: "bajak-02", River: "bajak", Kind: water.River}
	seven  = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	wib    = time.FixedZone("WIB", 7*60*60)
)

func parameters(t testing.TB) *water.Parameters {
	t.Helper()
	p, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// half is a model by which BOD is half of COD. Its interval is that of one
// residual: a factor of e^(2·0.1).
func half() *Model {
	return &Model{
		ID: "ipal-01-bod-2026-11", Parameter: BOD, Station: "ipal-01", Kind: water.Effluent,
		From: seven.Add(-24 * time.Hour), To: seven.Add(24 * time.Hour),
		Inputs:    []Input{{Parameter: COD, Low: 100, High: 600, Exponent: 1}},
		Intercept: math.Log(0.5), Covariance: [][]float64{{0, 0}, {0, 0}}, ResidualSD: 0.1, Quantile: 2,
		Origin: Origin{
			At: seven, Pairs: 30, First: seven.AddDate(-1, 0, 0), Last: seven, COD: water.Sensor, R2: 0.8,
			SHA256: strings.Repeat("0a", 32),
		},
	}
}

// cloudy has turbidity beside COD: BOD = COD^0.5 · turbidity^0.5.
func cloudy() *Model {
	m := half()
	m.ID, m.From, m.To = "ipal-01-bod-2026-12", m.To, m.To.AddDate(1, 0, 0)
	m.Inputs = []Input{{COD, 100, 600, 0.5}, {Turbidity, 10, 200, 0.5}}
	m.Intercept, m.Covariance = 0, [][]float64{{0.01, 0, 0}, {0, 0, 0}, {0, 0, 0}}
	return m
}

// sees returns an observation of a sensor at the outlet.
func sees(t testing.TB, code string, value float64, flag water.Flag, at time.Time) water.Observation {
	t.Helper()
	p := parameters(t).Lookup([]byte(code))
	return water.Observation{Station: outlet, Parameter: p, Method: water.Sensor, Value: value, Flag: flag, Time: at}
}

var sameParts = cmp.Options{
	cmp.Comparer(func(a, b *water.Station) bool { return a.ID == b.ID && a.Kind == b.Kind }),
	cmp.Comparer(func(a, b *water.Parameter) bool { return a.Code == b.Code }),
	cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }),
}

func TestApply(t *testing.T) {
	for name, test := range map[string]struct {
		model            *Model
		values           []float64
		value, low, high float64
	}{
		"COD":           {half(), []float64{300}, 150, 150 * math.Exp(-0.2), 150 * math.Exp(0.2)},
		"and turbidity": {cloudy(), []float64{400, 100}, 200, 200 * math.Exp(-2*math.Sqrt(0.02)), 200 * math.Exp(2*math.Sqrt(0.02))},
	} {
		value, low, high := test.model.Apply(test.values)
		for _, c := range [][2]float64{{value, test.value}, {low, test.low}, {high, test.high}} {
			if math.Abs(c[0]/c[1]-1) > 1e-12 {
				t.Errorf("%s: estimate %v (%v to %v), want %v (%v to %v)", name, value, low, high, test.value, test.low, test.high)
				break
			}
		}
	}
}

func TestDerive(t *testing.T) {
	m, later := half(), cloudy()
	at := later.From.Add(time.Hour) // when the later model holds
	lab := sees(t, COD, 300, water.Good, seven)
	lab.Method = water.Lab
	elsewhere := sees(t, COD, 300, water.Good, seven)
	elsewhere.Station = bridge
	estimated := func(value, low, high float64, flag water.Flag, at time.Time, model string) water.Observation {
		o := sees(t, BOD, value, flag, at)
		o.Method, o.Estimation = water.Estimate, &water.Estimation{Model: model, Low: low, High: high}
		return o
	}
	for name, test := range map[string]struct {
		observations []water.Observation
		want         []water.Observation
	}{
		"good": {
			[]water.Observation{sees(t, "ph", 7, water.Good, seven), sees(t, COD, 300, water.Good, seven)},
			[]water.Observation{estimated(150, 122.8, 183.2, water.Good, seven, m.ID)},
		},
		"not evaluated yet": {
			[]water.Observation{sees(t, COD, 300, water.NotEvaluated, seven)},
			[]water.Observation{estimated(150, 122.8, 183.2, water.NotEvaluated, seven, m.ID)},
		},
		"suspect, bad and missing": {
			[]water.Observation{
				sees(t, COD, 300, water.Suspect, seven), sees(t, COD, 300, water.Bad, seven.Add(1)), sees(t, COD, math.NaN(), water.Missing, seven.Add(2)),
			}, nil,
		},
		"the ends of the range": {
			[]water.Observation{sees(t, COD, 100, water.Good, seven), sees(t, COD, 600, water.Good, seven.Add(1))},
			[]water.Observation{
				estimated(50, 40.94, 61.07, water.Good, seven, m.ID), estimated(300, 245.6, 366.4, water.Good, seven.Add(1), m.ID),
			},
		},
		"outside of the range":                    {[]water.Observation{sees(t, COD, 99.9, water.Good, seven), sees(t, COD, 600.1, water.Good, seven.Add(1))}, nil},
		"before the model":                        {[]water.Observation{sees(t, COD, 300, water.Good, m.From.Add(-1))}, nil},
		"after both":                              {[]water.Observation{sees(t, COD, 300, water.Good, later.To), sees(t, Turbidity, 100, water.Good, later.To)}, nil},
		"a laboratory's COD":                      {[]water.Observation{lab}, nil},
		"another station":                         {[]water.Observation{elsewhere}, nil},
		"a measured BOD stays what it is":         {[]water.Observation{sees(t, BOD, 160, water.Good, seven)}, nil},
		"the later model, and no turbidity":       {[]water.Observation{sees(t, COD, 400, water.Good, at)}, nil},
		"the later model, turbidity not covered":  {[]water.Observation{sees(t, COD, 400, water.Good, at), sees(t, Turbidity, 9, water.Good, at)}, nil},
		"the later model, turbidity suspect":      {[]water.Observation{sees(t, COD, 400, water.Good, at), sees(t, Turbidity, 100, water.Suspect, at)}, nil},
		"the later model, turbidity of elsewhere": {[]water.Observation{sees(t, COD, 400, water.Good, at), sees(t, Turbidity, 100, water.Good, at.Add(1))}, nil},
		"the later model, turbidity first, one not evaluated": {
			[]water.Observation{sees(t, Turbidity, 100, water.NotEvaluated, at), sees(t, "ph", 7, water.Good, at), sees(t, COD, 400, water.Good, at)},
			[]water.Observation{estimated(200, 150.7, 265.4, water.NotEvaluated, at, later.ID)},
		},
		"the first model ends where the later begins": {
			[]water.Observation{sees(t, COD, 400, water.Good, later.From.Add(-1)), sees(t, COD, 400, water.Good, later.From), sees(t, Turbidity, 100, water.Good, later.From)},
			[]water.Observation{
				estimated(200, 163.7, 244.3, water.Good, later.From.Add(-1), m.ID), estimated(200, 150.7, 265.4, water.Good, later.From, later.ID),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The site's own parameters, as in the pipeline: they are told apart by
			// address.
			p := parameters(t)
			for i, o := range test.observations {
				test.observations[i].Parameter = p.Lookup([]byte(o.Parameter.Code))
			}
			d, err := NewDeriver([]*Model{m, later}, p)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d.Derive(test.observations), test.want, sameParts); diff != "" {
				t.Errorf("estimates (-got +want):\n%s", diff)
			}
		})
	}
}

func TestRevise(t *testing.T) {
	p := parameters(t)
	d, err := NewDeriver([]*Model{half(), cloudy()}, p)
	if err != nil {
		t.Fatal(err)
	}
	of := func(code string, value float64, flag water.Flag, at time.Time) water.Observation {
		o := sees(t, code, value, flag, at)
		o.Parameter = p.Lookup([]byte(code))
		return o
	}
	for _, flag := range []water.Flag{water.Good, water.NotEvaluated, water.Suspect, water.Bad} {
		want := of(BOD, 150, flag, seven)
		want.Method, want.Estimation = water.Estimate, &water.Estimation{Model: half().ID, Low: 122.8, High: 183.2}
		got, ok := d.Revise(of(COD, 300, flag, seven))
		if diff := cmp.Diff(got, want, sameParts); !ok || diff != "" {
			t.Errorf("%s: %t, estimate (-got +want):\n%s", flag, ok, diff)
		}
	}
	lab := of(COD, 300, water.Bad, seven)
	lab.Method = water.Lab
	for name, o := range map[string]water.Observation{
		"outside of the range":   of(COD, 700, water.Bad, seven),
		"a model with turbidity": of(COD, 300, water.Bad, cloudy().From),
		"another parameter":      of("ph", 300, water.Bad, seven),
		"missing":                of(COD, math.NaN(), water.Missing, seven),
		"a laboratory's":         lab,
	} {
		if got, ok := d.Revise(o); ok {
			t.Errorf("%s: estimate %+v, want none", name, got)
		}
	}
}

func TestParseTellsEveryFault(t *testing.T) {
	good := string(cloudy().Format())
	if _, err := Parse("m.yaml", []byte(good)); err != nil {
		t.Fatalf("%v in\n%s", err, good)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"another version":       {"version: 1", "version: 2", "m.yaml:3: version: no version 2; have 1: fit again with this release"},
		"an id for no file":     {"id: ipal-01-bod-2026-12", "id: IPAL 1", `m.yaml:4: id: "IPAL 1" is no id; want up to 100 lower case letters, digits and '-', for example ipal-01-bod-2026-11`},
		"another parameter":     {"parameter: bod", "parameter: tss", `m.yaml:5: parameter: no estimate of "tss"; have bod`},
		"no kind":               {"kind: effluent", "kind: efluent", `m.yaml:7: kind: no kind "efluent"; have river, influent, effluent`},
		"ends before it starts": {"2027-11", "2025-11", "m.yaml:9: valid_to: 2025-11-24T07:00:00Z is not after valid_from; want a later time"},
		"no time":               {`valid_from: "2026-11-24T07:00:00Z"`, `valid_from: "tomorrow"`, `m.yaml:8: valid_from: "tomorrow" is no time; want one like 2026-11-01T00:00:00+07:00`},
		"turbidity alone":       {"parameter: cod,", "parameter: turbidity,", "m.yaml:14: inputs[0]: want cod first and once, and turbidity behind it or nothing"},
		"a range from 0":        {"[10, 200]", "[0, 200]", "m.yaml:15: inputs[1].range: 0 is not above 0, and has no logarithm"},
		"covariance of two":     {"  - [0, 0, 0]\n  - [0, 0, 0]\n", "  - [0, 0, 0]\n", "m.yaml:19: covariance: has 2 rows; want 3: one for the intercept and one an input"},
		"a short row":           {"[0.01, 0, 0]", "[0.01, 0]", "m.yaml:20: covariance[0]: has 2 numbers; want 3: one for the intercept and one an input"},
		"not symmetric":         {"[0.01, 0, 0]", "[0.01, 0.1, 0]", "m.yaml:19: covariance: is not symmetric: row 2 has 0 where row 1 has 0.1"},
		"no scatter":            {"residual_sd: 0.1", "residual_sd: 0", "m.yaml:23: residual_sd: 0 is out of range; want 1e-09 to 10"},
		"part of a pair":        {"pairs: 30", "pairs: 30.5", "m.yaml:28: fitted.pairs: 30.5 is no count; want a whole number"},
		"a digest of nothing":   {"sha256: \"0a", "sha256: \"", `m.yaml:33: fitted.sha256: "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a…" is no SHA-256; want 64 hexadecimal digits`},
		"an intercept by hand":  {"intercept: 0", "intercept: 9", "m.yaml:12: intercept: gives bod 2.562e+05 (1.931e+05 to 3.4e+05) for [100 10]; want a value up to 30000 inside its interval: was the file changed by hand? Fit again"},
		"an unknown key":        {"quantile:", "quantil:", "m.yaml:24: quantil: unknown key; did you mean quantile? have version, id, parameter, station, kind, valid_from, valid_to, intercept, inputs, covariance, residual_sd, quantile, fitted"},
		"cut off":               {good[strings.Index(good, "quantile"):], "", "m.yaml:1: quantile: required, as tofuwatch fit bod writes it\nm.yaml:1: fitted: required, as tofuwatch fit bod writes it"},
		"no inputs":             {good[strings.Index(good, "inputs:"):strings.Index(good, "\n# What")], "inputs: []\n", "m.yaml:13: inputs: is empty; want at least {parameter: cod, range: [88, 640], exponent: 0.98}\n"},
		"a key twice":           {"residual_sd: 0.1", "residual_sd: 10\nquantile: 13", "m.yaml:25: quantile: given twice"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(good, test.old, test.new, 1)
			if bad == good {
				t.Fatalf("%q is not in\n%s", test.old, good)
			}
			_, err := Parse("m.yaml", []byte(bad))
			if _, ok := errors.AsType[strict.Faults](err); !ok {
				t.Fatalf("error %v is a %T, want strict.Faults", err, err)
			}
			if !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got faults:\n%v\nwant:\n%s\nin\n%s", err, test.want, bad)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(half().Format())
	f.Add(cloudy().Format())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse("m.yaml", data)
		if err != nil {
			return
		}
		again, err := Parse("m.yaml", m.Format())
		if err != nil {
			t.Fatalf("%v in\n%s", err, m.Format())
		}
		if diff := cmp.Diff(again, m); diff != "" {
			t.Errorf("read back (-got +want):\n%s", diff)
		}
		values := make([]float64, len(m.Inputs))
		for i, in := range m.Inputs {
			values[i] = in.Low
		}
		value, low, high := m.Apply(values)
		if !(0 < rounded(low) && rounded(low) <= rounded(value) && rounded(value) <= rounded(high)) {
			t.Errorf("estimate %v (%v to %v) of\n%s", value, low, high, data)
		}
	})
}

func TestRounded(t *testing.T) {
	for v, want := range map[float64]float64{150: 150, 122.80961: 122.8, 0.0012345678: 0.001235, 9999.7: 10000, 12345: 12350} {
		if got := rounded(v); got != want {
			t.Errorf("rounded(%v) = %v, want %v", v, got, want)
		}
	}
}

// memory is a History of what a test gives it.
type memory []water.Observation

func (m memory) Between(_ context.Context, s *water.Station, method water.Method, parameters []*water.Parameter, from, to time.Time) ([]water.Observation, error) {
	var found []water.Observation
	for _, o := range m {
		for _, p := range parameters {
			if o.Station.ID == s.ID && o.Method == method && o.Parameter.Code == p.Code && !o.Time.Before(from) && o.Time.Before(to) {
				o.Parameter = p
				found = append(found, o)
			}
		}
	}
	return found, nil
}

func (m memory) Around(ctx context.Context, s *water.Station, method water.Method, parameters []*water.Parameter, times []time.Time, window time.Duration) ([][]water.Observation, error) {
	found := make([][]water.Observation, len(times))
	for i, at := range times {
		found[i], _ = m.Between(ctx, s, method, parameters, at.Add(-window), at.Add(window+1))
	}
	return found, nil
}

func TestFind(t *testing.T) {
	by := func(m water.Method, o water.Observation) water.Observation {
		o.Method = m
		return o
	}
	hour := func(n int) time.Time { return seven.Add(time.Duration(n) * time.Hour) }
	below := by(water.Lab, sees(t, BOD, 2, water.Good, hour(4)))
	below.Censor = water.Below
	influent := by(water.Lab, sees(t, BOD, 900, water.Good, hour(6)))
	then := *outlet
	then.Kind = water.Influent
	influent.Station = &then
	h := memory{
		// Hour 0: sensor and laboratory; the sensor's bad value and those too far away do not count.
		by(water.Lab, sees(t, BOD, 142, water.NotEvaluated, hour(0))), by(water.Lab, sees(t, COD, 310, water.Good, hour(0))),
		sees(t, COD, 9999, water.Good, hour(0).Add(-30*time.Minute-1)), sees(t, COD, 290, water.Good, hour(0).Add(-30*time.Minute)),
		sees(t, COD, 5000, water.Bad, hour(0)), sees(t, COD, 300, water.NotEvaluated, hour(0).Add(time.Minute)),
		sees(t, COD, 320, water.Good, hour(0).Add(2*time.Minute)), sees(t, COD, 296, water.Good, hour(0).Add(30*time.Minute)),
		sees(t, Turbidity, 61, water.Good, hour(0)),
		// Hour 2: the laboratory alone.
		by(water.Lab, sees(t, BOD, 150, water.Good, hour(2))), by(water.Lab, sees(t, COD, 320, water.Good, hour(2))), by(water.Lab, sees(t, Turbidity, 70, water.Good, hour(2))),
		// What makes no pair.
		by(water.Lab, sees(t, BOD, 150, water.Suspect, hour(3))),
		below,
		by(water.Lab, sees(t, BOD, 400, water.Good, hour(5))), sees(t, COD, 300, water.Good, hour(5)), by(water.Lab, sees(t, COD, 399, water.Good, hour(5))),
		influent, sees(t, COD, 2000, water.Good, hour(6)),
		by(water.Lab, sees(t, BOD, math.NaN(), water.Missing, hour(7))), by(water.Lab, sees(t, COD, 300, water.Good, hour(7))),
		by(water.Lab, sees(t, BOD, 0, water.Good, hour(8))), sees(t, COD, 300, water.Good, hour(8)),
		by(water.Lab, sees(t, BOD, 100, water.Good, hour(100))), sees(t, COD, 300, water.Good, hour(100)), // too late
	}
	source := Source{Station: outlet, Parameters: parameters(t), From: hour(-1), To: hour(100), Window: Window, Enough: 2}
	got, err := Find(t.Context(), h, source)
	if err != nil {
		t.Fatal(err)
	}
	want := Pairs{
		COD: water.Sensor,
		Usable: []Pair{
			{hour(0), water.Effluent, 142, 298, 61},
			{hour(6), water.Influent, 900, 2000, math.NaN()},
		},
		LeftOut: []LeftOut{
			{hour(2), "no COD of the sensor within 30m0s of it, with flag 1 or 2"},
			{hour(3), "BOD is flagged suspect"},
			{hour(4), "BOD is <2, a bound and no value"},
			{hour(5), "BOD 400 is above COD 300, which cannot be: one of them is wrong"},
			{hour(8), "BOD 0 with COD 300: both have to be above 0"},
		},
	}
	if diff := cmp.Diff(got, want, sameParts); diff != "" {
		t.Errorf("pairs with the sensor's COD (-got +want):\n%s", diff)
	}

	source.Enough, source.To = 3, hour(6)
	if got, err = Find(t.Context(), h, source); err != nil {
		t.Fatal(err)
	}
	want = Pairs{
		COD:    water.Lab,
		Usable: []Pair{{hour(0), water.Effluent, 142, 310, math.NaN()}, {hour(2), water.Effluent, 150, 320, 70}},
		LeftOut: []LeftOut{
			{hour(3), "BOD is flagged suspect"},
			{hour(4), "BOD is <2, a bound and no value"},
			{hour(5), "BOD 400 is above COD 399, which cannot be: one of them is wrong"},
		},
	}
	if diff := cmp.Diff(got, want, sameParts); diff != "" {
		t.Errorf("pairs with the laboratory's COD (-got +want):\n%s", diff)
	}
}

func TestReadCSV(t *testing.T) {
	got, err := ReadCSV(strings.NewReader("\ufeffTime,cod,bod,Turbidity,kind\n2026-03-05 09:30,298,142,61,\n2026-03-04,300,150,,influent\n2026-03-06T02:30:00Z,100,120,5,effluent\n"), "pairs.csv", outlet, wib)
	if err != nil {
		t.Fatal(err)
	}
	march := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	want := Pairs{
		COD: water.Lab,
		Usable: []Pair{
			{march(3, 17, 0), water.Influent, 150, 300, math.NaN()},
			{march(5, 2, 30), water.Effluent, 142, 298, 61},
		},
		LeftOut: []LeftOut{{march(6, 2, 30), "BOD 120 is above COD 100, which cannot be: one of them is wrong"}},
	}
	if diff := cmp.Diff(got, want, sameParts); diff != "" {
		t.Errorf("pairs (-got +want):\n%s", diff)
	}
}

func TestReadCSVTellsEveryFault(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"nothing":        {"", "p.csv:1: EOF; want a header such as time,bod,cod"},
		"semicolons":     {"time;bod;cod\n", `p.csv:1: no column "time;bod;cod"; have time, bod, cod, turbidity, station, kind, separated by commas`},
		"a column short": {"time,bod\n", "p.csv:1: the column cod is missing; want at least time, bod and cod"},
		"rows": {
			"time,bod,cod,station\nsoon,1,2,\n2026-03-04,<2,30,\n2026-03-04,1,NaN,\n2026-03-04,1,3,bajak-02\n2026-03-04,1\n2026-03-04,1,3,ipal-01\n",
			`p.csv:2: time "soon"; want one such as 2026-03-04, 2026-03-04 09:30 or 2026-03-04T09:30:00+07:00
p.csv:3: bod "<2" is no number; want one such as 142.5, and leave out rows whose result is a bound such as <2
p.csv:4: cod "NaN" is no number; want one such as 142.5, and leave out rows whose result is a bound such as <2
p.csv:5: is of station "bajak-02"; want ipal-01 alone: a relation holds for the water it was fitted from
p.csv:6: has 2 fields; want 4, as the header`,
		},
		"a kind of its own": {"time,bod,cod,kind\n2026-03-04,1,3,sewage\n", `p.csv:2: no kind "sewage"; have [river influent effluent]`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadCSV(strings.NewReader(test.text), "p.csv", outlet, wib)
			if err == nil {
				t.Fatal("no fault found")
			}
			if diff := cmp.Diff(err.Error(), test.want); diff != "" {
				t.Errorf("faults (-got +want):\n%s", diff)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	lab := func(value float64, flag water.Flag, at time.Time) water.Observation {
		o := sees(t, BOD, value, flag, at)
		o.Method = water.Lab
		return o
	}
	guess := func(value float64, flag water.Flag, at time.Time) water.Observation {
		o := sees(t, BOD, value, flag, at)
		o.Method, o.Estimation = water.Estimate, &water.Estimation{Model: "m", Low: value / 1.5, High: value * 1.5}
		return o
	}
	day := func(n int) time.Time { return seven.AddDate(0, 0, n) }
	h := memory{
		lab(120, water.Good, day(0)), guess(160, water.Good, day(0).Add(-time.Minute)), guess(150, water.NotEvaluated, day(0)),
		guess(170, water.Good, day(0).Add(time.Minute)), guess(9, water.Suspect, day(0).Add(2*time.Minute)), guess(7, water.Good, day(0).Add(31*time.Minute)),
		lab(300, water.NotEvaluated, day(1)), guess(150, water.Good, day(1)),
		lab(100, water.Good, day(2)),                                // nothing was estimated then
		lab(100, water.Bad, day(3)), guess(100, water.Good, day(3)), // no value to hold it against
		lab(150, water.Good, day(4)), guess(150, water.Good, day(4).Add(time.Hour)), // too far away
	}
	got, err := Compare(t.Context(), h, outlet, parameters(t).Lookup([]byte(BOD)), day(0), day(9), Window)
	if err != nil {
		t.Fatal(err)
	}
	want := []Comparison{
		{day(0), 120, 160, 160 / 1.5, 240, "m"},
		{day(1), 300, 150, 100, 225, "m"},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Fatalf("comparisons (-got +want):\n%s", diff)
	}
	for i, want := range []struct {
		ratio   float64
		outside bool
	}{{160.0 / 120, false}, {0.5, true}} {
		if got[i].Ratio() != want.ratio || got[i].Outside() != want.outside {
			t.Errorf("comparison %d has the ratio %v, outside %t; want %v, %t", i, got[i].Ratio(), got[i].Outside(), want.ratio, want.outside)
		}
	}
}
