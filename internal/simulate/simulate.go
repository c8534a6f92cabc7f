// Package simulate is a synthetic tofu district in Semarang: workshops that
// work from before dawn to mid-afternoon, a shared treatment plant, three
// rivers, rain, and instruments that drift, stick, fall silent and send twice.
//
// A [World] is pure: the same [Options] give the same messages, byte by byte,
// and it knows neither clock nor network. [Publish] sends a world's messages to
// a broker as the stations would.
//
//	weather --> workshops --> plant --> rivers --> instruments --> loggers --Message-->
//	                                                    ^             ^
//	                                                    +- scenario --+
package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// Options describe a world.
type Options struct {
	Stations int           // how many; 0 is the base set of eight
	Scenario Scenario      // what happens; "" is Normal
	Seed     uint64        // another seed is another world
	Start    time.Time     // simulated time of the first samples; required
	Incident time.Time     // when the scenario's incident begins, cut to a minute; zero is a day after Start
	Interval time.Duration // between a station's samples; 0 is what is usual for its kind
}

// A Message is what a station publishes, QoS 1.
type Message struct {
	Station  string
	Topic    string
	Payload  []byte
	Retained bool      // a station's presence is, readings are not
	Time     time.Time // simulated time at which it is sent; its samples may say another
}

// A World makes the messages of a simulated district. It is used by one
// goroutine at a time.
type World struct {
	start    time.Time
	stations []water.Station
	loggers  []*logger
	scenario scenario
	district *district
	before   []stream // at each station, a minute before district.now
	truth    []stream // at district.now
	pending  []Message
}

// A logger is what a station's instruments are connected to.
type logger struct {
	id          string
	interval    time.Duration
	next        time.Time
	instruments []*instrument
	faults      []fault
	visited     int64 // the day of the fortnight on which somebody cleans the instruments
	seed        uint64
	backlog     []byte // samples that found no connection, as JSON, joined by commas
}

// New returns the world that o describes, at o.Start.
func New(o Options) (*World, error) {
	if o.Stations == 0 {
		o.Stations = baseStations
	}
	if o.Scenario == "" {
		o.Scenario = Normal
	}
	if o.Incident.IsZero() {
		o.Incident = o.Start.Add(24 * time.Hour)
	}
	var faulty error
	if o.Stations < 1 || o.Stations > MaxStations {
		faulty = errors.Join(faulty, fmt.Errorf("%d stations: from 1 to %d", o.Stations, MaxStations))
	}
	if !slices.Contains(Scenarios(), o.Scenario) {
		faulty = errors.Join(faulty, fmt.Errorf("no scenario %q; have %s", o.Scenario, scenarioNames()))
	} else if o.Scenario != Normal && o.Stations < baseStations {
		faulty = errors.Join(faulty, fmt.Errorf("%d stations: %s needs %d or more", o.Stations, o.Scenario, baseStations))
	}
	if o.Start.Unix() < 0 {
		faulty = errors.Join(faulty, errors.New("start: required, 1970 or later"))
	}
	if o.Interval < 0 || o.Interval > 24*time.Hour || o.Interval%time.Millisecond != 0 {
		faulty = errors.Join(faulty, fmt.Errorf("interval %s: whole milliseconds, up to 24h", o.Interval))
	}
	if faulty != nil {
		return nil, faulty
	}

	start := o.Start.UTC()
	w := &World{start: start, scenario: scenario{o.Scenario, o.Incident.UTC().Truncate(time.Minute)}}
	parameters, err := water.NewParameters()
	if err != nil {
		return nil, err
	}
	all := places(o.Stations, o.Seed)
	for _, p := range all {
		if o.Interval > 0 {
			p.interval = o.Interval
		}
		w.stations = append(w.stations, p.station(parameters))
		w.loggers = append(w.loggers, newLogger(p, o.Seed, o.Scenario, start))
	}
	outlets := all[min(baseStations, len(all)):]
	w.district = newDistrict(o.Seed, w.scenario, outlets, minuteOf(start))
	w.before = make([]stream, baseStations+len(outlets))
	w.truth = make([]stream, baseStations+len(outlets))
	return w, nil
}

