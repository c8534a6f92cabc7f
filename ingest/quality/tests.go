package quality

import (
	"math"
	"slices"
	"time"

	"tofuwatch/internal/water"
)

// The tests of this file judge one sample of a series beside its neighbours. A
// series is a slice of samples in the order of their time: the window that a
// [Judge] keeps, or all of a file. They do what ioos_qc does (qartod.py, commit
// 9c1853a), except where their comment says otherwise. A missing sample is
// water.Missing to each of them.

// A sample is a reading in its place in a series.
type sample struct {
	at    int64   // Unix nanoseconds; noTime if it has none
	value float64 // NaN if it is missing
	state state   // what was made of it
}

// noTime is the time of a sample that has none. A Judge is never given one.
const noTime = math.MinInt64

func (s *sample) missing() bool { return math.IsNaN(s.value) }

// present reports whether series has a value at i, which may lie outside.
func present(series []sample, i int) bool {
	return i >= 0 && i < len(series) && !series[i].missing()
}

// gap is Bad for a sample that comes more than span after the one before. The
// first takes the flag of the second. It is NotEvaluated after a sample without
// a time, and for one that is alone.
func gap(series []sample, i int, span int64) water.Flag {
	switch {
	case series[i].at == noTime:
		return water.Missing
	case i == 0 && len(series) == 1:
		return water.NotEvaluated
	case i == 0 && series[1].at == noTime:
		return water.NotEvaluated
	case i == 0:
		return gap(series, 1, span)
	case series[i-1].at == noTime:
		return water.NotEvaluated
	case series[i].at-series[i-1].at > span:
		return water.Bad
	}
	return water.Good
}

// reception is Bad for what was received more than span after its time. What has
// a time in the future passes; CheckTime refuses that.
func reception(at, received, span int64) water.Flag {
	switch {
	case at == noTime:
		return water.Missing
	case received-at > span:
		return water.Bad
	}
	return water.Good
}

// location is Bad for half a position, and for one that is not on the Earth. Stations
// do not move, so nothing is Suspect.
func location(latitude, longitude float64) water.Flag {
	switch {
	case math.IsNaN(latitude) && math.IsNaN(longitude):
		return water.Missing
	case !(math.Abs(latitude) <= 90 && math.Abs(longitude) <= 180): // also with NaN
		return water.Bad
	}
	return water.Good
}

// grossRange is Bad outside fail, and Suspect outside suspect or, if zero says
// so, at 0.
func grossRange(value float64, r GrossRange) water.Flag {
	switch {
	case math.IsNaN(value):
		return water.Missing
	case !r.Fail.holds(value):
		return water.Bad
	case !r.Suspect.holds(value), r.ZeroSuspect && value == 0:
		return water.Suspect
	}
	return water.Good
}

// climatology is grossRange by the season. A sample in no season of c is
// NotEvaluated; of several seasons the last one counts.
func climatology(at int64, value float64, c Climatology) water.Flag {
	if math.IsNaN(value) {
		return water.Missing
	}
	if len(c) == 0 {
		return water.NotEvaluated
	}
	month := unix(at).Month()
	for _, season := range slices.Backward(c) {
		if season.has(month) {
			return grossRange(value, GrossRange{Fail: season.Fail, Suspect: season.Suspect})
		}
	}
	return water.NotEvaluated
}

// spike holds a sample against the one before and the one after it. It is
// NotEvaluated at an end and beside a missing sample, and, unlike upstream's,
// where a neighbour is further away than gap, if that is not 0: such water is
// another.
func spike(series []sample, i int, s Spike, gap int64) water.Flag {
	switch {
	case series[i].missing():
		return water.Missing
	case s.off(), !present(series, i-1), !present(series, i+1):
		return water.NotEvaluated
	case gap > 0 && (series[i].at-series[i-1].at > gap || series[i+1].at-series[i].at > gap):
		return water.NotEvaluated
	}
	before, after := series[i].value-series[i-1].value, series[i].value-series[i+1].value
	usual := math.Abs(series[i-1].value+series[i+1].value) / 2
	var height float64
	switch {
	case s.Method == Average:
		height = math.Abs(series[i].value - (series[i-1].value+series[i+1].value)/2)
	case before*after > 0: // a peak or a trough
		height = math.Min(math.Abs(before), math.Abs(after))
	}
	return past(height, s.Suspect, s.Fail, s.Share*usual)
}

