// Package quality judges readings: may a sample's time be believed, and how far
// its value. It alters no value and drops none.
package quality

import (
	"fmt"
	"math"
	"slices"
	"time"

	"tofuwatch/internal/water"
)

// MaxAhead is how far a station's clock may be ahead of ours.
const MaxAhead = 10 * time.Minute

// Earliest is the first moment that a sample may have: clocks that were reset
// say 1970 or 2000.
var Earliest = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// CheckTime says why a message that was received then cannot hold a sample
// taken at sampled, or nil.
func CheckTime(sampled, received time.Time) error {
	switch {
	case sampled.Before(Earliest):
		return fmt.Errorf("sample time %s is before %d: the station's clock was reset; set it, and send again", sampled.Format(time.RFC3339), Earliest.Year())
	case sampled.Sub(received) > MaxAhead:
		return fmt.Errorf("sample time %s is more than %.0f minutes ahead of its arrival at %s; set the station's clock", sampled.Format(time.RFC3339), MaxAhead.Minutes(), received.UTC().Format(time.RFC3339))
	}
	return nil
}

// Judge returns a reading's value and flag at a station: Missing, with NaN, for
// no value and the station's sentinels; Bad outside of what can be measured; else
// Good.
func Judge(s *water.Station, r water.Reading) (float64, water.Flag) {
	if math.IsNaN(r.Value) || slices.Contains(s.Sentinels, r.Value) {
		return math.NaN(), water.Missing
	}
	if lowest, highest := s.Range(r.Parameter); r.Value < lowest || r.Value > highest {
		return r.Value, water.Bad
	}
	return r.Value, water.Good
}
