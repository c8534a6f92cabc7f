package care

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"tofuwatch/internal/water"
)

// Longest is how long a maintenance lasts at most that nobody ends, unless the
// site file says otherwise: a forgotten end must not hide a river for days.
const Longest = 4 * time.Hour

// Numbers of the book.
const (
	maxAhead = 10 * time.Minute // how far a technician's clock may be ahead of ours
	// A message that the broker hands over once more is one that was taken before
	// if it says the same as one of the last day.
	againWithin = 24 * time.Hour
	mostKept    = 1000             // of maintenance at a station, and of visits to a sensor: the newest
	settleTime  = 10 * time.Second // from the last late reading to its correction: they come in crowds
)

// earliest is the first moment that a notice may have: clocks that were reset say
// 1970 or 2000.
var earliest = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// Options are what a book starts with.
type Options struct {
	Stations map[string]*water.Station // by ID
	Planned  []water.Maintenance       // of the site file
	Longest  time.Duration             // 0 means Longest
}

// A Book knows when people work, or worked, on sensors, and how far those were
// off. Its methods may be called from many goroutines.
type Book struct {
	stations map[string]*water.Station
	longest  time.Duration
	now      func() time.Time

	mu      sync.RWMutex
	works   map[*water.Station]*works
	sensors map[sensor][]visit // oldest first
	changes uint64             // numbers what happens to the visits
}

type sensor struct {
	station   *water.Station
	parameter *water.Parameter
}

// works are the maintenance at one station.
type works struct {
	list []water.Maintenance // by From
	over time.Time           // when the last of them is
}

// A visit is on record, with how far the readings before it are corrected.
type visit struct {
	water.Visit
	corrected time.Time // those from here to the visit are not; they begin at the visit before
	quiet     time.Time // when late readings among them last came
	change    uint64    // when corrected was last set back
}

// NewBook returns a book with nothing in it but what is planned.
func NewBook(o Options) *Book {
	b := &Book{
		stations: o.Stations, longest: cmp.Or(o.Longest, Longest), now: time.Now,
		works: make(map[*water.Station]*works), sensors: make(map[sensor][]visit),
	}
	for _, m := range o.Planned {
		m.Planned = true
		b.keepMaintenance(m)
	}
	return b
}

// During reports whether somebody works, or worked, on the sensor for p at s at a
// moment.
func (b *Book) During(s *water.Station, p *water.Parameter, at time.Time) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.during(s, p, at)
}

func (b *Book) during(s *water.Station, p *water.Parameter, at time.Time) bool {
	w := b.works[s]
	if w == nil || !at.Before(w.over) {
		return false
	}
	return slices.ContainsFunc(w.list, func(m water.Maintenance) bool { return m.Covers(p, at) })
}

// Mark marks those of observations that were made during a maintenance, as they
// were when they arrived: a flag stays what it is.
func (b *Book) Mark(observations []water.Observation) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i := range observations {
		o := &observations[i]
		o.Maintenance = o.Method == water.Sensor && (o.Flag == water.Bad || o.Flag == water.Missing) && b.during(o.Station, o.Parameter, o.Time)
	}
}

// Decide says what a notice of s changes, and changes nothing: that is Keep's
// part. A notice that the broker hands over again changes nothing the second
// time. The error says what is wrong with the notice, and what would be right.
func (b *Book) Decide(s *water.Station, n water.Notice) ([]water.Maintenance, []water.Visit, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !n.Time.IsZero() && n.Time.Before(earliest) {
		return nil, nil, fmt.Errorf("time %s is before %d: set the clock, or leave it out", n.Time.Format(time.RFC3339), earliest.Year())
	}
	if n.Time.Sub(n.Received) > maxAhead {
		return nil, nil, fmt.Errorf("time %s is more than %.0f minutes ahead of its arrival at %s: set the clock, or leave it out",
			n.Time.Format(time.RFC3339), maxAhead.Minutes(), n.Received.UTC().Format(time.RFC3339))
	}
	switch n.State {
	case water.WorkStarts:
		m, err := b.start(s, n)
		return []water.Maintenance{m}, nil, err
	case water.WorkEnds:
		ended, err := b.end(s, n)
		return ended, nil, err
	default:
		v, err := b.visit(s, n)
		return nil, []water.Visit{v}, err
	}
}

