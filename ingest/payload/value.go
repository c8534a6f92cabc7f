package payload

import (
	"bytes"
	"fmt"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// plainValue decodes one value a message, of the parameter that the topic names.
//
//	7.1
//	{"value":7.1,"time":"2026-11-23T07:00:00Z","unit":"pH"}
//
// A number may stand alone, or with its time and unit in an object, or several
// such objects in an array. A number alone has no time: the site file has to
// allow that of its arrival.
//
// "-", "NaN" and null are no value, and 0 is 0. An empty message, by which MQTT
// takes back what a broker retained, is none of them.
func (c *Decoder) plainValue(d *Decoded, in Input) {
	const want = `a number such as 7.1, or {"value":7.1,"time":"2026-11-23T07:00:00Z"}`
	text := bytes.Trim(bytes.TrimPrefix(in.Payload, byteOrderMark), whiteSpace)
	f, key := c.fields.lookup([]byte(in.Parameter)), []byte(in.Parameter)
	if len(text) == 0 {
		d.Faults = append(d.Faults, Fault{Reason: water.Malformed, Detail: "the message is empty; want " + want, Readings: 1})
		return
	}
	read := func(s *sample, n *node) {
		if f == nil || f.parameter == nil {
			s.ignore(key, f)
			return
		}
		value := n.get("value")
		if value == nil {
			s.fault(water.BadValue, 1, fmt.Sprintf(`%s has no "value"; want %s`, quote(key), want))
			return
		}
		for i := range n.children {
			if c := &n.children[i]; namesTime(c.key) {
				s.time.read(c, s.local)
			}
		}
		s.put(f, key, value, n.get("unit"))
		s.settle()
	}
	if text[0] == '{' || text[0] == '[' {
		c.records(d, text, `an object such as {"value":7.1,"time":"2026-11-23T07:00:00Z"}`, read, "")
		return
	}
	if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	s := c.newSample(d)
	defer s.release()
	s.begin()
	read(s, &node{kind: jx.Object, children: []node{{key: []byte("value"), kind: jx.String, text: text}}})
	s.finish("")
}
