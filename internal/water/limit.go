package water

import (
	"math"
	"slices"
	"time"
)

// A Bound says on which side of a limit water complies.
type Bound string

// The bounds that there are.
const (
	Max       Bound = "max"       // at the limit or below
	Min       Bound = "min"       // at the limit or above
	Deviation Bound = "deviation" // no further than the limit from a reference, in either direction
)

// Bounds are all bounds.
func Bounds() []Bound { return []Bound{Max, Min, Deviation} }

// A Statistic says what of the water a limit is for.
type Statistic string

// The statistics that there are.
const (
	Instant   Statistic = "instant"    // every sample
	DailyMean Statistic = "daily_mean" // the mean of the site's day
)

// Statistics are all statistics.
func Statistics() []Statistic { return []Statistic{Instant, DailyMean} }

// A Censor says that a value is only a bound on what is in the water, as where
// a laboratory writes "<2".
type Censor string

// The censors that there are.
const (
	Uncensored Censor = ""  // the value itself
	Below      Censor = "<" // less than the value
	Above      Censor = ">" // more than the value
)

// A Text is for people, in the languages of the mail. Neither is empty.
type Text struct {
	Indonesian, English string
}

// A Verification is a person's word that a limit is what the law says.
type Verification struct {
	By string    // who compared it with the law
	On time.Time // on which day, midnight UTC
}

// A Limit is one bound on one parameter, by a regulation or by the site itself.
// A range, such as that of pH, is two limits.
type Limit struct {
	Parameter string // code
	Unit      Unit   // the parameter's
	Bound     Bound
	Value     float64 // in Unit; complied with at Value itself
	Statistic Statistic
	Range     bool // the same rule has a Min and a Max: no multiple tells how far outside a value is
	// Analysis is the method that Value is for, where others give other
	// numbers: "cod-cr". Empty if any will do.
	Analysis string
	// LoadKgPerTon is what may be let out of the parameter besides, in kg for
	// a ton of soybeans; 0 if the rule does not say.
	LoadKgPerTon float64

	Standard string        // name of the regulation, or OwnLimit
	Law      Text          // as people cite it; a site's own limit says that it is one
	Verified *Verification // nil: nobody compared this with the law
	Source   string        // where the numbers come from; of a site's own, why it may be laxer than the law
	// From and To are when it is in force: at From, not any more at To. Zero is
	// for ever.
	From, To time.Time
	Override bool // the site's own, and in place of the law's where that is stricter
}

// OwnLimit is the Standard of the limits that a site sets itself.
const OwnLimit = "site"

// analyses are the methods by which a parameter's values are made, where it
// matters for a limit. Dichromate and permanganate find different COD in the
// same water, and no factor joins them; the built-in cod has cod_cr as an alias.
var analyses = map[string]string{"cod": "cod-cr"}

// Comparable reports whether values of the parameter can be held against l: they
// are made by the analysis that l is for. Where it is not known how they are
// made, they can't.
func (l Limit) Comparable() bool {
	return l.Analysis == "" || l.Analysis == analyses[l.Parameter]
}

// InForce reports whether l is in force at a moment.
func (l Limit) InForce(at time.Time) bool {
	return !at.Before(l.From) && (l.To.IsZero() || at.Before(l.To))
}

// A Verdict says whether a value complies with a limit.
type Verdict uint8

// The verdicts that there are.
const (
	Undecided Verdict = iota // what is known of the value or of the reference does not tell
	Complies
	Exceeds
)

// String returns the verdict in words, such as "complies".
func (v Verdict) String() string {
	switch v {
	case Complies:
		return "complies"
	case Exceeds:
		return "exceeds"
	case Undecided:
		return "undecided"
	}
	return "no such verdict"
}

