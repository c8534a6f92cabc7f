package influx

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// worked is an outcome with maintenance and visits of every kind.
func worked() ingest.Outcome {
	ph, do := parameters().Lookup([]byte("ph")), parameters().Lookup([]byte("do"))
	nan := math.NaN()
	return ingest.Outcome{
		Maintenance: []water.Maintenance{
			{Station: outlet, From: seven, To: seven.Add(time.Hour), Planned: true},
			{Station: outlet, Parameters: []*water.Parameter{do, ph}, From: seven, To: seven.Add(time.Hour), By: "Sari"},
			{Station: outlet, From: seven, To: seven.Add(time.Minute), Ended: true, By: `a "b" \ c`, Note: `x, y=1 ph_qc=4i é`},
		},
		Visits: []water.Visit{
			{Station: bridge, Parameter: ph, Time: seven, Check: water.Check{Reference: 7, Before: 7.12, AfterCleaning: 7.05, AfterCalibration: nan}, By: "Sari", Note: `\"`},
			{Station: bridge, Parameter: do, Time: seven, Check: water.Check{Reference: nan, Before: 1e-7, AfterCleaning: nan, AfterCalibration: nan}},
		},
	}
}

func TestEncodeCare(t *testing.T) {
	want := `maintenance,scope=all,station=ipal-01 until=1795420800000i,ended=false,planned=true 1795417200000000000
maintenance,scope=do+ph,station=ipal-01 until=1795420800000i,ended=false,planned=false,who="Sari" 1795417200000000000
maintenance,scope=all,station=ipal-01 until=1795417260000i,ended=true,planned=false,who="a \"b\" \\ c",note="x, y=1 ph_qc=4i é" 1795417200000000000
calibration,parameter=ph,station=bajak-02 reference=7,before=7.12,after_cleaning=7.05,who="Sari",note="\\\"" 1795417200000000000
calibration,parameter=do,station=bajak-02 before=1e-07 1795417200000000000
`
	lines := EncodeCare(nil, worked())
	if diff := cmp.Diff(string(lines), want); diff != "" {
		t.Errorf("lines (-got +want):\n%s", diff)
	}
	texts := make(map[string]any)
	for _, m := range judged(t, lines) {
		for _, f := range m.FieldList() {
			if _, ok := f.Value.(string); ok {
				texts[fmt.Sprint(m.Name(), " ", f.Key, " ", f.Value)] = nil
			}
		}
	}
	for _, want := range []string{`maintenance who a "b" \ c`, `maintenance note x, y=1 ph_qc=4i é`, `calibration note \"`} {
		if _, ok := texts[want]; !ok {
			t.Errorf("another parser finds no %s in %v", want, texts)
		}
	}
}

