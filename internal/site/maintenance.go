package site

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

const (
	wantMoment  = "a time such as 2026-11-23 07:00 in the site's zone, or 2026-11-23T07:00:00+07:00"
	localMinute = "2006-01-02 15:04"
	exampleWork = `for example {from: "2026-11-23 07:00", to: "2026-11-23 09:30"}`
)

// moment takes a time with its zone, or a minute in the zone of the site.
func (l *loader) moment(s string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.UTC().Truncate(time.Millisecond), nil
	}
	if at, err := time.ParseInLocation(localMinute, s, l.zone); err == nil {
		return at.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%s is no time; want %s", strict.Quote(s), wantMoment)
}

// maintenance reads the planned work at a station.
func (l *loader) maintenance(v strict.Value, station *water.Station) []water.Maintenance {
	if v.Absent() {
		return nil
	}
	var planned []water.Maintenance
	lines := make(map[string]int) // of each, by when it begins and what it is for
	for _, item := range v.Items() {
		s := item.Section("from", "to", "parameters", "reason")
		m := water.Maintenance{Station: station, Planned: true}
		from := s.Key("from").Required(exampleWork)
		to := s.Key("to").Required("or what the sensors say is left aside for ever; " + exampleWork)
		ok := strict.Moment(from, &m.From, wantMoment, l.moment)
		if strict.Moment(to, &m.To, wantMoment, l.moment) && ok && !m.To.After(m.From) {
			to.Fault("is not after from, in line %d; want it later", from.Line())
		}
		m.Parameters = l.scope(s.Key("parameters"))
		strict.Text(s.Key("reason"), &m.Note, "text", strict.Printable)
		key := m.From.String() + m.Scope()
		if first, twice := lines[key]; twice && ok {
			from.Fault("begins when that in line %d does, for the same sensors; remove one", first)
		}
		lines[key] = from.Line()
		planned = append(planned, m)
	}
	return planned
}

// scope reads a list of parameters, in the order of their codes; nil for all.
func (l *loader) scope(v strict.Value) []*water.Parameter {
	if v.Absent() {
		return nil
	}
	items := v.Items()
	if v.IsList() && len(items) == 0 {
		v.Fault("is empty; name some, or leave the key out for the whole station")
	}
	var parameters []*water.Parameter
	for _, item := range items {
		var name string
		if !strict.Text(item, &name, "text", strict.AsWritten) {
			continue
		}
		p := l.parameter(strict.Entry{Name: name, Value: item})
		switch {
		case p == nil:
		case slices.Contains(parameters, p):
			item.Fault("%s is given twice; remove one", strict.Quote(name))
		default:
			parameters = append(parameters, p)
		}
	}
	slices.SortFunc(parameters, func(a, b *water.Parameter) int { return strings.Compare(a.Code, b.Code) })
	return parameters
}
