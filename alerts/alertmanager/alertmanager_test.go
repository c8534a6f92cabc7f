package alertmanager

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/alerts/mail"
	"tofuwatch/alerts/rules"
	"tofuwatch/internal/testenv"
	"tofuwatch/internal/water"
)

// input is a site in which the recipients differ in all that decides who is
// told: Ibu Sri of the river Bajak in Indonesian, the operator of one station
// and of emergencies only, Pak Budi of a river and a station of another, and the
// administrator of everything.
func input(t testing.TB, dir string) Input {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	station := func(id, river string, kind water.Kind) *water.Station {
		return &water.Station{ID: id, Name: id, River: river, Kind: kind, Latitude: -7, Longitude: 110.4}
	}
	return Input{
		Site: mail.Site{
			Name: "semarang", TimeZone: zone, Parameters: parameters.All(),
			Stations: []*water.Station{
				station("ipal-01", "bajak", water.Effluent), station("bajak-hilir", "bajak", water.River),
				station("tenggang-hulu", "tenggang", water.River), station("tenggang-hilir", "tenggang", water.River),
			},
		},
		Recipients: []Recipient{
			{Name: "Ibu Sri", Email: "sri@example.org", Language: "id", Rivers: []string{"bajak"}, Severity: "warning"},
			{Name: "Operator", Email: "operator@example.org", Language: "en", Stations: []string{"ipal-01"}, Severity: "critical"},
			{Name: `Pak "Budi": #1`, Email: "budi@example.org", Language: "id", Rivers: []string{"bajak"}, Stations: []string{"tenggang-hulu"}, Severity: "warning"},
			{Name: "Administrator", Email: "admin@example.org", Language: "en", Severity: "warning"},
		},
		SMTP:     SMTP{Host: "mail.example.org", Port: 587, TLS: "starttls", From: "tofuwatch@example.org", Username: "tofuwatch", Password: "se:cret #1"},
		Ingester: "0.0.0.0:9464",
		Dir:      dir,
	}
}

