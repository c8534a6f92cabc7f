package quality

import (
	"math"
	"slices"
	"time"
)

// Settings are what the readings of one parameter are held against at one
// station. The zero value of each test switches it off.
type Settings struct {
	Timing       Timing
	GrossRange   GrossRange
	Climatology  Climatology
	Spike        Spike
	RateOfChange RateOfChange
	FlatLine     FlatLine
	Attenuated   Attenuated
	// Alone leaves the parameter out of what is compared within a sample.
	Alone bool
}

// Timing says from when on a reading is told to come after a gap, or late. It has
// no part in the flag.
type Timing struct {
	Gap       time.Duration // since the reading before; also how far apart neighbours may be
	Reception time.Duration // since the sample was taken
}

// A Span is two numbers and what lies between. The zero value holds everything.
type Span struct {
	low, high float64
	bounded   bool
}

// NewSpan returns the span between two numbers, given in any order.
func NewSpan(a, b float64) Span { return Span{math.Min(a, b), math.Max(a, b), true} }

// Bounds returns the ends of s, which belong to it; ok is false if it has none.
func (s Span) Bounds() (low, high float64, ok bool) { return s.low, s.high, s.bounded }

func (s Span) holds(v float64) bool { return !s.bounded || s.low <= v && v <= s.high }

// Within reports whether all of s lies within t.
func (s Span) Within(t Span) bool {
	return !t.bounded || s.bounded && t.low <= s.low && s.high <= t.high
}

// GrossRange is what can be measured, and what is plausible, in the parameter's
// unit.
type GrossRange struct {
	Fail, Suspect Span // outside is Bad, outside is Suspect
	ZeroSuspect   bool // 0 is rather a failed read than clean water
}

// Climatology is what is usual in the seasons of a year. Of seasons that share a
// month the last one counts.
type Climatology []Season

// A Season is some months, and what is plausible in them. Months are those of UTC.
type Season struct {
	Months        []time.Month
	Fail, Suspect Span
}

func (s Season) has(m time.Month) bool { return slices.Contains(s.Months, m) }

// A SpikeMethod says how high a spike is.
type SpikeMethod string

// The methods that there are.
const (
	// Differential is the smaller of the distances to both neighbours, if both
	// lie on the same side. It spares the neighbours of a spike, and a step.
	Differential SpikeMethod = "differential"
	// Average is the distance to the mean of both neighbours. It also finds the
	// neighbours of a large spike.
	Average SpikeMethod = "average"
)

// Spike says how far a reading may be from its neighbours, in the parameter's
// unit.
type Spike struct {
	Method        SpikeMethod
	Suspect, Fail float64 // above; 0 is no threshold
	// Share is how much of the mean of both neighbours both thresholds are raised
	// by: instruments for concentrations err in proportion.
	Share float64
}

func (s Spike) off() bool { return s.Suspect <= 0 && s.Fail <= 0 }

// RateOfChange says how fast a parameter may change, in its unit per second.
type RateOfChange struct {
	Suspect, Fail float64 // above; 0 is no threshold
}

func (r RateOfChange) off() bool { return r.Suspect <= 0 && r.Fail <= 0 }

// FlatLine says how long an instrument may say the same.
type FlatLine struct {
	Tolerance     float64       // values that lie less than this apart are the same; in the parameter's unit
	Suspect, Fail time.Duration // 0 is no threshold
	Least         int           // values that a window must hold; less than 2 means 2
	ExceptZero    bool          // a constant 0 is no fault: nothing flows
}

func (f FlatLine) off() bool { return f.Tolerance <= 0 || f.Suspect <= 0 && f.Fail <= 0 }

// A Statistic says how much values move.
type Statistic string

// The statistics that there are.
const (
	Range             Statistic = "range"              // highest less lowest
	StandardDeviation Statistic = "standard deviation" // of the values as they are, not of what they are drawn from
)

// Attenuated says how much an instrument must move within a window.
type Attenuated struct {
	Window        time.Duration
	Statistic     Statistic
	Suspect, Fail float64 // below, in the parameter's unit
	Least         int     // values that the window must hold
}

func (a Attenuated) off() bool { return a.Window <= 0 || a.Suspect <= 0 && a.Fail <= 0 }

// longest is how far back the tests of s look.
func (s *Settings) longest() time.Duration {
	longest := max(s.FlatLine.Suspect, s.FlatLine.Fail)
	if s.FlatLine.off() {
		longest = 0
	}
	if !s.Attenuated.off() {
		longest = max(longest, s.Attenuated.Window)
	}
	return longest
}

// Overrides are settings that a site file has. Each test that is given replaces
// that of the settings below as a whole.
type Overrides struct {
	Timing       *Timing
	Suspect      *Span // of the gross range; its fail span is the instrument's range
	Climatology  *Climatology
	Spike        *Spike
	RateOfChange *RateOfChange
	FlatLine     *FlatLine
	Attenuated   *Attenuated
	Alone        *bool
}

// With returns s with what o says otherwise.
func (s Settings) With(o Overrides) Settings {
	set(&s.Timing, o.Timing)
	set(&s.GrossRange.Suspect, o.Suspect)
	set(&s.Climatology, o.Climatology)
	set(&s.Spike, o.Spike)
	set(&s.RateOfChange, o.RateOfChange)
	set(&s.FlatLine, o.FlatLine)
	set(&s.Attenuated, o.Attenuated)
	set(&s.Alone, o.Alone)
	return s
}

func set[T any](dst, value *T) {
	if value != nil {
		*dst = *value
	}
}
