package dashboards

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// Data sources, as the provisioning names them.
var (
	influx     = Ref{"influxdb", "tofuwatch-influxdb"}
	prometheus = Ref{"prometheus", "tofuwatch-prometheus"}
	mixed      = Ref{"datasource", "-- Mixed --"}
	grafana    = Ref{"grafana", "-- Grafana --"}
)

// alerting is the data source that shows Alertmanager's own list and silences.
const alerting = "tofuwatch-alertmanager"

// Colours that people who see red and green alike can tell apart: the palette of
// Okabe and Ito, "Color Universal Design" (2008).
const (
	blue       = "#0072B2"
	skyBlue    = "#56B4E9"
	green      = "#009E73"
	orange     = "#E69F00"
	vermillion = "#D55E00"
	purple     = "#CC79A7"
	gold       = "#997700" // their yellow is not to be seen on white
	grey       = "#8E8E8E"
)

// palette is for series that mean neither good nor bad. The second line is of Paul
// Tol's "muted" scheme (SRON/EPS/TN/09-002, 2021).
var palette = []string{
	blue, orange, green, purple, skyBlue, vermillion, gold, grey,
	"#882255", "#44AA99", "#CC6677", "#999933", "#332288", "#AA4499",
}

// Units as Grafana writes them.
const (
	seconds = "s"
	percent = "percentunit" // of 0 to 1
	count   = "locale"      // 1,234
	octets  = "bytes"
	moment  = "time:DD MMM YYYY HH:mm"
	ago     = "dateTimeFromNow"
)

// A kit makes the dashboards of one site in one language.
type kit struct {
	language
	in         *Input
	parameters []*water.Parameter // that some station of the site reports, in the order of the site's
}

// A board is a dashboard in the making. Panels flow from left to right and, where
// they do not fit any more, to the next line.
type board struct {
	kit
	Dashboard
	x, y, high int
	panels     int
}

// The names of all dashboards, by which their keys in the catalogue begin.
const (
	riverBoard      = "river"
	stationBoard    = "station"
	treatmentBoard  = "treatment"
	complianceBoard = "compliance"
	sensorsBoard    = "sensors"
	systemBoard     = "system"
	laboratoryBoard = "laboratory"
)

func (k kit) uid(name string) string { return "tofuwatch-" + name + "-" + string(k.language) }

// tag is what all dashboards of a language share, so that they link to each other.
func (k kit) tag() string { return "tofuwatch-" + string(k.language) }

// board begins a dashboard that shows at first the time from from on.
func (k kit) board(name, from, refresh string) *board {
	b := &board{kit: k, Dashboard: Dashboard{
		UID: k.uid(name), Title: k.t(name), Description: k.t(name + "_about"),
		Tags: []string{"tofuwatch", k.tag()}, SchemaVersion: schemaVersion,
		GraphTooltip: 1, Timezone: k.in.TimeZone.String(), Refresh: refresh,
		Time: timeRange{from, "now"}, Templating: variables{[]Variable{}}, Annotations: annotations{[]Annotation{}},
		Links: []Link{{Title: k.t("other_boards"), Type: "dashboards", Tags: []string{k.tag()}, AsDropdown: true, IncludeVars: true, KeepTime: true}},
	}}
	if title := k.in.Site; title != "" {
		b.Description += " · " + title
	}
	return b
}

// put places a panel.
func (b *board) put(width, height int, p *Panel) {
	if b.x+width > 24 {
		b.x, b.y, b.high = 0, b.y+b.high, 0
	}
	b.panels++
	p.ID = b.panels
	p.GridPos = GridPos{H: height, W: width, X: b.x, Y: b.y}
	for i := range p.Targets {
		if p.Targets[i].RefID == "" {
			p.Targets[i].RefID = string(rune('A' + i))
		}
		switch {
		case p.Datasource == nil:
			p.Datasource = &Ref{p.Targets[i].Datasource.Type, p.Targets[i].Datasource.UID}
		case *p.Datasource != p.Targets[i].Datasource:
			p.Datasource = &Ref{mixed.Type, mixed.UID}
		}
	}
	b.x += width
	b.high = max(b.high, height)
	b.Panels = append(b.Panels, p)
}

// under places a panel below the one before it, which is lower than its neighbours
// will be.
func (b *board) under(height int, p *Panel) {
	above := b.Panels[len(b.Panels)-1].GridPos
	x := b.x
	b.put(above.W, height, p)
	p.GridPos = GridPos{H: height, W: above.W, X: above.X, Y: above.Y + above.H}
	b.x, b.high = x, max(b.high, above.H+height)
}

