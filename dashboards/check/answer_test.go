package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tofuwatch/dashboards"
	"tofuwatch/ingest/influx"
	"tofuwatch/internal/simulate"
	"tofuwatch/internal/stack"
	"tofuwatch/internal/testenv"
	"tofuwatch/internal/water"
)

// silentStation sends nothing any more since silentFor.
const (
	silentStation = "tenggang-hilir"
	silentFor     = 26 * time.Hour
)

// running starts a whole site with 16 days behind it, in which instruments lie and
// one station fell silent.
func running(t *testing.T) *stack.Stack {
	t.Helper()
	tools := filepath.Dir(testenv.Program(t, "influxd"))
	testenv.Program(t, "alertmanager")
	testenv.Program(t, "prometheus")
	testenv.Program(t, "mosquitto")
	now := time.Now().UTC().Truncate(time.Second)
	o := stack.Options{
		Dir: t.TempDir(), Tools: tools, Tofuwatch: testenv.Command(t), FreePorts: true, Eager: true,
		World: simulate.Options{Scenario: simulate.SensorFaults, Seed: 1, Start: now.AddDate(0, 0, -16), Incident: now.Add(-40 * time.Minute)},
		Skip: func(m simulate.Message) bool {
			return m.Station == silentStation && m.Time.After(now.Add(-silentFor))
		},
		// One outlet is under a limit for the mean of a day, too.
		EditSite: func(site string) string {
			return strings.Replace(site, "[id-permenlh-5-2014-tofu, id-jateng-5-2012-tofu]", "[id-permenlh-5-2014-tofu, id-jateng-5-2012-tofu, jp-uniform]", 1)
		},
		Prepare: func(ctx context.Context, s *stack.Stack) error { return post(ctx, s.InfluxDB, byHand(t, s, now)) },
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := stack.Start(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	})
	started := time.Now()
	testenv.Within(t, 2*time.Minute, func() error { return s.Settled(t.Context()) })
	t.Logf("16 days of %d stations is stored and summarised after %s", len(stationsOf(s)), time.Since(started).Round(time.Second))
	return s
}

func stationsOf(s *stack.Stack) []water.Station { return s.World.Stations() }

// byHand returns what no sensor measures: laboratory results, estimates, and what
// people note of their work.
func byHand(t *testing.T, s *stack.Stack, now time.Time) []byte {
	t.Helper()
	parameters, err := water.NewParameters()
	if err != nil {
		t.Error(err)
		return nil
	}
	var lines []byte
	stations := s.World.Stations()
	for i := range stations {
		var all []water.Observation
		for _, m := range []water.Method{water.Lab, water.Estimate} {
			for _, days := range []int{12, 6, 1} {
				for _, code := range []string{"bod", "cod", "tss", "ph"} {
					all = append(all, water.Observation{
						Station: &stations[i], Parameter: parameters.Lookup([]byte(code)), Method: m,
						Value: 7, Flag: water.Good, Time: now.AddDate(0, 0, -days),
					})
				}
			}
		}
		lines = influx.Encode(lines, all)
		lines = fmt.Appendf(lines, "maintenance,scope=all,station=%s until=%di,who=\"Sari\",note=\"cleaning\" %d\n",
			stations[i].ID, now.Add(-time.Hour).UnixMilli(), now.Add(-2*time.Hour).UnixNano())
		lines = fmt.Appendf(lines, "calibration,parameter=ph,station=%s reference=7,before=7.1,after_cleaning=7.05,after_calibration=7,who=\"Sari\" %d\n",
			stations[i].ID, now.AddDate(0, 0, -9).UnixNano())
	}
	return lines
}

func post(ctx context.Context, influxdb string, lines []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, influxdb+"/write?db=water", bytes.NewReader(lines))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("write by hand: %s: %s", response.Status, text)
	}
	return nil
}

// A point is one value of an answer.
type point struct {
	series string
	labels map[string]string
	time   time.Time
	value  float64
}

