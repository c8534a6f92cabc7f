package mail

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
	"tofuwatch/internal/water"
)

// testSite has a station with every kind, one of them on no map, and a
// parameter of its own.
func testSite(t testing.TB) Site {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	parameters, err := water.NewParameters(water.Parameter{Code: "alkalinity", Name: "total alkalinity", Unit: "mg/L", Max: 5000})
	if err != nil {
		t.Fatal(err)
	}
	return Site{
		Name: "semarang", TimeZone: zone, Parameters: parameters.All(),
		Stations: []*water.Station{
			{ID: "ipal-01", Name: "IPAL Bajak", River: "bajak", Kind: water.Effluent, Latitude: -7.0051, Longitude: 110.4381},
			{ID: "ipal-01-in", Name: "IPAL Bajak, masuk", River: "bajak", Kind: water.Influent, Latitude: nan, Longitude: nan},
			{ID: "tenggang-hilir", Name: "Kali Tenggang <hilir>", River: "kali-tenggang", Kind: water.River, Latitude: -6.96, Longitude: 110.455},
		},
	}
}

// sent is when the samples are sent: 24 November 2026, 14.05 WIB.
var sent = time.Date(2026, 11, 24, 7, 5, 0, 0, time.UTC)

func samples() []Sample { return Samples("ipal-01", "tenggang-hilir", sent) }

func TestMessages(t *testing.T) {
	r, err := NewRenderer(testSite(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples() {
		for _, language := range Languages() {
			t.Run(s.Name+"/"+language, func(t *testing.T) {
				m, err := r.Message(language, s.Data)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join("testdata", "messages", s.Name+"."+language)
				golden(t, file+".txt", "Subject: "+m.Subject+"\n\n"+m.Text)
				golden(t, file+".html", m.HTML)
			})
		}
	}
}

// golden compares got with a file, or writes it if UPDATE is set.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), UPDATE=1 rewrites it:\n%s", file, diff)
	}
}

// Alertmanager's own engine has to make of the templates what ours does.
func TestMessagesAreAlertmanagers(t *testing.T) {
	amtool := testenv.Program(t, "amtool")
	site := testSite(t)
	r, err := NewRenderer(site)
	if err != nil {
		t.Fatal(err)
	}
	templates, err := Templates(site)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "tofuwatch.tmpl")
	if err := os.WriteFile(file, templates, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range samples() {
		data, err := json.Marshal(s.Data)
		if err != nil {
			t.Fatal(err)
		}
		dataFile := filepath.Join(dir, s.Name+".json")
		if err := os.WriteFile(dataFile, data, 0o600); err != nil {
			t.Fatal(err)
		}
		// The parts that are text in one go, and those that are HTML.
		const between = "\n=====\n"
		var want, got [2][]string
		for _, language := range Languages() {
			m, err := r.Message(language, s.Data)
			if err != nil {
				t.Fatal(err)
			}
			want[0] = append(want[0], m.Subject, m.Text)
			want[1] = append(want[1], m.HTML)
		}
		for i, kind := range []string{"text", "html"} {
			var calls []string
			for _, language := range Languages() {
				for _, part := range [][]string{{"subject", "text"}, {"html"}}[i] {
					calls = append(calls, `{{ template "tofuwatch.`+language+"."+part+`" . }}`)
				}
			}
			cmd := exec.CommandContext(t.Context(), amtool, "template", "render", "--template.glob", file, "--template.type", kind,
				"--template.data", dataFile, "--template.text", strings.Join(calls, between))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("amtool: %v: %s", err, stderr.String())
			}
			got[i] = strings.Split(string(out), between)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-ours +Alertmanager's):\n%s", s.Name, diff)
		}
	}
}

func TestSubjectsSayItAtOnce(t *testing.T) {
	r, err := NewRenderer(testSite(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples() {
		for _, language := range Languages() {
			m, err := r.Message(language, s.Data)
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(m.Subject, "\r\n\t") || m.Subject != strings.TrimSpace(m.Subject) {
				t.Errorf("%s, %s: got subject %q, want one trimmed line", s.Name, language, m.Subject)
			}
			if !strings.Contains(m.Text, "\n") {
				t.Errorf("%s, %s: got text of one line", s.Name, language)
			}
			for _, part := range []string{m.Subject, m.Text, m.HTML} {
				for _, wrong := range []string{"<no value>", "{{", "[[", "%!", "RESOLVED", "ZgotmplZ", "{river}"} {
					if strings.Contains(part, wrong) {
						t.Errorf("%s, %s: got %q in the mail", s.Name, language, wrong)
					}
				}
			}
		}
	}
}

func TestSamplesSayThatTheyAre(t *testing.T) {
	r, err := NewRenderer(testSite(t))
	if err != nil {
		t.Fatal(err)
	}
	for language, want := range map[string][2]string{"id": {"CONTOH: DARURAT: ", "INI HANYA CONTOH"}, "en": {"SAMPLE: EMERGENCY: ", "THIS IS ONLY A SAMPLE"}} {
		m, err := r.Message(language, samples()[0].Data)
		if err != nil {
			t.Fatal(err)
		}
		got := m.AsSample(language)
		if !strings.HasPrefix(got.Subject, want[0]) || !strings.HasPrefix(got.Text, want[1]) {
			t.Errorf("got subject %q and text %q, want them to begin with %q and %q", got.Subject, got.Text, want[0], want[1])
		}
		if body := got.HTML[strings.Index(got.HTML, "<body"):]; !strings.Contains(body, want[1]) {
			t.Errorf("got HTML %q, want %q in its body", got.HTML, want[1])
		}
	}
}
