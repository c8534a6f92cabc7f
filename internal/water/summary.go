package water

import (
	"math"
	"time"
)

// A Span is a stretch of time that is summarised: hours of UTC, and days and
// months in the site's time zone.
type Span string

// The spans that there are, each made of the one before.
const (
	Hour  Span = "hour"
	Day   Span = "day"
	Month Span = "month"
)

// Spans are all spans, the shortest first.
func Spans() []Span { return []Span{Hour, Day, Month} }

// Start returns when the span that t lies in began.
func (s Span) Start(t time.Time, zone *time.Location) time.Time {
	switch s {
	case Day:
		year, month, day := t.In(zone).Date()
		return time.Date(year, month, day, 0, 0, 0, 0, zone).UTC()
	case Month:
		year, month, _ := t.In(zone).Date()
		return time.Date(year, month, 1, 0, 0, 0, 0, zone).UTC()
	}
	return t.UTC().Truncate(time.Hour)
}

// Next returns when the span that begins at start ends.
func (s Span) Next(start time.Time, zone *time.Location) time.Time {
	switch s {
	case Day:
		return start.In(zone).AddDate(0, 0, 1).UTC()
	case Month:
		return start.In(zone).AddDate(0, 1, 0).UTC()
	}
	return start.Add(time.Hour)
}

// A Summary tells of one parameter at one station, measured by one method, over
// a span. A value counts as valid if its flag is [Good] or [NotEvaluated]: what
// is suspect is kept and counted, and no mean, load or share rests on it. Of a
// censored value the bound stands for the value.
type Summary struct {
	Station   *Station
	Parameter *Parameter
	Method    Method
	Span      Span
	Start     time.Time // UTC

	Mean, Min, Max float64 // of the valid values, in Parameter.Unit; NaN where there is none

	Valid   int // values
	Suspect int
	Bad     int
	Missing int // times that the station reported without a value
	// Expected is how many values should have come by now, of a sensor that
	// the site file lists; 0 otherwise.
	Expected int

	// Judged are the valid values that were held against a limit for every
	// sample, and Over those past it. The times are how long they stood: until
	// the next sample, and no longer than the expected interval.
	Judged, Over         int
	JudgedTime, OverTime time.Duration
	Times                float64 // the worst multiple of a limit; NaN where no limit has any

	// MeanJudged and MeanOver count the days whose mean was held against a
	// limit for the mean of a day.
	MeanJudged, MeanOver int

	// Load is what passed the station, in kg; for flow it is the water, in m3.
	// NaN unless at least [EnoughShare] of the hours are known. LoadHours are
	// those hours.
	Load      float64
	LoadHours int

	// DayAgo and WeekAgo are the Mean of the same hour before; NaN where there
	// was none, and for days and months.
	DayAgo, WeekAgo float64
}

// Received is how many values and missing values came.
func (s *Summary) Received() int { return s.Valid + s.Suspect + s.Bad + s.Missing }

// EnoughShare is how much of a day or a month has to be known for its load to
// be told, and for its mean to be judged: a starting value.
const EnoughShare = 0.75

// Enough reports whether part is enough of whole for [EnoughShare].
func Enough(part, whole int) bool { return float64(part) >= EnoughShare*float64(whole) && part > 0 }

// NoSummary returns a summary of nothing.
func NoSummary(s *Station, p *Parameter, m Method, span Span, start time.Time) Summary {
	none := math.NaN()
	return Summary{
		Station: s, Parameter: p, Method: m, Span: span, Start: start,
		Mean: none, Min: none, Max: none, Times: none, Load: none, DayAgo: none, WeekAgo: none,
	}
}

// A Removal tells how much of a parameter a treatment plant took out of the
// water: over a day, or over the 24 hours that end with an hour. The water that
// leaves is compared with that which came in earlier, by the time that it takes
// to pass the plant.
type Removal struct {
	Station   *Station // the plant's outlet
	Influent  *Station
	Parameter *Parameter
	Span      Span      // Hour or Day
	Start     time.Time // of the day, or of the last hour; UTC
	In, Out   float64   // means, weighted by flow where that is known, in Parameter.Unit
	Share     float64   // 1 - Out/In: 1 is all of it, below 0 more leaves than came
	Hours     int       // known of both
}
