package care

import (
	"fmt"
	"math"
	"time"

	"tofuwatch/internal/water"
)

// criteria say from when on a sensor's error matters, in the parameter's unit or,
// if relative, as a part of the reading.
type criteria struct {
	relative bool
	correct  float64 // past it readings are corrected
	discard  float64 // past it they can't be: they are flagged bad
}

// standing are the criteria by parameter. Where there are none nothing is
// corrected. The numbers are those of USGS Techniques and Methods 1-D3
// ("Guidelines and Standard Procedures for Continuous Water-Quality Monitors",
// 2006) as commonly cited; nobody compared them with its text yet.
var standing = map[string]criteria{
	"temperature": {correct: 0.2, discard: 2},
	"ec":          {relative: true, correct: 0.03, discard: 0.30},
	"do":          {correct: 0.3, discard: 2},
	"ph":          {correct: 0.2, discard: 2},
	"turbidity":   {relative: true, correct: 0.05, discard: 0.30},
}

// A Drift is how a sensor went wrong between two visits. Its numbers are what has
// to be added to a reading, in the parameter's unit or, if Relative, as a part of
// the reading. Fouling, which cleaning takes off, and the sensor's own drift,
// which calibration does, each grow evenly in time.
type Drift struct {
	From, To time.Time // the visits; readings at From belong to it, those at To don't
	Start    float64   // the sensor's own, as the first visit left it
	Fouling  float64   // as the second one found it; 0 at From
	Own      float64   // as the second one found it
	Relative bool

	criteria criteria
}

// NewDrift returns the drift between two visits to one sensor. Without criteria
// for its parameter there is none.
func NewDrift(first, second water.Visit) (Drift, bool) {
	c, ok := standing[first.Parameter.Code]
	if !ok {
		return Drift{}, false
	}
	d := Drift{From: first.Time, To: second.Time, Relative: c.relative, criteria: c}
	d.Start = d.missing(last(first.Check), first.Reference)
	cleaned := second.Before
	if !math.IsNaN(second.AfterCleaning) {
		cleaned = second.AfterCleaning
		d.Fouling = d.missing(second.Before, cleaned)
	}
	d.Own = d.missing(cleaned, second.Reference)
	return d, true
}

// last returns what the sensor said when the visit was over.
func last(c water.Check) float64 {
	for _, reading := range []float64{c.AfterCalibration, c.AfterCleaning} {
		if !math.IsNaN(reading) {
			return reading
		}
	}
	return c.Before
}

// missing returns what has to be added to reading to make it right: 0 where one of
// them is not known.
func (d Drift) missing(reading, right float64) float64 {
	switch off := right - reading; {
	case math.IsNaN(off):
		return 0
	case d.Relative:
		return off / reading
	default:
		return off
	}
}

// Matters reports whether the readings between the visits are to be corrected:
// fouling and drift together, whichever way each goes, are past the criterion.
func (d Drift) Matters() bool {
	return max(math.Abs(d.Fouling)+math.Abs(d.Own), math.Abs(d.Start)) > d.criteria.correct
}

// Correct returns what the sensor would have said at a moment between the visits,
// had it not drifted, in place of value. Where the error is too large for that,
// the value stays as it is and is Bad. Flag is that of value.
func (d Drift) Correct(value float64, flag water.Flag, at time.Time) (float64, water.Flag) {
	if !d.Matters() {
		return value, flag
	}
	passed := float64(at.Sub(d.From)) / float64(d.To.Sub(d.From))
	fouling := d.Fouling * passed
	own := d.Start + (d.Own-d.Start)*passed
	switch {
	case math.Abs(fouling)+math.Abs(own) > d.criteria.discard:
		return value, water.Bad
	case d.Relative:
		return value * (1 + fouling + own), flag
	default:
		return value + fouling + own, flag
	}
}

// Explain says in words what d is and what becomes of the readings. Times are
// told in zone.
func (d Drift) Explain(zone *time.Location) string {
	amount := func(a float64) string {
		if d.Relative {
			return fmt.Sprintf("%.1f %%", 100*a+0) // + 0: never "-0.0"
		}
		return fmt.Sprintf("%.2f", a+0)
	}
	found := fmt.Sprintf("since %s its error grew to %s by fouling and %s by drift",
		d.From.In(zone).Format("2006-01-02 15:04 MST"), amount(-d.Fouling), amount(-d.Own))
	most := math.Abs(d.Fouling) + math.Abs(d.Own)
	switch {
	case !d.Matters():
		return found + "; up to " + amount(d.criteria.correct) + " is left as it is"
	case most > d.criteria.discard:
		return found + "; its readings are corrected, and flagged bad from where it is past " + amount(d.criteria.discard)
	default:
		return found + ", past " + amount(d.criteria.correct) + "; its readings are corrected"
	}
}
