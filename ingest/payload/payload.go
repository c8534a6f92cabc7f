// Package payload turns what stations publish into readings. It knows nothing
// of brokers, stations or clocks: a message may name the device that it is
// from, and a time without a zone, and whoever knows the site makes sense of both.
package payload

import (
	"time"

	"tofuwatch/internal/water"
)

// Limits on one payload. What is past them is refused whole.
const (
	MaxBytes   = 1 << 20 // a week of readings every two minutes is 0.5 MiB
	MaxDepth   = 16      // levels of arrays and objects
	MaxSamples = 10_000  // samples, or SenML records, in one message
)

// An Input is a message as a decoder sees it.
type Input struct {
	Payload   []byte
	Parameter string // that the topic names; empty unless its source has a level {parameter}
}

// A Format is a way to write readings. The flags say what a site file can and
// must say beside its name.
type Format struct {
	decode decodeFunc

	NamesDevice    bool // a message says which device it is from: the topic need not
	TopicParameter bool // the topic names the parameter
	HasFrames      bool // a message may hold a binary frame of which it does not say what is in it
	NeedsFrames    bool // it is such a frame
	NeedsMapping   bool // the site file describes where things are
	Keys           bool // a message calls things by names of its own, which fields and ignore explain
	local          bool // its times have no zone
}

// A decodeFunc reads one payload. It fills d, which is empty, with every
// reading it could make out and every fault it met; it never panics, and keeps
// nothing of the payload but in d.Frames.
type decodeFunc func(c *Decoder, d *Decoded, in Input)

// Formats are those that there are, as a site file spells them.
var Formats = map[string]Format{
	"tofuwatch":        {decode: (*Decoder).native, Keys: true},
	"chirpstack":       {decode: (*Decoder).chirpStack, NamesDevice: true, HasFrames: true, Keys: true},
	"ttn":              {decode: (*Decoder).thingsStack, NamesDevice: true, HasFrames: true, Keys: true},
	"senml-json":       {decode: (*Decoder).senMLJSON, NamesDevice: true, Keys: true},
	"senml-cbor":       {decode: (*Decoder).senMLCBOR, NamesDevice: true, Keys: true},
	"campbell-csijson": {decode: (*Decoder).csiJSON, NamesDevice: true, Keys: true, local: true},
	"campbell-geojson": {decode: (*Decoder).geoJSON, NamesDevice: true, Keys: true},
	"decentlab":        {decode: (*Decoder).rawFrame, NamesDevice: true, HasFrames: true, NeedsFrames: true, Keys: true},
	"onlimo":           {decode: (*Decoder).onlimo, NamesDevice: true, Keys: true, local: true},
	"value":            {decode: (*Decoder).plainValue, TopicParameter: true, Keys: true},
	"mapping":          {decode: (*Decoder).mapped, NamesDevice: true, NeedsMapping: true, local: true},
}

// Settings are what a site file says of the messages of one source.
type Settings struct {
	Parameters   *water.Parameters
	Fields       map[string]Field      // by further names of parameters in messages, in any case; they win over codes and aliases
	Units        map[string]water.Unit // of values whose message states none, by the code of their parameter
	Ignore       []string              // names, in any case, whose values are not wanted
	DecimalComma bool                  // in a string, "7,1" is 7.1
	Local        bool                  // times may lack a zone, also where the format has one
	Mapping      *Mapping              // of the format "mapping"
}

// A Field is what a name in messages stands for.
type Field struct {
	Parameter *water.Parameter
	Unit      water.Unit // of values whose message states none
	UnitGiven bool       // else Unit is not used
}

// A Decoder reads the messages of one source. Its methods may be called at the
// same time.
type Decoder struct {
	decode       decodeFunc
	parameters   *water.Parameters
	fields       fields
	decimalComma bool
	local        bool
	mapping      *Mapping
}

// New returns a decoder of a format, which is a key of [Formats].
func New(format string, s Settings) *Decoder {
	f := Formats[format]
	return &Decoder{
		decode: f.decode, parameters: s.Parameters, fields: newFields(s),
		decimalComma: s.DecimalComma, local: s.Local || f.local, mapping: s.Mapping,
	}
}

// Decode fills d, which is empty, with every reading that it could make out in
// a message and every fault that it met. It never panics.
func (c *Decoder) Decode(d *Decoded, in Input) {
	if len(in.Payload) > MaxBytes {
		d.Faults = append(d.Faults, tooLarge(in.Payload))
		return
	}
	c.decode(c, d, in)
}

// Decoded is what a decoder made of one payload.
type Decoded struct {
	Readings []Reading // in the order of the payload; those of one sample are neighbours
	Faults   []Fault   // what could not be used; each costs its neighbours nothing
	Frames   []Frame   // what only [Decoder.DecodeFrame] can read, knowing the device
	Ignored  int       // keys that name no parameter

	OnIgnored func(key []byte) // if not nil, is called with each of these keys
}

// Reset empties d and keeps its memory.
func (d *Decoded) Reset() {
	clear(d.Readings) // so that the devices in them are let go
	d.Readings, d.Faults, d.Frames, d.Ignored = d.Readings[:0], d.Faults[:0], d.Frames[:0], 0
}

// A Reading is one value as a station wrote it, with what the message leaves to
// those who know the station.
type Reading struct {
	water.Reading               // Value is in Unit, and Time is zero if the message has none
	Unit          water.Unit    // of Value
	UnitSent      bool          // the message itself says so; else the source, or the parameter's own unit is taken
	Local         bool          // Time, though UTC, is what a clock showed in a zone that the message does not name
	Offset        time.Duration // where Time is zero: how much later than the message's arrival the sample was taken
	Device        Device
}

// A Device is what a message calls its sender: one id or several, the most
// permanent first; empty if it does not say.
type Device []string

// A Fault is a part of a payload that could not be used.
type Fault struct {
	Reason   water.Reason
	Detail   string // which value, and what would have been right; for a technician, printable
	Readings int    // how many readings are lost by it; 1 where nothing could be decoded
	Device   Device
}
