package quality

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"tofuwatch/internal/water"
)

// A Judge judges readings in their place in time: beside those of the same
// sensor before and after them, and beside the other parameters of their sample.
// It keeps the last samples of each sensor for that.
//
//	readings --> series: put in its place --> tests of it and its neighbours --+--> observations
//	                                                                           |
//	                     what was judged before, and is judged otherwise now --+--> corrections
//
// Laboratory values, estimates and corrected series are judged by themselves and
// beside their sample only: their times are no sensor's.
type Judge struct {
	settings func(*water.Station, *water.Parameter) Settings
	crossed  []crossed

	mu        sync.Mutex
	stations  map[*water.Station]*sensors
	detailed  allowance
	confirmed allowance
	origin    state // what samples are marked with
	// Scratch.
	places  []place
	dirty   []*series
	touches []touch
}

// sensors are the series of a station.
type sensors struct {
	station  *water.Station
	location water.Flag
	series   []*series
}

// A place is where a reading was put.
type place struct {
	series *series
	at     int64
	alone  bool // nowhere
	worked bool // as one that is missing
}

// A touch is a sample of an earlier message that is judged anew.
type touch struct {
	series *series
	at     int64
	was    state
	again  bool // to be told of even if nothing changed
}

// A Batch is readings that came together: all of one station, those of one sample
// neighbours, and their times plausible.
type Batch struct {
	Station  *water.Station
	Method   water.Method
	Readings []water.Reading // not kept
	Received time.Time
	// Maintained reports whether people worked on a sensor at a moment: its reading is
	// Bad then, and says nothing of those before and after. Nil: nobody did.
	Maintained func(s *water.Station, p *water.Parameter, at time.Time) bool
}

// maintained reports whether people worked on the sensor of r.
func (b *Batch) maintained(r *water.Reading) bool {
	return b.Maintained != nil && b.Maintained(b.Station, r.Parameter, r.Time)
}

// NewJudge returns a judge that has seen nothing yet. Settings says what a
// parameter is held against at a station; it is asked once for each.
func NewJudge(parameters *water.Parameters, settings func(*water.Station, *water.Parameter) Settings) *Judge {
	return &Judge{settings: settings, crossed: crossings(parameters), stations: make(map[*water.Station]*sensors)}
}

// Judge returns what becomes of the readings of b, in their order, and what is
// judged otherwise by now of earlier ones, in the order of their time, samples
// together. The caller owns both.
//
// A reading that comes again, with the same value, gives the same observation. Of
// one from an earlier life nobody knows whether what it led to reached the disk: its
// neighbours are corrected once more.
func (j *Judge) Judge(b Batch) ([]water.Observation, []water.Correction) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.Method != water.Sensor {
		return j.brief(b, j.look(b)), nil
	}
	st := j.sensors(b.Station)
	observations := make([]water.Observation, 0, len(b.Readings))
	var corrections []water.Correction
	// A long backlog is judged piece by piece, so that series stay short.
	for rest := b.Readings; len(rest) > 0; {
		n, samples := 1, 1
		for n < len(rest) && samples < atOnce {
			if !rest[n].Time.Equal(rest[n-1].Time) {
				samples++
			}
			n++
		}
		observations, corrections = j.piece(st, b, rest[:n], observations, corrections)
		rest = rest[n:]
	}
	return j.brief(b, observations), corrections
}

