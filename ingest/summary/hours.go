package summary

import (
	"cmp"
	"math"
	"slices"
	"time"

	"tofuwatch/internal/water"
)

// A site is what summaries are made by.
type site struct {
	stations map[string]*water.Station // by ID
	limits   map[string]water.Limits   // by the station's ID
	plants   []Plant
	zone     *time.Location
}

// A seriesKey is what an hour has one summary of.
type seriesKey struct {
	station   *water.Station
	parameter *water.Parameter
	method    water.Method
}

func keyOf(s *water.Summary) seriesKey { return seriesKey{s.Station, s.Parameter, s.Method} }

// hour returns the summaries of a station's hour that begins at start, of its
// observations in that hour, which are in the order of time for each method. A
// sensor that the site file lists has a summary even if nothing came of it; now
// says how much could have come so far.
func (s *site) hour(station *water.Station, start, now time.Time, observations []water.Observation) []water.Summary {
	tallies := make(map[seriesKey]*tally)
	of := func(p *water.Parameter, m water.Method) *tally {
		key := seriesKey{station, p, m}
		if tallies[key] == nil {
			tallies[key] = s.newTally(key, start)
		}
		return tallies[key]
	}
	for _, i := range station.Instruments {
		t := of(i.Parameter, water.Sensor)
		t.summary.Expected = expected(i.Interval, start, now)
	}
	for i := range observations {
		of(observations[i].Parameter, observations[i].Method).add(&observations[i])
	}
	summaries := make([]water.Summary, 0, len(tallies))
	for _, t := range tallies {
		summaries = append(summaries, t.done())
	}
	slices.SortFunc(summaries, compare)
	flow := math.NaN()
	for i := range summaries {
		if x := &summaries[i]; x.Parameter.Code == flowCode && x.Method == water.Sensor {
			flow = x.Mean
		}
	}
	for i := range summaries {
		load(&summaries[i], flow)
	}
	return summaries
}

// flowCode is the parameter that makes a load of a concentration.
const flowCode = "flow"

// load gives an hour its load: mg/L times m3/h is g/h.
func load(s *water.Summary, flow float64) {
	switch {
	case s.Parameter.Code == flowCode:
		s.Load = s.Mean
	case s.Parameter.Unit == "mg/L":
		s.Load = s.Mean * flow / 1000
	}
	if !math.IsNaN(s.Load) {
		s.LoadHours = 1
	}
}

func compare(a, b water.Summary) int {
	return cmp.Or(cmp.Compare(a.Station.ID, b.Station.ID), cmp.Compare(a.Parameter.Code, b.Parameter.Code),
		cmp.Compare(a.Method, b.Method), a.Start.Compare(b.Start))
}

// expected returns how many values a sensor should have sent for the hour that
// begins at start, and which may not be over: one for each multiple of its
// interval, as loggers sample. One that reports seldom has hours without any.
func expected(interval time.Duration, start, now time.Time) int {
	if interval <= 0 {
		return 0
	}
	end := start.Add(time.Hour)
	if now.Before(end) {
		end = now
	}
	if !end.After(start) {
		return 0
	}
	return int(multiples(end, interval) - multiples(start, interval))
}

// multiples counts the multiples of interval since the Unix epoch, before t.
func multiples(t time.Time, interval time.Duration) int64 {
	return (t.UnixNano() + int64(interval) - 1) / int64(interval)
}

// A tally adds up an hour of one series.
type tally struct {
	summary  water.Summary
	sum      float64
	interval time.Duration // how long a sample stands for the water at most
	limits   func(time.Time) water.Limits
	last     *water.Observation // the latest valid one, which stands until the next
	past     bool               // last is past a limit
	judged   bool
}

// newTally returns a tally of nothing.
func (s *site) newTally(key seriesKey, start time.Time) *tally {
	t := &tally{summary: water.NoSummary(key.station, key.parameter, key.method, water.Hour, start), interval: standsAlone}
	if i, ok := key.station.Instruments[key.parameter.Code]; ok && key.method == water.Sensor {
		t.interval = i.Interval
	}
	of := s.limits[key.station.ID].Of(key.parameter.Code)
	binding, from := water.Limits(nil), time.Time{}
	t.limits = func(at time.Time) water.Limits { // once for the hour, unless a limit changes in it
		if binding == nil || slices.ContainsFunc(of.Changes(), func(c time.Time) bool { return c.After(from) && !c.After(at) }) {
			from, binding = at, slices.DeleteFunc(of.Binding(at), func(l water.Limit) bool { return l.Statistic != water.Instant })
			if binding == nil {
				binding = water.Limits{}
			}
		}
		return binding
	}
	return t
}

// standsAlone is how long a value stands for the water that no interval is
// known of: a laboratory's sample, for instance.
const standsAlone = time.Hour

// add takes in an observation.
func (t *tally) add(o *water.Observation) {
	s := &t.summary
	t.stand(o.Time)
	switch o.Flag {
	case water.Missing:
		s.Missing++
		return
	case water.Bad:
		s.Bad++
		return
	case water.Suspect:
		s.Suspect++
		return
	case water.Good, water.NotEvaluated:
	}
	s.Valid++
	t.sum += o.Value
	s.Min, s.Max = least(s.Min, o.Value), most(s.Max, o.Value)
	t.last, t.past, t.judged = o, false, false
	for _, l := range t.limits(o.Time) {
		switch l.Judge(o.Value, o.Censor, math.NaN()) {
		case water.Undecided:
			continue
		case water.Exceeds:
			t.past = true
		case water.Complies:
		}
		t.judged = true
		s.Times = most(s.Times, l.Times(o.Value, math.NaN()))
	}
	if t.judged {
		s.Judged++
	}
	if t.past {
		s.Over++
	}
}

// stand lets the latest valid value stand until a time.
func (t *tally) stand(until time.Time) {
	if t.last == nil {
		return
	}
	stood := min(until.Sub(t.last.Time), t.interval)
	if t.judged {
		t.summary.JudgedTime += stood
	}
	if t.past {
		t.summary.OverTime += stood
	}
	t.last = nil
}

// done returns the summary.
func (t *tally) done() water.Summary {
	if t.last != nil {
		t.stand(t.last.Time.Add(t.interval))
	}
	s := t.summary
	if s.Valid > 0 {
		s.Mean = t.sum / float64(s.Valid)
	}
	return s
}

// least and most leave out what is not known.
func least(a, b float64) float64 {
	if math.IsNaN(a) || b < a {
		return b
	}
	return a
}

func most(a, b float64) float64 {
	if math.IsNaN(a) || b > a {
		return b
	}
	return a
}
