package quality_test

import (
	"testing"
	"time"

	"tofuwatch/ingest/quality"
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
