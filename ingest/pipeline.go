package ingest

import (
	"fmt"
	"log/slog"
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
	Parameters *water.Parameters
	Care       Care // nil: nobody works on sensors
	// Refused is called when the spool refused an outcome: its message was not
	// acknowledged, and comes again only on another connection. It must not block.
	Refused func(error)
	// Derive returns what can be calculated from the observations of a message,
	// such as estimates. It must not change them. Nil derives nothing.
	Derive func(observations []water.Observation) []water.Observation
}

// A Pipeline decides what becomes of messages.
type Pipeline struct {
	o        Options
	spool    Spool
	observer Observer
	log      *slog.Logger
	faults   *faultLog

	mu      sync.Mutex
	decoded payload.Decoded // scratch

	received []atomic.Uint64 // messages: one a source, one for the rest, and one for notices
	ignored  atomic.Uint64   // keys that name no parameter, also in messages that are looked at again
	latest   atomic.Int64    // when the last message came, Unix nanoseconds; 0 before the first
}

// NewPipeline returns a pipeline that ends in spool and tells observer.
func NewPipeline(o Options, spool Spool, observer Observer, log *slog.Logger) *Pipeline {
	return &Pipeline{
		o: o, spool: spool, observer: observer, log: log,
		faults:   newFaultLog(log),
		received: make([]atomic.Uint64, len(o.Sources)+2),
	}
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
	source, station := p.source(msg.Topic)
	p.received[source].Add(1)
	o := p.decide(msg, source, station)
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
	if p.o.Care != nil {
		p.o.Care.Keep(o.Maintenance, o.Visits, o.Observations)
	}
	if len(o.Observations) > 0 {
		p.observer.Observe(o.Observations)
	}
	p.spool.Append(o, done)
}

// source returns which source has a topic, behind the last one if none and behind
// that for notices, and the station that it names.
func (p *Pipeline) source(topic string) (index int, station string) {
	if id, ok := Notices.Station(topic); ok && p.o.Care != nil {
		return len(p.o.Sources) + 1, id
	}
	for i := range p.o.Sources {
		if id, ok := p.o.Sources[i].Station(topic); ok {
			return i, id
		}
	}
	return len(p.o.Sources), ""
}

// Decide says what becomes of msg and changes nothing: "now" is msg.Received.
func (p *Pipeline) Decide(msg Message) Outcome {
	source, station := p.source(msg.Topic)
	return p.decide(msg, source, station)
}

func (p *Pipeline) decide(msg Message, source int, id string) Outcome {
	o := Outcome{Topic: msg.Topic, Received: msg.Received}
	if source > len(p.o.Sources) {
		p.decideNotice(&o, msg, id)
		return o
	}
	if source == len(p.o.Sources) {
		o.deadLetter(msg, water.UnknownTopic, fmt.Sprintf("no source has the topic %s; the site file's are %s", quote(msg.Topic), p.topics()), 1)
		return o
	}
	if len(msg.Payload) > payload.MaxBytes {
		o.deadLetter(msg, water.TooLarge, fmt.Sprintf("payload has %d bytes; at most %d are read: send fewer samples at once", len(msg.Payload), payload.MaxBytes), 1)
		return o
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	d := &p.decoded
	d.Reset()
	p.o.Sources[source].Decode(d, msg.Payload, p.o.Parameters)
	p.ignored.Add(uint64(d.Ignored))
	station := p.o.Stations[id]
	if station == nil {
		readings := len(d.Readings)
		for _, f := range d.Faults {
			readings += f.Readings
		}
		o.deadLetter(msg, water.UnknownStation, fmt.Sprintf("no station %s; add it to the site file, restart, and replay", quote(id)), max(1, readings))
		return o
	}
	for _, f := range d.Faults {
		o.deadLetter(msg, f.Reason, f.Detail, f.Readings)
	}
	if len(d.Readings) > 0 {
		o.Observations = make([]water.Observation, 0, len(d.Readings))
	}
	var checked time.Time // the last sample time that was found plausible
	for _, r := range d.Readings {
		if r.Time != checked || checked.IsZero() {
			if err := quality.CheckTime(r.Time, msg.Received); err != nil {
				o.deadLetter(msg, water.BadTime, err.Error(), 1)
				continue
			}
			checked = r.Time
		}
		value, flag := quality.Judge(station, r)
		maintenance := p.o.Care != nil && p.o.Care.During(station, r.Parameter, r.Time)
		if maintenance && flag != water.Missing {
			flag = water.Bad
		}
		o.Observations = append(o.Observations, water.Observation{
			Station: station, Parameter: r.Parameter, Method: water.Sensor,
			Value: value, Flag: flag, Time: r.Time, Maintenance: maintenance,
		})
	}
	if p.o.Derive != nil {
		// Behind all that was sent, so that the values of a sample stay neighbours.
		o.Observations = append(o.Observations, p.o.Derive(o.Observations)...)
	}
	return o
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
