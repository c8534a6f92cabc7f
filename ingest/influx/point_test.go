package influx

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	protocol "github.com/influxdata/line-protocol"

	"tofuwatch/internal/water"
)

var (
	outlet = &water.Station{ID: "ipal-01", River: "bajak", Kind: water.Effluent}
	bridge = &water.Station{ID: "bajak-02", River: "bajak", Kind: water.River}
	known  = map[string]*water.Station{outlet.ID: outlet, bridge.ID: bridge}
	seven  = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
)

// parameters are the built-in ones.
var parameters = sync.OnceValue(func() *water.Parameters {
	p, err := water.NewParameters()
	if err != nil {
		panic(err)
	}
	return p
})

// observer makes observations at the outlet.
func observer(t testing.TB) func(code string, value float64, flag water.Flag, at time.Time) water.Observation {
	return func(code string, value float64, flag water.Flag, at time.Time) water.Observation {
		parameter := parameters().Lookup([]byte(code))
		if parameter == nil {
			t.Fatalf("no parameter %q", code)
		}
		return water.Observation{Station: outlet, Parameter: parameter, Method: water.Sensor, Value: value, Flag: flag, Time: at}
	}
}

// judged parses lines with a parser that we did not write.
func judged(t testing.TB, lines []byte) []protocol.Metric {
	t.Helper()
	metrics, err := protocol.NewParser(protocol.NewMetricHandler()).Parse(lines)
	if err != nil {
		t.Fatalf("influxdata/line-protocol does not accept %q: %v", lines, err)
	}
	return metrics
}

func TestEncode(t *testing.T) {
	reading := observer(t)
	lab := reading("cod", 301, water.NotEvaluated, seven)
	lab.Method = water.Lab
	elsewhere := reading("ph", 7, water.Good, seven)
	elsewhere.Station = bridge
	estimate := reading("bod", 150, water.NotEvaluated, seven)
	estimate.Method, estimate.Estimation = water.Estimate, &water.Estimation{Model: "ipal-01-bod-2026-11", Low: 122.8, High: 183.2}
	for name, test := range map[string]struct {
		observations []water.Observation
		want         string
	}{
		"nothing": {nil, ""},
		"one": {
			[]water.Observation{reading("cod", 286.5, water.Good, seven)},
			"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 cod=286.5,cod_qc=1i 1795417200000000000\n",
		},
		"several of a sample, one missing": {
			[]water.Observation{
				reading("cod", 286.5, water.Good, seven),
				reading("ph", math.NaN(), water.Missing, seven),
				reading("temperature", -4, water.Bad, seven),
			},
			"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 cod=286.5,cod_qc=1i,ph_qc=9i,temperature=-4,temperature_qc=4i 1795417200000000000\n",
		},
		"all missing": {
			[]water.Observation{reading("ph", math.NaN(), water.Missing, seven), reading("ec", math.NaN(), water.Missing, seven)},
			"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 ph_qc=9i,ec_qc=9i 1795417200000000000\n",
		},
		"with what each test said": {
			[]water.Observation{
				tested(reading("cod", 286.5, water.Suspect, seven), "11112311122"),
				tested(reading("ph", math.NaN(), water.Missing, seven), "99999999999"),
				reading("ec", 900, water.Good, seven),
			},
			`water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 cod=286.5,cod_qc_tests="11112311122",cod_qc=3i,` +
				`ph_qc_tests="99999999999",ph_qc=9i,ec=900,ec_qc=1i 1795417200000000000` + "\n",
		},
		"two samples": {
			[]water.Observation{reading("ph", 7, water.Good, seven), reading("ph", 7.25, water.Suspect, seven.Add(time.Millisecond))},
			"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 ph=7,ph_qc=1i 1795417200000000000\n" +
				"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 ph=7.25,ph_qc=3i 1795417200001000000\n",
		},
		"another method and another station at the same time": {
			[]water.Observation{reading("cod", 286.5, water.Good, seven), lab, elsewhere},
			"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 cod=286.5,cod_qc=1i 1795417200000000000\n" +
				"water_quality,kind=effluent,method=lab,river=bajak,station=ipal-01 cod=301,cod_qc=2i 1795417200000000000\n" +
				"water_quality,kind=river,method=sensor,river=bajak,station=bajak-02 ph=7,ph_qc=1i 1795417200000000000\n",
		},
		"an estimate": {
			[]water.Observation{reading("cod", 300, water.Good, seven), estimate},
			"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 cod=300,cod_qc=1i 1795417200000000000\n" +
				"water_quality,kind=effluent,method=estimate,river=bajak,station=ipal-01 " +
				"bod=150,bod_low=122.8,bod_high=183.2,bod_model=\"ipal-01-bod-2026-11\",bod_qc=2i 1795417200000000000\n",
		},
		"numbers in every form": {
			[]water.Observation{
				reading("cod", 0, water.Good, seven),
				reading("bod", math.Copysign(0, -1), water.Good, seven),
				reading("ph", 1e-300, water.Good, seven),
				reading("fecal_coliform", 1e21, water.Bad, seven),
				reading("total_coliform", 16777217, water.Good, seven),
				reading("ec", 0.30000000000000004, water.Good, seven),
			},
			"water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 " +
				"cod=0,cod_qc=1i,bod=-0,bod_qc=1i,ph=1e-300,ph_qc=1i,fecal_coliform=1e+21,fecal_coliform_qc=4i," +
				"total_coliform=1.6777217e+07,total_coliform_qc=1i,ec=0.30000000000000004,ec_qc=1i 1795417200000000000\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Encode([]byte("before\n"), test.observations)
			if diff := cmp.Diff(string(got), "before\n"+test.want); diff != "" {
				t.Errorf("lines (-got +want):\n%s", diff)
			}
			if got, want := CountReadings(got), len(test.observations); got != want {
				t.Errorf("%d readings counted, want %d", got, want)
			}
			judged(t, got[len("before\n"):])
		})
	}
}

