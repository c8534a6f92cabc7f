package site

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"tofuwatch/ingest/payload"
	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

func (l *loader) sources(v strict.Value) []Source {
	items := v.Items()
	if v.IsList() && len(items) == 0 {
		v.Fault("is empty; want at least one source, or leave the key out for %s", defaultTopic)
	}
	sources := make([]Source, 0, len(items))
	filters := make(map[string]string) // path of the source that has it
	for _, item := range items {
		source, at := l.source(item)
		if source.Topic != "" {
			if first, twice := filters[source.Filter()]; twice {
				at.Fault("has the same messages as %s; want each topic once", first)
			} else {
				filters[source.Filter()] = at.Path()
			}
		}
		sources = append(sources, source)
	}
	return sources
}

// source reads one source, and returns with it the value that is its topic.
func (l *loader) source(v strict.Value) (Source, strict.Value) {
	s := v.Section("topic", "format", "station", "time", "time_zone", "decimal", "fields", "ignore", "units", "frames", "mapping")
	source := Source{Format: defaultFormat, Payload: payload.Settings{Parameters: l.parameters}}
	topicKey := s.Key("topic").Required("for example " + defaultTopic)
	hasTopic := strict.Text(topicKey, &source.Topic, "text", topic)
	formatKey := s.Key("format")
	hasFormat := formatKey.Absent() || strict.Text(formatKey, &source.Format, "text", strict.OneOf("format", slices.Sorted(maps.Keys(payload.Formats))...))
	station := s.Key("station")
	strict.Text(station, &source.Station, "text", known("station", slices.Sorted(maps.Keys(l.stations))))
	source.Arrival = arrival(s.Key("time"))
	zoned := strict.Text(s.Key("time_zone"), &source.TimeZone, "text", timeZone)
	comma := ""
	strict.Text(s.Key("decimal"), &comma, "text", strict.OneOf("decimal", "point", "comma"))
	p := &source.Payload
	p.DecimalComma, p.Local = comma == "comma", zoned
	p.Fields, p.Units = l.fields(s.Key("fields"), s.Key("units"))
	p.Ignore = strict.Texts(s.Key("ignore").Items(), keyName)
	strict.Text(s.Key("frames"), &source.Frames, "text", layout)
	if !hasFormat {
		return source, topicKey
	}
	format := payload.Formats[source.Format]
	if hasTopic {
		sender(topicKey, station, source, format)
	}
	unused := func(key, why string) {
		if k := s.Key(key); !k.Absent() {
			k.Fault("format %s %s; remove it", source.Format, why)
		}
	}
	switch {
	case format.NeedsMapping:
		p.Mapping = l.mapping(s.Key("mapping").Required("with time and values, which say where they are in a message"), p.Units)
	default:
		unused("mapping", "has no use for it: only format mapping has")
	}
	if !format.Keys {
		unused("fields", "names parameters in its mapping")
		unused("ignore", "uses nothing but what its mapping names")
	}
	if !format.HasFrames {
		unused("frames", "has no binary frames")
	}
	if framesKey := s.Key("frames"); format.NeedsFrames && framesKey.Absent() && !l.framed {
		framesKey.Required("here or at stations: what is in the frames; have " + strings.Join(layouts(), ", "))
	}
	if timeKey := s.Key("time"); format.NeedsFrames && timeKey.Absent() && !l.arrives {
		timeKey.Required("here or at stations: received, since a frame has no time")
	}
	return source, topicKey
}

// sender tells what is wrong with how a source says which station a message is
// from, and which parameter.
func sender(at, station strict.Value, s Source, format payload.Format) {
	named := strings.Contains(s.Topic, stationLevel)
	switch {
	case named && !station.Absent():
		station.Fault("the topic names the station already, as %s; want one of them", stationLevel)
	case !named && station.Absent() && !format.NamesDevice:
		at.Fault("%s has no level %s, and messages of format %s do not say which station they are from; want the level, or station: with the id of the one that all of it is from",
			strict.Quote(s.Topic), stationLevel, s.Format)
	}
	switch parameter := strings.Contains(s.Topic, parameterLevel); {
	case parameter && !format.TopicParameter:
		at.Fault("%s has a level %s, which only format value uses; want + in its place", strict.Quote(s.Topic), parameterLevel)
	case !parameter && format.TopicParameter:
		at.Fault("%s has no level %s, which format %s needs; want a topic like tofu/{station}/{parameter}", strict.Quote(s.Topic), parameterLevel, s.Format)
	}
}

