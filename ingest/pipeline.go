package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tofuwatch/ingest/payload"
	"tofuwatch/ingest/quality"
	"tofuwatch/internal/water"
)

// A Spool makes outcomes durable. It calls done once: without an error when the
// outcome is on disk, else with the reason why nothing of it was kept. done may
// run on any goroutine, also before Append returns.
type Spool interface {
	Append(o Outcome, done func(error))
}

// Observer is told of everything that is received, whether InfluxDB is up or
// not. Its methods must not block.
type Observer interface {
	// Observe gets the observations of one message, in the order of the payload.
	Observe(observations []water.Observation)
	// Correct gets what a message corrects of earlier ones, after Observe got its
	// observations.
	Correct(corrections []water.Correction)
	// Online tells that a station connected or went away.
	Online(station *water.Station, online bool)
}

// Care knows when people work on sensors. Its methods must not block.
type Care interface {
	// During reports whether somebody works, or worked, on the sensor for p at s
	// at a moment. What it says then is not about the water, nor does it say
	// anything of the readings beside it.
	During(s *water.Station, p *water.Parameter, at time.Time) bool
	// Decide says what a notice of s changes, or what is wrong with it, and
	// changes nothing.
	Decide(s *water.Station, n water.Notice) ([]water.Maintenance, []water.Visit, error)
	// Keep takes in what was decided.
	Keep(maintenance []water.Maintenance, visits []water.Visit, observations []water.Observation)
}

// Options are what a Pipeline decides by.
type Options struct {
	Sources    []Source
	Stations   map[string]*water.Station // by ID
	Loggers    map[string]Logger         // by ID of their station; one that is absent is a zero Logger
	Zone       *time.Location            // of times without one; nil: UTC
	Parameters *water.Parameters
	Judge      *quality.Judge // nil: one with the defaults, that nobody saves
	Care       Care           // nil: nobody works on sensors
	// Refused is called when the spool refused an outcome: its message was not
	// acknowledged, and comes again only on another connection. It must not block.
	Refused func(error)
	// Derive returns what can be calculated from the observations of a message,
	// such as estimates. It must not change them. Nil derives nothing.
	Derive func(observations []water.Observation) []water.Observation
	// Revise returns what Derive would give now in the place of what it gave beside
	// an observation, which was corrected. Nil revises nothing.
	Revise func(corrected water.Observation) (revised water.Observation, ok bool)
}

// A Pipeline decides what becomes of messages.
type Pipeline struct {
	o        Options
	spool    Spool
	observer Observer
	log      *slog.Logger
	faults   *faultLog
	order    []int             // of the sources: those that say most about a topic first
	places   map[string]*place // by ID of the station
	devices  map[string]*place // by what messages call its logger, in lower case

	maintained func(*water.Station, *water.Parameter, time.Time) bool // nil: nobody works on sensors

	mu       sync.Mutex
	decoded  payload.Decoded // scratch
	admitted []water.Reading // scratch

	received []atomic.Uint64 // messages: one a source, one for the rest, and one for notices
	ignored  atomic.Uint64   // keys that name no parameter, also in messages that are looked at again
	latest   atomic.Int64    // when the last message came, Unix nanoseconds; 0 before the first
}

// A place is a station, and what it sends with.
type place struct {
	station *water.Station
	logger  Logger
}

// NewPipeline returns a pipeline that ends in spool and tells observer.
func NewPipeline(o Options, spool Spool, observer Observer, log *slog.Logger) *Pipeline {
	if o.Judge == nil && o.Parameters != nil {
		o.Judge = quality.NewJudge(o.Parameters, quality.DefaultsAt)
	}
	p := &Pipeline{
		o: o, spool: spool, observer: observer, log: log,
		faults:   newFaultLog(log),
		places:   make(map[string]*place, len(o.Stations)),
		devices:  make(map[string]*place),
		received: make([]atomic.Uint64, len(o.Sources)+2),
	}
	if o.Care != nil {
		p.maintained = o.Care.During
	}
	for id, station := range o.Stations {
		at := &place{station, o.Loggers[id]}
		p.places[id] = at
		for _, device := range at.logger.Devices {
			p.devices[strings.ToLower(device)] = at
		}
	}
	for i := range o.Sources {
		p.order = append(p.order, i)
	}
	slices.SortStableFunc(p.order, func(a, b int) int {
		return cmp.Compare(o.Sources[a].wildness(), o.Sources[b].wildness())
	})
	return p
}

