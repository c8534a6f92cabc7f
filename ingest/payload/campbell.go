package payload

import (
	"bytes"
	"fmt"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// csiJSON decodes Campbell Scientific's CSIJSON.
//
//	{"head":{"environment":{"station_name":"11467","table_name":"Test","model":"CR1000"},
//	 "fields":[{"name":"batt_volt_Min","type":"xsd:float","process":"Min"},{"name":"PTemp","type":"xsd:float","units":"Deg C","process":"Smp"}]},
//	 "data":[{"time":"2011-01-06T15:04:15","no":0,"vals":[13.28,21.29]},{"time":"2011-01-06T15:04:30","no":1,"vals":[13.28,"NAN"]}]}
//
// Each element of data is a sample; its values stand in the order of the fields.
// "_Avg" at the end of a field's name may be left out where parameters are named.
// Times have no zone. The device is the logger's station_name or serial_no.
//
// Null, "NAN" and "-" are no value, and 0 is 0. A table has all of its fields
// always, so none is absent.
func (c *Decoder) csiJSON(d *Decoded, in Input) {
	const want = `CSIJSON: {"head":{"fields":[{"name":"pH"}]},"data":[{"time":"2026-11-23T14:00:00","vals":[7.1]}]}`
	c.records(d, in.Payload, want, func(s *sample, table *node) {
		head := table.get("head")
		environment := head.get("environment")
		s.device = deviceOf(environment.get("station_name").id(), environment.get("serial_no").id())
		fields, data := head.get("fields").elements(), table.get("data").elements()
		if len(fields) == 0 || table.get("data") == nil {
			s.fault(water.Malformed, 1, "no head.fields or no data; want "+want)
			return
		}
		if len(data) > MaxSamples {
			s.fault(water.TooMany, 1, fmt.Sprintf("more than %d samples in one message; send them in several", MaxSamples))
			return
		}
		columns := make([]column, len(fields))
		for i := range fields {
			columns[i] = s.column(fields[i].get("name"), fields[i].get("units"))
		}
		for i := range data {
			s.number = i + 1
			s.begin()
			s.time.read(data[i].get("time"), s.local)
			s.row(data[i].get("vals").elements(), columns)
		}
	}, "")
}

// bytes returns the characters of a string, or nil.
func (n *node) bytes() []byte {
	if n == nil || n.kind != jx.String {
		return nil
	}
	return n.text
}

// geoJSON decodes the GeoJSON that Campbell Scientific's loggers publish by MQTT,
// topics below cs/v1.
//
//	{"type":"Feature","geometry":{"type":"Point","coordinates":[110.4381,-7.0051,4.0]},
//	 "properties":{"loggerID":"CR1000X_400","observationNames":["logger_temp","pH","message"],
//	  "observations":{"2025-10-01T09:21:00Z":[31.2,7.1,"all well"]}}}
//
// Each observation is a sample; its values stand in the order of the names. The
// device is the loggerID.
//
// Null, "NAN" and "-" are no value, and 0 is 0. An observation has all names
// always, so none is absent.
func (c *Decoder) geoJSON(d *Decoded, in Input) {
	const want = `a GeoJSON feature: {"properties":{"loggerID":…,"observationNames":["pH"],"observations":{"2026-11-23T07:00:00Z":[7.1]}}}`
	c.records(d, in.Payload, want, func(s *sample, feature *node) {
		properties := feature.get("properties")
		s.device = deviceOf(properties.get("loggerID").id())
		names, observations := properties.get("observationNames").elements(), properties.get("observations")
		if len(names) == 0 || observations == nil || observations.kind != jx.Object {
			s.fault(water.Malformed, 1, "no properties.observationNames or no observations; want "+want)
			return
		}
		if len(observations.children) > MaxSamples {
			s.fault(water.TooMany, 1, fmt.Sprintf("more than %d samples in one message; send them in several", MaxSamples))
			return
		}
		columns := make([]column, len(names))
		for i := range names {
			columns[i] = s.column(&names[i], nil)
		}
		times := make(map[string]int)
		for _, o := range observations.children {
			times[string(o.key)]++
		}
		for i := range observations.children {
			o := &observations.children[i]
			s.number = i + 1
			s.begin()
			s.time.text(o.key, s.local)
			s.time.named = times[string(o.key)]
			s.row(o.elements(), columns)
		}
	}, "")
}

// A column is what stands in one place of every row.
type column struct {
	name  []byte
	field *field // nil: no parameter
	unit  *node  // nil: none is stated
}

// column returns what the name of a logger's column stands for: an average is
// called like what it is of.
func (s *sample) column(name, unit *node) column {
	c := column{name: name.bytes(), unit: unit}
	if c.field = s.fields.lookup(c.name); c.field == nil {
		if bare, ok := bytes.CutSuffix(c.name, []byte("_Avg")); ok {
			c.field = s.fields.lookup(bare)
		}
	}
	return c
}

// row takes values that stand in the order of columns.
func (s *sample) row(values []node, columns []column) {
	if len(values) != len(columns) {
		known := 0
		for _, c := range columns {
			if c.field != nil && c.field.parameter != nil {
				known++
			}
		}
		s.fault(water.Malformed, max(1, known), fmt.Sprintf("%d values for %d names: which is which cannot be told", len(values), len(columns)))
		return
	}
	for i, c := range columns {
		if c.field == nil || c.field.parameter == nil {
			s.ignore(c.name, c.field)
			continue
		}
		s.put(c.field, c.name, &values[i], c.unit)
	}
	s.settle()
}
