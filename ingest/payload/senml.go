package payload

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// senMLJSON decodes SenML (RFC 8428) in JSON: an array of records.
//
//	[{"bn":"urn:dev:mac:0102030405060708:","bt":1795417200,"n":"ph","u":"pH","v":7.2},
//	 {"n":"temperature","u":"Cel","v":29.4},{"n":"do","u":"mg/L","v":2.1,"t":-60}]
//
// Base fields hold until they are replaced; name and time are their sums, and so
// is a value with bv. The name's last part is the parameter, what is before it
// the device. A unit that is stated is converted; "mg/L" and others that are not
// registered are understood too. A time below 2^28 is relative to now, which is
// the message's arrival, and is used only if the site file allows that.
//
// Null, "-" and NaN are no value, and 0 is 0. A record has to have a value, or a
// sum, which is not used.
//
// The records are resolved here and not by a library: those for Go add a base
// value to its own record only, leave relative times as they are, and refuse the
// whole message for one value of the wrong type.
func (c *Decoder) senMLJSON(d *Decoded, in Input) {
	text := bytes.TrimPrefix(in.Payload, byteOrderMark)
	root, err := parse(text)
	if err != nil {
		d.Faults = append(d.Faults, refusal(err, text, wantRecord))
		return
	}
	c.senML(d, root)
}

const wantRecord = `a record such as {"bn":"urn:dev:mac:0102030405060708:","bt":1795417200,"n":"ph","v":7.2}`

// senMLCBOR decodes SenML in CBOR: the same records, with numbers for their keys
// (RFC 8428, table 4). Half and single precision numbers are taken as the
// shortest decimal that they stand for: 7.1, not 7.099999904632568.
func (c *Decoder) senMLCBOR(d *Decoded, in Input) {
	refuse := func(reason water.Reason, detail string) {
		d.Faults = append(d.Faults, Fault{Reason: reason, Detail: clip(detail), Readings: 1})
	}
	if len(in.Payload) == 0 {
		refuse(water.Malformed, "the message is empty; want an array of SenML records in CBOR")
		return
	}
	var pack any
	err := cborMode.Unmarshal(in.Payload, &pack)
	var tooDeep *cbor.MaxNestedLevelError
	switch {
	case errors.As(err, &tooDeep):
		refuse(water.TooDeep, refusal(errTooDeep, nil, wantRecord).Detail)
		return
	case err != nil:
		detail := strconv.Quote(strings.TrimPrefix(err.Error(), "cbor: "))
		refuse(water.Malformed, fmt.Sprintf("not CBOR: %s; want an array of SenML records in CBOR", detail[1:len(detail)-1]))
		return
	}
	root := new(node)
	root.fromCBOR(pack)
	c.senML(d, root)
}

// cborMode bounds what a message can ask for. A map that has a key twice is
// refused, as the last of them would win.
var cborMode = must(cbor.DecOptions{
	DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: MaxDepth,
	MaxArrayElements: 10 * MaxSamples, MaxMapPairs: 10 * MaxSamples,
	DefaultByteStringType: nil, TimeTag: cbor.DecTagIgnored,
}.DecMode())

func must(m cbor.DecMode, err error) cbor.DecMode {
	if err != nil {
		panic(err)
	}
	return m
}

// cborLabels are what CBOR calls the keys (RFC 8428, table 4).
var cborLabels = map[int64]string{
	-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
	0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}

