package dashboards

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"tofuwatch/internal/simulate"
	"tofuwatch/internal/water"
)

// demonstration is the site that the simulator plays.
func demonstration(t *testing.T) Input {
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
	in := Input{
		Site: "semarang-simulated", Parameters: parameters.All(), TimeZone: zone,
		InfluxDB: &url.URL{Scheme: "http", Host: "127.0.0.1:8086"}, Database: "water/autogen", Dir: "/etc/tofuwatch/grafana",
	}
	stations := w.Stations()
	for i := range stations {
		in.Stations = append(in.Stations, &stations[i])
	}
	return in
}

// eachBoard calls f with every dashboard in every language.
func eachBoard(t *testing.T, f func(t *testing.T, lang, name string, d *Dashboard)) {
	t.Helper()
	for _, lang := range Languages() {
		for name, d := range Dashboards(demonstration(t), lang) {
			t.Run(lang+"/"+name, func(t *testing.T) { f(t, lang, name, d) })
		}
	}
}

func TestStructure(t *testing.T) {
	uids := make(map[string]bool)
	eachBoard(t, func(t *testing.T, lang, _ string, d *Dashboard) {
		if uids[d.UID] || len(d.UID) > 40 {
			t.Errorf("uid %q: want one of its own, of 40 characters at most", d.UID)
		}
		uids[d.UID] = true
		if d.Title == "" || d.Description == "" || d.Editable || d.Timezone != "Asia/Jakarta" || !slices.Contains(d.Tags, "tofuwatch-"+lang) {
			t.Errorf("dashboard %q, %q, editable %t, in %q, with %v", d.Title, d.Description, d.Editable, d.Timezone, d.Tags)
		}
		ids := make(map[int]bool)
		taken := make(map[[2]int]string)
		for _, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 {
				t.Errorf("%s: id %d: want one of its own", p.Title, p.ID)
			}
			ids[p.ID] = true
			g := p.GridPos
			if g.X < 0 || g.W < 1 || g.X+g.W > 24 || g.H < 1 {
				t.Errorf("%s does not fit the page: %+v", p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s lies on %s", p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
			checkPanel(t, p)
		}
	})
}

// checkPanel checks what a person sees of a panel, and what it asks.
func checkPanel(t *testing.T, p *Panel) {
	t.Helper()
	if p.Type == "row" {
		return
	}
	if p.Title == "" || p.Description == "" || p.Datasource == nil || len(p.Targets) == 0 {
		t.Errorf("%q: description %q, data source %v, %d queries; want all of them", p.Title, p.Description, p.Datasource, len(p.Targets))
	}
	if p.Type == "news" || p.Type == "xychart" {
		t.Errorf("%s: %s calls outside, or crashes", p.Title, p.Type)
	}
	f := p.FieldConfig
	if f.Defaults.NoValue == "" {
		t.Errorf("%s says nothing where there is nothing to show", p.Title)
	}
	units := f.Defaults.Unit != ""
	for _, o := range f.Overrides {
		units = units || slices.ContainsFunc(o.Properties, func(p Property) bool { return p.ID == "unit" })
	}
	if !units && slices.Contains([]string{"stat", "timeseries", "status-history"}, p.Type) {
		t.Errorf("%s has no unit", p.Title)
	}
	refs := make(map[string]bool)
	for _, q := range p.Targets {
		if refs[q.RefID] {
			t.Errorf("%s: two queries are %q", p.Title, q.RefID)
		}
		refs[q.RefID] = true
		switch q.Datasource {
		case influx:
			if q.Query == "" || !q.RawQuery || q.ResultFormat == "" {
				t.Errorf("%s, %s: not a whole query of InfluxDB: %+v", p.Title, q.RefID, q)
			}
		case prometheus:
			if q.Expr == "" || q.Instant == q.Range {
				t.Errorf("%s, %s: not a whole query of Prometheus: %+v", p.Title, q.RefID, q)
			}
		default:
			t.Errorf("%s, %s: asks %v, which is not provisioned", p.Title, q.RefID, q.Datasource)
		}
	}
	// A stat stays as it was when a sensor falls silent: one that shows a latest
	// reading has to leave out old ones.
	for _, q := range p.Targets {
		if p.Type == "stat" && strings.Contains(q.Expr, "tofuwatch_reading{") && !strings.Contains(q.Expr, "patience") {
			t.Errorf("%s shows a reading of any age", p.Title)
		}
	}
}

var variablePattern = regexp.MustCompile(`\$\{?([a-zA-Z_]+)`)

// Every variable that a query uses is declared, or Grafana's own.
func TestVariables(t *testing.T) {
	eachBoard(t, func(t *testing.T, _, _ string, d *Dashboard) {
		have := []string{
			"timeFilter", "__interval", "__rate_interval", "tag_station", "tag_parameter", "tag_method", "col",
			"__url_time_range", "__data",
		}
		for _, v := range d.Templating.List {
			have = append(have, v.Name)
			if v.Label == "" || v.Datasource == nil || *v.Datasource != influx && *v.Datasource != prometheus {
				t.Errorf("variable %s: label %q, data source %v", v.Name, v.Label, v.Datasource)
			}
		}
		data, err := json.Marshal(d.Panels)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range d.Annotations.List {
			data = append(data, a.Expr+" "+a.Query...)
		}
		for _, m := range variablePattern.FindAllStringSubmatch(string(data), -1) {
			if !slices.Contains(have, m[1]) {
				t.Errorf("no variable %s; have %v", m[1], have)
			}
		}
	})
}

// Nothing is loaded from the internet.
func TestCallsNobody(t *testing.T) {
	files, err := Files(demonstration(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, address := range regexp.MustCompile(`https?://[^"\s]+`).FindAllString(string(f.Data), -1) {
			if !strings.HasPrefix(address, "http://127.0.0.1:") {
				t.Errorf("%s names %s", f.Name, address)
			}
		}
	}
}

// What Grafana is told of data sources and folders is what the dashboards use.
func TestProvisioning(t *testing.T) {
	files, err := Files(demonstration(t))
	if err != nil {
		t.Fatal(err)
	}
	text := make(map[string][]byte)
	for _, f := range files {
		text[f.Name] = f.Data
	}
	var sources struct {
		Datasources []struct {
			UID, Type, URL string
			Editable       bool
			JSONData       map[string]any `yaml:"jsonData"`
		}
	}
	if err := yaml.Unmarshal(text["provisioning/datasources/tofuwatch.yaml"], &sources); err != nil {
		t.Fatal(err)
	}
	var got []Ref
	for _, s := range sources.Datasources {
		got = append(got, Ref{s.Type, s.UID})
		if s.Editable || s.URL == "" {
			t.Errorf("data source %s: editable %t, at %q", s.UID, s.Editable, s.URL)
		}
		if s.Type == "influxdb" && (s.JSONData["dbName"] != "water" || s.JSONData["timeInterval"] != "120s") {
			t.Errorf("InfluxDB: %v, want the database water and steps of 120s", s.JSONData)
		}
	}
	if diff := cmp.Diff(got, []Ref{influx, prometheus, {"alertmanager", alerting}}); diff != "" {
		t.Errorf("data sources (-got +want):\n%s", diff)
	}
	var providers struct {
		Providers []struct {
			FolderUID       string `yaml:"folderUid"`
			AllowUIUpdates  bool   `yaml:"allowUiUpdates"`
			DisableDeletion bool   `yaml:"disableDeletion"`
			Options         struct{ Path string }
		}
	}
	if err := yaml.Unmarshal(text["provisioning/dashboards/tofuwatch.yaml"], &providers); err != nil {
		t.Fatal(err)
	}
	for i, lang := range Languages() {
		p := providers.Providers[i]
		if p.FolderUID != "tofuwatch-"+lang || p.AllowUIUpdates || !p.DisableDeletion || p.Options.Path != "/etc/tofuwatch/grafana/dashboards/"+lang {
			t.Errorf("provider %+v, want the folder of %s, which nobody can change", p, lang)
		}
	}
	if want := "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH=/etc/tofuwatch/grafana/dashboards/id/river.json\n"; !strings.Contains(string(text["grafana.env"]), want) {
		t.Errorf("environment has no %q:\n%s", want, text["grafana.env"])
	}
}

func TestOneLanguage(t *testing.T) {
	in := demonstration(t)
	in.Languages = []string{"en"}
	files, err := Files(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name, "dashboards/id/") {
			t.Errorf("%s is in another language", f.Name)
		}
	}
	in.Languages = []string{"fr"}
	if _, err := Files(in); err == nil || err.Error() != `no language "fr"; have id, en` {
		t.Errorf("in French: %v", err)
	}
}

// Stations without a place, and a site with a parameter and a name of its own,
// which may hold anything that a person can write.
func TestOddSites(t *testing.T) {
	in := demonstration(t)
	own, err := water.NewParameters(water.Parameter{Code: "alkalinity", Name: `total "alkalinity" $1 \ {}`, Unit: "mg/L", Max: 5000, Source: "Standard Methods 2320 B"})
	if err != nil {
		t.Fatal(err)
	}
	in.Parameters = own.All()
	in.Site = `Semarang "$HOME"`
	in.Stations = []*water.Station{{ID: "a", Name: "A", River: "r", Kind: water.River, Latitude: math.NaN(), Longitude: math.NaN()}}
	files, err := Files(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name) == ".json" && !json.Valid(f.Data) {
			t.Errorf("%s is no JSON", f.Name)
		}
	}
}

