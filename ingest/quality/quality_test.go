package quality_test

import (
	"math"
	"testing"
	"time"

	"tofuwatch/ingest/quality"
	"tofuwatch/internal/water"
)

func TestCheckTime(t *testing.T) {
	received := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name    string
		sampled time.Time
		ok      bool
	}{
		{"now", received, true},
		{"a month late", received.AddDate(0, -1, 0), true},
		{"ten minutes ahead", received.Add(10 * time.Minute), true},
		{"just over ten minutes ahead", received.Add(10*time.Minute + time.Millisecond), false},
		{"clock reset to 1970", time.Unix(0, 0), false},
		{"clock reset to 2000", time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{"last moment of 2000", quality.Earliest.Add(-1), false},
		{"first moment of 2001", quality.Earliest, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := quality.CheckTime(test.sampled, received); (err == nil) != test.ok {
				t.Errorf("CheckTime(%s) = %v, want ok %v", test.sampled, err, test.ok)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	cod, ph := parameters.Lookup([]byte("cod")), parameters.Lookup([]byte("pH"))
	station := &water.Station{
		ID:        "ipal-01",
		Sentinels: []float64{-9999, 7999},
		Instruments: map[string]water.Instrument{
			"cod": {Parameter: cod, Min: 10, Max: 10000},
		},
	}
	nan := math.NaN()
	for _, test := range []struct {
		name      string
		parameter *water.Parameter
		value     float64
		want      float64
		flag      water.Flag
	}{
		{"usual", cod, 286.5, 286.5, water.Good},
		{"no value", cod, nan, nan, water.Missing},
		{"first sentinel", cod, -9999, nan, water.Missing},
		{"second sentinel", cod, 7999, nan, water.Missing},
		{"beside a sentinel", cod, 7999.5, 7999.5, water.Good},
		{"lowest of the instrument", cod, 10, 10, water.Good},
		{"below the instrument", cod, 9.99, 9.99, water.Bad},
		{"highest of the instrument", cod, 10000, 10000, water.Good},
		{"above the instrument", cod, 10000.1, 10000.1, water.Bad},
		{"lowest of the parameter", ph, 0, 0, water.Good},
		{"below the parameter", ph, -0.01, -0.01, water.Bad},
		{"above the parameter", ph, 15.2, 15.2, water.Bad},
	} {
		t.Run(test.name, func(t *testing.T) {
			value, flag := quality.Judge(station, water.Reading{Parameter: test.parameter, Value: test.value})
			if same := value == test.want || math.IsNaN(value) && math.IsNaN(test.want); !same || flag != test.flag {
				t.Errorf("Judge(%v) = %v, %v; want %v, %v", test.value, value, flag, test.want, test.flag)
			}
		})
	}
}
