// Package payload turns what stations publish into readings. It knows nothing
// of brokers, topics, stations or clocks.
package payload

import "tofuwatch/internal/water"

// Limits on one payload. What is past them is refused whole.
const (
	MaxBytes   = 1 << 20 // a week of readings every two minutes is 0.5 MiB
	MaxDepth   = 16      // levels of arrays and objects
	MaxSamples = 10_000  // objects in one array
)

// A Decoder reads one payload format. It fills d, which is empty, with every
// reading it could make out and every fault it met; it never panics, and keeps
// nothing of payload.
type Decoder func(d *Decoded, payload []byte, parameters *water.Parameters)

// Formats names the decoders as a site file spells them.
var Formats = map[string]Decoder{"tofuwatch": Native}

// Decoded is what a decoder made of one payload.
type Decoded struct {
	Readings []water.Reading // in the order of the payload; those of one sample are neighbours
	Faults   []Fault         // what could not be used; each costs its neighbours nothing
	Ignored  int             // keys that name no parameter
}

// Reset empties d and keeps its memory.
func (d *Decoded) Reset() {
	d.Readings, d.Faults, d.Ignored = d.Readings[:0], d.Faults[:0], 0
}

// A Fault is a part of a payload that could not be used.
type Fault struct {
	Reason   water.Reason
	Detail   string // which value, and what would have been right; for a technician, printable
	Readings int    // how many readings are lost by it; 1 where nothing could be decoded
}