// heading begins a new part of the dashboard.
func (b *board) heading(key string) {
	b.x, b.y, b.high = 0, b.y+b.high, 0
	open := false
	b.put(24, 1, &Panel{Type: "row", Title: b.t(key), Collapsed: &open, Panels: []*Panel{}})
	b.x, b.y, b.high = 0, b.y+1, 0
}

// panel begins a panel with title and description.
func (k kit) panel(kind, key string, targets ...Target) *Panel {
	return &Panel{
		Type: kind, Title: k.t(key), Description: k.t(key + "_about"), Targets: targets,
		FieldConfig: &FieldConfig{Defaults: Field{NoValue: k.t("no_data")}, Overrides: []Override{}},
	}
}

// now asks Prometheus for this moment.
func now(expr string) Target {
	return Target{Datasource: prometheus, Expr: squeeze(expr), Instant: true, Format: "time_series"}
}

// nowTable is now, as a table.
func nowTable(expr string) Target {
	t := now(expr)
	t.Format = "table"
	return t
}

// over asks Prometheus for the time range.
func over(expr, legend string) Target {
	return Target{Datasource: prometheus, Expr: squeeze(expr), Range: true, Format: "time_series", LegendFormat: legend}
}

// history asks InfluxDB for time series.
func history(query, alias string) Target {
	return Target{Datasource: influx, Query: squeeze(query), RawQuery: true, ResultFormat: "time_series", Alias: alias}
}

// historyTable asks InfluxDB for a table.
func historyTable(query string) Target {
	return Target{Datasource: influx, Query: squeeze(query), RawQuery: true, ResultFormat: "table"}
}

// squeeze writes a query in one line.
func squeeze(query string) string { return strings.Join(strings.Fields(query), " ") }

// as gives a query a name that overrides and layers refer to.
func (t Target) as(refID string) Target { t.RefID = refID; return t }

// stat shows one number, large, or one for each series.
func (k kit) stat(key, unit string, targets ...Target) *Panel {
	p := k.panel("stat", key, targets...)
	p.FieldConfig.Defaults.Unit = unit
	p.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Thresholds = steps(blue)
	p.Options = statOptions{
		ReduceOptions: reduceOptions{Calcs: []string{"lastNotNull"}}, ColorMode: "background_solid", GraphMode: "none",
		TextMode: "auto", JustifyMode: "center", Orientation: "auto",
	}
	return p
}

type statOptions struct {
	ReduceOptions reduceOptions `json:"reduceOptions"`
	ColorMode     string        `json:"colorMode"`
	GraphMode     string        `json:"graphMode"`
	TextMode      string        `json:"textMode"`
	JustifyMode   string        `json:"justifyMode"`
	Orientation   string        `json:"orientation"`
}

type reduceOptions struct {
	Values bool     `json:"values"`
	Calcs  []string `json:"calcs"`
	Fields string   `json:"fields"`
}

// series shows lines over time. A gap that is longer than a sensor may pause is
// shown as one.
func (k kit) series(key, unit string, targets ...Target) *Panel {
	p := k.panel("timeseries", key, targets...)
	d := &p.FieldConfig.Defaults
	d.Unit = unit
	d.Color = &Color{Mode: "palette-classic-by-name"}
	d.Custom = &Custom{
		DrawStyle: "line", LineWidth: new(2), FillOpacity: new(0), PointSize: 5, ShowPoints: "auto",
		SpanNulls: k.in.patience().Milliseconds(),
	}
	if len(k.in.Stations) <= len(palette) {
		for i, st := range k.in.Stations {
			p.override(named(st.ID), inColor(palette[i]))
		}
	}
	for i, t := range targets {
		if name := t.Alias + t.LegendFormat; name != "" && !strings.ContainsAny(name, "${") {
			p.override(named(name), inColor(palette[i]))
		}
	}
	p.Options = seriesOptions{
		Legend:  legendOptions{DisplayMode: "list", Placement: "bottom", ShowLegend: true, Calcs: []string{}},
		Tooltip: tooltipOptions{Mode: "multi", Sort: "desc"},
	}
	return p
}

type seriesOptions struct {
	Legend  legendOptions  `json:"legend"`
	Tooltip tooltipOptions `json:"tooltip"`
}

type legendOptions struct {
	DisplayMode string   `json:"displayMode"`
	Placement   string   `json:"placement"`
	ShowLegend  bool     `json:"showLegend"`
	Calcs       []string `json:"calcs"`
}

type tooltipOptions struct {
	Mode string `json:"mode"`
	Sort string `json:"sort"`
}

