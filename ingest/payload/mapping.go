package payload

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-faster/jx"
	"github.com/tidwall/gjson"

	"tofuwatch/internal/water"
)

// A Mapping says where things are in a JSON message of any other shape.
type Mapping struct {
	Samples    Path         // the samples, or the one that there is; empty: the message is it, or an array of them
	Device     []Path       // what may name the device
	Time       []Path       // of the sample; several are joined by a space, as a date and a time of day
	TimeFormat TimeFormat   // "": as in any other format
	Values     []PathValues // each parameter once
}

// PathValues is where a sample has the value of a parameter.
type PathValues struct {
	Parameter *water.Parameter
	Path      Path
	Unit      water.Unit
	UnitGiven bool // else Unit is the parameter's own
}

// A Path leads to a place in JSON, in GJSON's syntax: names and places in arrays
// (from 0) with points between them, such as "measurements.0.value", and
// `sensors.#(name=="ph").value` for the first element that has a property. It
// starts at the sample, or behind "$." at the message.
type Path string

// ParsePath returns the path that s is.
func ParsePath(s string) (Path, error) {
	const want = `want names with points between them, such as measurements.ph, or $.station from the top of the message`
	rest := strings.TrimPrefix(s, "$.")
	switch {
	case rest == "" || rest == "$":
		return "", errors.New("the path leads nowhere; " + want)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", fmt.Errorf("the path %q has a character that cannot be printed; %s", s, want)
	case strings.HasPrefix(rest, ".") || strings.HasSuffix(rest, ".") && !strings.HasSuffix(rest, `\.`) || strings.Contains(rest, ".."):
		return "", fmt.Errorf("the path %q has nothing between two points; %s", s, want)
	case strings.Count(rest, "(") != strings.Count(rest, ")") || strings.Count(rest, "[") != strings.Count(rest, "]"):
		return "", fmt.Errorf("the path %q has a bracket without its other half; %s", s, want)
	case strings.HasPrefix(rest, "["):
		return "", fmt.Errorf("the path %q starts with a bracket; %s", s, want)
	}
	return Path(s), nil
}

// in returns what p leads to, or nil. The sample and the message are valid JSON.
func (p Path) in(sample, message string) *node {
	from := sample
	path, top := strings.CutPrefix(string(p), "$.")
	if top {
		from = message
	}
	result := gjson.Get(from, path)
	if !result.Exists() {
		return nil
	}
	n, err := parse([]byte(result.Raw))
	if err != nil { // what GJSON made itself
		return &node{kind: jx.Invalid}
	}
	return n
}

// touches reports whether a part of the path is one of names.
func (p Path) touches(names map[string]bool) bool {
	return len(names) > 0 && slices.ContainsFunc(strings.FieldsFunc(string(p), func(r rune) bool { return strings.ContainsRune(`.|#()="<>!%`, r) }),
		func(part string) bool { return names[part] })
}

// A TimeFormat is how a time without a zone is written, as package time has it.
type TimeFormat string

// ParseTimeFormat returns the format that s describes: YYYY or YY, MM, DD, HH, mm
// and ss with signs between them, such as "DD/MM/YYYY HH:mm:ss".
func ParseTimeFormat(s string) (TimeFormat, error) {
	const want = `want YYYY, MM, DD, HH, mm and ss, with signs between them, such as "DD/MM/YYYY HH:mm:ss"`
	layout := strings.NewReplacer("YYYY", "2006", "YY", "06", "MM", "1", "DD", "2", "HH", "15", "mm", "4", "ss", "5").Replace(s)
	for _, part := range []string{"YY", "MM", "DD", "HH", "mm"} {
		if strings.Count(strings.ReplaceAll(s, "YYYY", "YY"), part) != 1 {
			return "", fmt.Errorf("the time format %q does not have %s once; %s", s, strings.Replace(part, "YY", "YYYY", 1), want)
		}
	}
	signs := strings.NewReplacer("YYYY", "", "YY", "", "MM", "", "DD", "", "HH", "", "mm", "", "ss", "").Replace(s)
	if i := strings.IndexFunc(signs, func(r rune) bool { return !strings.ContainsRune(" -/.,:T_", r) }); i >= 0 {
		return "", fmt.Errorf("the time format %q has %q in it; %s", s, signs[i:i+1], want)
	}
	return TimeFormat(layout), nil
}