func scenarioNames() string {
	var names []string
	for _, s := range Scenarios() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// station returns p as a site file describes it.
func (p place) station(parameters *water.Parameters) water.Station {
	s := water.Station{
		ID: p.id, Name: p.name, River: riverIDs[p.river], Kind: p.kind,
		Latitude: p.lat, Longitude: p.lon,
		Sentinels:   []float64{-9999, 7999},
		Instruments: make(map[string]water.Instrument),
	}
	for _, measured := range p.measures {
		m := &makes[measured]
		i := water.Instrument{Parameter: parameters.Lookup([]byte(m.code)), Interval: p.interval}
		i.Min, i.Max = i.Parameter.Min, i.Parameter.Max
		if m.highest > 0 {
			i.Max = m.highest
		}
		s.Instruments[m.code] = i
	}
	return s
}

// newLogger returns p's logger. Its samples lie on multiples of its interval,
// as those of a logger whose clock is right do.
func newLogger(p place, seed uint64, s Scenario, start time.Time) *logger {
	l := &logger{
		id: p.id, interval: p.interval, seed: seed,
		visited: random(seed, "visit "+p.id, 0).Int64N(14),
	}
	l.next = start.Truncate(p.interval)
	if l.next.Before(start) {
		l.next = l.next.Add(p.interval)
	}
	for _, measured := range p.measures {
		l.instruments = append(l.instruments, &instrument{
			property: measured,
			make:     &makes[measured],
			random:   random(seed, "instrument "+p.id+" "+makes[measured].code, 0),
		})
	}
	for _, f := range faults[s] {
		if f.station == p.id {
			l.faults = append(l.faults, f)
		}
	}
	return l
}

// Stations returns the stations of w. The caller must not change them.
func (w *World) Stations() []water.Station { return w.stations }

// Incidents returns what the scenario makes happen between two times, in the
// order in which it begins: a test's ground truth. At Incident.To things are
// as usual again.
func (w *World) Incidents(from, to time.Time) []Incident { return w.scenario.incidents(from, to) }

// Next returns the next message. There is always one: messages are in the order
// of their time, and time goes on. The payload is the caller's.
func (w *World) Next() Message {
	for len(w.pending) == 0 {
		w.sample()
	}
	m := w.pending[0]
	w.pending = w.pending[1:]
	return m
}

// sample goes on to the next time at which a station is due, and makes the
// messages of those that are.
func (w *World) sample() {
	at := slices.MinFunc(w.loggers, func(a, b *logger) int { return a.next.Compare(b.next) }).next
	for w.district.now <= minuteOf(at) {
		w.before, w.truth = w.truth, w.before
		w.district.step(w.truth)
	}
	part := float64(at.Sub(at.Truncate(time.Minute))) / float64(time.Minute)
	w.pending = w.pending[:0]
	for i, l := range w.loggers {
		if !l.next.Equal(at) {
			continue
		}
		l.next = at.Add(l.interval)
		w.pending = l.publish(w.pending, at, w.before[i].between(w.truth[i], part), w.scenario)
	}
}

// publish appends the messages that l sends at a time in which the water is
// like truth.
func (l *logger) publish(to []Message, at time.Time, truth stream, s scenario) []Message {
	clock, times, connected := at, 1, true
	for _, f := range l.faults {
		since, ok := s.during(f, at)
		if !ok {
			continue
		}
		switch f.cause {
		case Clock1970:
			clock = time.Unix(0, 0).UTC().Add(at.Sub(since))
		case Clock2000:
			clock = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(at.Sub(since))
		case ClockAhead:
			clock = at.Add(wib * time.Minute)
		case Resent:
			times = 2
		case Backlog:
			connected = false
		}
	}
	sample := l.appendSample(nil, at, clock, truth, s)
	// A modem misses its turn now and then.
	if random(l.seed, "gap "+l.id, at.UnixNano()).IntN(700) == 0 && len(l.backlog) == 0 && connected {
		return to
	}
	switch {
	case !connected && l.backlog == nil:
		to = append(to, l.presence(at, "offline"))
		l.backlog = sample
		return to
	case !connected:
		l.backlog = append(append(l.backlog, ','), sample...)
		return to
	case l.backlog != nil:
		sample = fmt.Appendf(nil, "[%s,%s]", l.backlog, sample)
		l.backlog = nil
		to = append(to, l.presence(at, "online"))
	}
	for range times {
		to = append(to, Message{Station: l.id, Topic: "tofu/" + l.id + "/readings", Payload: slices.Clone(sample), Time: at})
	}
	return to
}

// presence returns the message that says whether l is connected.
func (l *logger) presence(at time.Time, state string) Message {
	return Message{Station: l.id, Topic: statusTopic(l.id), Payload: []byte(state), Retained: true, Time: at}
}

func statusTopic(station string) string { return "tofu/" + station + "/status" }

// appendSample appends the JSON object of one sample, taken at a time for
// which the station's clock may say another.
func (l *logger) appendSample(b []byte, at, clock time.Time, truth stream, s scenario) []byte {
	b = append(b, `{"time":"`...)
	b = clock.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	for _, i := range l.instruments {
		v := i.read(truth[i.property], l.sinceVisit(at))
		text, ok := l.distorted(i, v, at, s)
		if !ok {
			continue
		}
		b = append(b, ',', '"')
		b = append(b, i.make.code...)
		b = append(b, '"', ':')
		b = append(b, text...)
	}
	return append(b, '}')
}

// sinceVisit returns the days since the instruments were cleaned, on a morning
// every two weeks.
func (l *logger) sinceVisit(at time.Time) float64 {
	m := minuteOf(at) - 9*60 - 30
	return float64((m.day()+l.visited)%14) + float64(m.ofDay())/dayLength
}

// distorted returns what i sends for v, in JSON, and false if it sends
// nothing. A fault draws no random number that a sound instrument would: all
// others say what they say in the normal scenario.
func (l *logger) distorted(i *instrument, v float64, at time.Time, s scenario) (text []byte, ok bool) {
	stuck := false
	for _, f := range l.faults {
		since, active := s.during(f, at)
		if !active || !slices.Contains(f.measures, i.property) {
			continue
		}
		odd := (at.UnixNano()/int64(l.interval))%2 != 0
		grown := float64(at.Sub(since)) / float64(f.lasts)
		switch f.cause {
		case Dead:
			return nil, false
		case NoValue:
			if odd {
				return []byte(`"-"`), true
			}
			return []byte("null"), true
		case Sentinel:
			if odd {
				return []byte("7999"), true
			}
			return []byte("-9999"), true
		case OutOfRange: // as real stream records have them
			v = 15.2
			if i.property == do {
				v = 109.8
			}
		case Zero:
			return []byte("0"), true
		case Bubbles:
			if r := random(l.seed, "bubbles "+l.id, at.UnixNano()); r.IntN(6) == 0 {
				v *= 3 + 7*r.Float64()
			}
		case Film:
			if i.property == ph {
				v -= 0.7 * grown
			} else {
				v *= 1 + 0.8*grown
			}
		case Stuck:
			if stuck = true; !i.stuck {
				i.held = v
			}
			v = i.held
		}
	}
	i.stuck = stuck
	return strconv.AppendFloat(nil, round(v, i.make.decimals), 'f', i.make.decimals, 64), true
}
