package simulate

import (
	"math"
	"slices"
	"time"
)

// A Scenario names what happens in a world besides everyday life.
type Scenario string

// The scenarios that there are.
const (
	Normal       Scenario = "normal"        // everyday life
	Spill        Scenario = "spill"         // a tank of whey is emptied into the Kali Tenggang
	PlantUpset   Scenario = "plant-upset"   // the plant's digester turns sour
	SensorFaults Scenario = "sensor-faults" // instruments and loggers lie, each in its own way
)

// Scenarios returns all scenarios.
func Scenarios() []Scenario { return []Scenario{Normal, Spill, PlantUpset, SensorFaults} }

// A Cause says what an incident is.
type Cause string

// The causes that there are.
const (
	Dump  Cause = "dump"  // untreated whey reaches the river
	Upset Cause = "upset" // removal falls from 94 to 40 %, after pH

	Film       Cause = "film"         // drifts for days, steps back when it is cleaned
	Stuck      Cause = "stuck"        // says the same all the time
	Dead       Cause = "dead"         // its key is absent
	NoValue    Cause = "no value"     // null and "-"
	Sentinel   Cause = "sentinel"     // -9999 and 7999
	OutOfRange Cause = "out of range" // numbers that no water has
	Zero       Cause = "zero"         // 0 after a failed read
	Bubbles    Cause = "bubbles"      // every few samples a spike
	Clock1970  Cause = "clock 1970"   // the station's clock starts at 1970 again
	Clock2000  Cause = "clock 2000"   // the same, at 2000
	ClockAhead Cause = "clock ahead"  // local time is sent as UTC: seven hours ahead, at times that the station will report again
	Resent     Cause = "resent"       // each message comes twice
	Backlog    Cause = "backlog"      // no connection, then all samples in one message
)

// An Incident is something that a scenario makes happen: what a test may
// expect, and what quality flags should find.
type Incident struct {
	Cause      Cause
	Station    string
	Parameters []string // codes; nil where the whole station is concerned
	From, To   time.Time
}

// A fault is an incident before its time is known.
type fault struct {
	cause    Cause
	station  string
	measures []property
	after    time.Duration // since Options.Incident
	lasts    time.Duration
}

const week = 7 * 24 * time.Hour

// faults are the incidents of each scenario. Those of sensor-faults come again
// every week, before and after. No two of them meet at one instrument. None
// makes a limit seem to be passed: that is the point of telling them apart.
var faults = map[Scenario][]fault{
	Spill: {
		{Dump, "tenggang-hilir", []property{ph, temperature, do, ec, turbidity, tss, cod, bod}, 0, dumpLasts + dumpClears},
	},
	PlantUpset: {
		{Upset, "ipal-01", []property{ph, cod, bod, tss}, 0, 10 * 24 * time.Hour},
	},
	SensorFaults: {
		{Dead, "bajak-hulu", []property{do}, 0, 24 * time.Hour},
		{Resent, "tenggang-hulu", nil, 0, 2 * time.Hour},
		{Stuck, "ipal-01-in", []property{ph}, 5 * time.Minute, 12 * time.Hour},
		{Sentinel, "bajak-hilir", []property{cod}, 10 * time.Minute, 3 * time.Hour},
		{OutOfRange, "bkt-hulu", []property{ph, do}, 15 * time.Minute, time.Hour},
		{NoValue, "ipal-01", []property{nh3n}, 20 * time.Minute, 2 * time.Hour},
		{Zero, "bkt-hilir", []property{tss, cod, bod}, 25 * time.Minute, 45 * time.Minute},
		{Bubbles, "bajak-hilir", []property{turbidity}, 30 * time.Minute, 4 * time.Hour},
		{Clock1970, "tenggang-hilir", nil, 60 * time.Minute, 30 * time.Minute},
		{Clock2000, "tenggang-hilir", nil, 90 * time.Minute, 30 * time.Minute},
		{ClockAhead, "tenggang-hilir", nil, 120 * time.Minute, 30 * time.Minute},
		{Backlog, "bkt-hulu", nil, 150 * time.Minute, time.Hour},
		{Film, "ipal-01", []property{ph}, 2 * 24 * time.Hour, 5 * 24 * time.Hour},
		{Film, "bkt-hilir", []property{turbidity}, 24 * time.Hour, 6 * 24 * time.Hour},
	},
}

// A scenario is a Scenario at its time.
type scenario struct {
	name  Scenario
	begin time.Time // of the incident
}

// during returns whether f happens at t, and since when.
func (s scenario) during(f fault, t time.Time) (since time.Time, ok bool) {
	since = s.begin.Add(f.after)
	if s.name == SensorFaults {
		into := t.Sub(since) % week
		if into < 0 {
			into += week
		}
		since = t.Add(-into)
	}
	return since, !t.Before(since) && t.Before(since.Add(f.lasts))
}

// incidents returns what happens from one time to another, in order.
func (s scenario) incidents(from, to time.Time) []Incident {
	var all []Incident
	for _, f := range faults[s.name] {
		at, _ := s.during(f, from)
		for ; at.Before(to); at = at.Add(week) {
			if end := at.Add(f.lasts); end.After(from) {
				all = append(all, Incident{f.cause, f.station, codes(f.measures), at, end})
			}
			if s.name != SensorFaults {
				break
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Incident) int { return a.From.Compare(b.From) })
	return all
}

// A dump lasts an hour and a quarter, and the river takes as much again to
// carry the last of it away.
const (
	dumpLasts  = 75 * time.Minute
	dumpClears = 75 * time.Minute
)

// dumping returns how much of a dump's full flow runs in the minute m.
func (s scenario) dumping(m minute) float64 {
	since := float64(m - minuteOf(s.begin))
	switch {
	case s.name != Spill || since < 0:
		return 0
	case since <= dumpLasts.Minutes():
		return 1
	}
	return math.Exp((dumpLasts.Minutes() - since) / 10)
}

// illness returns what an upset has cost the digester of its buffer and of its
// removal in the minute m, both from 0 to 1. Acid eats the buffer within a day
// and a quarter; removal follows within three. It stays ill until the fifth
// day and is well on the tenth.
func (s scenario) illness(m minute) (lostBuffer, lostRemoval float64) {
	if s.name != PlantUpset {
		return 0, 0
	}
	days := float64(m-minuteOf(s.begin)) / dayLength
	return smooth(days/1.25) - smooth((days-5)/3), smooth((days-0.4)/2.4) - smooth((days-5.5)/4.5)
}

// smooth rises from 0 at 0 to 1 at 1.
func smooth(x float64) float64 {
	x = min(max(x, 0), 1)
	return x * x * (3 - 2*x)
}

func codes(measures []property) []string {
	var all []string
	for _, p := range measures {
		all = append(all, makes[p].code)
	}
	return all
}
