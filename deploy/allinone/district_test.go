//go:build scenarios && !race

package main

import (
	"testing"
	"time"
)

// TestScenarioAWeekOfTheWholeDistrictIsQuiet plays with every station, in the rain, the
// dry season and between.
func TestScenarioAWeekOfTheWholeDistrictIsQuiet(t *testing.T) {
	for name, start := range map[string]time.Time{
		"November": playStart,
		"February": time.Date(2026, 2, 8, 17, 0, 0, 0, time.UTC),
		"July":     time.Date(2026, 7, 5, 17, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quietWeek(t, play{start: start})
		})
	}
}
