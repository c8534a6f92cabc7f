package site

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"tofuwatch/ingest/table"
	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// allImports reads what the files of laboratories and loggers are like, in the
// order of the file.
func (l *loader) allImports(v strict.Value) []table.Layout {
	var layouts []table.Layout
	if v.Absent() {
		return nil
	}
	for _, e := range v.Entries() {
		layout := l.importLayout(e.Value)
		if _, err := importName(e.Name); err != nil {
			e.Fault("%v", err)
		}
		layout.Name = e.Name
		layouts = append(layouts, layout)
	}
	return layouts
}

func (l *loader) importLayout(v strict.Value) table.Layout {
	layout := table.Layout{Method: water.Lab}
	if v.Null() {
		return layout // all of it is found out
	}
	s := v.Section("files", "method", "encoding", "separator", "decimal", "header", "time_zone", "station", "time", "columns", "long",
		"missing", "not_detected", "detection_limit", "laboratory", "analysis", "sample", "revision", "analysed")
	layout.Files = strict.Texts(s.Key("files").ItemsOrOne(), filePattern)
	strict.Text(s.Key("method"), (*string)(&layout.Method), "text", strict.OneOf("method", string(water.Lab), string(water.Sensor)))
	strict.Text(s.Key("encoding"), &layout.Encoding, "text", strict.OneOf("encoding", table.Encodings()...))
	strict.Text(s.Key("separator"), &layout.Separator, "text", separator)
	strict.Text(s.Key("decimal"), &layout.Decimal, "text", decimal)
	if header := s.Key("header"); header.Given() {
		layout.Header = headerLine(header)
	}
	strict.Text(s.Key("time_zone"), &layout.Zone, "text", timeZone)
	l.importStation(s.Key("station"), &layout)
	l.importTime(s.Key("time"), &layout)
	layout.Columns = l.importColumns(s.Key("columns"))
	layout.Long = l.importLong(s.Key("long"))
	if s.Key("long").Given() && s.Key("columns").Given() {
		s.Key("columns").Fault("the file has a row for each value (long), or a column for each parameter (columns); want one of the two")
	}
	layout.Missing = folded(strict.Texts(s.Key("missing").ItemsOrOne(), strict.Printable))
	layout.NotDetected = folded(strict.Texts(s.Key("not_detected").ItemsOrOne(), strict.Printable))
	layout.DetectionLimit = importColumn(s.Key("detection_limit"))
	layout.Laboratory = textOrColumn(s.Key("laboratory"))
	layout.Analysis = textOrColumn(s.Key("analysis"))
	layout.Sample = importColumn(s.Key("sample"))
	layout.Revision = importColumn(s.Key("revision"))
	layout.Analysed = importColumn(s.Key("analysed"))
	return layout
}

// importStation reads a station's ID, or the column that names stations.
func (l *loader) importStation(v strict.Value, layout *table.Layout) {
	station := known("station", slices.Sorted(maps.Keys(l.stations)))
	if !v.IsMapping() {
		strict.Text(v, &layout.Station.Value, "a station's id, or {column: …}", station)
		return
	}
	s := v.Section("column", "names")
	layout.Station.Column = importColumn(s.Key("column").Required("its heading, such as Lokasi, or its place, such as 2"))
	for _, e := range s.Key("names").Entries() {
		var id string
		if strict.Text(e.Value, &id, "text", station) {
			if layout.StationNames == nil {
				layout.StationNames = make(map[string]string)
			}
			layout.StationNames[table.Fold(e.Name)] = id
		}
	}
}

// importTime reads the column of the sample's time, or how it is written in two.
func (l *loader) importTime(v strict.Value, layout *table.Layout) {
	if !v.IsMapping() {
		layout.Time = importColumn(v)
		return
	}
	s := v.Section("column", "clock", "formats", "at")
	layout.Time = importColumn(s.Key("column"))
	layout.Clock = importColumn(s.Key("clock"))
	for _, item := range s.Key("formats").ItemsOrOne() {
		var f table.Format
		if strict.Text(item, &f, "text", table.ParseFormat) {
			layout.Formats = append(layout.Formats, f)
		}
	}
	strict.Text(s.Key("at"), &layout.At, `a time of day in quotes, such as "08:00"`, timeOfDay)
}