func TestDecodeCare(t *testing.T) {
	o := worked()
	lines := EncodeCare(Encode(nil, []water.Observation{observer(t)("cod", 1, water.Good, seven)}), o)
	maintenance, visits, err := DecodeCare(lines, known, parameters())
	if err != nil {
		t.Fatal(err)
	}
	same := cmp.Options{cmpopts.EquateNaNs(), cmp.Comparer(func(a, b *water.Station) bool { return a == b }), cmp.Comparer(func(a, b *water.Parameter) bool { return a == b })}
	if diff := cmp.Diff(maintenance, o.Maintenance[1:], same); diff != "" {
		t.Errorf("maintenance, of which the site file has the first (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(visits, o.Visits, same); diff != "" {
		t.Errorf("visits (-got +want):\n%s", diff)
	}
	observations, err := Decode(lines, known, parameters())
	if err != nil || len(observations) != 1 {
		t.Errorf("Decode beside them: %v, %v, want one observation", observations, err)
	}
	maintenance, visits, err = DecodeCare(lines, map[string]*water.Station{bridge.ID: bridge}, parameters())
	if err != nil || len(maintenance) != 0 || len(visits) != 2 {
		t.Errorf("of a site without the outlet: %d and %d, %v; want 0 and 2", len(maintenance), len(visits), err)
	}
	for _, damaged := range []string{
		"maintenance\n", "maintenance,station=ipal-01 until=1i\n", "maintenance,station=ipal-01 until= 1\n", "maintenance,scope=all,station=ipal-01 until=x 1\n",
		"maintenance,scope=all,station=ipal-01 until=1i,who=\"x 1\n", "maintenance,scope=all,station=ipal-01 until=1i,who=\"x\"\n", "maintenance,scope=all,station=ipal-01 until=1i then\n",
		"calibration,parameter=ph,station=ipal-01 before=x 1\n", "weather,station=ipal-01 sun=1 1\n",
	} {
		if m, v, err := DecodeCare([]byte(damaged), known, parameters()); err == nil {
			t.Errorf("%q is read as %v, %v", damaged, m, v)
		}
	}
}

// A note may look like fields. Only lines of readings are taken apart.
func TestCareIsNotTakenApart(t *testing.T) {
	for line := range bytes.Lines(EncodeCare(nil, worked())) {
		if points := splitReadings(line); len(points) != 1 || !bytes.Equal(points[0].line, line) || isReading(line) {
			t.Errorf("%q is taken apart into %d lines", line, len(points))
		}
	}
}

func TestReaderAsksAndReads(t *testing.T) {
	var asked url.Values
	answer, status := "", http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{URL: address, Bucket: "water/month"}
	client := NewClient(o)
	defer client.Close()
	ph := parameters().Lookup([]byte("ph"))
	read := func() ([]water.Observation, error) {
		return NewReader(client, o).Readings(t.Context(), outlet, ph, seven, seven.Add(time.Minute), 10)
	}

	answer = `{"results":[{"statement_id":0,"series":[{"name":"water_quality","columns":["time","ph","ph_qc"],
		"values":[[1795417200000000001,6.9,1],[1795417210000000000,null,9],[1795417220000000000,7,4],[1795417230000000000,7,null]]}]}]}`
	got, err := read()
	if err != nil {
		t.Fatal(err)
	}
	var text []string
	for _, o := range got {
		if o.Station != outlet || o.Parameter != ph || o.Method != water.Sensor {
			t.Errorf("got %+v, want pH of the outlet's sensor", o)
		}
		text = append(text, fmt.Sprint(o.Time.Sub(seven), " ", o.Value, " ", o.Flag))
	}
	if diff := cmp.Diff(text, []string{"1ns 6.9 good", "10s NaN missing", "20s 7 bad", "30s 7 not evaluated"}); diff != "" {
		t.Errorf("readings (-got +want):\n%s", diff)
	}
	want := url.Values{"db": {"water"}, "rp": {"month"}, "epoch": {"ns"}, "q": {`SELECT "ph", "ph_qc" FROM "water_quality" ` +
		`WHERE station = 'ipal-01' AND method = 'sensor' AND time >= 1795417200000000000 AND time < 1795417260000000000 LIMIT 10`}}
	if diff := cmp.Diff(asked, want); diff != "" {
		t.Errorf("asked (-got +want):\n%s", diff)
	}

	for name, test := range map[string]struct {
		status int
		answer string
		want   string // in the error; empty for none, and no readings
	}{
		"nothing there":  {200, `{"results":[{"statement_id":0}]}`, ""},
		"no database":    {200, `{"results":[{"error":"database not found: water"}]}`, "read ph of ipal-01 back: database not found: water"},
		"no permission":  {401, `{"code":"unauthorized","message":"unauthorized access"}`, "unauthorized access"},
		"a proxy's page": {200, `<html>`, "the answer is not InfluxDB's"},
		"cut off":        {200, `{"results":[{"series":[{"values":[[179`, "the answer is not InfluxDB's"},
		"no number":      {200, `{"results":[{"series":[{"values":[[1,2,3.5]]}]}]}`, "the answer has the row [1 2 3.5]"},
	} {
		status, answer = test.status, test.answer
		got, err := read()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) || len(got) > 0 {
			t.Errorf("%s: got %v, error %v, want %q", name, got, err, test.want)
		}
	}
}