// arrival reads whether a sample may have the time of its message's arrival.
func arrival(v strict.Value) bool {
	from := ""
	strict.Text(v, &from, "text", func(s string) (string, error) {
		if s != "sample" && s != "received" {
			return "", fmt.Errorf("no time %s; have sample (the default: without a time it is not used), received (then it has that of the message's arrival)", strict.Quote(s))
		}
		return s, nil
	})
	return from == "received"
}

// layouts are the names of payload.Layouts.
func layouts() []string { return slices.Sorted(maps.Keys(payload.Layouts)) }

// layout takes one of them.
func layout(s string) (string, error) { return strict.OneOf("frames", layouts()...)(s) }

// keyName takes a name that a message may have.
func keyName(s string) (string, error) {
	if n := utf8.RuneCountInString(s); n == 0 || n > 100 || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%s is no name that a message can have; want 1 to 100 characters", strict.Quote(s))
	}
	return s, nil
}

// fields reads what names in messages stand for, and what units values are in.
func (l *loader) fields(names, units strict.Value) (map[string]payload.Field, map[string]water.Unit) {
	fields := make(map[string]payload.Field)
	first := make(map[string]strict.Entry) // by the name in lower case
	for _, e := range names.Entries() {
		if _, err := keyName(e.Name); err != nil {
			e.Fault("%v", err)
			continue
		}
		low := strings.ToLower(e.Name)
		if other, twice := first[low]; twice {
			e.Fault("line %d has %s: case makes no difference; remove one", other.Line(), strict.Quote(other.Name))
			continue
		}
		first[low] = e
		var p *water.Parameter
		if strict.Text(e.Value, &p, "text", l.parameterNamed) && p != nil {
			fields[e.Name] = payload.Field{Parameter: p}
		}
	}
	byCode := make(map[string]water.Unit)
	lines := make(map[string]int)
	for _, e := range units.Entries() {
		if own, ok := first[strings.ToLower(e.Name)]; ok {
			if f, ok := fields[own.Name]; ok && unit(e.Value, f.Parameter, &f.Unit) {
				f.UnitGiven = true
				fields[own.Name] = f
			}
			continue
		}
		l.unit(e, byCode, lines)
	}
	if len(fields) == 0 {
		fields = nil
	}
	if len(byCode) == 0 {
		byCode = nil
	}
	return fields, byCode
}

// parameterNamed takes a code or an alias. It returns nil for what may be one of
// the site's own parameters, had that no fault.
func (l *loader) parameterNamed(name string) (*water.Parameter, error) {
	p := l.parameters.Lookup([]byte(name))
	if p == nil && !l.unsure[strings.ToLower(name)] {
		return nil, fmt.Errorf("no parameter %s; %s", strict.Quote(name), strict.Have(name, l.codes()))
	}
	return p, nil
}

// codes are those of all parameters.
func (l *loader) codes() []string {
	var codes []string
	for _, p := range l.parameters.All() {
		codes = append(codes, p.Code)
	}
	return codes
}

// unit reads the unit that values of a parameter are in.
func unit(v strict.Value, p *water.Parameter, into *water.Unit) bool {
	return strict.Text(v, into, "text", func(s string) (water.Unit, error) {
		if _, err := water.Convert(0, water.Unit(s), p.Unit); err != nil {
			return "", err
		}
		return water.Unit(s), nil
	})
}