// tested is an observation with what each test said of it.
func tested(o water.Observation, digits string) water.Observation {
	o.Tests, _ = water.ParseTests(digits)
	return o
}

// anyObservations are what a message may hold: samples of neighbours.
func anyObservations(random *rand.Rand, p *water.Parameters) []water.Observation {
	var observations []water.Observation
	for sample := range 1 + random.IntN(4) {
		o := water.Observation{
			Station: []*water.Station{outlet, bridge}[random.IntN(2)],
			Method:  []water.Method{water.Sensor, water.Lab, water.Estimate}[random.IntN(3)],
			Time:    seven.Add(time.Duration(sample*1e9 + random.IntN(1e9))),
		}
		for _, i := range random.Perm(len(p.All()))[:1+random.IntN(5)] {
			o.Parameter = p.All()[i]
			o.Flag = []water.Flag{water.Good, water.NotEvaluated, water.Suspect, water.Bad, water.Missing}[random.IntN(5)]
			o.Tests = 0
			if random.IntN(2) == 0 {
				o.Tests = water.AllMissing.With(water.Test(1+random.IntN(11)), o.Flag)
			}
			o.Value = math.NaN()
			for o.Flag != water.Missing && (math.IsNaN(o.Value) || math.IsInf(o.Value, 0)) {
				o.Value = math.Float64frombits(random.Uint64())
			}
			o.Estimation = nil
			if o.Method == water.Estimate && o.Flag != water.Missing && random.IntN(2) == 0 {
				o.Estimation = &water.Estimation{Model: "m-1", Low: random.Float64(), High: random.ExpFloat64()}
			}
			observations = append(observations, o)
		}
	}
	return observations
}

var sameValues = cmp.Options{
	cmp.Comparer(func(a, b *water.Station) bool { return a == b }),
	cmp.Comparer(func(a, b *water.Parameter) bool { return a == b }),
	cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }),
}