// fromCBOR fills n with what the library made of CBOR.
func (n *node) fromCBOR(v any) {
	switch v := v.(type) {
	case nil:
		n.kind = jx.Null
	case bool:
		n.kind = jx.Bool
	case string:
		n.kind, n.text = jx.String, []byte(v)
	case uint64:
		n.kind, n.text = jx.Number, strconv.AppendUint(nil, v, 10)
	case int64:
		n.kind, n.text = jx.Number, strconv.AppendInt(nil, v, 10)
	case big.Int:
		n.kind, n.text = jx.Number, v.Append(nil, 10)
	case float64:
		n.fromFloat(v)
	case []any:
		n.kind, n.children = jx.Array, make([]node, len(v))
		for i := range v {
			n.children[i].fromCBOR(v[i])
		}
	case map[any]any:
		n.kind = jx.Object
		for key, inner := range v {
			label := ""
			switch key := key.(type) {
			case string:
				label = key
			case int64:
				label = cborLabels[key]
			case uint64:
				label = cborLabels[int64(min(key, math.MaxInt64))]
			}
			n.children = append(n.children, node{key: []byte(label)})
			n.children[len(n.children)-1].fromCBOR(inner)
		}
		// A map has no order: give it one, so that the same message has the same faults.
		slices.SortFunc(n.children, func(a, b node) int { return bytes.Compare(a.key, b.key) })
	case cbor.Tag:
		n.fromTag(v)
	}
}

// fromFloat fills n with a number. Infinity stays what it is, for [finite] to
// refuse.
func (n *node) fromFloat(v float64) {
	if math.IsNaN(v) {
		n.kind = jx.Null
		return
	}
	bits := 64
	if single := float32(v); float64(single) == v && v != math.Trunc(v) {
		bits = 32
	}
	n.kind, n.text = jx.Number, strconv.AppendFloat(nil, v, 'g', -1, bits)
}

// fromTag fills n with a decimal fraction (RFC 8949, 3.4.4), which SenML allows
// for numbers.
func (n *node) fromTag(t cbor.Tag) {
	const decimalFraction = 4
	parts, ok := t.Content.([]any)
	if t.Number != decimalFraction || !ok || len(parts) != 2 {
		return
	}
	var exponent, mantissa node
	exponent.fromCBOR(parts[0])
	mantissa.fromCBOR(parts[1])
	if text := slices.Concat(mantissa.text, []byte("e"), exponent.text); isNumber(text) {
		n.kind, n.text = jx.Number, text
	}
}

// A base is what SenML records have in common until another says otherwise.
type base struct {
	name, unit  *node
	time, value float64
	timeBad     string
}

// senML decodes a pack of records.
func (c *Decoder) senML(d *Decoded, root *node) {
	if root.kind != jx.Array {
		d.Faults = append(d.Faults, Fault{Reason: water.Malformed, Readings: 1, Detail: clip(fmt.Sprintf("the message is %s; want an array of records, each %s", kindWords(root.kind), wantRecord))})
		return
	}
	var b base
	refused := false
	c.nodes(d, root, wantRecord, func(s *sample, record *node) {
		if refused {
			return
		}
		if detail := mustUnderstand(record); detail != "" {
			// What it changes, for this record and those behind it, is not known.
			refused = true
			s.fault(water.Malformed, len(root.children)-s.number+1, detail)
			return
		}
		b.record(s, record)
	}, "")
	d.dropAmbiguous()
}

// mustUnderstand says what it is in a record that a reader has to know, and we
// do not (RFC 8428, 4.4); "" if there is nothing.
func mustUnderstand(record *node) string {
	const version = 10
	if n := record.get("bver"); n != nil {
		if v, bad := number(n); bad != "" || v > version {
			return fmt.Sprintf("bver %s; want SenML version %d, which needs no bver", quote(n.text), version)
		}
	}
	for _, n := range record.children {
		if bytes.HasSuffix(n.key, []byte("_")) {
			return fmt.Sprintf("%s is an extension of SenML that must be understood, and is not; send records without it", quote(n.key))
		}
	}
	return ""
}

// number returns the number that n is.
func number(n *node) (v float64, bad string) {
	if n.kind != jx.Number {
		return 0, "is " + kindWords(n.kind) + "; want a number"
	}
	if v, bad = finite(n.text); bad != "" {
		return 0, "is " + bad
	}
	return v, ""
}

