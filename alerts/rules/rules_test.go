package rules_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"tofuwatch/alerts"
	"tofuwatch/alerts/rules"
	"tofuwatch/ingest"
	"tofuwatch/ingest/care"
	"tofuwatch/internal/machine"
	"tofuwatch/internal/testenv"
	"tofuwatch/internal/water"
)

// ruleFile is a rule file as Prometheus reads it.
type ruleFile struct {
	Groups []struct {
		Name     string
		Interval string
		Rules    []rule
	}
}

type rule struct {
	Record, Alert, Expr string
	For                 string
	KeepFiringFor       string `yaml:"keep_firing_for"`
	Labels, Annotations map[string]string
}

// all returns the rules of every file.
func all(t *testing.T) []rule {
	t.Helper()
	files, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	var found []rule
	for name, data := range files {
		var f ruleFile
		dec := yaml.NewDecoder(strings.NewReader(string(data)))
		dec.KnownFields(true)
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range f.Groups {
			found = append(found, g.Rules...)
		}
	}
	return found
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	files, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"check", "rules"}
	for name := range files {
		args = append(args, name)
	}
	promtool(t, args...)
}

func TestRulesDoWhatTheirTestsSay(t *testing.T) {
	files, err := filepath.Glob("*_test.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("find tests: got %d files, error %v; want some", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, "_test.yml"), func(t *testing.T) {
			t.Parallel()
			promtool(t, "test", "rules", file)
		})
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), testenv.Program(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertsAreDescribed(t *testing.T) {
	sections := runbook(t)
	named := make(map[string]bool)
	for _, r := range all(t) {
		if r.Alert == "" {
			continue
		}
		named[r.Alert] = true
		for _, key := range []string{"summary", "description"} {
			if r.Annotations[key] == "" {
				t.Errorf("%s: no annotation %q", r.Alert, key)
			}
		}
		switch s := r.Labels["severity"]; s {
		case "info", "warning", "critical":
		default:
			t.Errorf("%s: got severity %q, want info, warning or critical", r.Alert, s)
		}
		if (r.Labels["standing"] == "") == (r.Labels["concerns"] == "") {
			t.Errorf("%s: got labels %v, want either standing or concerns", r.Alert, r.Labels)
		}
		want := "docs/alerts.md#" + strings.ToLower(r.Alert)
		if got := r.Annotations["runbook"]; got != want {
			t.Errorf("%s: got runbook %q, want %q", r.Alert, got, want)
		}
		if !sections[r.Alert] {
			t.Errorf("%s: docs/alerts.md has no section of that name", r.Alert)
		}
	}
	for section := range sections {
		if !named[section] {
			t.Errorf("docs/alerts.md: section %q: there is no such alert", section)
		}
	}
}

// runbook returns the sections of docs/alerts.md.
func runbook(t *testing.T) map[string]bool {
	t.Helper()
	data, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(data), -1) {
		sections[m[1]] = true
	}
	return sections
}

var (
	metricName   = regexp.MustCompile(`\btofuwatch_[a-z_]+\b`)
	recordedName = regexp.MustCompile(`\btofuwatch:[a-z0-9_:]+`)
	descName     = regexp.MustCompile(`fqName: "([^"]+)"`)
)

func TestMetricsInRulesExist(t *testing.T) {
	exist := make(map[string]bool)
	for _, c := range []prometheus.Collector{
		alerts.NewExporter(nil),
		care.NewBook(care.Options{}),
		machine.NewMetrics("/"),
		ingest.NewMetrics(
			ingest.NewPipeline(ingest.Options{}, nil, nil, nil),
			func() ingest.SpoolHealth { return ingest.SpoolHealth{Oldest: time.Unix(1, 0)} },
			func() bool { return true }, func() bool { return true },
		),
	} {
		descs := make(chan *prometheus.Desc)
		go func() {
			defer close(descs)
			c.Describe(descs)
		}()
		for d := range descs {
			exist[descName.FindStringSubmatch(d.String())[1]] = true
		}
	}
	recorded, used := make(map[string]bool), make(map[string]bool)
	for _, r := range all(t) {
		if r.Record != "" {
			recorded[r.Record] = true
		}
	}
	for _, r := range all(t) {
		texts := []string{r.Expr}
		for _, text := range r.Annotations {
			texts = append(texts, text)
		}
		for _, text := range texts {
			for _, name := range metricName.FindAllString(text, -1) {
				if !exist[name] {
					t.Errorf("%s%s: there is no metric %s", r.Alert, r.Record, name)
				}
			}
			for _, name := range recordedName.FindAllString(text, -1) {
				used[name] = true
				// The end of a name may be a choice that a template makes.
				if !recorded[name] && !strings.HasSuffix(name, "_") {
					t.Errorf("%s%s: nothing records %s", r.Alert, r.Record, name)
				}
				if strings.HasSuffix(name, "_") {
					for other := range recorded {
						used[other] = used[other] || strings.HasPrefix(other, name)
					}
				}
			}
		}
	}
	for name := range recorded {
		if !used[name] {
			t.Errorf("nothing uses %s", name)
		}
	}
}

// Parameters named in the rules are those that Tofuwatch has.
func TestParametersInRulesExist(t *testing.T) {
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	selector := regexp.MustCompile(`parameter(?:=|!=|=~|!~)"([a-z0-9_|]+)"`)
	for _, r := range all(t) {
		for _, m := range selector.FindAllStringSubmatch(r.Expr, -1) {
			for code := range strings.SplitSeq(m[1], "|") {
				if p := parameters.Lookup([]byte(code)); p == nil || p.Code != code {
					t.Errorf("%s%s: there is no parameter %q", r.Alert, r.Record, code)
				}
			}
		}
	}
}
