package site

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/water"
)

// bound is a limit as a test speaks of it.
type bound struct {
	Parameter string
	Bound     water.Bound
	Value     float64
	Standard  string
}

func bounds(limits water.Limits) []bound {
	var bs []bound
	for _, l := range limits {
		if l.Statistic == water.Instant {
			bs = append(bs, bound{l.Parameter, l.Bound, l.Value, l.Standard})
		}
	}
	return bs
}

const underLimits = `
site: semarang
time_zone: Asia/Jayapura
mqtt: {broker: "tcp://127.0.0.1", client_id: tofuwatch-semarang}
influxdb: {url: "http://127.0.0.1:8086", bucket: water}
parameters: [{code: salinity, name: salinity, unit: g/L, range: [0, 42]}]
stations:
  - id: ipal-01
    name: IPAL
    river: bajak
    kind: effluent
    standard: [id-permenlh-5-2014-tofu, id-jateng-5-2012-tofu]
    limits:
      bod: {max: 100}
      tss: {max: 400, override: true, reason: trial operation}
      pH: {min: 6.5}
      salinity: {min: 1, max: 30}
  - {id: bajak-bridge, name: Bajak, river: bajak, kind: river}
`

func TestLimitsThatBind(t *testing.T) {
	s, err := parsed(underLimits, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	limits := s.Limits()
	today := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	got := bounds(limits["ipal-01"].Binding(today))
	want := []bound{
		{"bod", water.Max, 100, "site"},
		{"cod", water.Max, 275, "id-jateng-5-2012-tofu"},
		{"tss", water.Max, 400, "site"},
		{"ph", water.Min, 6.5, "site"},
		{"ph", water.Max, 9, "id-permenlh-5-2014-tofu"},
		{"temperature", water.Max, 38, "id-jateng-5-2012-tofu"},
		{"salinity", water.Min, 1, "site"},
		{"salinity", water.Max, 30, "site"},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("limits at ipal-01 (-got +want):\n%s", diff)
	}
	if got, ok := limits["bajak-bridge"]; len(got) != 0 || !ok {
		t.Errorf("limits at bajak-bridge = %v, %v; want none, and the station", got, ok)
	}
}

func TestLimitsStartAtTheSitesMidnight(t *testing.T) {
	s, err := parsed(underLimits, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	limits := s.Limits()["ipal-01"].Of("cod")
	midnight := time.Date(2013, 12, 31, 15, 0, 0, 0, time.UTC) // in Jayapura, UTC+9, 2014 starts
	for at, want := range map[time.Time]int{
		midnight.Add(-time.Nanosecond): 1, // Central Java's alone
		midnight:                       2,
	} {
		var got int
		for _, l := range limits {
			if l.InForce(at) {
				got++
			}
		}
		if got != want {
			t.Errorf("%d limits of COD are in force at %v, want %d", got, at, want)
		}
	}
}

func TestOwnLimit(t *testing.T) {
	s, err := parsed(underLimits, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	var got water.Limits
	for _, l := range s.Limits()["ipal-01"] {
		if l.Standard == water.OwnLimit && l.Parameter != "bod" && l.Parameter != "ph" {
			got = append(got, l)
		}
	}
	law := water.Text{Indonesian: "batas stasiun ini sendiri", English: "this station's own limit"}
	want := water.Limits{
		{Parameter: "salinity", Unit: "g/L", Bound: water.Min, Value: 1, Statistic: water.Instant, Range: true, Standard: "site", Law: law},
		{Parameter: "salinity", Unit: "g/L", Bound: water.Max, Value: 30, Statistic: water.Instant, Range: true, Standard: "site", Law: law},
		{
			Parameter: "tss", Unit: "mg/L", Bound: water.Max, Value: 400, Statistic: water.Instant,
			Standard: "site", Law: law, Source: "trial operation", Override: true,
		},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("own limits (-got +want):\n%s", diff)
	}
}
