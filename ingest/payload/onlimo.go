package payload

import (
	"bytes"
	"fmt"

	"tofuwatch/internal/water"
)

// onlimo decodes what loggers of Indonesia's ONLIMO network send to the ministry.
//
//	{"data":{"IDStasiun":"UJI-14","Tanggal":"2019-05-06","Jam":"14:00:00","Suhu":30,"DHL":12,"TDS":13,"DO":1.86,"PH":7.6,
//	  "Turbidity":17,"Kedalaman":18,"Nitrat":20,"Amonia":22,"ORP":23,"COD":24,"BOD":"-"},"apikey":"…","apisecret":"…"}
//
// Data may be an array, each element a sample. Tanggal and Jam are the date and
// the time of day, without a zone. The device is IDStasiun. What the message
// carries as its key and secret is not read, and [Redact] takes it out of what
// is kept.
//
// Null, "-" and "" are no value. Some loggers send 0 for "no value", which this
// format cannot tell: give their stations 0 among the sentinels.
func (c *Decoder) onlimo(d *Decoded, in Input) {
	const want = `an ONLIMO message: {"data":{"IDStasiun":…,"Tanggal":"2026-11-23","Jam":"14:00:00","PH":7.1}}`
	c.records(d, in.Payload, want, func(s *sample, message *node) {
		data := message.get("data")
		if data == nil {
			s.fault(water.Malformed, 1, `no "data"; want `+want)
			return
		}
		samples := data.elements()
		if samples == nil {
			samples = []node{*data}
		}
		if len(samples) > MaxSamples {
			s.fault(water.TooMany, 1, fmt.Sprintf("more than %d samples in one message; send them in several", MaxSamples))
			return
		}
		for i := range samples {
			if len(samples) > 1 {
				s.number = i + 1
			}
			s.begin()
			s.onlimo(&samples[i], want)
		}
	}, "")
}

// onlimo takes one sample.
func (s *sample) onlimo(n *node, want string) {
	s.device = deviceOf(n.get("IDStasiun").id())
	if len(n.children) == 0 {
		s.fault(water.Malformed, 1, "data holds nothing; want "+want)
		return
	}
	var date, hour []byte
	for i := range n.children {
		switch c := &n.children[i]; string(c.key) {
		case "IDStasiun":
		case "Tanggal":
			date = c.bytes()
		case "Jam":
			hour = c.bytes()
		default:
			s.add(c.key, c)
		}
	}
	if at := bytes.TrimSpace(bytes.Join([][]byte{date, hour}, []byte(" "))); len(at) > 0 {
		s.time.text(at, true)
	}
	s.settle()
}