// unit reads the unit of the parameter that e names, once.
func (l *loader) unit(e strict.Entry, byCode map[string]water.Unit, lines map[string]int) {
	p := l.parameter(e)
	if p == nil {
		return
	}
	if line, twice := lines[p.Code]; twice {
		e.Fault("is %s, which line %d has; remove one", p.Code, line)
		return
	}
	lines[p.Code] = e.Line()
	var u water.Unit
	if unit(e.Value, p, &u) {
		byCode[p.Code] = u
	}
}

// mapping reads where things are in a message. Units are those of the source.
func (l *loader) mapping(v strict.Value, units map[string]water.Unit) *payload.Mapping {
	s := v.Section("samples", "device", "time", "values")
	m := new(payload.Mapping)
	strict.Text(s.Key("samples"), &m.Samples, "a path", payload.ParsePath)
	paths := func(items []strict.Value) (list []payload.Path) {
		for _, item := range items {
			var p payload.Path
			if strict.Text(item, &p, "a path", payload.ParsePath) {
				list = append(list, p)
			}
		}
		return list
	}
	m.Device = paths(s.Key("device").ItemsOrOne())
	if at := s.Key("time"); at.IsMapping() {
		t := at.Section("path", "format")
		m.Time = paths(t.Key("path").Required("where the time is, or a list such as [date, hour]").ItemsOrOne())
		strict.Text(t.Key("format"), &m.TimeFormat, "a time format in quotes", payload.ParseTimeFormat)
	} else {
		m.Time = paths(at.ItemsOrOne())
	}
	values := s.Key("values").Required("where the value of each parameter is, for example {ph: sensors.ph}")
	if values.IsMapping() && len(values.Entries()) == 0 {
		values.Fault("is empty; want where the value of each parameter is, for example {ph: sensors.ph}")
	}
	l.byParameter(values, func(e strict.Entry, p *water.Parameter) {
		pv := payload.PathValues{Parameter: p, Unit: p.Unit}
		if u, ok := units[p.Code]; ok {
			pv.Unit, pv.UnitGiven = u, true
		}
		if !e.IsMapping() {
			strict.Text(e.Value, &pv.Path, "a path", payload.ParsePath)
		} else {
			one := e.Section("path", "unit")
			strict.Text(one.Key("path").Required("where the value is"), &pv.Path, "a path", payload.ParsePath)
			pv.UnitGiven = unit(one.Key("unit"), p, &pv.Unit) || pv.UnitGiven
		}
		m.Values = append(m.Values, pv)
	})
	return m
}

// logger reads what a station sends with.
func (l *loader) logger(s strict.Section) Logger {
	g := Logger{Arrival: arrival(s.Key("time"))}
	for _, item := range s.Key("device").ItemsOrOne() {
		var id string
		if !strict.Text(item, &id, "text", keyName) {
			continue
		}
		low := strings.ToLower(id)
		if first, twice := l.devices[low]; twice {
			item.Fault("%s is the device in line %d; want each at one station", strict.Quote(id), first.Line())
			continue
		}
		l.devices[low] = item
		g.Devices = append(g.Devices, id)
	}
	strict.Text(s.Key("time_zone"), &g.TimeZone, "text", timeZone)
	strict.Text(s.Key("frames"), &g.Frames, "text", layout)
	l.framed, l.arrives = l.framed || g.Frames != "", l.arrives || g.Arrival
	lines := make(map[string]int)
	for _, e := range s.Key("units").Entries() {
		if g.Units == nil {
			g.Units = make(map[string]water.Unit)
		}
		l.unit(e, g.Units, lines)
	}
	return g
}

// devicesAreNoStations tells of a device that is called as another station is.
func (l *loader) devicesAreNoStations(stations []Station) {
	for _, st := range stations {
		for _, id := range st.Logger.Devices {
			low := strings.ToLower(id)
			if line, taken := l.stations[low]; taken && low != st.ID {
				l.devices[low].Fault("%s is the station in line %d, whose readings these would be; want what messages call the logger of %s", strict.Quote(id), line, st.ID)
			}
		}
	}
}
