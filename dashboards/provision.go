package dashboards

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"tofuwatch/internal/water"
)

// An Input is what is known of a site, and of where its data is.
type Input struct {
	Site       string
	Stations   []*water.Station   // in the order of the site file
	Parameters []*water.Parameter // all that the site knows
	TimeZone   *time.Location

	InfluxDB     *url.URL
	Database     string // 1.x: database; 2.x and 3.x: bucket
	Prometheus   string // URL; empty: its usual port on this machine
	Alertmanager string // the same

	Languages []string // empty: all; the first one is that of the home page
	Dir       string   // where the files will be; absolute
}

// A File is one file of a configuration.
type File struct {
	Name string // relative to Input.Dir
	Data []byte
	Mode fs.FileMode
}

// Home is the dashboard that Grafana opens with.
const Home = riverBoard

// Dashboards returns all dashboards in a language, by the name of their file.
func Dashboards(in Input, lang string) map[string]*Dashboard {
	k := kit{language(lang), &in, used(&in)}
	return map[string]*Dashboard{
		riverBoard:      k.river(),
		stationBoard:    k.station(),
		treatmentBoard:  k.treatment(),
		complianceBoard: k.compliance(),
		sensorsBoard:    k.sensors(),
		systemBoard:     k.system(),
		laboratoryBoard: k.laboratory(),
	}
}

//go:embed datasources.yaml.tmpl
var datasourcesTemplate string

//go:embed dashboards.yaml.tmpl
var providerTemplate string

//go:embed nothing.yaml.tmpl
var nothingTemplate string

//go:embed grafana.env.tmpl
var environmentTemplate string

// Files returns everything that a Grafana needs for a site.
func Files(in Input) ([]File, error) {
	if len(in.Languages) == 0 {
		in.Languages = Languages()
	}
	var files []File
	for _, lang := range in.Languages {
		if !slices.Contains(Languages(), lang) {
			return nil, fmt.Errorf("no language %q; have %s", lang, strings.Join(Languages(), ", "))
		}
		for name, d := range Dashboards(in, lang) {
			data, err := encode(d)
			if err != nil {
				return nil, fmt.Errorf("write dashboard %s: %w", name, err)
			}
			files = append(files, File{path.Join("dashboards", lang, name+".json"), data, 0o644})
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	for _, t := range []struct{ name, text string }{
		{"provisioning/datasources/tofuwatch.yaml", datasourcesTemplate},
		{"provisioning/dashboards/tofuwatch.yaml", providerTemplate},
		// Grafana complains of folders that are missing.
		{"provisioning/alerting/tofuwatch.yaml", nothingTemplate},
		{"provisioning/plugins/tofuwatch.yaml", nothingTemplate},
		{"grafana.env", environmentTemplate},
	} {
		data, err := fill(t.name, t.text, &in)
		if err != nil {
			return nil, err
		}
		files = append(files, File{t.name, data, 0o644})
	}
	return files, nil
}

// encode writes a dashboard as a person can read it.
func encode(d *Dashboard) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(d)
	return b.Bytes(), err
}

func fill(name, text string, in *Input) ([]byte, error) {
	t, err := template.New(name).Delims("[[", "]]").Funcs(template.FuncMap{"quote": quote}).Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, in); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// quote writes s as YAML does in double quotes. Grafana fills in what follows a
// "$", unless that is doubled.
func quote(s string) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(strings.ReplaceAll(s, "$", "$$"))
	return strings.TrimSpace(b.String()), err
}

// Interval is the shortest interval of any sensor: Grafana asks for no finer
// steps.
func (in *Input) Interval() string {
	shortest := time.Hour
	for _, s := range in.Stations {
		for _, i := range s.Instruments {
			shortest = min(shortest, i.Interval)
		}
	}
	return fmt.Sprintf("%ds", max(1, int(shortest.Seconds())))
}

// PrometheusURL is where Prometheus answers.
func (in *Input) PrometheusURL() string { return or(in.Prometheus, "http://127.0.0.1:9090") }

// AlertmanagerURL is where Alertmanager answers.
func (in *Input) AlertmanagerURL() string { return or(in.Alertmanager, "http://127.0.0.1:9093") }

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// DatabaseName is the bucket without the retention policy that 1.x may have in it.
func (in *Input) DatabaseName() string {
	name, _, _ := strings.Cut(in.Database, "/")
	return name
}

// Folder is what the folder of a language is called.
func (in *Input) Folder(lang string) string { return language(lang).t("folder") }

// Path returns where a file will be.
func (in *Input) Path(name string) string { return filepath.Join(in.Dir, name) }

// HomePath is the file of the dashboard that Grafana opens with.
func (in *Input) HomePath() string {
	return in.Path(path.Join("dashboards", in.Languages[0], Home+".json"))
}

// UILanguage is how Grafana names the language of its own words; it has
// Indonesian since version 12.
func (in *Input) UILanguage() string {
	if in.Languages[0] == "id" {
		return "id-ID"
	}
	return "en-US"
}