// record takes one record, and what it says of those behind it.
func (b *base) record(s *sample, record *node) {
	bad := ""
	for key, into := range map[string]*float64{"bt": &b.time, "bv": &b.value} {
		n := record.get(key)
		if n == nil {
			continue
		}
		v, wrong := number(n)
		if *into = v; key == "bt" {
			b.timeBad = ""
		}
		if wrong != "" {
			bad = quote([]byte(key)) + " " + wrong
			*into = math.NaN() // and everything added to it
		}
	}
	if n := record.get("bn"); n != nil {
		b.name = n
	}
	if n := record.get("bu"); n != nil {
		b.unit = n
	}
	value := record.first("v", "vs", "vb", "vd")
	if value == nil && record.get("n") == nil || value == nil && record.get("s") != nil {
		if bad != "" {
			s.fault(water.Malformed, 1, bad)
		}
		return // it says what holds for others, or a sum
	}
	name := record.get("n").string()
	device, key := s.split(b.name.string(), name)
	s.device = deviceOf(device)
	f := s.fields.lookup(key)
	if f == nil || f.parameter == nil {
		s.ignore(key, f)
		return
	}
	b.moment(s, record)
	unit := record.get("u")
	if unit == nil {
		unit = b.unit
	}
	missing := value == nil
	if missing {
		value = new(node)
	}
	s.put(f, key, value, unit)
	v := &s.values[0]
	switch {
	case v.bad == "" && math.IsNaN(b.value):
		v.bad = `added to a bv that is no number; want a number`
	case v.bad == "":
		v.number += b.value
		if math.IsInf(v.number, 0) {
			v.bad = "too large to be kept"
		}
	case missing:
		v.bad = `without "v"; ` + wantValue
	}
	s.settle()
}

// moment is the sum of the base time and the record's.
func (b *base) moment(s *sample, record *node) {
	const relative = 1 << 28 // RFC 8428, 4.5.3
	t, own := record.get("t"), 0.0
	if t != nil {
		v, wrong := number(t)
		if wrong != "" {
			s.time.bad = wrong + " of seconds"
			return
		}
		own = v
	}
	switch sum := b.time + own; {
	case math.IsNaN(sum):
		s.time.bad = `rests on a "bt" that is no number; want seconds since 1970`
	case sum < relative && sum > -relative:
		s.time.offset = time.Duration(sum * float64(time.Second))
	default:
		text := strconv.AppendFloat(nil, sum, 'e', -1, 64)
		s.time.unix(text)
	}
}

// split returns the device and the parameter in a name, which is base and own
// together.
func (s *sample) split(base, own string) (device string, key []byte) {
	const separators = ":/._-"
	if f := s.fields.lookup([]byte(own)); f != nil {
		return strings.TrimRight(base, separators), []byte(own)
	}
	name := base + own
	at := strings.LastIndexAny(name, ":/")
	for _, separator := range []string{":/", "."} {
		if i := strings.LastIndexAny(name, separator); s.fields.lookup([]byte(name[i+1:])) != nil {
			at = i
			break
		}
	}
	return strings.TrimRight(name[:max(at, 0)], separators), []byte(name[at+1:])
}

// dropAmbiguous turns readings into faults that give one parameter of a device
// several values for one moment: in SenML a sample has no bounds of its own in
// which a second value would show.
func (d *Decoded) dropAmbiguous() {
	type identity struct {
		device    string
		parameter *water.Parameter
		at        time.Time
		offset    time.Duration
	}
	of := func(r Reading) identity {
		return identity{strings.Join(r.Device, " "), r.Parameter, r.Time, r.Offset}
	}
	given := make(map[identity]int)
	for _, r := range d.Readings {
		given[of(r)]++
	}
	if len(given) == len(d.Readings) {
		return
	}
	d.Readings = slices.DeleteFunc(d.Readings, func(r Reading) bool {
		n := given[of(r)]
		if n > 1 {
			d.Faults = append(d.Faults, Fault{
				Reason: water.DuplicateKey, Readings: 1, Device: r.Device,
				Detail: fmt.Sprintf("%s has %d values for one moment, none is used; send each once", r.Parameter.Code, n),
			})
		}
		return n > 1
	})
}