// errNoAge refuses a retained message that does not say when it was sent.
var errNoAge = errors.New(`the broker kept this message (retained), and it does not say how old it is; send it without "retain", or with a time`)

// start returns the maintenance that begins, or had begun, by n.
func (b *Book) start(s *water.Station, n water.Notice) (water.Maintenance, error) {
	m := water.Maintenance{Station: s, Parameters: n.Parameters, From: moment(n), By: n.By, Note: n.Note}
	m.To = m.From.Add(b.longest)
	if !n.Until.IsZero() {
		until := n.Until.Truncate(time.Millisecond)
		if !until.After(m.From) {
			return m, fmt.Errorf("until %s is not after the start at %s; say when the work will be over, or leave it out",
				until.Format(time.RFC3339), m.From.Format(time.RFC3339))
		}
		if until.Before(m.To) {
			m.To = until
		}
	}
	if w := b.works[s]; w != nil {
		for _, old := range slices.Backward(w.list) {
			switch {
			case old.Planned || old.Scope() != m.Scope():
			case !n.Time.IsZero() && old.From.Equal(m.From) && (old.Ended || old.To.Equal(m.To)),
				n.Time.IsZero() && b.again(n, old.From) && old.By == m.By && old.Note == m.Note:
				return old, nil
			}
		}
	}
	if n.Time.IsZero() && n.Retained {
		return m, errNoAge
	}
	return m, nil
}

// again reports whether a notice without a time may be one that was taken at that
// moment.
func (b *Book) again(n water.Notice, taken time.Time) bool {
	return n.Retained || n.Duplicate && n.Received.Sub(taken) < againWithin
}

// moment returns when a notice says that it was made: when it came, if it does not
// say.
func moment(n water.Notice) time.Time {
	at := n.Time
	if at.IsZero() {
		at = n.Received
	}
	return at.UTC().Truncate(time.Millisecond)
}

// end returns those that are over by n. There may be none: it was said before, or
// they had ended by themselves.
func (b *Book) end(s *water.Station, n water.Notice) ([]water.Maintenance, error) {
	w, at := b.works[s], moment(n)
	if w == nil {
		return nil, nil
	}
	var ended []water.Maintenance
	for _, m := range w.list {
		if m.Planned || m.Ended || at.Before(m.From) || !at.Before(m.To) {
			continue
		}
		if n.Parameters != nil {
			named := func(p *water.Parameter) bool { return slices.Contains(n.Parameters, p) }
			switch {
			case m.Parameters == nil:
				return nil, errors.New("the work was started for the whole station and can only end for it: leave parameters out")
			case !slices.ContainsFunc(m.Parameters, named):
				continue
			case slices.ContainsFunc(m.Parameters, func(p *water.Parameter) bool { return !named(p) }):
				return nil, fmt.Errorf("the work was started for %s together and can only end for them together: name them all, or leave parameters out",
					strings.ReplaceAll(m.Scope(), "+", ", "))
			}
		}
		if n.Time.IsZero() && n.Retained {
			return nil, errNoAge
		}
		m.To, m.Ended = at, true
		if m.To.Equal(m.From) {
			m.To = m.To.Add(time.Millisecond) // it was there
		}
		ended = append(ended, m)
	}
	return ended, nil
}

// visit returns the visit that n tells of.
func (b *Book) visit(s *water.Station, n water.Notice) (water.Visit, error) {
	p := n.Parameters[0]
	v := water.Visit{Station: s, Parameter: p, Time: moment(n), Check: n.Readings, By: n.By, Note: n.Note}
	if err := sound(p, v.Check); err != nil {
		return v, err
	}
	if n.Time.IsZero() {
		for _, old := range slices.Backward(b.sensors[sensor{s, p}]) {
			same := v
			same.Time = old.Time
			if b.again(n, old.Time) && equal(old.Visit, same) {
				return old.Visit, nil
			}
		}
		if n.Retained {
			return v, errNoAge
		}
	}
	return v, nil
}