// Handle decides what becomes of msg and gives the outcome to the spool. msg is
// acknowledged once the outcome is on disk; if that failed it is not, and the
// broker sends it again on the next connection. A message of which nothing can
// be used is a dead letter, and acknowledged like any other.
func (p *Pipeline) Handle(msg Message) {
	p.latest.Store(msg.Received.UnixNano())
	if id, ok := Presence.Station(msg.Topic); ok {
		if s := p.o.Stations[id]; s != nil {
			p.observer.Online(s, string(msg.Payload) == "online")
		}
		msg.Ack()
		return
	}
	source, named := p.source(msg.Topic)
	p.received[source].Add(1)
	o := p.decide(msg, source, named, p.o.Judge.Judge, nil)
	for _, l := range o.DeadLetters {
		p.faults.deadLettered(l)
	}
	topic, ack := msg.Topic, msg.Ack // not msg: its payload need not wait for the disk
	p.Keep(o, func(err error) {
		if err != nil {
			p.faults.withheld(topic, err)
			p.o.Refused(err)
			return
		}
		ack()
	})
}

// Keep shows an outcome to the observer and gives it to the spool, which calls
// done.
func (p *Pipeline) Keep(o Outcome, done func(error)) {
	if corrections := o.Corrections; len(corrections) > 0 {
		told := done
		done = func(err error) {
			if err != nil {
				p.o.Judge.Lost(corrections)
			}
			told(err)
		}
	}
	if p.o.Care != nil {
		p.o.Care.Keep(o.Maintenance, o.Visits, o.Observations)
	}
	if len(o.Observations) > 0 {
		p.observer.Observe(o.Observations)
	}
	if len(o.Corrections) > 0 {
		p.observer.Correct(o.Corrections)
	}
	p.spool.Append(o, done)
}

// named is what a topic says.
type named struct{ station, parameter string }

// source returns which source has a topic, behind the last one if none and behind
// that for notices, and what it names.
func (p *Pipeline) source(topic string) (index int, by named) {
	if id, ok := Notices.Station(topic); ok && p.o.Care != nil {
		return len(p.o.Sources) + 1, named{station: id}
	}
	for _, i := range p.order {
		if station, parameter, ok := match(p.o.Sources[i].Topic, topic); ok {
			return i, named{station, parameter}
		}
	}
	return len(p.o.Sources), named{}
}

// place returns where a reading is from, or nil.
func (p *Pipeline) place(s *Source, by named, device payload.Device) *place {
	switch {
	case s.From != "":
		return p.places[s.From]
	case by.station != "":
		if at := p.places[by.station]; at != nil {
			return at
		}
		return p.devices[strings.ToLower(by.station)]
	}
	for _, id := range device {
		id = strings.ToLower(id)
		if at := p.devices[id]; at != nil {
			return at
		}
		if at := p.places[id]; at != nil {
			return at
		}
	}
	return nil
}

// A judgement is what is made of readings that can be used.
type judgement func(quality.Batch) ([]water.Observation, []water.Correction)

// look judges readings by themselves, and not beside others of their sensors.
func (p *Pipeline) look(b quality.Batch) ([]water.Observation, []water.Correction) {
	return p.o.Judge.Look(b), nil
}

// Decide says what becomes of msg and changes nothing: "now" is msg.Received. Its
// readings are judged by themselves, and not beside others of their sensors.
func (p *Pipeline) Decide(msg Message) Outcome {
	source, by := p.source(msg.Topic)
	return p.decide(msg, source, by, p.look, nil)
}

// Judge decides on msg as Handle does. What it returns is for Keep.
func (p *Pipeline) Judge(msg Message) Outcome {
	source, by := p.source(msg.Topic)
	return p.decide(msg, source, by, p.o.Judge.Judge, nil)
}

