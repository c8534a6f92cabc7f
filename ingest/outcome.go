package ingest

import (
	"time"

	"tofuwatch/internal/water"
)

// An Outcome is what became of one message. It owns its slices.
type Outcome struct {
	Topic        string
	Received     time.Time
	Observations []water.Observation // in the order of the payload, what was derived behind them; those of one sample and method are neighbours
	DeadLetters  []DeadLetter        // at most one for each reason
	Maintenance  []water.Maintenance // that begins, or ends at another time than was known
	Visits       []water.Visit
	// Corrections are of earlier messages. They stand in the place of what was
	// said then, and count as no readings.
	Corrections []water.Correction
}

// Readings is how many readings the outcome accounts for. An observation that was
// derived counts like one that was sent: it too ends in InfluxDB or as a dead letter.
// Maintenance and visits are none.
func (o Outcome) Readings() int {
	n := len(o.Observations)
	for _, l := range o.DeadLetters {
		n += l.Readings
	}
	return n
}
