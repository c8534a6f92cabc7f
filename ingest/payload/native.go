package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// native decodes the system's own format, JSON: one object or an array of
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
// or, from 10^11 on, milliseconds, as a number or a string. Without one the
// readings have no time.
//
// A message that is not JSON to its last byte yields nothing: what a cut
// message says before the cut is not trusted. A byte order mark in front is
// skipped.
func (c *Decoder) native(d *Decoded, in Input) {
	text := bytes.TrimPrefix(in.Payload, byteOrderMark)
	n := natives.Get().(*native)
	n.Decoder, n.out = c, d
	n.dec.ResetBytes(text)
	if err := n.message(text); err != nil {
		d.Reset()
		d.Faults = append(d.Faults, refusal(err, text, wantSample))
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

// native is a sample that is read without a tree of nodes.
type native struct {
	sample
	dec jx.Decoder
}

// release forgets the message, and lets another call have n.
func (n *native) release() {
	n.forget()
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
		err = n.object(1)
	case jx.Array:
		err = n.array()
	case jx.Invalid:
		if err = n.dec.Skip(); errors.Is(err, io.EOF) {
			return errEmpty
		}
	default:
		if err = n.dec.Skip(); err == nil {
			n.fault(water.Malformed, 1, fmt.Sprintf("the message is %s; want %s", kindWords(kind), wantSample+orArray))
		}
	}
	if err != nil {
		return err
	}
	if err := atEnd(&n.dec); err != nil {
		return err
	}
	n.finish("")
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
			err = n.object(2)
		} else if err = skip(&n.dec, 2); err == nil {
			n.fault(water.Malformed, 1, fmt.Sprintf("%s; want %s", kindWords(kind), wantSample))
		}
		if err != nil {
			return err
		}
	}
	return elements.Err()
}

// object decodes a sample; depth is the object's own.
func (n *native) object(depth int) error {
	n.begin()
	keys, err := n.dec.ObjIter()
	if err != nil {
		return err
	}
	for keys.Next() {
		key := keys.Key()
		if f := n.fields.lookup(key); f != nil && f.parameter != nil {
			err = n.value(f, key, depth+1)
		} else if f == nil && namesTime(key) {
			err = n.timeValue(depth + 1)
		} else {
			n.ignore(key, f)
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

// value decodes what the sample at hand says of a field.
func (n *native) value(f *field, key []byte, depth int) error {
	v := n.name(f, key)
	if v == nil {
		return skip(&n.dec, depth)
	}
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
		v.number, v.bad = n.textValue(s)
		return nil
	case jx.Null:
		v.number = math.NaN()
		return n.dec.Null()
	default:
		v.bad = kindWords(kind) + "; " + wantValue
		return skip(&n.dec, depth)
	}
}

// timeValue decodes the value of a key that stands for the time.
func (n *native) timeValue(depth int) error {
	t := &n.time
	if t.named++; t.named > 1 {
		return skip(&n.dec, depth)
	}
	switch kind := n.dec.Next(); kind {
	case jx.Number:
		raw, err := n.dec.Raw()
		if err != nil {
			return err
		}
		t.unix(raw)
		return nil
	case jx.String:
		s, err := n.dec.StrBytes()
		if err != nil {
			return err
		}
		t.text(s, n.local)
		return nil
	case jx.Null:
		return n.dec.Null()
	default:
		t.kind(kind)
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