// piece judges some readings and appends to what was made of those before.
func (j *Judge) piece(st *sensors, b Batch, readings []water.Reading, observations []water.Observation, corrections []water.Correction) ([]water.Observation, []water.Correction) {
	j.places, j.dirty, j.touches = j.places[:0], j.dirty[:0], j.touches[:0]
	received := b.Received.UnixNano()
	for i := range readings {
		r := &readings[i]
		s := j.series(st, r.Parameter)
		at := r.Time.UnixNano()
		mark := j.origin
		if wait := int64(s.settings.Timing.Reception); wait > 0 && reception(at, received, wait) == water.Bad {
			mark |= late
		}
		known, v := s.dirty, value(st.station, r)
		maintained := b.maintained(r)
		if maintained {
			mark, v = mark|worked, math.NaN()
		}
		ok := s.put(at, v, mark)
		j.places = append(j.places, place{s, at, !ok, maintained})
		if ok && !known {
			j.dirty = append(j.dirty, s)
		}
	}
	for _, s := range j.dirty {
		j.rejudge(st, s)
		if s.owes {
			j.pay(s)
		}
	}
	for _, p := range j.places {
		if !p.alone {
			j.cross(st, p)
		}
	}

	for i, p := range j.places {
		r := &readings[i]
		o := water.Observation{Station: st.station, Parameter: r.Parameter, Method: b.Method, Time: r.Time, Maintenance: p.worked}
		if p.alone || p.worked {
			o.Value = value(st.station, r)
			o.Tests = st.alone(p.series, p.at, o.Value)
			o.Flag = flagOf(o.Value, o.Tests)
			if p.worked && o.Flag != water.Missing {
				o.Flag = water.Bad
			}
		} else {
			k, _ := p.series.find(p.at)
			kept := &p.series.samples[k]
			o.Value, o.Tests, o.Flag = kept.value, kept.state.tests(), kept.flag()
		}
		observations = append(observations, o)
	}
	before := len(corrections)
	for _, t := range j.touches {
		k, _ := t.series.find(t.at)
		kept := &t.series.samples[k]
		kept.state &^= touched
		if kept.state&worked != 0 {
			continue
		}
		if kept.state.tests() == t.was.tests() && !t.again || !j.worthTelling(b, t, kept.state.tests()) {
			continue
		}
		was := water.Flag(0) // who was told of it is not known
		if !t.again {
			was = (&sample{value: kept.value, state: t.was}).flag()
		}
		if corrections == nil {
			corrections = make([]water.Correction, 0, len(j.touches))
		}
		corrections = append(corrections, water.Correction{
			Observation: water.Observation{
				Station: st.station, Parameter: t.series.parameter, Method: b.Method,
				Value: kept.value, Flag: kept.flag(), Tests: kept.state.tests(), Time: unix(t.at),
			},
			Was: was,
		})
	}
	if made := corrections[before:]; len(made) > 1 {
		slices.SortStableFunc(made, func(a, b water.Correction) int { return a.Time.Compare(b.Time) })
	}
	for _, p := range j.places {
		if k, ok := p.series.find(p.at); ok {
			p.series.samples[k].state &^= fresh
		}
	}
	for _, s := range j.dirty {
		s.dirty, s.again = false, false
		s.trim()
	}
	return observations, corrections
}

// MostDetailed is for how many samples a second, on average over ten, it is told
// also what says nothing new: what each test said of readings that are good, and,
// by a correction, that a test which could not run at first is passed. The one takes
// half as much room again as the readings themselves, the other as much: worth it
// only while there is room. A network of 300 stations has 3 samples a second.
// Whatever is not good, or is no longer, is always told.
const MostDetailed = 50

// An allowance is how many samples may still be told of in detail.
type allowance struct {
	left   int
	second int64 // when left was last added to, Unix
	// The last one: it is all of a sample, or nothing.
	station *water.Station
	at      int64
	granted bool
}

// grants reports whether a sample may be told of in detail.
func (a *allowance) grants(received time.Time, station *water.Station, at int64) bool {
	if second := received.Unix(); second > a.second {
		a.left = min(10*MostDetailed, a.left+MostDetailed*int(min(second-a.second, 10)))
		a.second = second
	}
	if at != a.at || station != a.station {
		a.station, a.at, a.granted = station, at, a.left > 0
		if a.granted {
			a.left--
		}
	}
	return a.granted
}

