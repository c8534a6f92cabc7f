//go:build bench

package main

import (
	"slices"
	"testing"
	"time"
)

// TestBenchAlertLatency measures how long it takes from a reading that means an
// emergency to the mail on disk, with everything in one process. The goal is 5 s.
func TestBenchAlertLatency(t *testing.T) {
	const goal = 5 * time.Second
	var took []time.Duration
	for range 5 {
		r := startSite(t, t.TempDir())
		for _, outlet := range [][2]string{{"ipal-01", "First outlet"}, {"ipal-02", "Second outlet"}} {
			published := time.Now()
			r.measure(t, outlet[0], 30_000)
			r.awaitMail(t, outlet[1])
			took = append(took, time.Since(published))
		}
		r.stop()
	}
	slices.Sort(took)
	middle, most := took[len(took)/2], took[len(took)-1]
	t.Logf("From a reading to the mail, all in one: median %.1f s, longest %.1f s of %d; goal %.0f s", middle.Seconds(), most.Seconds(), len(took), goal.Seconds())
	if most > goal {
		t.Errorf("got %s, want less than %s", most, goal)
	}
}
