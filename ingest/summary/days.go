package summary

import (
	"math"
	"slices"
	"time"

	"tofuwatch/internal/water"
)

// merge returns the summaries of a span of each series of parts, which are the
// shorter spans in it: hours of a day, or days of a month. Whole is how many
// hours the span has: of a day all of them, of a month those that are past.
func (s *site) merge(span water.Span, start time.Time, whole int, over bool, parts []water.Summary) []water.Summary {
	merged := make(map[seriesKey]*water.Summary)
	weights := make(map[seriesKey]float64) // sum of values
	known := make(map[seriesKey]float64)   // load
	for i := range parts {
		p := &parts[i]
		key := keyOf(p)
		m := merged[key]
		if m == nil {
			fresh := water.NoSummary(p.Station, p.Parameter, p.Method, span, start)
			m = &fresh
			merged[key] = m
		}
		m.Valid += p.Valid
		m.Suspect += p.Suspect
		m.Bad += p.Bad
		m.Missing += p.Missing
		m.Expected += p.Expected
		m.Judged += p.Judged
		m.Over += p.Over
		m.JudgedTime += p.JudgedTime
		m.OverTime += p.OverTime
		m.MeanJudged += p.MeanJudged
		m.MeanOver += p.MeanOver
		m.Times = most(m.Times, p.Times)
		if p.Valid > 0 {
			weights[key] += p.Mean * float64(p.Valid)
			m.Min, m.Max = least(m.Min, p.Min), most(m.Max, p.Max)
		}
		if !math.IsNaN(p.Load) {
			known[key] += p.Load * float64(p.LoadHours) / hoursOf(p.Span)
			m.LoadHours += p.LoadHours
		}
	}
	all := make([]water.Summary, 0, len(merged))
	for key, m := range merged {
		if m.Valid > 0 {
			m.Mean = weights[key] / float64(m.Valid)
		}
		// What is known stands for the whole span.
		if water.Enough(m.LoadHours, whole) {
			m.Load = known[key] * float64(whole) / float64(m.LoadHours)
		}
		if span == water.Day {
			s.judgeMean(m, over)
		}
		all = append(all, *m)
	}
	slices.SortFunc(all, compare)
	return all
}

// hoursOf returns for how many hours the load of a part of a span stands.
func hoursOf(span water.Span) float64 {
	if span == water.Hour {
		return 1
	}
	return 24
}

// judgeMean holds a day's mean against the limits for the mean of a day that bound
// on it, if the day is over and enough of it was measured.
func (s *site) judgeMean(m *water.Summary, over bool) {
	if !over || m.Valid == 0 || m.Expected > 0 && !water.Enough(m.Valid, m.Expected) {
		return
	}
	for _, l := range s.limits[m.Station.ID].Of(m.Parameter.Code).Binding(m.Start) {
		if l.Statistic != water.DailyMean {
			continue
		}
		switch l.Judge(m.Mean, water.Uncensored, math.NaN()) {
		case water.Exceeds:
			m.MeanJudged, m.MeanOver = 1, 1
		case water.Complies:
			m.MeanJudged = 1
		case water.Undecided:
		}
	}
}

// lookBack gives hours the mean of the same hour a day and a week before, if
// that is among earlier. It returns those that changed.
func lookBack(hours, earlier []water.Summary) []water.Summary {
	means := make(map[seriesKey]map[int64]float64)
	for i := range earlier {
		e := &earlier[i]
		key := keyOf(e)
		if means[key] == nil {
			means[key] = make(map[int64]float64)
		}
		means[key][e.Start.Unix()] = e.Mean
	}
	before := func(h *water.Summary, d time.Duration) float64 {
		if mean, ok := means[keyOf(h)][h.Start.Add(-d).Unix()]; ok {
			return mean
		}
		return math.NaN()
	}
	var changed []water.Summary
	for i := range hours {
		h := hours[i]
		day, week := before(&h, 24*time.Hour), before(&h, 7*24*time.Hour)
		if same(day, h.DayAgo) && same(week, h.WeekAgo) {
			continue
		}
		h.DayAgo, h.WeekAgo = day, week
		changed = append(changed, h)
	}
	return changed
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

// A Plant is a treatment plant: what leaves it, and what comes in.
type Plant struct {
	Effluent, Influent *water.Station
	// Retention is how long the water takes to pass; it counts in whole hours.
	Retention time.Duration
}

// enoughHours is how many of 24 hours have to be known of what comes in and of
// what leaves for a removal to be told.
const enoughHours = int(water.EnoughShare * 24)

// removal returns what a plant removed of each parameter that both stations
// measure: hours are those of both, and the span begins at start and has the
// hours from one time to another.
func (p *Plant) removal(span water.Span, start, from, to time.Time, hours []water.Summary) []water.Removal {
	type flows map[int64]float64 // by hour
	flow := map[*water.Station]flows{p.Effluent: {}, p.Influent: {}}
	for i := range hours {
		if h := &hours[i]; h.Parameter.Code == flowCode && h.Method == water.Sensor && !math.IsNaN(h.Mean) && flow[h.Station] != nil {
			flow[h.Station][h.Start.Unix()] = h.Mean
		}
	}
	type mean struct {
		sum, weight   float64 // by flow
		plain         float64
		n, withWeight int
	}
	means := make(map[*water.Parameter]*[2]mean)
	for i := range hours {
		h := &hours[i]
		at, side := h.Start, 1
		if h.Station == p.Influent {
			at, side = h.Start.Add(p.Retention.Truncate(time.Hour)), 0
		}
		if h.Method != water.Sensor || h.Parameter.Unit != "mg/L" || math.IsNaN(h.Mean) || at.Before(from) || !at.Before(to) {
			continue
		}
		if means[h.Parameter] == nil {
			means[h.Parameter] = new([2]mean)
		}
		m := &means[h.Parameter][side]
		m.n++
		m.plain += h.Mean
		if q, ok := flow[h.Station][h.Start.Unix()]; ok {
			m.sum += h.Mean * q
			m.weight += q
			m.withWeight++
		}
	}
	of := func(m *mean) float64 {
		if m.withWeight == m.n && m.weight > 0 {
			return m.sum / m.weight
		}
		return m.plain / float64(m.n)
	}
	var removals []water.Removal
	for parameter, m := range means {
		known := min(m[0].n, m[1].n)
		if known < enoughHours {
			continue
		}
		in, out := of(&m[0]), of(&m[1])
		if in <= 0 {
			continue
		}
		removals = append(removals, water.Removal{
			Station: p.Effluent, Influent: p.Influent, Parameter: parameter, Span: span, Start: start,
			In: in, Out: out, Share: 1 - out/in, Hours: known,
		})
	}
	slices.SortFunc(removals, func(a, b water.Removal) int {
		if a.Parameter.Code < b.Parameter.Code {
			return -1
		}
		return 1
	})
	return removals
}