// worthTelling reports whether what is judged otherwise now is to be told of.
func (j *Judge) worthTelling(b Batch, t touch, now water.Tests) bool {
	was := t.was.tests()
	return t.again || was.Doubtful() != now.Doubtful() || was.Aggregate() != now.Aggregate() ||
		j.confirmed.grants(b.Received, b.Station, t.at)
}

// brief leaves out of observations what says nothing new, if there is no room.
func (j *Judge) brief(b Batch, observations []water.Observation) []water.Observation {
	for i := range observations {
		if o := &observations[i]; o.Flag == water.Good && !j.detailed.grants(b.Received, b.Station, o.Time.UnixNano()) {
			o.Tests = 0
		}
	}
	return observations
}

// sensors returns what is kept of a station.
func (j *Judge) sensors(s *water.Station) *sensors {
	st := j.stations[s]
	if st == nil {
		st = &sensors{station: s, location: location(s.Latitude, s.Longitude)}
		j.stations[s] = st
	}
	return st
}

// series returns what is kept of a parameter at a station.
func (j *Judge) series(st *sensors, p *water.Parameter) *series {
	for _, s := range st.series {
		if s.parameter == p {
			return s
		}
	}
	s := &series{parameter: p, settings: j.settings(st.station, p)}
	st.series = append(st.series, s)
	return s
}

// value is NaN for no value and for a station's sentinels.
func value(s *water.Station, r *water.Reading) float64 {
	if slices.Contains(s.Sentinels, r.Value) {
		return math.NaN()
	}
	return r.Value
}

func flagOf(value float64, t water.Tests) water.Flag {
	if math.IsNaN(value) {
		return water.Missing
	}
	return t.Aggregate()
}

// rejudge judges what came into s, the sample before it, the one behind it, and
// those whose windows hold it.
func (j *Judge) rejudge(st *sensors, s *series) {
	i, _ := s.find(s.first)
	i = max(i-1, 0)
	if i == 0 && s.cut {
		i = 1 // the first one that is kept was judged by what is gone
	}
	reach := s.last + int64(s.settings.longest())
	for behind := 0; i < len(s.samples); i++ {
		k := &s.samples[i]
		if k.at > s.last {
			if behind++; behind > 1 && k.at > reach {
				return
			}
		}
		j.touch(s, i, s.again && behind <= 1)
		if k.at < s.first { // what comes after it matters to no other test
			k.state = k.state.with(ahead(s, i))
			continue
		}
		k.state = k.state.with(st.judge(s, i))
	}
}

// ahead returns what the tests say of a sample, of which those are run that look
// at the next one.
func ahead(s *series, i int) water.Tests {
	k, o := &s.samples[i], &s.settings
	if k.missing() {
		return water.AllMissing
	}
	t := k.state.tests()
	if i == 0 && o.Timing.Gap > 0 && k.state&late == 0 {
		t = t.With(water.TimingTest, gap(s.samples, i, int64(o.Timing.Gap)))
	}
	return t.With(water.SpikeTest, spike(s.samples, i, o.Spike, int64(o.Timing.Gap)))
}

// pay has all that is owed of s told once more.
func (j *Judge) pay(s *series) {
	for i := range s.samples {
		if k := &s.samples[i]; k.state&owed != 0 {
			k.state &^= owed
			j.touches = append(j.touches, touch{s, k.at, k.state, true})
		}
	}
	s.owes = false
}

// Lost tells j that corrections did not reach the disk. They are told again with
// the next readings of their series: those of the same message, most likely, which
// was not acknowledged. It does not wait for anything.
func (j *Judge) Lost(corrections []water.Correction) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range corrections {
		c := &corrections[i]
		if c.Method != water.Sensor {
			continue // derived from one that is
		}
		s := j.series(j.sensors(c.Station), c.Parameter)
		if k, ok := s.find(c.Time.UnixNano()); ok {
			s.samples[k].state |= owed
			s.owes = true
		}
	}
}