// daily shows what belongs to a day: a point at its beginning, and a line from day
// to day.
func (k kit) daily(key, unit string, targets ...Target) *Panel {
	p := k.series(key, unit, targets...)
	c := p.FieldConfig.Defaults.Custom
	c.ShowPoints, c.PointSize, c.SpanNulls = "always", 7, int64(25*60*60*1000)
	p.FieldConfig.Defaults.Min = new(0.0)
	return p
}

// bars shows what was counted in each step.
func (k kit) bars(key, unit string, targets ...Target) *Panel {
	p := k.series(key, unit, targets...)
	c := p.FieldConfig.Defaults.Custom
	c.DrawStyle, c.FillOpacity, c.LineWidth, c.SpanNulls, c.ShowPoints = "bars", new(70), new(1), nil, "never"
	p.FieldConfig.Defaults.Min = new(0.0)
	return p
}

// table shows rows. Its columns are put in order by columns.
func (k kit) table(key string, targets ...Target) *Panel {
	p := k.panel("table", key, targets...)
	p.FieldConfig.Defaults.Custom = &Custom{Align: "auto", MinWidth: 60, WrapHeaderText: true}
	p.FieldConfig.Defaults.Mappings = blanks()
	p.Options = tableOptions{ShowHeader: true, CellHeight: "sm"}
	return p
}

type tableOptions struct {
	ShowHeader bool     `json:"showHeader"`
	CellHeight string   `json:"cellHeight"`
	SortBy     []sortBy `json:"sortBy,omitempty"`
}

type sortBy struct {
	DisplayName string `json:"displayName"`
	Desc        bool   `json:"desc"`
}

// A column is one that a table shows: what the data calls it, the key of what
// people call it, and how it is shown.
type column struct {
	field, key string
	props      []Property
}

// widths are what some columns need at least, in pixels. What a phone shows of a
// table is 350 wide.
var widths = map[string]int{
	"col_state": 130, "col_place": 150, "col_what": 165, "col_station": 110, "col_parameter": 110, "col_law": 200, "col_bound": 110,
	"col_sampled": 140, "col_when": 140, "col_month": 125, "col_since": 105, "col_age": 80,
}

// columns has a table show these columns and no other, in this order.
func (k kit) columns(p *Panel, columns ...column) {
	index, rename := make(map[string]int), make(map[string]string)
	var names []string
	for i, c := range columns {
		if width, ok := widths[c.key]; ok {
			c.props = append(slices.Clone(c.props), Property{"custom.minWidth", width})
		}
		for i, p := range c.props {
			if texts, ok := p.Value.([]Mapping); ok {
				c.props[i].Value = append(texts, blanks()...)
			}
		}
		index[c.field], rename[c.field] = i, k.t(c.key)
		names = append(names, c.field)
		if len(c.props) > 0 {
			p.override(Matcher{"byName", k.t(c.key)}, c.props...)
		}
	}
	p.Transformations = append(p.Transformations,
		Transformation{"filterFieldsByName", map[string]any{"include": map[string]any{"names": names}}},
		Transformation{"organize", map[string]any{"excludeByName": map[string]bool{}, "indexByName": index, "renameByName": rename}})
}

// join makes one table of several, by a column that all of them have.
func (p *Panel) join(field string) {
	p.Transformations = append(p.Transformations, Transformation{"joinByField", map[string]any{"byField": field, "mode": "outer"}})
}

// merge makes one table of several, by all columns that they share.
func (p *Panel) merge() {
	p.Transformations = append(p.Transformations, Transformation{"merge", map[string]any{}})
}

// sorted puts a table's rows in the order of a column.
func (k kit) sorted(p *Panel, key string, desc bool) {
	o := p.Options.(tableOptions)
	o.SortBy = []sortBy{{k.t(key), desc}}
	p.Options = o
}

func (p *Panel) override(m Matcher, props ...Property) {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, Override{m, props})
}

// named overrides the series with a name.
func named(name string) Matcher { return Matcher{"byName", name} }

// ofQuery overrides all series of a query.
func ofQuery(refID string) Matcher { return Matcher{"byFrameRefID", refID} }

// matching overrides the series whose name matches.
func matching(regexp string) Matcher { return Matcher{"byRegexp", "/" + regexp + "/"} }

// Properties of overrides.
func inUnit(unit string) Property   { return Property{"unit", unit} }
func inColor(color string) Property { return Property{"color", Color{"fixed", color}} }
func called(name string) Property   { return Property{"displayName", name} }
func mapped(ms ...Mapping) Property { return Property{"mappings", ms} }
func withDecimals(n int) Property   { return Property{"decimals", n} }
func linked(links ...Link) Property { return Property{"links", links} }
func thin() Property                { return Property{"custom.lineWidth", 1} }
func dashed() Property              { return Property{"custom.lineStyle", LineStyle{"dash", []int{8, 6}}} }