// past is Bad if x is above fail, Suspect above suspect, both raised by more. A
// threshold of 0 is none.
func past(x, suspect, fail, more float64) water.Flag {
	switch {
	case fail > 0 && x > fail+more:
		return water.Bad
	case suspect > 0 && x > suspect+more:
		return water.Suspect
	}
	return water.Good
}

// rateOfChange holds the change since the sample before against thresholds. The
// first one, and the first after a missing one, are Good.
//
// Upstream cuts the time between two samples to whole seconds, so that two within
// a second divide by zero. Here it is exact, and a second at least: two samples in
// one second are judged as if they were a second apart.
func rateOfChange(series []sample, i int, r RateOfChange) water.Flag {
	switch {
	case series[i].missing():
		return water.Missing
	case r.off():
		return water.NotEvaluated
	case !present(series, i-1):
		return water.Good
	}
	seconds := math.Max(1, float64(series[i].at-series[i-1].at)/1e9)
	return past(math.Abs(series[i].value-series[i-1].value)/seconds, r.Suspect, r.Fail, 0)
}

// flatLine says how long the values up to a sample have been the same. A series
// that does not reach back so far is Good; if it does not because older samples
// were cut off, the test did not run.
//
// Upstream's window is a number of samples, made of the median interval, so that
// a gap stretches it. This one is a time, both ends included, in which no gap is
// longer than half of it, and must hold f.Least values, or two: what was before a
// gap tells nothing of after it.
func flatLine(series []sample, i int, f FlatLine, cut bool) water.Flag {
	switch {
	case series[i].missing():
		return water.Missing
	case f.off():
		return water.NotEvaluated
	case f.ExceptZero && series[i].value == 0:
		return water.Good
	}
	flag := water.Good
	for _, level := range [...]struct {
		window time.Duration
		flag   water.Flag
	}{{f.Suspect, water.Suspect}, {f.Fail, water.Bad}} {
		if level.window <= 0 {
			continue
		}
		switch held, whole := steady(series, i, int64(level.window), f); {
		case held:
			flag = level.flag
		case !whole && cut && flag == water.Good:
			return water.NotEvaluated
		default:
			return flag // a longer window is no steadier
		}
	}
	return flag
}

// steady reports whether the values of a window that ends with a sample are the
// same, and whether all of it was needed to tell or is there.
func steady(series []sample, i int, window int64, f FlatLine) (held, whole bool) {
	lowest, highest, n := series[i].value, series[i].value, 0
	younger := int64(0)
	for k := i; k >= 0; k-- {
		age := series[i].at - series[k].at
		if age-younger > window/2 {
			return false, true
		}
		younger = age
		if age <= window && !series[k].missing() {
			n++
			lowest, highest = math.Min(lowest, series[k].value), math.Max(highest, series[k].value)
			if highest-lowest >= f.Tolerance {
				return false, true
			}
		}
		if age >= window {
			return n >= max(2, f.Least), true
		}
	}
	return false, false
}

// attenuated holds how much the values within a.Window up to a sample move, the far
// end not included, against thresholds. Fewer than a.Least values are
// NotEvaluated; one alone does not move at all. Unlike upstream's, a range that is
// wide enough is Good however few values have it, and where a.Least is more than 1
// they must also reach back over half of the window: many within a moment tell
// nothing.
func attenuated(series []sample, i int, a Attenuated) water.Flag {
	switch {
	case series[i].missing():
		return water.Missing
	case a.off():
		return water.NotEvaluated
	}
	lowest, highest, n := series[i].value, series[i].value, 0
	var mean, squares float64 // by Welford, who loses no digits
	reach := int64(0)
	enough := math.Max(a.Suspect, a.Fail)
	for k := i; k >= 0 && series[i].at-series[k].at < int64(a.Window); k-- {
		v := series[k].value
		if v != v { // missing
			continue
		}
		n++
		reach = series[i].at - series[k].at
		if a.Statistic == StandardDeviation {
			d := v - mean
			mean += d / float64(n)
			squares += d * (v - mean)
			continue
		}
		if v < lowest {
			lowest = v
		} else if v > highest {
			highest = v
		}
		if highest-lowest >= enough {
			return water.Good // more of them only move more
		}
	}
	moves := highest - lowest
	if a.Statistic == StandardDeviation {
		moves = math.Sqrt(squares / float64(n))
	}
	switch {
	case n < max(1, a.Least), a.Least > 1 && reach < int64(a.Window)/2:
		return water.NotEvaluated
	case moves < a.Fail:
		return water.Bad
	case moves < a.Suspect:
		return water.Suspect
	}
	return water.Good
}