// mapped decodes JSON as the site file describes it.
//
// A value, a string that holds one, and "no value" are as in the system's own
// format. A path that leads nowhere is no reading: neither 0 nor "no value".
// Where an object on the way to a value has a name twice, that value is not used.
func (c *Decoder) mapped(d *Decoded, in Input) {
	const want = "the JSON that the site file's mapping describes"
	text := bytes.TrimPrefix(in.Payload, byteOrderMark)
	root, err := parse(text)
	if err != nil {
		d.Faults = append(d.Faults, refusal(err, text, want))
		return
	}
	message, m := string(text), c.mapping
	s := c.newSample(d)
	defer s.release()

	samples := gjson.Parse(message)
	if m.Samples != "" {
		samples = samples.Get(strings.TrimPrefix(string(m.Samples), "$."))
	}
	if !samples.IsObject() && !samples.IsArray() {
		s.fault(water.Malformed, 1, fmt.Sprintf("no samples where the mapping says they are, %s; want an object or an array", quote([]byte(m.Samples))))
		return
	}
	each := []gjson.Result{samples}
	if samples.IsArray() {
		each = samples.Array()
	}
	if len(each) > MaxSamples {
		d.Faults = append(d.Faults, refusal(errTooMany, nil, want))
		return
	}
	repeated := make(map[string]bool)
	root.repeated(repeated)
	for i, one := range each {
		if samples.IsArray() {
			s.number = i + 1
		}
		s.device = nil
		if !one.IsObject() && !one.IsArray() {
			s.fault(water.Malformed, 1, "a sample is neither an object nor an array; want "+want)
			continue
		}
		s.begin()
		s.mapped(m, one.Raw, message, repeated)
	}
	s.finish(m.nothingFound())
}

// repeated adds to names those that an object has twice.
func (n *node) repeated(names map[string]bool) {
	seen := make(map[string]bool)
	for i := range n.children {
		c := &n.children[i]
		if n.kind == jx.Object {
			names[string(c.key)] = names[string(c.key)] || seen[string(c.key)]
			seen[string(c.key)] = true
		}
		c.repeated(names)
	}
}

// mapped takes one sample.
func (s *sample) mapped(m *Mapping, one, message string, repeated map[string]bool) {
	for _, p := range m.Device {
		if id := p.in(one, message).id(); id != "" {
			s.device = append(s.device, id)
		}
	}
	var parts []string
	for _, p := range m.Time {
		n := p.in(one, message)
		switch {
		case n == nil || n.kind == jx.Null:
		case p.touches(repeated):
			s.time.named = 2
		case n.kind == jx.Number || n.kind == jx.String:
			parts = append(parts, string(n.text))
		default:
			s.time.kind(n.kind)
		}
	}
	if at := strings.TrimSpace(strings.Join(parts, " ")); at != "" && s.time.bad == "" {
		s.time.mapped(at, m.TimeFormat, s.local)
	}
	for _, v := range m.Values {
		n := v.Path.in(one, message)
		if n == nil {
			continue
		}
		s.put(&field{v.Parameter, v.Unit, v.UnitGiven}, []byte(v.Path), n, nil)
		if v.Path.touches(repeated) {
			s.values[len(s.values)-1].named++
		}
	}
	s.settle()
}

// mapped takes a time in a format, or in none, which is any other's.
func (t *sampleTime) mapped(at string, format TimeFormat, local bool) {
	if format == "" || noValue([]byte(at)) {
		t.text([]byte(at), local)
		return
	}
	parsed, err := time.Parse(string(format), at)
	if err != nil {
		t.bad = quote([]byte(at)) + " is not in the format that the site file's mapping gives"
		return
	}
	t.at, t.bad = kept(parsed, []byte(at))
	t.local = t.bad == ""
}

// nothingFound says that no path leads anywhere.
func (m *Mapping) nothingFound() string {
	var b strings.Builder
	b.WriteString("none of the mapping's paths leads to a value: ")
	for i, v := range m.Values {
		switch {
		case i == 4:
			fmt.Fprintf(&b, "… (%d)", len(m.Values))
			return b.String()
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(quote([]byte(v.Path)))
	}
	return b.String()
}
