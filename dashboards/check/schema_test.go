package check

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/influxql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"

	"tofuwatch/alerts"
	"tofuwatch/alerts/rules"
	"tofuwatch/dashboards"
	"tofuwatch/ingest"
	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/summary"
	"tofuwatch/internal/simulate"
	"tofuwatch/internal/water"
)

// input is the site that the simulator plays.
func input(t *testing.T) dashboards.Input {
	t.Helper()
	w, err := simulate.New(simulate.Options{Start: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	in := dashboards.Input{
		Site: "semarang", Parameters: parameters.All(), TimeZone: zone,
		InfluxDB: &url.URL{Scheme: "http", Host: "127.0.0.1:8086"}, Database: "water", Dir: "/etc/tofuwatch/grafana",
	}
	stations := w.Stations()
	for i := range stations {
		in.Stations = append(in.Stations, &stations[i])
	}
	return in
}

// someView has something chosen for every variable.
func someView() view {
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	return view{now.Add(-24 * time.Hour), now, map[string][]string{
		"station": {"ipal-01"}, "influent": {"ipal-01-in"}, "river": {"bajak", "tenggang"}, "parameter": {"cod"},
	}}
}

// A measurement is what of it may be asked for.
type measurement struct{ tags, fields []string }

// measurements are what is written, read off the lines that the writers make.
func measurements(t *testing.T) map[string]measurement {
	t.Helper()
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]measurement)
	take := func(lines []byte) {
		for line := range strings.Lines(string(lines)) {
			series, rest, _ := strings.Cut(line, " ")
			fields, _, _ := strings.Cut(rest, " ")
			tags := strings.Split(series, ",")
			m := all[tags[0]]
			for _, tag := range tags[1:] {
				key, _, _ := strings.Cut(tag, "=")
				m.tags = append(m.tags, key)
			}
			for field := range strings.SplitSeq(fields, ",") {
				key, _, _ := strings.Cut(field, "=")
				m.fields = append(m.fields, key)
			}
			all[tags[0]] = m
		}
	}
	station := &water.Station{ID: "ipal-01", River: "bajak", Kind: water.Effluent}
	for _, p := range parameters.All() {
		take(influx.Encode(nil, []water.Observation{{Station: station, Parameter: p, Method: water.Sensor, Value: 1, Flag: water.Good, Time: time.Unix(0, 0)}}))
		for _, span := range water.Spans() {
			s := water.NoSummary(station, p, water.Sensor, span, time.Unix(0, 0))
			s.Mean, s.Min, s.Max, s.Times, s.Load, s.DayAgo, s.WeekAgo = 1, 1, 1, 1, 1, 1, 1
			take(influx.EncodeSummaries(nil, []water.Summary{s}))
		}
		for _, span := range []water.Span{water.Hour, water.Day} {
			take(influx.EncodeRemovals(nil, []water.Removal{{Station: station, Influent: station, Parameter: p, Span: span, Start: time.Unix(0, 0)}}))
		}
	}
	check := water.Check{Reference: 7, Before: 7.1, AfterCleaning: 7, AfterCalibration: 7}
	take(influx.EncodeCare(nil, ingest.Outcome{
		Maintenance: []water.Maintenance{{Station: station, By: "Sari", Note: "cleaning"}},
		Visits:      []water.Visit{{Station: station, Parameter: parameters.All()[0], Check: check, By: "Sari", Note: "buffer"}},
	}))
	return all
}

// metrics are the labels of everything that Prometheus can be asked for.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{
		"ALERTS":                           {"alertname", "alertstate", "severity", "standing", "concerns", "station", "river", "kind", "parameter", "bound"},
		"ALERTS_FOR_STATE":                 {"alertname", "severity", "standing", "concerns", "station", "river", "kind", "parameter", "bound"},
		"up":                               {"job"},
		"process_resident_memory_bytes":    {"job"},
		"process_cpu_seconds_total":        {"job"},
		"alertmanager_notifications_total": {"integration"},
		"alertmanager_notifications_failed_total": {"integration"},
	}
	keeper, err := summary.New(summary.Options{File: t.TempDir() + "/marks", Now: time.Now}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keeper.Close() })
	exporter := alerts.NewExporter(nil)
	for _, c := range []prometheus.Collector{exporter, new(ingest.Metrics), keeper} {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			c.Describe(descs)
		}()
		for d := range descs {
			m := descPattern.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("cannot read %s", d)
			}
			all[m[1]] = strings.Split(m[2], ",")
		}
	}
	files, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range files {
		for _, m := range recordPattern.FindAllSubmatch(data, -1) {
			all[string(m[1])] = []string{"station", "river", "kind", "parameter", "unit", "bound", "statistic"}
		}
	}
	return all
}

