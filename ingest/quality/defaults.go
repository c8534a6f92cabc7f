package quality

import (
	"math"
	"time"

	"tofuwatch/internal/water"
)

// A habit is how instruments for a parameter behave that work well.
type habit struct {
	digit       float64 // the last digit that they show, in the parameter's unit; 0 is unknown
	slow        bool    // they may show the same for a while: what they measure moves little beside that digit
	zeroRests   bool    // a constant 0 is usual
	zeroSuspect bool    // a 0 is rather a failed read
	spike       float64 // a height that noise does not reach, in the unit, whatever the water is like; 0: no test
	share       float64 // and that as a part of what is usual
	perMinute   float64 // the fastest change of water there is; 0: a discharge changes it as fast as any fault
	source      string
}

// Where the numbers of the habits come from.
const (
	// fromNoise: three times the largest height of 40 days of sound simulated
	// instruments, at two and five minutes, whose noise is that of data sheets.
	fromNoise = "three times what sound instruments do in the simulator; starting value, unverified"
	// fromPractice: the numbers with which USGS TM1-D3 corrects records for drift,
	// above which a difference is no noise.
	fromPractice = "above what USGS TM1-D3 calls drift; starting value, unverified"
)

// habits are the parameters of which something is known. A dump of whey changes
// all but temperature within minutes, and must be told of at once: so there is no
// rate of change that only a fault can have.
var habits = map[string]habit{
	"ph":          {digit: 0.01, spike: 0.3, source: fromPractice},
	"temperature": {digit: 0.1, slow: true, spike: 1, perMinute: 2, source: fromPractice},
	"do":          {digit: 0.01, zeroRests: true, spike: 0.6, source: fromPractice},
	"ec":          {digit: 1, spike: 10, share: 0.1, source: fromPractice},
	"orp":         {digit: 1, spike: 50, source: fromNoise},
	"turbidity":   {digit: 0.1, spike: 3, share: 0.4, source: fromNoise},
	"tss":         {digit: 1, slow: true, zeroSuspect: true, spike: 5, share: 0.4, source: fromNoise},
	"cod":         {digit: 0.1, zeroSuspect: true, spike: 5, share: 0.3, source: fromNoise},
	"bod":         {digit: 0.1, zeroSuspect: true, spike: 2, share: 0.35, source: fromNoise},
	"nh3n":        {digit: 0.01, zeroSuspect: true, spike: 0.5, share: 0.3, source: fromNoise},
	"flow":        {digit: 0.0001, zeroRests: true, spike: 0.1, share: 0.5, source: fromNoise},
	"level":       {digit: 0.001, spike: 0.05, source: fromNoise},
	"tds":         {digit: 1, spike: 10, share: 0.1, source: "as ec"},
	"no3n":        {digit: 0.01, spike: 0.5, share: 0.3, source: "as nh3n"},
	"no2n":        {digit: 0.001, spike: 0.05, share: 0.3, source: "as nh3n"},
}

// Numbers of readings in which a sound instrument does not show the same, twice
// over: the most were 9, and 21 of slow ones, in 40 simulated days of 90
// instruments. Four times as many are Bad.
const (
	sameSuspect     = 16
	sameBad         = 64
	sameSuspectSlow = 40
	sameBadSlow     = 160
)

// What QARTOD's code has by default: two hours for a gap, six for reception.
const (
	defaultGap       = 2 * time.Hour
	defaultReception = 6 * time.Hour
)

// Defaults are what a sensor for p is held against that measures fail and reports
// at an interval, where a site file says nothing else.
func Defaults(p *water.Parameter, fail Span, interval time.Duration) Settings {
	h := habits[p.Code]
	s := Settings{
		Timing:     Timing{Gap: max(defaultGap, 3*interval), Reception: max(defaultReception, 3*interval)},
		GrossRange: GrossRange{Fail: fail, ZeroSuspect: h.zeroSuspect},
		Spike:      Spike{Method: Differential, Suspect: h.spike, Share: h.share},
		// Less than half a digit apart is the same; of what nothing is known, only
		// the same number is.
		FlatLine: FlatLine{
			Tolerance: max(h.digit/2, math.SmallestNonzeroFloat64), ExceptZero: h.zeroRests,
			Suspect: sameSuspect * interval, Fail: sameBad * interval, Least: sameSuspect / 2,
		},
		RateOfChange: RateOfChange{Suspect: h.perMinute / 60},
	}
	if h.slow {
		s.FlatLine.Suspect, s.FlatLine.Fail, s.FlatLine.Least = sameSuspectSlow*interval, sameBadSlow*interval, sameSuspectSlow/2
	}
	// One that moves by its last digit only, for as long as would be Bad if it did
	// not move at all.
	if h.digit > 0 && !h.slow && !h.zeroRests {
		s.Attenuated = Attenuated{
			Window: sameBad * interval, Statistic: Range, Suspect: 1.5 * h.digit, Least: sameBad * 3 / 4,
		}
	}
	return s
}

// unknownInterval is how often a parameter reports that no station lists.
const unknownInterval = 10 * time.Minute

// DefaultsAt are the defaults for p at s, whose instrument says what it can measure
// and how often it reports.
func DefaultsAt(s *water.Station, p *water.Parameter) Settings {
	interval := unknownInterval
	if i, ok := s.Instruments[p.Code]; ok && i.Interval > 0 {
		interval = i.Interval
	}
	lowest, highest := s.Range(p)
	return Defaults(p, NewSpan(lowest, highest), interval)
}

// Source says where the defaults of a parameter come from.
func Source(p *water.Parameter) string {
	if h, ok := habits[p.Code]; ok {
		return h.source
	}
	return "the same number again and again, and nothing else: no sound instrument does that"
}
