package payload

import (
	"fmt"
	"math"
	"strconv"
	"sync"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// samples keeps state for the next message, which then allocates less.
var samples = sync.Pool{New: func() any { return new(sample) }}

// A sample gathers what a message says, one sample after the other.
type sample struct {
	*Decoder
	out     *Decoded
	unknown [3][]byte // the first keys of the message that name no parameter
	skipped bool      // the message has something that the site file does not want

	// Of the sample at hand:
	number int // its place in the message, from 1; 0 if there is but one
	device Device
	values []value // a parameter appears once, where it was named first
	time   sampleTime
}

// A value is what a sample says of one parameter.
type value struct {
	field    *field
	key      []byte // as spelled the first time
	number   float64
	unit     water.Unit
	unitSent bool
	bad      string // why number can't be used; empty if it can
	named    int    // how often the sample names the parameter
}

// newSample returns a sample that gathers what c finds into d.
func (c *Decoder) newSample(d *Decoded) *sample {
	s := samples.Get().(*sample)
	s.Decoder, s.out = c, d
	return s
}

// release forgets the message, and lets another one have s.
func (s *sample) release() {
	s.forget()
	samples.Put(s)
}

// forget leaves nothing of the message in s.
func (s *sample) forget() {
	clear(s.values[:cap(s.values)])
	*s = sample{values: s.values[:0]}
}

// begin forgets the sample before, but for who sent it and where it stood.
func (s *sample) begin() { s.values, s.time = s.values[:0], sampleTime{} }

// ignore counts a key that is not used.
func (s *sample) ignore(key []byte, f *field) {
	if f != nil {
		s.skipped = true
	}
	if s.out.Ignored < len(s.unknown) {
		s.unknown[s.out.Ignored] = key
	}
	s.out.Ignored++
	if s.out.OnIgnored != nil {
		s.out.OnIgnored(key)
	}
}

// name returns the value of a field's parameter that is to be filled in, or nil
// if the sample names it again.
func (s *sample) name(f *field, key []byte) *value {
	for i := range s.values {
		if v := &s.values[i]; v.field.parameter == f.parameter {
			v.named++
			return nil
		}
	}
	s.values = append(s.values, value{field: f, key: key, unit: f.unit, named: 1})
	return &s.values[len(s.values)-1]
}

// add takes what the message has under a key.
func (s *sample) add(key []byte, n *node) {
	f := s.fields.lookup(key)
	if f == nil || f.parameter == nil {
		s.ignore(key, f)
		return
	}
	s.put(f, key, n, nil)
}

// put takes n as the value of a field. Unit is what the message states as its
// unit, if that is not nil.
func (s *sample) put(f *field, key []byte, n, unit *node) {
	v := s.name(f, key)
	if v == nil {
		return
	}
	if inner := n.get("value"); inner != nil { // {"value":7.1,"unit":"pH"}
		n, unit = inner, n.get("unit")
	}
	switch n.kind {
	case jx.Number:
		v.number, v.bad = finite(n.text)
	case jx.String:
		v.number, v.bad = s.textValue(n.text)
	case jx.Null:
		v.number = math.NaN()
	default:
		v.bad = kindWords(n.kind) + "; " + wantValue
	}
	if unit == nil || unit.kind != jx.String || v.bad != "" {
		return
	}
	known, stated, ok := unitOf(unit.text)
	switch {
	case !stated, !ok && f.unitGiven:
	case !ok:
		v.bad = fmt.Sprintf("in the unit %s, which is not known; write units: {%s: %s}, or what it is, to the source in the site file",
			quote(unit.text), f.parameter.Code, orWord(f.parameter.Unit))
	default:
		if _, err := water.Convert(0, known, f.parameter.Unit); err != nil {
			v.bad = "in the wrong unit: " + err.Error()
			return
		}
		v.unit, v.unitSent = known, true
	}
}

// orWord returns a unit as people write it.
func orWord(u water.Unit) water.Unit {
	if u == "" {
		return "pH"
	}
	return u
}

// settle turns the sample at hand into readings and faults. It waits for the
// sample's end: the time may come last, and a parameter again. A sample without
// a time gives readings without one.
func (s *sample) settle() {
	reason, detail := s.time.fault()
	lost := 0
	for i := range s.values {
		switch v := &s.values[i]; {
		case v.named > 1:
			s.fault(water.DuplicateKey, v.named, fmt.Sprintf("%s (%s) is named %d times, none is used; name each parameter once in a sample",
				v.field.parameter.Code, quote(v.key), v.named))
		case v.bad != "":
			s.fault(water.BadValue, 1, fmt.Sprintf("%s is %s", quote(v.key), v.bad))
		case reason != "":
			lost++
		default:
			s.out.Readings = append(s.out.Readings, Reading{
				Reading: water.Reading{Parameter: v.field.parameter, Value: v.number, Time: s.time.at},
				Unit:    v.unit, UnitSent: v.unitSent, Local: s.time.local, Offset: s.time.offset, Device: s.device,
			})
		}
	}
	if lost > 0 {
		s.fault(reason, lost, detail)
	}
}

func (s *sample) fault(reason water.Reason, readings int, detail string) {
	if s.number > 0 {
		detail = "sample " + strconv.Itoa(s.number) + ": " + detail
	}
	s.out.Faults = append(s.out.Faults, Fault{Reason: reason, Detail: clip(detail), Readings: readings, Device: s.device})
}

// finish tells of a message that is well formed and holds no reading. Words say
// so where not even an unknown key was found, and the format knows better.
func (s *sample) finish(words string) {
	if len(s.out.Readings)+len(s.out.Faults)+len(s.out.Frames) > 0 || s.skipped {
		return
	}
	if words == "" || s.out.Ignored > 0 {
		words = s.nothingKnown()
	}
	s.number = 0
	s.fault(water.NoReading, 1, words)
}