// The phrases are used, each of them, and say the same in both languages.
func TestCatalogue(t *testing.T) {
	seen := make(map[string]bool)
	for _, lang := range Languages() {
		files, err := Files(func() Input { in := demonstration(t); in.Languages = []string{lang}; return in }())
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range files {
			all.Write(f.Data)
		}
		for key, texts := range phrases() {
			written, err := json.Marshal(texts[lang])
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(all.String(), strings.Trim(string(written), `"`)) {
				seen[key] = true
			}
		}
	}
	for key := range phrases() {
		if !seen[key] {
			t.Errorf("phrase %s is not shown anywhere", key)
		}
	}
	if _, err := parseCatalogue([]byte("a: {id: b}\n")); err == nil || err.Error() != `phrase a: has no "en"` {
		t.Errorf("half a phrase: %v", err)
	}
}

// The generated files are those that the generator writes now. "make generated"
// says so, too, and mends it.
func TestGenerated(t *testing.T) {
	in := demonstration(t)
	files, err := Files(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, ok := strings.CutPrefix(f.Name, "dashboards/")
		if !ok {
			continue
		}
		got, err := os.ReadFile(filepath.Join("generated", name))
		if err != nil {
			t.Fatalf("%v; run \"make generate\"", err)
		}
		if string(got) != string(f.Data) {
			t.Errorf("generated/%s is out of date; run \"make generate\"", name)
		}
	}
}

// A map looks where the stations are.
func TestView(t *testing.T) {
	in := demonstration(t)
	k := kit{"en", &in, used(&in)}
	lat, lon, zoom := k.view()
	if got := fmt.Sprintf("%.3f %.3f %.1f", lat, lon, zoom); got != "-6.987 110.449 12.9" {
		t.Errorf("view is %s, want the middle of the stations", got)
	}
	in.Stations = nil
	if _, _, zoom := k.view(); zoom != 1 {
		t.Errorf("zoom without stations is %v, want 1", zoom)
	}
}