func background() Property {
	return Property{"custom.cellOptions", CellOptions{"color-background", "basic"}}
}
func drawn(style string) Property           { return Property{"custom.drawStyle", style} }
func pointSize(n int) Property              { return Property{"custom.pointSize", n} }
func withThresholds(t *Thresholds) Property { return Property{"thresholds", t} }
func byThresholds() Property                { return Property{"color", Color{Mode: "thresholds"}} }

// steps are colours from values on: steps(green, 1, orange, 10, vermillion).
func steps(lowest string, more ...any) *Thresholds {
	t := &Thresholds{Mode: "absolute", Steps: []Step{{Color: lowest}}}
	for i := 0; i < len(more); i += 2 {
		t.Steps = append(t.Steps, Step{more[i+1].(string), new(more[i].(float64))})
	}
	return t
}

// values maps numbers or words to texts and colours: pairs of value and MappedText.
func values(texts map[string]MappedText) Mapping { return Mapping{"value", texts} }

// nothing maps what is absent.
func nothing(text, color string) Mapping {
	return Mapping{"special", map[string]any{"match": "null", "result": MappedText{Text: text, Color: color}}}
}

// blanks are how a table shows that there is nothing to say: the text of a panel
// without any data would stand in such a cell otherwise.
func blanks() []Mapping {
	return []Mapping{nothing("–", ""), {"special", map[string]any{"match": "empty", "result": MappedText{Text: "–"}}}}
}

// parameterTexts maps codes to what people call the parameters.
func (k kit) parameterTexts() Mapping {
	texts := make(map[string]MappedText)
	for i, p := range k.in.Parameters {
		texts[p.Code] = MappedText{Text: k.parameterName(p), Index: i}
	}
	return values(texts)
}

// parameterName is what people call a parameter; in the site's own words if it is
// the site's own.
func (k kit) parameterName(p *water.Parameter) string {
	if texts, ok := phrases()["parameter_"+p.Code]; ok {
		return texts[string(k.language)]
	}
	return cmp.Or(p.Name, p.Code)
}

// unitOf is how Grafana writes a parameter's unit.
func unitOf(u water.Unit) string {
	switch u {
	case "":
		return "none"
	case "°C":
		return "celsius"
	case "m3/h", "m3/d", "m3/s":
		return "suffix: " + strings.Replace(string(u), "m3", "m³", 1)
	}
	return "suffix: " + string(u)
}

// separator stands between a parameter's code and what a series is of it. Only
// so can one panel that is repeated for every parameter give each its unit.
const separator = " · "

// units gives the series of a panel the units of their parameters.
func (k kit) units(p *Panel) {
	codes := make(map[string][]string)
	var order []string
	for _, q := range k.in.Parameters {
		unit := unitOf(q.Unit)
		if codes[unit] == nil {
			order = append(order, unit)
		}
		codes[unit] = append(codes[unit], q.Code)
	}
	for _, unit := range order {
		p.override(matching("^("+strings.Join(codes[unit], "|")+")("+separator+"|$)"), inUnit(unit))
	}
}

// codes returns the site's parameters for which f holds, as a regular expression.
func (k kit) codes(f func(*water.Parameter) bool) string {
	var codes []string
	for _, p := range k.parameters {
		if f(p) {
			codes = append(codes, p.Code)
		}
	}
	return strings.Join(codes, "|")
}

// concentrations are the parameters that are worse when there is more of them.
func (k kit) concentrations() string {
	return k.codes(func(p *water.Parameter) bool {
		return (p.Unit == "mg/L" || p.Unit == "MPN/100mL") && p.Code != "do"
	})
}

// loads are the parameters that have a load in kg.
func (k kit) loads() string {
	return k.codes(func(p *water.Parameter) bool { return p.Unit == "mg/L" && p.Code != "do" })
}

// used returns the parameters that some station is expected to report.
func used(in *Input) []*water.Parameter {
	return slices.DeleteFunc(slices.Clone(in.Parameters), func(p *water.Parameter) bool {
		return !slices.ContainsFunc(in.Stations, func(s *water.Station) bool {
			_, ok := s.Instruments[p.Code]
			return ok
		})
	})
}

// patience is how long the gap between two samples may be before a line breaks:
// three of the longest usual intervals, and a quarter of an hour at least.
func (in *Input) patience() time.Duration {
	longest := 5 * time.Minute
	for _, s := range in.Stations {
		for _, i := range s.Instruments {
			if i.Interval <= time.Hour {
				longest = max(longest, i.Interval)
			}
		}
	}
	return 3 * longest
}

