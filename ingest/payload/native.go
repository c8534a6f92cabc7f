package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// Native decodes the system's own format, JSON: one object or an array of
// them, each a sample.
//
//	[{"time":"2026-11-23T07:00:00Z","bod":142,"cod":286.5,"ph":6.9},
//	 {"time":1795417260,"pH":"7.1","suhu":29.4,"cod":"-","debit":0.5123,"do":null}]
//
// A key is a parameter's code or alias, in any case; other keys are ignored,
// whatever they hold.
//
// A value is a JSON number, or a string that holds one: digits, with or without
// a sign, a decimal point and an exponent. Null, "", "-" and, in any case, "NaN"
// and "null" are no value, which is NaN and never 0. Anything else costs that
// reading only. A parameter that a sample names twice is not used in that
// sample.
//
// The time is called "time", or "timestamp", "ts" or "waktu" where those name
// no parameter of the site. It is RFC 3339 with a zone, or Unix time in seconds
// or, from 10^11 on, milliseconds, as a number or a string. Without a time the
// readings of the sample are lost, and those of its neighbours are not.
//
// A message that is not JSON to its last byte yields nothing: what a cut
// message says before the cut is not trusted. A byte order mark in front is
// skipped.
func Native(d *Decoded, payload []byte, parameters *water.Parameters) {
	if len(payload) > MaxBytes {
		d.Faults = append(d.Faults, Fault{
			Reason:   water.TooLarge,
			Detail:   fmt.Sprintf("the message has %d bytes; send at most %d, for example fewer samples at once", len(payload), MaxBytes),
			Readings: 1,
		})
		return
	}
	text := bytes.TrimPrefix(payload, byteOrderMark)

	n := natives.Get().(*native)
	n.out, n.parameters = d, parameters
	n.dec.ResetBytes(text)
	if err := n.message(text); err != nil {
		d.Reset()
		d.Faults = append(d.Faults, refusal(err, text))
	}
	n.release()
}

// Marks that text may carry around what it says.
var (
	byteOrderMark = []byte("\ufeff")
	comma, point  = []byte(","), []byte(".")
)

const whiteSpace = " \t\r\n" // JSON's own

// Errors that refuse the whole message. Any other is the JSON decoder's.
var (
	errEmpty   = errors.New("empty message")
	errUTF8    = errors.New("not UTF-8")
	errTooDeep = errors.New("too deep")
	errTooMany = errors.New("too many samples")
)

// natives keeps state for the next call, which then allocates nothing.
var natives = sync.Pool{New: func() any { return new(native) }}

// native is the state of one call of [Native].
type native struct {
	dec        jx.Decoder
	out        *Decoded
	parameters *water.Parameters
	unknown    [3][]byte // the first keys that name no parameter

	// Of the sample at hand:
	number int     // its place in the array, from 1; 0 if there is no array
	values []value // a parameter appears once, where it was named first
	time   sampleTime
}

// A value is what a sample says of one parameter.
type value struct {
	parameter *water.Parameter
	key       []byte // as spelled the first time
	number    float64
	bad       string // why number can't be used; empty if it can
	named     int    // how often the sample names the parameter
}

// release forgets the message, and lets another call have n.
func (n *native) release() {
	clear(n.values[:cap(n.values)])
	*n = native{dec: n.dec, values: n.values[:0]}
	n.dec.ResetBytes(nil)
	natives.Put(n)
}

// message decodes all there is. An error means that none of it can be used.
func (n *native) message(text []byte) error {
	// The JSON decoder takes any bytes within strings.
	if !utf8.Valid(text) {
		return errUTF8
	}
	var err error
	switch kind := n.dec.Next(); kind {
	case jx.Object:
		err = n.sample(1)
	case jx.Array:
		err = n.array()
	case jx.Invalid:
		if err = n.dec.Skip(); errors.Is(err, io.EOF) {
			return errEmpty
		}
	default:
		if err = n.dec.Skip(); err == nil {
			n.fault(water.Malformed, 1, fmt.Sprintf("the message is %s; want %s", kindWords(kind), wantMessage))
		}
	}
	if err != nil {
		return err
	}
	// Asking for the kind first keeps Skip from following what may be nested
	// without bound.
	if n.dec.Next() != jx.Invalid || !errors.Is(n.dec.Skip(), io.EOF) {
		return errors.New("more text after the value")
	}
	if len(n.out.Readings) == 0 && len(n.out.Faults) == 0 {
		n.number = 0
		n.fault(water.NoReading, 1, n.nothingKnown())
	}
	return nil
}