// Judge holds a value, in l.Unit, against l. A value that equals the limit
// complies; a minimum of 0 is never passed. Of a censored value it decides what
// holds for all that the value may be. NaN is no value, and undecided.
//
// Reference is what a deviation is from, such as the temperature upstream; NaN
// if it is not known, which leaves a deviation undecided. Other bounds take no
// notice of it.
func (l Limit) Judge(value float64, censor Censor, reference float64) Verdict {
	if math.IsNaN(value) {
		return Undecided
	}
	// The true value lies between lowest and highest; open says that the end
	// which is no infinity is not itself a possible value.
	lowest, highest, open := value, value, censor != Uncensored
	switch censor {
	case Below:
		lowest = math.Inf(-1)
	case Above:
		highest = math.Inf(1)
	}
	switch l.Bound {
	case Max:
		switch {
		case highest <= l.Value:
			return Complies
		case lowest > l.Value, open && lowest == l.Value:
			return Exceeds
		}
	case Min:
		switch {
		case lowest >= l.Value, l.Value == 0:
			return Complies
		case highest < l.Value, open && highest == l.Value:
			return Exceeds
		}
	case Deviation:
		switch {
		case math.IsNaN(reference), censor != Uncensored:
			return Undecided
		case math.Abs(value-reference) <= l.Value:
			return Complies
		}
		return Exceeds
	}
	return Undecided
}

// MostTimes is the largest multiple of a limit that is told. A dissolved oxygen
// of 0 is infinitely far below its minimum.
const MostTimes = 1000

// Times returns how many times the limit a value is: value/l.Value, for a
// minimum the inverse, MostTimes at the most; above 1 is past the limit. It is
// NaN where there is no such number: for a range, for what has no unit to be a
// multiple of (pH), for limits below 0, and where [Limit.Judge] wants a reference.
func (l Limit) Times(value, reference float64) float64 {
	if l.Range || l.Unit == "" || l.Value < 0 || math.IsNaN(value) {
		return math.NaN()
	}
	amount, limit := value, l.Value
	switch l.Bound {
	case Min:
		amount, limit = l.Value, value
	case Deviation:
		amount = math.Abs(value - reference)
	}
	switch {
	case math.IsNaN(amount):
		return math.NaN()
	case amount == limit:
		return 1
	case limit <= 0:
		return MostTimes
	}
	return min(max(amount/limit, 0), MostTimes)
}

// Outside returns how far past the limit a value is, in l.Unit: 0 if it complies,
// and NaN where [Limit.Judge] wants a reference.
func (l Limit) Outside(value, reference float64) float64 {
	switch l.Bound {
	case Min:
		if l.Value == 0 {
			return 0
		}
		return max(l.Value-value, 0)
	case Deviation:
		return max(math.Abs(value-reference)-l.Value, 0)
	}
	return max(value-l.Value, 0)
}

// Stricter reports whether l leaves less room than m, which bounds the same
// statistic of the same parameter on the same side.
func (l Limit) Stricter(m Limit) bool {
	if l.Bound == Min {
		return l.Value > m.Value
	}
	return l.Value < m.Value
}

// Rivals reports whether only one of l and m can bind: they bound the same
// statistic of the same parameter on the same side.
func (l Limit) Rivals(m Limit) bool {
	return l.Parameter == m.Parameter && l.Bound == m.Bound && l.Statistic == m.Statistic
}

// Limits are all that a station was, is and will be under, in the order of its
// standards, its own last.
type Limits []Limit

// Binding returns those that bind at a moment: for each parameter, bound and
// statistic the strictest in force, and of equal ones the first. A site's own
// limit that overrides the law binds whatever the law says. What is not
// comparable with the parameter's values never binds.
func (ls Limits) Binding(at time.Time) Limits {
	var binding Limits
	for _, l := range ls {
		if !l.InForce(at) || !l.Comparable() {
			continue
		}
		i := slices.IndexFunc(binding, l.Rivals)
		switch {
		case i < 0:
			binding = append(binding, l)
		case l.Override, l.Stricter(binding[i]) && !binding[i].Override:
			binding[i] = l
		}
	}
	return binding
}

// Of returns those of a parameter, by code.
func (ls Limits) Of(parameter string) Limits {
	var of Limits
	for _, l := range ls {
		if l.Parameter == parameter {
			of = append(of, l)
		}
	}
	return of
}

// Changes returns the moments at which what binds may change, in order.
func (ls Limits) Changes() []time.Time {
	var changes []time.Time
	for _, l := range ls {
		for _, t := range []time.Time{l.From, l.To} {
			if !t.IsZero() {
				changes = append(changes, t)
			}
		}
	}
	slices.SortFunc(changes, time.Time.Compare)
	return slices.CompactFunc(changes, time.Time.Equal)
}