// decide is Decide for a message whose source is known. It calls tell, if that
// is not nil, with each fault as it is met: a dead letter tells of the first of
// its reason only.
func (p *Pipeline) decide(msg Message, source int, by named, judge judgement, tell func(DeadLetter)) Outcome {
	o := Outcome{Topic: msg.Topic, Received: msg.Received}
	refuse := func(reason water.Reason, detail string, readings int) {
		if tell != nil {
			tell(DeadLetter{Reason: reason, Detail: detail, Readings: readings})
		}
		o.deadLetter(msg, reason, detail, readings)
	}
	if source > len(p.o.Sources) {
		p.decideNotice(&o, msg, by.station)
		return o
	}
	if source == len(p.o.Sources) {
		refuse(water.UnknownTopic, fmt.Sprintf("no source has the topic %s; the site file's are %s", quote(msg.Topic), p.topics()), 1)
		return o
	}
	if len(msg.Payload) > payload.MaxBytes {
		refuse(water.TooLarge, fmt.Sprintf("payload has %d bytes; at most %d are read: send fewer samples at once", len(msg.Payload), payload.MaxBytes), 1)
		return o
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	s, d := &p.o.Sources[source], &p.decoded
	p.decode(msg.Payload, s, by)
	if len(d.Faults) > 0 {
		// What is told of a fault may quote the message: no secret of it.
		if clean := payload.Redact(msg.Payload); !bytes.Equal(clean, msg.Payload) {
			readings := len(d.Readings)
			msg.Payload = clean
			p.decode(clean, s, by)
			if len(d.Readings) != readings { // taking a secret out has mended something
				d.Reset()
				d.Faults = append(d.Faults, payload.Fault{Reason: water.Malformed, Detail: "not what its format says; nothing is quoted, since it carries a secret in an unusual place", Readings: 1})
			}
		}
	}
	p.ignored.Add(uint64(d.Ignored))

	unknown := 0 // readings of no station that is known
	var stranger payload.Device
	for _, f := range d.Faults {
		nobody := s.From == "" && by.station == "" && len(f.Device) == 0 // not even the message could say
		if !nobody && p.place(s, by, f.Device) == nil {
			unknown, stranger = unknown+f.Readings, f.Device
			continue
		}
		refuse(f.Reason, f.Detail, f.Readings)
	}
	at := door{received: msg.Received, retained: msg.Retained, source: s, zone: p.o.Zone}
	var device payload.Device
	p.admitted = p.admitted[:0]
	for i := range d.Readings {
		r := &d.Readings[i]
		if i == 0 || !slices.Equal(device, r.Device) {
			p.judge(&o, at.place, judge)
			device = r.Device
			at.place, at.checked = p.place(s, by, device), time.Time{}
		}
		if at.place == nil {
			unknown, stranger = unknown+1, device
			continue
		}
		if reason, detail := at.admit(r); reason != "" {
			refuse(reason, detail, 1)
			continue
		}
		p.admitted = append(p.admitted, r.Reading)
	}
	p.judge(&o, at.place, judge)
	if unknown > 0 {
		refuse(water.UnknownStation, unknownStation(by, stranger), unknown)
	}
	if p.o.Derive != nil {
		// Behind all that was sent, so that the values of a sample stay neighbours.
		o.Observations = append(o.Observations, p.o.Derive(o.Observations)...)
	}
	if p.o.Revise != nil {
		for _, c := range o.Corrections {
			if revised, ok := p.o.Revise(c.Observation); ok && c.Flag != c.Was {
				o.Corrections = append(o.Corrections, water.Correction{Observation: revised, Was: c.Was})
			}
		}
	}
	return o
}

// judge adds to o what becomes of the readings that were admitted, all of one
// place.
func (p *Pipeline) judge(o *Outcome, at *place, judge judgement) {
	if len(p.admitted) == 0 {
		return
	}
	observations, corrections := judge(p.batch(at.station, water.Sensor, p.admitted, o.Received))
	if o.Observations == nil { // as almost always: one message, one station
		o.Observations, o.Corrections = observations, corrections
	} else {
		o.Observations = append(o.Observations, observations...)
		o.Corrections = append(o.Corrections, corrections...)
	}
	p.admitted = p.admitted[:0]
}

func (p *Pipeline) batch(s *water.Station, method water.Method, readings []water.Reading, received time.Time) quality.Batch {
	return quality.Batch{Station: s, Method: method, Readings: readings, Received: received, Maintained: p.maintained}
}

// An Explanation is what becomes of a message, in every detail.
type Explanation struct {
	Outcome
	Refused []DeadLetter // each fault by itself, without the message
	Ignored []string     // keys that name no parameter, each once, in the order of the message
}

// Explain is Decide for people who want to know why, on a pipeline that does
// nothing else meanwhile.
func (p *Pipeline) Explain(msg Message) Explanation {
	var e Explanation
	p.decoded.OnIgnored = func(key []byte) {
		if name := string(key); !slices.Contains(e.Ignored, name) {
			e.Ignored = append(e.Ignored, name)
		}
	}
	defer func() { p.decoded.OnIgnored = nil }()
	source, by := p.source(msg.Topic)
	e.Outcome = p.decide(msg, source, by, p.look, func(l DeadLetter) { e.Refused = append(e.Refused, l) })
	return e
}

// decode fills p.decoded with what a payload says, frames in it included.
func (p *Pipeline) decode(message []byte, s *Source, by named) {
	d := &p.decoded
	d.Reset()
	s.Decode.Decode(d, payload.Input{Payload: message, Parameter: by.parameter})
	for _, f := range d.Frames {
		layout := s.Layout
		if at := p.place(s, by, f.Device); at != nil && at.logger.Layout != nil {
			layout = at.logger.Layout
		}
		s.Decode.DecodeFrame(d, f, layout)
	}
}

// unknownStation says what a technician has to do about readings from a station
// that nobody knows.
func unknownStation(by named, device payload.Device) string {
	switch {
	case by.station != "":
		return fmt.Sprintf("no station %s; add it to the site file, restart, and replay", quote(by.station))
	case len(device) == 0:
		return fmt.Sprintf("the message does not say which station it is from, and neither does its topic; give the source a station in the site file, or a topic with %s", stationLevel)
	}
	return fmt.Sprintf("no station has the device %v; write device: %s to its station in the site file, restart, and replay", device, quote(device[0]))
}

// decideNotice decides on what somebody says of work on the sensors of a station.
func (p *Pipeline) decideNotice(o *Outcome, msg Message, id string) {
	if len(msg.Payload) == 0 {
		return // takes a retained message away from the broker
	}
	station := p.o.Stations[id]
	if station == nil {
		o.deadLetter(msg, water.UnknownStation, fmt.Sprintf("no station %s; have another look at the topic", quote(id)), 1)
		return
	}
	n, fault := payload.Notice(msg.Payload, p.o.Parameters)
	if fault != nil {
		o.deadLetter(msg, fault.Reason, fault.Detail, fault.Readings)
		return
	}
	n.Received, n.Duplicate, n.Retained = msg.Received, msg.Duplicate, msg.Retained
	var err error
	if o.Maintenance, o.Visits, err = p.o.Care.Decide(station, n); err != nil {
		o.Maintenance, o.Visits = nil, nil
		o.deadLetter(msg, water.BadNotice, err.Error(), 1)
	}
}

// deadLetter adds a fault to o: readings that are lost for one reason share a
// dead letter, which tells of the first of them.
func (o *Outcome) deadLetter(msg Message, reason water.Reason, detail string, readings int) {
	for i := range o.DeadLetters {
		if l := &o.DeadLetters[i]; l.Reason == reason {
			if !strings.HasSuffix(l.Detail, andMore) {
				l.Detail += andMore
			}
			l.Readings += readings
			return
		}
	}
	kept := msg.Payload[:min(len(msg.Payload), payload.MaxBytes)]
	if reason == water.TooLarge {
		kept = kept[:min(len(kept), MaxKept)]
	}
	kept = payload.Redact(kept)
	o.DeadLetters = append(o.DeadLetters, DeadLetter{
		Received: msg.Received, Topic: msg.Topic, Payload: kept,
		Reason: reason, Detail: detail, Readings: readings,
	})
}

const andMore = " (and more of the kind)"

func (p *Pipeline) topics() string {
	topics := make([]string, len(p.o.Sources))
	for i, s := range p.o.Sources {
		topics[i] = s.Topic
	}
	return strings.Join(topics, ", ")
}

// quote makes what a device sent printable, and short.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