// touch remembers how a sample of an earlier message was judged.
func (j *Judge) touch(s *series, i int, again bool) {
	k := &s.samples[i]
	if k.state&(fresh|touched) != 0 {
		return
	}
	j.touches = append(j.touches, touch{s, k.at, k.state, again})
	k.state |= touched
}

// judge returns what the tests say of a sample, other than what is compared
// within samples: that stays as it is.
func (st *sensors) judge(s *series, i int) water.Tests {
	k := &s.samples[i]
	if k.missing() {
		return water.AllMissing
	}
	o := &s.settings
	t := st.alone(s, k.at, k.value)
	if o.Timing.Gap > 0 {
		t = t.With(water.TimingTest, gap(s.samples, i, int64(o.Timing.Gap)))
	}
	if k.state&late != 0 {
		t = t.With(water.TimingTest, water.Bad)
	}
	if k.state.tests() != 0 && k.state.tests() != water.AllMissing {
		t = t.With(water.MultiVariateTest, k.state.tests().Flag(water.MultiVariateTest))
	}
	return t.
		With(water.SpikeTest, spike(s.samples, i, o.Spike, int64(o.Timing.Gap))).
		With(water.RateOfChangeTest, rateOfChange(s.samples, i, o.RateOfChange)).
		With(water.FlatLineTest, flatLine(s.samples, i, o.FlatLine, s.cut)).
		With(water.AttenuatedTest, attenuated(s.samples, i, o.Attenuated))
}

// notRun are the tests of a reading of which only its format was looked at: it
// came as far as this.
var notRun = func() (t water.Tests) {
	for _, test := range water.AllTests() {
		t = t.With(test, water.NotEvaluated)
	}
	return t.With(water.SyntaxTest, water.Good)
}()

// alone returns what can be said of a value by itself.
func (st *sensors) alone(s *series, at int64, value float64) water.Tests {
	if math.IsNaN(value) {
		return water.AllMissing
	}
	t := notRun.
		With(water.LocationTest, st.location).
		With(water.GrossRangeTest, grossRange(value, s.settings.GrossRange))
	if len(s.settings.Climatology) > 0 {
		t = t.With(water.ClimatologyTest, climatology(at, value, s.settings.Climatology))
	}
	return t
}

// cross compares the sample at a place with the others of its time.
func (j *Judge) cross(st *sensors, p place) {
	for i := range j.crossed {
		c := &j.crossed[i]
		if p.series.parameter != c.a && p.series.parameter != c.b {
			continue
		}
		a, b := j.at(st, c.a, p.at), j.at(st, c.b, p.at)
		if a.series == nil || b.series == nil {
			continue
		}
		x, y := &a.series.samples[a.i], &b.series.samples[b.i]
		forA, forB := c.judge(x.value, y.value, x.state.tests(), y.state.tests(), &a.series.settings, &b.series.settings)
		j.crossing(a, forA, p.series.again)
		j.crossing(b, forB, p.series.again)
	}
}

// A found sample is one in a series, if that is not nil.
type found struct {
	series *series
	i      int
}

func (j *Judge) at(st *sensors, p *water.Parameter, at int64) found {
	for _, s := range st.series {
		if s.parameter == p {
			if i, ok := s.find(at); ok {
				return found{s, i}
			}
		}
	}
	return found{}
}

// crossing notes what a comparison says of a sample; 0 is nothing.
func (j *Judge) crossing(f found, flag water.Flag, again bool) {
	k := &f.series.samples[f.i]
	if flag == 0 || k.missing() || k.state.tests().Flag(water.MultiVariateTest) == flag && !again {
		return
	}
	j.touch(f.series, f.i, again)
	k.state = k.state.with(k.state.tests().With(water.MultiVariateTest, flag))
}

// Look returns what becomes of the readings of b by themselves and beside their
// sample. It knows of no other readings, and nobody will know of these.
func (j *Judge) Look(b Batch) []water.Observation {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.look(b)
}

