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

func TestNumbersAndDatesAreWrittenAsPeopleDo(t *testing.T) {
	r, err := NewRenderer(testSite(t))
	if err != nil {
		t.Fatal(err)
	}
	render := func(name string, data any) string {
		t.Helper()
		var b strings.Builder
		if err := r.text.ExecuteTemplate(&b, "tofuwatch."+name, data); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, test := range []struct{ number, id, en string }{
		{"0", "0", "0"},
		{"300", "300", "300"},
		{"7.10", "7,1", "7.1"},
		{"7.199999809", "7,199", "7.199"},
		{"0.0600", "0,06", "0.06"},
		{"14.467", "14,46", "14.46"},
		{"286.49999999999994", "286,4", "286.4"},
		{"999.95", "999,9", "999.9"},
		{"1000", "1.000", "1,000"},
		{"4213.5", "4.213", "4,213"},
		{"123456", "123.456", "123,456"},
		{"1e+06", "1.000.000", "1,000,000"},
		{"1.6e+06", "1.600.000", "1,600,000"},
		{"1.23456789e+08", "123.456.789", "123,456,789"},
		{"1e+10", "10.000.000.000", "10,000,000,000"},
		{"-1.25", "-1,25", "-1.25"},
		{"-9999", "-9.999", "-9,999"},
	} {
		if got := render("id.number", test.number); got != test.id {
			t.Errorf("%s in Indonesian: got %s, want %s", test.number, got, test.id)
		}
		if got := render("en.number", test.number); got != test.en {
			t.Errorf("%s in English: got %s, want %s", test.number, got, test.en)
		}
	}
	for _, test := range []struct{ sampled, id, en string }{
		{"1795503900", "24 November 2026 pukul 14.05 WIB", "24 November 2026, 14:05 WIB"},
		{"1000000000", "9 September 2001 pukul 08.46 WIB", "9 September 2001, 08:46 WIB"},
		{"2147483647", "19 Januari 2038 pukul 10.14 WIB", "19 January 2038, 10:14 WIB"},
		{"9999999999", "21 November 2286 pukul 00.46 WIB", "21 November 2286, 00:46 WIB"},
		{"1798736399", "31 Desember 2026 pukul 23.59 WIB", "31 December 2026, 23:59 WIB"},
		{"-432000", "", ""},
		{"", "", ""},
	} {
		a := Alert{Annotations: map[string]string{"sampled": test.sampled}, StartsAt: sent}
		if got := render("id.sampled", a); got != test.id {
			t.Errorf("%s in Indonesian: got %q, want %q", test.sampled, got, test.id)
		}
		if got := render("en.sampled", a); got != test.en {
			t.Errorf("%s in English: got %q, want %q", test.sampled, got, test.en)
		}
	}
}