func TestDecodeReadsBackWhatEncodeWrote(t *testing.T) {
	p := parameters()
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		want := anyObservations(random, p)
		lines := Encode(nil, want)
		got, err := Decode(lines, known, p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want, sameValues); diff != "" {
			t.Fatalf("read back from %q (-got +want):\n%s", lines, diff)
		}
		metrics := judged(t, lines)
		if got, want := len(metrics), bytes.Count(lines, []byte("\n")); got != want {
			t.Fatalf("%d points in %q, want %d", got, lines, want)
		}
		fields := 0
		for _, m := range metrics {
			fields += len(m.FieldList())
			for _, f := range m.FieldList() {
				_, isInteger := f.Value.(int64)
				_, isText := f.Value.(string)
				wantText := strings.HasSuffix(f.Key, "_qc_tests") || strings.HasSuffix(f.Key, "_model")
				if isInteger != strings.HasSuffix(f.Key, "_qc") || isText != wantText {
					t.Errorf("field %s is a %T", f.Key, f.Value)
				}
			}
		}
		due := 0
		for _, o := range want {
			switch due += 2; {
			case o.Flag == water.Missing:
				due--
			case o.Estimation != nil:
				due += 3
			}
			if o.Tests != 0 {
				due++
			}
		}
		if fields != due {
			t.Fatalf("%d fields in %q, want %d", fields, lines, due)
		}

		// The readings apart are the same observations.
		got = nil
		for line := range bytes.Lines(lines) {
			for _, point := range splitReadings(line) {
				if n := CountReadings(point.line); n != 1 {
					t.Fatalf("%d readings in %q, want 1", n, point.line)
				}
				_, fields, _ := bytes.Cut(point.line, []byte(" "))
				fields, _, _ = bytes.Cut(fields, []byte(" "))
				if !bytes.HasPrefix(line[point.offset:], fields) {
					t.Fatalf("fields %q are not at %d of %q", fields, point.offset, line)
				}
				judged(t, point.line)
				one, err := Decode(point.line, known, p)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, one...)
			}
		}
		if diff := cmp.Diff(got, want, sameValues); diff != "" {
			t.Fatalf("readings of %q one by one (-got +want):\n%s", lines, diff)
		}
	}
}

func TestDecodeLeavesOutWhatIsNoLongerKnown(t *testing.T) {
	reading := observer(t)
	elsewhere := reading("ph", 7, water.Good, seven)
	elsewhere.Station = bridge
	lines := Encode(nil, []water.Observation{reading("cod", 1, water.Good, seven), reading("ph", 6.5, water.Good, seven), elsewhere})
	lines = bytes.Replace(lines, []byte("cod"), []byte("gone"), 2)
	got, err := Decode(lines, map[string]*water.Station{outlet.ID: outlet}, parameters())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, []water.Observation{reading("ph", 6.5, water.Good, seven)}, sameValues); diff != "" {
		t.Errorf("observations (-got +want):\n%s", diff)
	}
}

func TestDecodeTellsWhatItCannotRead(t *testing.T) {
	const good = "water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 ph=7,ph_qc=1i 1795417200000000000\n"
	for _, bad := range []string{
		"\n",
		"water_quality\n",
		"water_quality,station=ipal-01 ph=7,ph_qc=1i\n",
		"water_quality,station=ipal-01 ph=7,ph_qc=1i soon\n",
		"water_quality,station=ipal-01 ph=x,ph_qc=1i 1795417200000000000\n",
		"water_quality,station=ipal-01 ph=7,ph_qc=bad 1795417200000000000\n",
		"water_quality,station=ipal-01 ph=7,ph_qc_tests=\"123\",ph_qc=1i 1795417200000000000\n",
		"water_quality,station=ipal-01 bod=7,bod_low=x,bod_qc=1i 1795417200000000000\n",
		"water_quality,station=ipal-01 bod=7,bod_model=m,bod_qc=1i 1795417200000000000\n",
		"weather,station=ipal-01 ph=7,ph_qc=1i 1795417200000000000\n",
	} {
		got, err := Decode([]byte(good+bad+good), known, parameters())
		if err == nil || !strings.Contains(err.Error(), "read point") {
			t.Errorf("%q: error %v, want one about a point", bad, err)
		}
		if len(got) != 1 {
			t.Errorf("%q: %d observations from before it, want 1", bad, len(got))
		}
	}
}

func TestSplitReadingsOfForeignLines(t *testing.T) {
	for _, line := range []string{
		"\n", "tofuwatch_check ok=1i 1\n", "a b\n", "a ph=7,ph_qc=1i\n", "a ph=7,ph_qc=1i,rest=2 3\n",
	} {
		got := splitReadings([]byte(line))
		if len(got) != 1 || got[0].offset != 0 || string(got[0].line) != line {
			t.Errorf("%q is split into %+v, want it as it is", line, got)
		}
	}
}