// ask sends a query as Grafana does and returns the points of its answer, without
// those that have no value.
func ask(s *stack.Stack, v view, q query) ([]point, error) {
	v = v.during(q.panel)
	if q.influxQL != "" {
		return askInfluxDB(s, v.fill(q.panel, q.influxQL))
	}
	form := url.Values{"query": {v.fill(q.panel, q.promQL)}, "time": {fmt.Sprint(v.to.Unix())}}
	path := "/api/v1/query"
	if !q.instant {
		path = "/api/v1/query_range"
		form = url.Values{
			"query": form["query"], "start": {fmt.Sprint(v.from.Unix())}, "end": {fmt.Sprint(v.to.Unix())},
			"step": {fmt.Sprint(int(v.step(q.panel).Seconds()))},
		}
	}
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  []any
				Values [][]any
			}
		}
	}
	if err := fetch(s.Prometheus+path, form, &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s in\n%s", answer.Error, form.Get("query"))
	}
	var points []point
	for _, r := range answer.Data.Result {
		if r.Value != nil {
			r.Values = append(r.Values, r.Value)
		}
		for _, pair := range r.Values {
			var value float64
			if _, err := fmt.Sscan(pair[1].(string), &value); err != nil || value != value {
				continue // NaN
			}
			points = append(points, point{fmt.Sprint(r.Metric), r.Metric, time.UnixMilli(int64(pair[0].(float64) * 1000)), value})
		}
	}
	return points, nil
}