// sound says what is wrong with the readings of a visit.
func sound(p *water.Parameter, c water.Check) error {
	relative := standing[p.Code].relative
	for _, r := range []struct {
		name  string
		value float64
	}{{"reference", c.Reference}, {"before", c.Before}, {"after_cleaning", c.AfterCleaning}, {"after_calibration", c.AfterCalibration}} {
		switch {
		case r.value < p.Min || r.value > p.Max:
			return fmt.Errorf("%s is %v, and %s is from %v to %v", r.name, r.value, p.Code, p.Min, p.Max)
		case relative && r.value == 0 && r.name != "reference":
			return fmt.Errorf("%s is 0: the error of %s is a part of the reading, and 0 has none; note readings in a standard above 0", r.name, p.Code)
		}
	}
	if math.IsNaN(last(c)) {
		return errors.New("no reading of the sensor; want before, after_cleaning or after_calibration, and the reference")
	}
	if math.IsNaN(c.Reference) && (math.IsNaN(c.Before) || math.IsNaN(c.AfterCleaning)) {
		return errors.New("nothing to compare with; want reference, or both before and after_cleaning")
	}
	return nil
}

// equal reports whether two visits are the same in all that counts.
func equal(a, b water.Visit) bool {
	same := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }
	return a.Time.Equal(b.Time) && a.By == b.By && a.Note == b.Note &&
		same(a.Reference, b.Reference) && same(a.Before, b.Before) &&
		same(a.AfterCleaning, b.AfterCleaning) && same(a.AfterCalibration, b.AfterCalibration)
}