func (j *Judge) look(b Batch) []water.Observation {
	st := j.sensors(b.Station)
	observations := make([]water.Observation, 0, len(b.Readings))
	for i := range b.Readings {
		r := &b.Readings[i]
		v := r.Value
		if b.Method == water.Sensor {
			v = value(b.Station, r)
		}
		o := water.Observation{Station: b.Station, Parameter: r.Parameter, Method: b.Method, Value: v, Time: r.Time}
		o.Tests = st.alone(j.series(st, r.Parameter), r.Time.UnixNano(), v)
		if b.Method != water.Sensor && !math.IsNaN(v) { // an instrument's range and a logger's sentinels say nothing of it
			g := j.series(st, r.Parameter).settings.GrossRange
			g.Fail = NewSpan(r.Parameter.Min, r.Parameter.Max)
			o.Tests = o.Tests.With(water.GrossRangeTest, grossRange(v, g))
		}
		o.Maintenance = b.Method == water.Sensor && b.maintained(r)
		observations = append(observations, o)
	}
	for rest := observations; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Time.Equal(rest[0].Time) {
			n++
		}
		j.crossSample(st, rest[:n])
		rest = rest[n:]
	}
	return observations
}

// crossSample compares the observations of a sample, and gives each its flag.
func (j *Judge) crossSample(st *sensors, sample []water.Observation) {
	for i := range j.crossed {
		c := &j.crossed[i]
		a := slices.IndexFunc(sample, func(o water.Observation) bool { return o.Parameter == c.a })
		b := slices.IndexFunc(sample, func(o water.Observation) bool { return o.Parameter == c.b })
		if a < 0 || b < 0 {
			continue
		}
		x, y := &sample[a], &sample[b]
		forA, forB := c.judge(x.Value, y.Value, x.Tests, y.Tests, &j.series(st, c.a).settings, &j.series(st, c.b).settings)
		if forA != 0 {
			x.Tests = x.Tests.With(water.MultiVariateTest, forA)
		}
		if forB != 0 {
			y.Tests = y.Tests.With(water.MultiVariateTest, forB)
		}
	}
	for i := range sample {
		o := &sample[i]
		if o.Flag = flagOf(o.Value, o.Tests); o.Maintenance && o.Flag != water.Missing {
			o.Flag = water.Bad
		}
	}
}

// Restore takes in observations that were judged in an earlier life, in the order
// in which they came.
func (j *Judge) Restore(received time.Time, observations []water.Observation) {
	var readings []water.Reading
	j.from(unsure)
	defer j.from(0)
	for rest := observations; len(rest) > 0; {
		n := 0
		readings = readings[:0]
		for n < len(rest) && rest[n].Station == rest[0].Station && rest[n].Method == rest[0].Method {
			readings = append(readings, water.Reading{Parameter: rest[n].Parameter, Value: rest[n].Value, Time: rest[n].Time})
			n++
		}
		if rest[0].Method == water.Sensor {
			same := rest[:n]
			j.Judge(Batch{rest[0].Station, water.Sensor, readings, received, func(_ *water.Station, p *water.Parameter, at time.Time) bool {
				return slices.ContainsFunc(same, func(o water.Observation) bool {
					return o.Maintenance && o.Parameter == p && o.Time.Equal(at)
				})
			}})
		}
		rest = rest[n:]
	}
}

func (j *Judge) from(origin state) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.origin = origin
}

// Series is how many series have samples, and how many samples they have.
func (j *Judge) Series() (series, samples int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, st := range j.stations {
		for _, s := range st.series {
			if len(s.samples) > 0 {
				series++
				samples += len(s.samples)
			}
		}
	}
	return series, samples
}

// byID orders the stations that a judge knows.
func (j *Judge) byID() []*sensors {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make([]*sensors, 0, len(j.stations))
	for _, st := range j.stations {
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b *sensors) int { return cmp.Compare(a.station.ID, b.station.ID) })
	return all
}