func askInfluxDB(s *stack.Stack, text string) ([]point, error) {
	var answer struct {
		Error   string
		Results []struct {
			Error  string
			Series []struct {
				Name    string
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	if err := fetch(s.InfluxDB+"/query", url.Values{"db": {s.Database}, "q": {text}, "epoch": {"ms"}}, &answer); err != nil {
		return nil, err
	}
	for _, r := range answer.Results {
		answer.Error += r.Error
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s in\n%s", answer.Error, text)
	}
	var points []point
	for _, r := range answer.Results {
		for _, series := range r.Series {
			for _, row := range series.Values {
				if series.Columns[0] != "time" { // of SHOW TAG VALUES
					points = append(points, point{series: fmt.Sprint(row...)})
					continue
				}
				for i, cell := range row[1:] {
					if value, ok := cell.(float64); ok {
						points = append(points, point{
							fmt.Sprint(series.Tags, " ", series.Columns[i+1]), series.Tags, time.UnixMilli(int64(row[0].(float64))), value,
						})
					}
				}
			}
		}
	}
	return points, nil
}

func fetch(address string, form url.Values, answer any) error {
	response, err := (&http.Client{Timeout: time.Minute}).PostForm(address, form)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("read the answer of %s to %s: %w", address, form, err)
	}
	return nil
}

// chosen returns what a person sees who looks at a station and a parameter, and
// has not narrowed down anything else.
func chosen(s *stack.Stack, d *dashboards.Dashboard, station, parameter string, now time.Time) view {
	v := view{start(d, now), now, map[string][]string{
		"station": {station}, "parameter": {parameter}, "influent": {"ipal-01-in"},
		"river": {"bajak", "banjir-kanal-timur", "tenggang"},
	}}
	for _, variable := range d.Templating.List {
		if variable.Name == "station" && variable.Multi {
			v.vars["station"] = nil
			for _, st := range s.World.Stations() {
				v.vars["station"] = append(v.vars["station"], st.ID)
			}
		}
		if variable.Name == "parameter" && variable.Multi && d.Title != "" && !repeats(d) {
			v.vars["parameter"] = []string{"bod", "cod", "ph", "tss", "temperature", "do"}
		}
	}
	return v
}

// repeats reports whether a panel is shown once for each parameter.
func repeats(d *dashboards.Dashboard) bool {
	return slices.ContainsFunc(d.Panels, func(p *dashboards.Panel) bool { return p.Repeat == "parameter" })
}

// Every query of every panel gives rows, and none of a silent station looks as if
// it still reported.
func TestQueriesAnswer(t *testing.T) {
	s := running(t)
	lang := dashboards.Languages()[0] // the other has the same queries but for their words
	all := dashboards.Dashboards(input(t), lang)

	// Alerts and rates need some scrapes.
	var unanswered []string
	rows := make(map[string]int)
	testenv.Within(t, 2*time.Minute, func() error {
		now := time.Now()
		unanswered, rows = nil, make(map[string]int)
		for name, d := range all {
			for _, q := range queries(name, lang, d) {
				n := 0
				// tss at ipal-01 has a limit for the mean of a day, ph at bkt-hulu bad values.
				for _, look := range [][2]string{{"ipal-01", "tss"}, {"bkt-hulu", "ph"}} {
					points, err := ask(s, chosen(s, d, look[0], look[1], now), q)
					if err != nil {
						t.Fatalf("%s: %v", q.where, err)
					}
					n += len(points)
				}
				rows[name] += n
				if n == 0 && q.refID != "annotation" {
					unanswered = append(unanswered, q.where)
				}
			}
		}
		if unanswered != nil {
			return fmt.Errorf("no rows for\n%s", strings.Join(unanswered, "\n"))
		}
		return nil
	})
	for _, name := range []string{"river", "station", "treatment", "compliance", "sensors", "system", "laboratory"} {
		t.Logf("%-10s %2d panels, %2d queries, %6d values", name, len(all[name].Panels), len(queries(name, lang, all[name])), rows[name])
	}

	t.Run("a silent station", func(t *testing.T) { testSilence(t, s, all, lang) })
}

// later are the queries that say something of a silent station all the same: what
// was a week before, limits, and the day that the silence began in.
var later = []string{"week", "limit", "mean_limit", "day"}

func testSilence(t *testing.T, s *stack.Stack, all map[string]*dashboards.Dashboard, lang string) {
	now := time.Now()
	silentSince := now.Add(-silentFor + time.Hour)
	for _, name := range []string{"station", "treatment"} {
		d := all[name]
		for _, q := range queries(name, lang, d) {
			if slices.Contains(later, q.refID) || strings.HasPrefix(q.refID, "$") || q.refID == "annotation" || q.refID == "others" {
				continue
			}
			points, err := ask(s, chosen(s, d, silentStation, "cod", now), q)
			if err != nil {
				t.Fatalf("%s: %v", q.where, err)
			}
			for _, p := range points {
				if q.instant || p.time.Before(silentSince) || strings.Contains(q.influxQL, "$influent") {
					continue
				}
				if p.value != 0 { // a share of 0 says that nothing came
					t.Errorf("%s: at %s, in silence, %s is %v", q.where, p.time, p.series, p.value)
					break
				}
			}
		}
	}
	// Where a person looks first.
	for _, look := range []struct {
		board, title, refID string
		labels              map[string]string
		least, most         float64
	}{
		{"river", "river_list", "state", map[string]string{"station": silentStation}, 2, 2},
		{"river", "river_list", "age", map[string]string{"station": silentStation}, 25 * 3600, 27 * 3600},
		{"river", "river_counts", "state_silent", nil, 1, 1},
		{"river", "river_map", "stations", map[string]string{"station": silentStation}, 2, 2},
		{"station", "station_state", "A", nil, 2, 2},
		{"station", "station_age", "A", nil, 25 * 3600, 27 * 3600},
		{"station", "station_silent", "A", nil, 9, 9}, // all of its sensors
		{"station", "station_latest", "age", map[string]string{"parameter": "cod"}, 25 * 3600, 27 * 3600},
		{"sensors", "sensors_list", "state", map[string]string{"station": silentStation, "parameter": "cod"}, 3, 3},
		{"sensors", "sensors_day", "A", map[string]string{"station": silentStation, "parameter": "cod"}, 0, 12 * 24},
	} {
		d := all[look.board]
		title := phrase(t, lang, look.title)
		found := false
		for _, q := range queries(look.board, lang, d) {
			if q.panel.Title != title || q.refID != look.refID {
				continue
			}
			points, err := ask(s, chosen(s, d, silentStation, "cod", now), q)
			if err != nil {
				t.Fatalf("%s: %v", q.where, err)
			}
			for _, p := range points {
				if !matches(p.labels, look.labels) {
					continue
				}
				found = true
				if p.value < look.least || p.value > look.most {
					t.Errorf("%s: %s is %v, want %v to %v", q.where, p.series, p.value, look.least, look.most)
				}
			}
		}
		if !found {
			t.Errorf("%s, %q says nothing of the silent station", look.board, title)
		}
	}
}

func matches(labels, want map[string]string) bool {
	for name, value := range want {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// phrase returns what the title of a panel is in a language.
func phrase(t *testing.T, lang, key string) string {
	t.Helper()
	text, ok := dashboards.Phrase(lang, key)
	if !ok {
		t.Fatalf("no phrase %q", key)
	}
	return text
}