var (
	descPattern   = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	recordPattern = regexp.MustCompile(`record: (\S+)`)
)

// Every query parses, and asks only for what the writers write and the exporters
// export.
func TestQueriesNameWhatExists(t *testing.T) {
	written, exported := measurements(t), metrics(t)
	promParser := parser.NewParser(parser.Options{})
	for _, lang := range dashboards.Languages() {
		for name, d := range dashboards.Dashboards(input(t), lang) {
			for _, q := range queries(name, lang, d) {
				if q.influxQL != "" {
					text := someView().fill(q.panel, q.influxQL)
					statement, err := influxql.ParseStatement(text)
					if err != nil {
						t.Errorf("%s: %v in\n%s", q.where, err, text)
						continue
					}
					checkStatement(t, q.where, statement, written)
					continue
				}
				text := someView().fill(q.panel, q.promQL)
				expr, err := promParser.ParseExpr(text)
				if err != nil {
					t.Errorf("%s: %v in\n%s", q.where, err, text)
					continue
				}
				checkExpr(t, q.where, expr, exported)
			}
		}
	}
}

func checkStatement(t *testing.T, where string, s influxql.Statement, written map[string]measurement) {
	t.Helper()
	show, ok := s.(*influxql.ShowTagValuesStatement)
	if ok {
		name := show.Sources[0].(*influxql.Measurement).Name
		if key := show.TagKeyExpr.(*influxql.StringLiteral).Val; !slices.Contains(written[name].tags, key) {
			t.Errorf("%s: %s has no tag %q; have %v", where, name, key, written[name].tags)
		}
		return
	}
	selection, ok := s.(*influxql.SelectStatement)
	if !ok {
		t.Errorf("%s: got %T, want a SELECT", where, s)
		return
	}
	for _, source := range selection.Sources {
		m, ok := source.(*influxql.Measurement)
		if !ok {
			t.Errorf("%s: %s is no measurement; subqueries are not for every InfluxDB", where, source)
			continue
		}
		have, ok := written[m.Name]
		if !ok {
			t.Errorf("%s: nothing is written to %q", where, m.Name)
			continue
		}
		guarded := selection.Condition != nil && regexp.MustCompile(`\b(valid|judged|load_hours) >=? \d`).MatchString(selection.Condition.String())
		influxql.WalkFunc(selection, func(n influxql.Node) {
			switch n := n.(type) {
			case *influxql.VarRef:
				if n.Val != "time" && !slices.Contains(have.tags, n.Val) && !slices.Contains(have.fields, n.Val) {
					t.Errorf("%s: %s has no tag or field %q", where, m.Name, n.Val)
				}
				// See influx.History.PutSummaries: these outlive their values.
				if strings.HasPrefix(m.Name, "water_quality_") && slices.Contains([]string{"mean", "min", "max", "times", "load"}, n.Val) && !guarded {
					t.Errorf("%s: %s is shown also where nothing valid is left of it; want a condition on valid, judged or load_hours", where, n.Val)
				}
			case *influxql.RegexLiteral:
				if !slices.ContainsFunc(have.fields, n.Val.MatchString) && n.Val.String() == `_qc$` {
					t.Errorf("%s: %s has no field like %s", where, m.Name, n)
				}
			}
		})
	}
	if !regexp.MustCompile(`time >= .* AND time <= `).MatchString(selection.Condition.String()) {
		t.Errorf("%s: asks for all times: %s", where, selection)
	}
}

func checkExpr(t *testing.T, where string, expr parser.Expr, exported map[string][]string) {
	t.Helper()
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		labels, ok := exported[s.Name]
		if !ok {
			t.Errorf("%s: no metric %q", where, s.Name)
			return nil
		}
		for _, m := range s.LabelMatchers {
			if m.Name != "__name__" && !slices.Contains(labels, m.Name) {
				t.Errorf("%s: %s has no label %q; have %v", where, s.Name, m.Name, labels)
			}
		}
		return nil
	})
}

// A measurement's names do not depend on values.
func TestSchemaIsWhole(t *testing.T) {
	all := measurements(t)
	for _, name := range []string{influx.HourlyMeasurement, influx.DailyMeasurement, influx.MonthlyMeasurement} {
		for _, field := range influx.SummaryFields() {
			if !slices.Contains(all[name].fields, field) {
				t.Errorf("%s lacks %q", name, field)
			}
		}
	}
}
