package quality

import (
	"slices"
	"time"

	"tofuwatch/internal/water"
)

// A series keeps no more than the last MostKept samples, and no older ones than
// its tests look back to, or keptFor. What arrives later than that is judged by
// itself. Ten thousand full series take 65 MB.
const (
	MostKept = 240
	keptFor  = 24 * time.Hour
	// atOnce is by how much a series may be too long while a message is judged.
	atOnce = 32
)

// state is what was made of a sample: water.Tests, and marks.
type state uint64

const (
	late    state = 1 << 60 // it was received late
	fresh   state = 1 << 61 // it belongs to the message that is being judged
	touched state = 1 << 62 // it may have to be corrected
	owed    state = 1 << 59 // a correction of it was lost
	unsure  state = 1 << 58 // it is of an earlier life: what it led to may be lost
	worked  state = 1 << 57 // people worked on the sensor: it is missing, and never corrected

	testsMask state = 1<<57 - 1
)

func (s state) tests() water.Tests { return water.Tests(s & testsMask) }

// with returns s with other tests.
func (s state) with(t water.Tests) state { return s&^testsMask | state(t) }

// flag is the flag of the sample.
func (s *sample) flag() water.Flag {
	if s.missing() {
		return water.Missing
	}
	return s.state.tests().Aggregate()
}

func unix(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// A series is what is kept of one parameter at one station.
type series struct {
	parameter *water.Parameter
	settings  Settings
	samples   []sample // in the order of their time, each time once
	array     []sample // what samples is a part of
	cut       bool     // samples before the first one were let go of

	// While a message is judged:
	dirty       bool
	again       bool // a sample came again, and what became of the first time is not known
	first, last int64

	owes bool // some sample is owed
}

// find returns where the sample at a time is, or would be.
func (s *series) find(at int64) (i int, ok bool) {
	n := len(s.samples)
	switch {
	case n == 0 || s.samples[n-1].at < at:
		return n, false
	case s.samples[n-1].at == at:
		return n - 1, true
	case n > 1 && s.samples[n-2].at == at:
		return n - 2, true
	}
	return slices.BinarySearchFunc(s.samples, at, func(s sample, at int64) int {
		switch {
		case s.at < at:
			return -1
		case s.at > at:
			return 1
		}
		return 0
	})
}

// put puts a sample in its place. It returns false for one that is older than
// what is kept.
func (s *series) put(at int64, value float64, mark state) bool {
	i, same := s.find(at)
	switch {
	case i == 0 && !same && s.cut:
		return false
	case same:
		old := &s.samples[i]
		if old.value == value || old.missing() && value != value {
			s.again = s.again || old.state&unsure != 0
			mark &^= late // it was not when it came first
		}
		old.value, old.state = value, old.state&^(unsure|worked)|mark|fresh
	default:
		if len(s.samples) == cap(s.samples) {
			s.move()
		}
		s.samples = slices.Insert(s.samples, i, sample{at, value, mark | fresh})
	}
	if !s.dirty {
		s.dirty, s.first, s.last = true, at, at
	}
	s.first, s.last = min(s.first, at), max(s.last, at)
	return true
}

// move makes room for more samples: to the front of the array, from where trim
// has cut others off, or to a larger one.
func (s *series) move() {
	n := len(s.samples)
	if most := MostKept + atOnce; n == cap(s.array) {
		larger := 2 * n
		if n < most {
			larger = min(max(4, larger), most)
		}
		s.array = make([]sample, larger)
	}
	copy(s.array[:n], s.samples)
	s.samples = s.array[:n]
}

// trim lets go of what is too old or too much. One sample is kept from before the
// time that tests look back to: it shows that they see all of it.
func (s *series) trim() {
	n := len(s.samples)
	drop := max(0, n-MostKept)
	from := s.samples[n-1].at - int64(max(keptFor, s.settings.longest()))
	for drop < n-3 && s.samples[drop+1].at < from {
		drop++
	}
	if drop > 0 {
		s.samples, s.cut = s.samples[drop:], true
	}
}