// Keep takes in what Decide returned, in its order, and observations that arrived:
// what is late is corrected too. Keeping something twice is harmless.
func (b *Book) Keep(maintenance []water.Maintenance, visits []water.Visit, observations []water.Observation) {
	b.mu.RLock()
	idle := len(maintenance) == 0 && len(visits) == 0 && len(b.sensors) == 0
	b.mu.RUnlock()
	if idle { // as almost always
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range maintenance {
		b.keepMaintenance(m)
	}
	for _, v := range visits {
		b.keepVisit(visit{Visit: v})
	}
	for i := range observations {
		if o := &observations[i]; o.Method == water.Sensor {
			b.late(o)
		}
	}
}

// keepMaintenance adds m, or changes what of the same scope began at the same time.
func (b *Book) keepMaintenance(m water.Maintenance) {
	w := b.works[m.Station]
	if w == nil {
		w = new(works)
		b.works[m.Station] = w
	}
	i := slices.IndexFunc(w.list, func(old water.Maintenance) bool {
		return old.From.Equal(m.From) && old.Planned == m.Planned && old.Scope() == m.Scope()
	})
	if i < 0 {
		i, _ = slices.BinarySearchFunc(w.list, m, func(old, m water.Maintenance) int { return old.From.Compare(m.From) })
		w.list = slices.Insert(w.list, i, m)
	}
	w.list[i] = m
	if len(w.list) > mostKept {
		if oldest := slices.IndexFunc(w.list, func(m water.Maintenance) bool { return !m.Planned }); oldest >= 0 {
			w.list = slices.Delete(w.list, oldest, oldest+1)
		}
	}
	w.over = time.Time{}
	for _, m := range w.list {
		if m.To.After(w.over) {
			w.over = m.To
		}
	}
}

// keepVisit adds v, or puts it in the place of another at the same time. The
// readings on both sides of it are to be corrected.
func (b *Book) keepVisit(v visit) {
	key := sensor{v.Station, v.Parameter}
	visits := b.sensors[key]
	i, found := slices.BinarySearchFunc(visits, v.Time, func(v visit, t time.Time) int { return v.Time.Compare(t) })
	switch {
	case !found:
		visits = slices.Insert(visits, i, v)
	case equal(visits[i].Visit, v.Visit):
		return
	default:
		visits[i] = v
	}
	if len(visits) > mostKept {
		visits, i = visits[1:], i-1
	}
	b.sensors[key] = visits
	for at := max(i, 1); at <= i+1 && at < len(visits); at++ {
		b.setBack(&visits[at], visits[at-1].Time)
	}
}

// setBack has the readings before v, from a moment on, corrected anew.
func (b *Book) setBack(v *visit, from time.Time) {
	b.changes++
	v.corrected, v.change = from, b.changes
}

// late notes an observation among readings that are corrected already.
func (b *Book) late(o *water.Observation) {
	visits := b.sensors[sensor{o.Station, o.Parameter}]
	if len(visits) < 2 || !o.Time.Before(visits[len(visits)-1].Time) {
		return
	}
	i, _ := slices.BinarySearchFunc(visits, o.Time, func(v visit, t time.Time) int {
		if v.Time.After(t) {
			return 1
		}
		return -1
	})
	if i == 0 {
		return // before the first visit: nothing is known
	}
	v := &visits[i]
	v.quiet = b.now()
	from := v.corrected
	if o.Time.Before(from) {
		from = o.Time
	}
	b.setBack(v, from)
}

// A Correction is readings of a sensor that are to be corrected: those of method
// sensor from Next on, until Drift.To.
type Correction struct {
	Station   *water.Station
	Parameter *water.Parameter
	Drift     Drift
	Next      time.Time

	change uint64
}

// Corrections returns what is to be corrected now.
func (b *Book) Corrections() []Correction {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var due []Correction
	for key, visits := range b.sensors {
		for i := 1; i < len(visits); i++ {
			v := &visits[i]
			if !v.corrected.Before(v.Time) || b.now().Sub(v.quiet) < settleTime {
				continue
			}
			if d, ok := NewDrift(visits[i-1].Visit, v.Visit); ok {
				due = append(due, Correction{key.station, key.parameter, d, v.corrected, v.change})
			}
		}
	}
	slices.SortFunc(due, func(a, b Correction) int {
		return cmp.Or(a.Drift.To.Compare(b.Drift.To), cmp.Compare(a.Station.ID, b.Station.ID), cmp.Compare(a.Parameter.Code, b.Parameter.Code))
	})
	return due
}

// Apply returns the corrected counterparts of readings, those of c. One without a
// value has none; one that is bad stays bad.
func (c Correction) Apply(readings []water.Observation) []water.Observation {
	corrected := make([]water.Observation, 0, len(readings))
	for _, o := range readings {
		if o.Flag == water.Missing {
			continue
		}
		o.Method = water.Corrected
		o.Value, o.Flag = c.Drift.Correct(o.Value, o.Flag, o.Time)
		corrected = append(corrected, o)
	}
	return corrected
}

// Corrected notes that the readings of c before next have their counterparts on
// disk. It does nothing, and returns false, if c is out of date: a visit or a late
// reading came between.
func (b *Book) Corrected(c Correction, next time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	visits := b.sensors[sensor{c.Station, c.Parameter}]
	for i := range visits {
		if v := &visits[i]; v.Time.Equal(c.Drift.To) && v.change == c.change {
			v.corrected = next
			return true
		}
	}
	return false
}

// Outlook says in words what becomes of the readings before a visit that is on
// record. Times are told in zone.
func (b *Book) Outlook(v water.Visit, zone *time.Location) string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if _, ok := standing[v.Parameter.Code]; !ok {
		return "noted; nothing is corrected, for there is no criterion for " + v.Parameter.Code
	}
	visits := b.sensors[sensor{v.Station, v.Parameter}]
	i := slices.IndexFunc(visits, func(old visit) bool { return old.Time.Equal(v.Time) })
	if i <= 0 {
		return "noted; it is the first on record, and readings are corrected between two"
	}
	d, _ := NewDrift(visits[i-1].Visit, visits[i].Visit)
	return "noted; " + d.Explain(zone)
}