func (n *native) array() error {
	elements, err := n.dec.ArrIter()
	if err != nil {
		return err
	}
	for elements.Next() {
		if n.number++; n.number > MaxSamples {
			return errTooMany
		}
		kind := n.dec.Next()
		if kind == jx.Object {
			err = n.sample(2)
		} else if err = skip(&n.dec, 2); err == nil {
			n.fault(water.Malformed, 1, fmt.Sprintf("%s; want an object such as %s", kindWords(kind), example))
		}
		if err != nil {
			return err
		}
	}
	return elements.Err()
}

// sample decodes an object; depth is the object's own.
func (n *native) sample(depth int) error {
	n.values, n.time = n.values[:0], sampleTime{}
	keys, err := n.dec.ObjIter()
	if err != nil {
		return err
	}
	for keys.Next() {
		key := keys.Key()
		if p := n.parameters.Lookup(key); p != nil {
			err = n.value(p, key, depth+1)
		} else if namesTime(key) {
			err = n.time.decode(&n.dec, depth+1)
		} else {
			if n.out.Ignored < len(n.unknown) {
				n.unknown[n.out.Ignored] = key
			}
			n.out.Ignored++
			err = skip(&n.dec, depth+1)
		}
		if err != nil {
			return err
		}
	}
	if err := keys.Err(); err != nil {
		return err
	}
	n.settle()
	return nil
}

// settle turns the sample at hand into readings and faults. It waits for the
// sample's end: the time may come last, and a parameter again.
func (n *native) settle() {
	at, reason, detail := n.time.result()
	lost := 0
	for i := range n.values {
		switch v := &n.values[i]; {
		case v.named > 1:
			n.fault(water.DuplicateKey, v.named, fmt.Sprintf("%s (%s) is named %d times, none is used; name each parameter once in a sample",
				v.parameter.Code, quote(v.key), v.named))
		case v.bad != "":
			n.fault(water.BadValue, 1, fmt.Sprintf("%s is %s", quote(v.key), v.bad))
		case reason != "":
			lost++
		default:
			n.out.Readings = append(n.out.Readings, water.Reading{Parameter: v.parameter, Value: v.number, Time: at})
		}
	}
	if lost > 0 {
		n.fault(reason, lost, detail)
	}
}

func (n *native) fault(reason water.Reason, readings int, detail string) {
	if n.number > 0 {
		detail = "sample " + strconv.Itoa(n.number) + ": " + detail
	}
	n.out.Faults = append(n.out.Faults, Fault{Reason: reason, Detail: clip(detail), Readings: readings})
}

// value decodes what the sample at hand says of p.
func (n *native) value(p *water.Parameter, key []byte, depth int) error {
	for i := range n.values {
		if v := &n.values[i]; v.parameter == p {
			v.named++
			return skip(&n.dec, depth)
		}
	}
	n.values = append(n.values, value{parameter: p, key: key, named: 1})
	v := &n.values[len(n.values)-1]
	switch kind := n.dec.Next(); kind {
	case jx.Number:
		raw, err := n.dec.Raw()
		if err != nil {
			return err
		}
		v.number, v.bad = finite(raw)
		return nil
	case jx.String:
		s, err := n.dec.StrBytes()
		if err != nil {
			return err
		}
		v.number, v.bad = textValue(s)
		return nil
	case jx.Null:
		v.number = math.NaN()
		return n.dec.Null()
	default:
		v.bad = kindWords(kind) + "; " + wantValue
		return skip(&n.dec, depth)
	}
}

// skip passes over one value; depth is what an array or object there has. The
// JSON decoder's own limit would be 10,000 levels.
func skip(dec *jx.Decoder, depth int) error {
	switch dec.Next() {
	case jx.Array:
		if depth > MaxDepth {
			return errTooDeep
		}
		elements, err := dec.ArrIter()
		if err != nil {
			return err
		}
		for elements.Next() {
			if err := skip(dec, depth+1); err != nil {
				return err
			}
		}
		return elements.Err()
	case jx.Object:
		if depth > MaxDepth {
			return errTooDeep
		}
		keys, err := dec.ObjIter()
		if err != nil {
			return err
		}
		for keys.Next() {
			if err := skip(dec, depth+1); err != nil {
				return err
			}
		}
		return keys.Err()
	default:
		return dec.Skip()
	}
}