// dayOffset is the site's midnight in UTC, for the buckets of InfluxQL. Zones that
// change their clocks have days that are an hour off for half of the year.
func (in *Input) dayOffset() string {
	_, east := time.Date(2026, 1, 1, 0, 0, 0, 0, in.TimeZone).Zone()
	return fmt.Sprintf("%ds", ((24*60*60)-east)%(24*60*60))
}

// toStation leads to a station's dashboard, from a row that has its id.
func (k kit) toStation(field string) Link {
	return Link{
		Title: k.t("show_station"),
		URL:   "/d/" + k.uid(stationBoard) + "?var-station=${__data.fields[\"" + field + "\"]}&${__url_time_range}",
	}
}

// stationVariable offers every station of the site by its name, whether it was
// ever heard of or not.
func (k kit) stationVariable(matchers string, multi bool) Variable {
	// The labels of what Prometheus answers are in the order of the alphabet.
	return k.promVariable("station", "station_label",
		"query_result(max by (name, station) (tofuwatch_station_info{"+matchers+"}))",
		`/name="(?<text>(?:[^"\\]|\\.)*)",\s*station="(?<value>[^"]+)"/`, multi)
}

func (k kit) promVariable(name, label, query, regex string, multi bool) Variable {
	ref := prometheus
	v := Variable{
		Name: name, Label: k.t(label), Type: "query", Datasource: &ref, Definition: query,
		Query: promVariable{query, "variable"}, Regex: regex, Refresh: 2, Sort: 1, Multi: multi, IncludeAll: multi,
	}
	if multi {
		v.Current = map[string]any{"text": []string{"All"}, "value": []string{"$__all"}}
	}
	return v
}

// riverVariable offers the site's rivers.
func (k kit) riverVariable() Variable {
	return k.promVariable("river", "river_label", "label_values(tofuwatch_station_info, river)", "", true)
}

// parameterVariable offers the parameters that are expected of stations, or that
// came all the same, by their names.
func (k kit) parameterVariable(matchers string, multi bool) Variable {
	expr := "max by (parameter) (tofuwatch_expected_interval_seconds{" + matchers + "} or tofuwatch_reading_timestamp_seconds{" + matchers + "})"
	expr = `label_replace(` + expr + `, "name", "$1", "parameter", "(.*)")`
	for _, p := range k.in.Parameters {
		// The name is text between quotes twice over: PromQL's, and the answer's.
		expr = fmt.Sprintf(`label_replace(%s, "name", %q, "parameter", %q)`, expr, strings.ReplaceAll(k.parameterName(p), "$", "$$"), p.Code)
	}
	v := k.promVariable("parameter", "parameter_label", "query_result("+expr+")",
		`/name="(?<text>(?:[^"\\]|\\.)*)",\s*parameter="(?<value>[^"]+)"/`, multi)
	return v
}

func (b *board) variables(vs ...Variable) { b.Templating.List = vs }

// annotate marks, in all time series, what alerts told and when people worked on
// sensors, at the stations that a matcher names. The marks have no switches: on a
// phone those would fill half of the page.
func (b *board) annotate(matchers, where string) {
	alert := func(key, names, color string) Annotation {
		ref := prometheus
		return Annotation{
			Name: b.t(key), Datasource: &ref, Enable: true, Hide: true, IconColor: color,
			Expr: fmt.Sprintf(`max by (station, parameter) (ALERTS{alertname=~%q, alertstate="firing", standing="no", %s})`, names, matchers),
			Step: "60s", TitleFormat: b.t(key), TextFormat: "{{station}} {{parameter}}",
		}
	}
	ref := influx
	b.Annotations.List = []Annotation{
		{Name: "Annotations & Alerts", Datasource: &Ref{grafana.Type, grafana.UID}, Enable: true, Hide: true, IconColor: skyBlue, BuiltIn: 1, Type: "dashboard"},
		alert("mark_event", "SuddenChange|TreatmentUpset", purple),
		alert("mark_limit", "EffluentOverLimit|RiverOverLimit", vermillion),
		alert("mark_silent", "SensorSilent|StationOffline", grey),
		{
			Name: b.t("mark_maintenance"), Datasource: &ref, Enable: true, Hide: true, IconColor: skyBlue,
			Query:      `SELECT "note", "who", "scope", "until" FROM "maintenance" WHERE ` + where + ` AND $timeFilter`,
			TextColumn: "note", TagsColumn: "scope", TimeEndColumn: "until",
		},
	}
}