// render writes Alertmanager's files for in into a folder and returns it.
func render(t testing.TB, in Input) string {
	t.Helper()
	files, err := Alertmanager(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(in.Dir, files); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(in.Dir, "alertmanager.yml")
}

// output runs a program that has to succeed and returns its standard output.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

func TestRoutes(t *testing.T) {
	amtool := testenv.Program(t, "amtool")
	config := render(t, input(t, t.TempDir()))
	const sri, operator, budi, admin = "Ibu Sri", "Operator", `Pak "Budi": #1`, "Administrator"
	everybody := []string{sri, operator, budi, admin}
	for _, test := range []struct {
		name   string
		labels string // beside them what every alert of the kind has
		want   []string
	}{
		{"an emergency at an outlet", "alertname=EffluentOverLimit severity=critical standing=no station=ipal-01 river=bajak parameter=cod bound=max", everybody},
		{"an emergency on its river", "alertname=RiverOverLimit severity=critical standing=no station=bajak-hilir river=bajak parameter=bod bound=max", []string{sri, budi, admin}},
		{"an emergency at the one station of another river", "alertname=RiverOverLimit severity=critical standing=no station=tenggang-hulu river=tenggang", []string{budi, admin}},
		{"an emergency at a station nobody chose", "alertname=RiverOverLimit severity=critical standing=no station=tenggang-hilir river=tenggang", []string{admin}},
		{"an emergency at a station newer than the configuration", "alertname=RiverOverLimit severity=critical standing=no station=tenggang-hilir-2 river=tenggang", []string{admin}},
		{"far over the limit as always", "alertname=EffluentOverLimit severity=critical standing=yes station=ipal-01 river=bajak", everybody},
		{"a sudden change", "alertname=SuddenChange severity=critical standing=no station=ipal-01 river=bajak parameter=cod", everybody},
		{"an upset", "alertname=TreatmentUpset severity=critical standing=no station=ipal-01 river=bajak parameter=ph", everybody},
		{"over the limit for the first time", "alertname=EffluentOverLimit severity=warning standing=no station=ipal-01 river=bajak", []string{sri, budi, admin}},
		{"over the limit as always", "alertname=EffluentOverLimit severity=warning standing=yes station=ipal-01 river=bajak", []string{sri, budi, admin}},
		{"a river over the limit as always", "alertname=RiverOverLimit severity=warning standing=yes station=tenggang-hulu river=tenggang", []string{budi, admin}},
		{"the all-clear after an emergency", "alertname=EmergencyOver severity=info standing=no told=critical station=ipal-01 river=bajak", everybody},
		{"the all-clear after a warning", "alertname=LimitKeptAgain severity=info standing=no told=warning station=ipal-01 river=bajak", []string{sri, budi, admin}},
		{"the all-clear after what the digest told", "alertname=LimitKeptAgain severity=info told=warning standing=yes station=ipal-01 river=bajak", nil},
		{"a late result, which knows no river", "alertname=LateExceedance severity=warning standing=no station=bajak-hilir parameter=bod bound=max method=lab", []string{sri, budi, admin}},
		{"a late result elsewhere", "alertname=LateExceedance severity=warning standing=no station=tenggang-hilir parameter=bod bound=max method=lab", []string{admin}},
		{"a silent sensor", "alertname=SensorSilent severity=warning standing=no station=ipal-01 river=bajak parameter=cod", []string{sri, budi, admin}},
		{"a silent station", "alertname=StationOffline severity=warning standing=no station=tenggang-hulu river=tenggang", []string{budi, admin}},
		{"a doubtful sensor", "alertname=SensorSuspect severity=warning standing=no station=bajak-hilir river=bajak parameter=ph", []string{sri, budi, admin}},
		{"nobody watches", "alertname=IngesterDown severity=critical concerns=system", everybody},
		{"the database", "alertname=DatabaseUnavailable severity=warning concerns=system", []string{admin}},
		{"dead letters", "alertname=ReadingsRefused severity=warning concerns=system reason=bad_time", []string{admin}},
		{"the mail", "alertname=MailFailing severity=critical concerns=system reason=other", []string{admin}},
		{"a mail server that does not answer", "alertname=MailFailing severity=critical concerns=system reason=unanswered", []string{admin}},
		{"a warning of somebody's own rule", "alertname=Own severity=warning station=ipal-01", []string{sri, budi, admin}},
		{"what is of no severity", "alertname=Own station=ipal-01", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			// amtool joins the receivers with commas, which no name here has.
			out := output(t, amtool, append([]string{"config", "routes", "test", "--config.file", config}, strings.Fields(test.labels)...)...)
			got := slices.DeleteFunc(strings.Split(strings.TrimSpace(out), ","), func(r string) bool { return r == "nobody" })
			slices.Sort(got)
			want := slices.Sorted(slices.Values(test.want))
			if diff := cmp.Diff(want, slices.Compact(got)); diff != "" && len(got)+len(want) > 0 {
				t.Errorf("receivers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSystemAlertsGoToSomebody(t *testing.T) {
	amtool := testenv.Program(t, "amtool")
	in := input(t, t.TempDir())
	in.Recipients = in.Recipients[:2] // nobody is told of everything
	config := render(t, in)
	for alert, want := range map[string]string{
		"alertname=MailFailing severity=critical":        "Ibu Sri,Operator\n",
		"alertname=DatabaseUnavailable severity=warning": "Ibu Sri\n",
	} {
		args := append([]string{"config", "routes", "test", "--config.file", config, "concerns=system"}, strings.Fields(alert)...)
		if got := output(t, amtool, args...); got != want {
			t.Errorf("%s: got receivers %q, want %q", alert, got, want)
		}
	}
}

func TestAlertmanagerTakesTheConfiguration(t *testing.T) {
	amtool := testenv.Program(t, "amtool")
	for name, change := range map[string]func(*Input){
		"with a login":            func(*Input) {},
		"without a login":         func(in *Input) { in.SMTP.Username = "" },
		"with implicit TLS":       func(in *Input) { in.SMTP.TLS, in.SMTP.Port = "implicit", 465 },
		"on this machine":         func(in *Input) { in.SMTP = SMTP{Host: "127.0.0.1", Port: 25, TLS: "none", From: "a@b"} },
		"a river with no station": func(in *Input) { in.Recipients[0].Rivers = []string{"garang"} },
		"fast": func(in *Input) {
			in.Times = DefaultTimes()
			in.Times.EmergencyWait = 1500 * time.Millisecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, t.TempDir())
			change(&in)
			out := output(t, amtool, "check-config", render(t, in))
			if !strings.Contains(out, "SUCCESS") || strings.Contains(out, "FAILED") || !strings.Contains(out, "1 templates") {
				t.Errorf("got %q, want success, with a template", out)
			}
		})
	}
}

func TestPrometheusTakesTheConfiguration(t *testing.T) {
	promtool := testenv.Program(t, "promtool")
	in := input(t, t.TempDir())
	files, err := Prometheus(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(in.Dir, files); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(in.Dir, "prometheus.yml")
	byName, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d rule files found", len(byName))
	if out := output(t, promtool, "check", "config", file); len(byName) == 0 || !strings.Contains(out, want) {
		t.Errorf("got %q, want %s", out, want)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(data), `targets: ["127.0.0.1:9464"]`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
}

func TestWhatAlertmanagerCannotDo(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Input)
		want   string
	}{
		"nobody to tell":              {func(in *Input) { in.Recipients = nil }, "recipients: there is none; want at least one who is told"},
		"no mail server":              {func(in *Input) { in.SMTP = SMTP{} }, "smtp: missing; want the server that takes the mail"},
		"implicit TLS elsewhere":      {func(in *Input) { in.SMTP.TLS = "implicit" }, "smtp.tls: Alertmanager speaks implicit TLS on port 465 only, not on 587; want port 465, or tls: starttls"},
		"STARTTLS on port 465":        {func(in *Input) { in.SMTP.Port = 465 }, "smtp.tls: Alertmanager speaks implicit TLS on port 465 always; want tls: implicit, or another port"},
		"a repeat past the retention": {func(in *Input) { in.Times = DefaultTimes(); in.Times.Retention = 24 * time.Hour }, "retention 24h0m0s is not above the longest repeat 168h0m0s: what lasts would be told again too soon"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, t.TempDir())
			test.change(&in)
			if _, err := Alertmanager(in); err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
		})
	}
}

func TestPasswordIsInAFileOfItsOwn(t *testing.T) {
	in := input(t, t.TempDir())
	render(t, in)
	err := filepath.WalkDir(in.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		secret := strings.Contains(string(data), in.SMTP.Password)
		if want := d.Name() == "smtp.password"; secret != want {
			t.Errorf("%s: got the password in it %v, want %v", d.Name(), secret, want)
		}
		if secret && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %v, want 0600", d.Name(), info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
