package influx

import (
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
	"tofuwatch/internal/water"
)

func TestReaderReadsBack(t *testing.T) {
	t.Parallel()
	readsBack(t, testenv.InfluxDB(t, testenv.WithDatabase("water"), testenv.WithAuth("admin", "secret")), "water")
}

func TestReaderReadsFromARetentionPolicy(t *testing.T) {
	t.Parallel()
	db := testenv.InfluxDB(t, testenv.WithDatabase("water"))
	db.Exec(t, `CREATE RETENTION POLICY year ON water DURATION 5200w REPLICATION 1`)
	readsBack(t, db, "water/year")
}

// readsBack writes to a bucket of db, and reads from it.
func readsBack(t *testing.T, db *testenv.Database, bucket string) {
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{URL: u, Org: db.Org, Bucket: bucket, Token: db.Token}
	client := NewClient(o)
	t.Cleanup(client.Close)

	reading := observer(t)
	of := func(m water.Method, o water.Observation) water.Observation {
		o.Method = m
		return o
	}
	minute := func(n int) time.Time { return seven.Add(time.Duration(n) * time.Minute) }
	below := of(water.Lab, reading("bod", 2, water.Good, minute(10)))
	estimate := of(water.Estimate, reading("bod", 150, water.NotEvaluated, minute(5)))
	estimate.Estimation = &water.Estimation{Model: "ipal-01-bod-2026-11", Low: 122.8, High: 183.2}
	elsewhere := of(water.Lab, reading("bod", 7, water.Good, minute(0)))
	elsewhere.Station = bridge
	stored := []water.Observation{
		of(water.Lab, reading("bod", 142, water.Good, minute(0))), of(water.Lab, reading("cod", 300, water.NotEvaluated, minute(0))),
		elsewhere,
		reading("cod", 280.5, water.Good, minute(-30)), reading("cod", 1e6, water.Bad, minute(0)), reading("turbidity", math.NaN(), water.Missing, minute(0)),
		reading("cod", 310, water.Suspect, minute(30)), reading("cod", 1, water.Good, minute(30).Add(1)),
		estimate,
	}
	lines := string(Encode(nil, stored)) + string(Encode(nil, []water.Observation{below}))
	lines = strings.Replace(lines, "bod=2,", `bod=2,bod_censor="<",`, 1)
	// Before the site file called it an effluent.
	lines += "water_quality,kind=influent,method=lab,river=bajak,station=ipal-01 bod=2900,bod_qc=1i 1795330800000000000\n"
	if err := client.WriteAPIBlocking(o.Org, o.Bucket).WriteRecord(t.Context(), strings.TrimSuffix(lines, "\n")); err != nil {
		t.Fatal(err)
	}

	r := NewReader(client, o)
	bod, cod, turbidity := parameters().Lookup([]byte("bod")), parameters().Lookup([]byte("cod")), parameters().Lookup([]byte("turbidity"))
	then := *outlet
	then.Kind = water.Influent
	below.Censor = water.Below
	old := of(water.Lab, reading("bod", 2900, water.Good, time.Unix(1795330800, 0).UTC()))
	old.Station = &then
	sameKinds := cmp.Options{sameValues[1:], cmp.Comparer(func(a, b *water.Station) bool { return a.ID == b.ID && a.Kind == b.Kind })}

	got, err := r.Between(t.Context(), outlet, water.Lab, []*water.Parameter{bod, cod}, seven.AddDate(0, 0, -7), minute(11))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, []water.Observation{old, stored[0], stored[1], below}, sameKinds); diff != "" {
		t.Errorf("laboratory's values (-got +want):\n%s", diff)
	}
	if got, err = r.Between(t.Context(), outlet, water.Lab, []*water.Parameter{bod, cod}, seven, minute(10)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, stored[:2], sameKinds); diff != "" {
		t.Errorf("laboratory's values from the first until before the last (-got +want):\n%s", diff)
	}

	// More times than one request has questions.
	times := []time.Time{seven, seven.AddDate(1, 0, 0)}
	for range mostStatements {
		times = append(times, minute(40))
	}
	around, err := r.Around(t.Context(), outlet, water.Sensor, []*water.Parameter{cod, turbidity}, times, 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(around) != len(times) {
		t.Fatalf("%d answers to %d times", len(around), len(times))
	}
	if diff := cmp.Diff(around[0], stored[3:7], sameKinds); diff != "" {
		t.Errorf("sensors' values around the first sample (-got +want):\n%s", diff)
	}
	if len(around[1]) != 0 {
		t.Errorf("a year later the sensor says %+v, want nothing", around[1])
	}
	if diff := cmp.Diff(around[len(times)-1], []water.Observation{stored[6], stored[7]}, sameKinds); diff != "" {
		t.Errorf("sensors' values around the last time (-got +want):\n%s", diff)
	}

	if around, err = r.Around(t.Context(), outlet, water.Estimate, []*water.Parameter{bod}, times[:1], 30*time.Minute); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(around, [][]water.Observation{{estimate}}, sameKinds); diff != "" {
		t.Errorf("estimates (-got +want):\n%s", diff)
	}

	wrong := o
	wrong.Bucket = "none"
	if got, err := NewReader(client, wrong).Between(t.Context(), outlet, water.Lab, []*water.Parameter{bod}, seven, minute(10)); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("of a bucket that is not there: %v, error %v; want an error that names it", got, err)
	}
}

func TestReaderTellsWhatWentWrong(t *testing.T) {
	bod := []*water.Parameter{parameters().Lookup([]byte("bod"))}
	for name, test := range map[string]struct {
		status     int
		body, want string
	}{
		"no token":       {401, `{"error":"unauthorized"}`, "check the token"},
		"broken":         {200, `{"results":[`, "decode the answer"},
		"a query killed": {200, `{"results":[{"error":"query-timeout limit exceeded"}]}`, "query-timeout limit exceeded"},
		"half an answer": {200, `{}`, "0 answers to 1 questions"},
		"no time":        {200, `{"results":[{"series":[{"columns":["time"],"values":[[null]]}]}]}`, "decode the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			u, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{URL: u, Bucket: "water"}
			client := NewClient(o)
			defer client.Close()
			_, err = NewReader(client, o).Between(t.Context(), outlet, water.Lab, bod, seven, seven.Add(1))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "read lab values of ipal-01 back from InfluxDB") {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