func (l *loader) importColumns(v strict.Value) []table.ValueColumn {
	var columns []table.ValueColumn
	for _, item := range v.Items() {
		s := item.Section("column", "parameter", "unit", "detection_limit", "analysis")
		c := table.ValueColumn{Column: importColumn(s.Key("column").Required("its heading, or its place such as 5"))}
		c.Parameter = l.importParameter(s.Key("parameter").Required("a code, for example cod"))
		var unit string
		if at := s.Key("unit"); strict.Text(at, &unit, "text", strict.AsWritten) {
			c.Unit = importUnit(at, unit, c.Parameter)
		}
		if limit := s.Key("detection_limit"); limit.Number(&c.DetectionLimit) && c.DetectionLimit <= 0 {
			limit.Fault("%v is no detection limit; want a number above 0, in the unit of the column", c.DetectionLimit)
		}
		strict.Text(s.Key("analysis"), &c.Analysis, "text", strict.Printable)
		if c.Parameter != nil {
			columns = append(columns, c)
		}
	}
	return columns
}

func (l *loader) importLong(v strict.Value) table.Long {
	if !v.Given() {
		return table.Long{}
	}
	s := v.Section("parameter", "value", "unit", "names")
	long := table.Long{
		Parameter: importColumn(s.Key("parameter").Required("the column that says what was measured, for example Parameter")),
		Value:     importColumn(s.Key("value").Required("the column of the values, for example Hasil")),
		Unit:      importColumn(s.Key("unit")),
	}
	for _, e := range s.Key("names").Entries() {
		if p := l.importParameter(e.Value); p != nil {
			if long.Names == nil {
				long.Names = make(map[string]*water.Parameter)
			}
			long.Names[table.Fold(e.Name)] = p
		}
	}
	return long
}

// importParameter reads a parameter's code or alias; nil if it is none.
func (l *loader) importParameter(v strict.Value) *water.Parameter {
	var name string
	if !strict.Text(v, &name, "text", strict.AsWritten) {
		return nil
	}
	return l.parameter(strict.Entry{Name: name, Value: v})
}

// importUnit returns the unit of a column of p; nil if that is no such unit.
func importUnit(v strict.Value, written string, p *water.Parameter) *water.Unit {
	u, ok := table.ReadUnit(written)
	if !ok {
		u = water.Unit(written)
	}
	if p == nil {
		return nil
	}
	if _, err := water.Convert(1, u, p.Unit); err != nil {
		v.Fault("%v", err)
		return nil
	}
	return &u
}

var placePattern = regexp.MustCompile(`^[0-9]+$`)

// importColumn reads a heading, or a place from 1.
func importColumn(v strict.Value) table.Column {
	if !placePattern.MatchString(v.Written()) {
		var name string
		strict.Text(v, &name, "a heading, or a place such as 2", strict.Printable)
		return table.Column{Name: name}
	}
	place, err := strconv.Atoi(v.Written())
	if err != nil || place < 1 || place > 1000 {
		v.Fault("%s is no column; want 1 for the first, up to 1000", strict.Quote(v.Written()))
		return table.Column{}
	}
	return table.Column{Place: place}
}

// textOrColumn reads what holds for a whole file, or {column: …}.
func textOrColumn(v strict.Value) table.Text {
	var t table.Text
	if v.IsMapping() {
		t.Column = importColumn(v.Section("column").Key("column").Required("its heading, or its place such as 2"))
		return t
	}
	strict.Text(v, &t.Value, "text, or {column: …}", strict.Printable)
	return t
}

func headerLine(v strict.Value) int {
	if v.Written() == "none" {
		return table.NoHeader
	}
	if !placePattern.MatchString(v.Written()) {
		v.Fault("%s is no line; want 1 for the first, or none", strict.Quote(v.Written()))
		return 0
	}
	var line float64
	if !v.NumberWithin(&line, 1, 1000) {
		return 0
	}
	return int(line)
}

func folded(words []string) []string {
	for i, w := range words {
		words[i] = table.Word(w)
	}
	return words
}

var importNamePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

func importName(s string) (string, error) {
	if !importNamePattern.MatchString(s) {
		return "", fmt.Errorf("%s is no name of an import; want lower case letters, digits, '-' and '_', for example laboratory", strict.Quote(s))
	}
	return s, nil
}

func filePattern(s string) (string, error) {
	if _, err := path.Match(s, "x"); err != nil || s == "" || path.Base(s) != s {
		return "", fmt.Errorf("%s is no pattern of file names; want one without a folder, for example lab-*.csv", strict.Quote(s))
	}
	return s, nil
}

func separator(s string) (byte, error) {
	switch s {
	case ";", ",", "\t", "|":
		return s[0], nil
	case "tab":
		return '\t', nil
	}
	return 0, fmt.Errorf(`no separator %s; have ";", ",", tab, "|"`, strict.Quote(s))
}

func decimal(s string) (byte, error) {
	if s != "." && s != "," {
		return 0, fmt.Errorf(`no decimal sign %s; have ".", ","`, strict.Quote(s))
	}
	return s[0], nil
}

func timeOfDay(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, errors.New(strict.Quote(s) + ` is no time of day; want one such as "08:00"`)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}
