package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/internal/site"
	"tofuwatch/internal/testenv"
)

// A running is a site with all its engines.
type running struct {
	mqtt, prometheus, alertmanager string // addresses
	mail                           string // folder
	stop                           func()
}

// writeAlertSite writes the file of a site with two outlets and one recipient.
func writeAlertSite(t testing.TB, dir, http, mqtt, influxDB string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "site.yaml")
	text := fmt.Sprintf(`site: test
data_dir: data
http: {listen: %q}
mqtt: {broker: "tcp://%s", client_id: tofuwatch-test}
influxdb: {url: "http://%s", bucket: water}
stations:
  - {id: ipal-01, name: First outlet, river: bajak, kind: effluent, standard: id-permenlh-5-2014-tofu, parameters: {cod: {}}}
  - {id: ipal-02, name: Second outlet, river: bajak, kind: effluent, standard: id-permenlh-5-2014-tofu, parameters: {cod: {}}}
recipients:
  - {name: Forum, email: forum@example.org, language: id, rivers: [bajak], severity: warning}
`, http, mqtt, influxDB)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startSite runs a site with two outlets and one recipient, on any free ports,
// until the test ends or its stop is called. What it keeps is in dir.
func startSite(t testing.TB, dir string) *running {
	t.Helper()
	on, err := listen(anyAddresses)
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(writeAlertSite(t, dir, on.http.Addr().String(), on.mqtt.Addr().String(), on.influxDB.Addr().String()), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	r := &running{
		mqtt:         "tcp://" + on.mqtt.Addr().String(),
		prometheus:   "http://" + on.prometheus.Addr().String(),
		alertmanager: "http://" + on.alertmanager.Addr().String(),
		mail:         filepath.Join(dir, "data", "mail"),
	}
	all, err := assemble(s, on, assemblyOptions{MailDir: r.mail, Registry: prometheus.NewRegistry()}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- runEngines(ctx, all.engines) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// asProgram in the environment makes a child of the test the program itself.
const asProgram = "TOFUWATCH_TEST_ALLINONE"

// startProcess is startSite in a process of its own, which its stop kills.
func startProcess(t testing.TB, dir string) *running {
	t.Helper()
	at := func() string { return fmt.Sprint("127.0.0.1:", testenv.FreePort(t)) }
	mqtt, prometheus, alertmanager := at(), at(), at()
	file := writeAlertSite(t, dir, at(), mqtt, at())
	program := exec.Command(os.Args[0], "up", "--config", file, "--prometheus-listen", prometheus, "--alertmanager-listen", alertmanager)
	program.Env = append(os.Environ(), asProgram+"=1")
	process := testenv.Start(t, program)
	r := &running{
		mqtt: "tcp://" + mqtt, prometheus: "http://" + prometheus, alertmanager: "http://" + alertmanager,
		mail: filepath.Join(dir, "data", "mail"), stop: process.Kill,
	}
	await(t, "Prometheus, which starts last", func() (string, bool) {
		response, err := http.Get(r.prometheus + "/-/ready")
		if err != nil {
			return err.Error(), false
		}
		response.Body.Close()
		return response.Status, response.StatusCode == http.StatusOK
	})
	return r
}

// measure publishes a reading of COD, in mg/L, as a station would.
func (r *running) measure(t testing.TB, station string, cod float64) {
	t.Helper()
	c := connect(t, r.mqtt, "logger-"+station, nil)
	defer c.Disconnect(0)
	finish(t, c.Publish("tofu/"+station+"/readings", 1, false, fmt.Sprintf(`{"time":%q,"cod":%g}`, time.Now().UTC().Format(time.RFC3339), cod)))
}

// subjects returns the subjects of the mail that came, oldest first.
func (r *running) subjects(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.mail, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	subjects := []string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil {
			t.Fatal(err)
		}
		subjects = append(subjects, subject)
	}
	return subjects
}

// awaitMail waits until a mail with a station's name in its subject has come.
func (r *running) awaitMail(t testing.TB, name string) {
	t.Helper()
	await(t, "mail about "+name, func() (string, bool) {
		all := r.subjects(t)
		return fmt.Sprint(all), slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, name) })
	})
}

// ask reads JSON from an engine.
func ask(t testing.TB, address string, into any) {
	t.Helper()
	status, body := request(t, "GET", address, "", "")
	if status != http.StatusOK {
		t.Fatalf("%s: got status %d: %s", address, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%s: %v in %s", address, err, body)
	}
}

// awaitAlert waits until Alertmanager has a critical alert of a station.
func (r *running) awaitAlert(t testing.TB, station string) {
	t.Helper()
	await(t, "the alert of "+station, func() (string, bool) {
		var alerts []struct{ Labels map[string]string }
		ask(t, r.alertmanager+"/api/v2/alerts", &alerts)
		return fmt.Sprint(alerts), slices.ContainsFunc(alerts, func(a struct{ Labels map[string]string }) bool {
			return a.Labels["station"] == station && a.Labels["severity"] == "critical"
		})
	})
}

func TestFromAReadingToTheMail(t *testing.T) {
	r := startSite(t, t.TempDir())
	published := time.Now()
	r.measure(t, "ipal-01", 30_000) // a hundred times the limit
	r.awaitMail(t, "First outlet")
	t.Logf("from the reading to the mail: %.1f s", time.Since(published).Seconds())

	files, err := filepath.Glob(filepath.Join(r.mail, "*.eml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("mail: got %q, %v, want one", files, err)
	}
	if name, want := filepath.Base(files[0]), "-forum-example-org-"; !strings.Contains(name, want) {
		t.Errorf("file: got %s, want %s in it", name, want)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"To: forum@example.org", "Content-Language: id", "text/plain", "text/html", "multipart/alternative"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

func TestRestartDuringAnAlertTellsNobodyAgain(t *testing.T) {
	for name, start := range map[string]func(testing.TB, string) *running{"stopped": startSite, "killed": startProcess} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			first := start(t, dir)
			first.measure(t, "ipal-01", 30_000)
			first.awaitMail(t, "First outlet")
			await(t, "what was told on disk", func() (string, bool) {
				info, err := os.Stat(filepath.Join(dir, "data", "alertmanager", "nflog"))
				return fmt.Sprint(err), err == nil && info.Size() > 0
			})
			first.stop()

			again := start(t, dir)
			again.awaitAlert(t, "ipal-01")
			// A second emergency is told after the first one would have been.
			again.measure(t, "ipal-02", 30_000)
			again.awaitMail(t, "Second outlet")
			got := again.subjects(t)
			if len(got) != 2 || !strings.Contains(got[0], "First outlet") || !strings.Contains(got[1], "Second outlet") {
				t.Errorf("mail: got %q, want one about each outlet", got)
			}
		})
	}
}

func TestSilenceOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	first := startSite(t, dir)
	await(t, "Alertmanager", func() (string, bool) {
		response, err := http.Get(first.alertmanager + "/-/ready")
		if err != nil {
			return err.Error(), false
		}
		response.Body.Close()
		return response.Status, response.StatusCode == http.StatusOK
	})
	amtool := func(r *running, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), testenv.Program(t, "amtool"), append(args, "--alertmanager.url", r.alertmanager)...).CombinedOutput()
		if err != nil {
			t.Fatalf("amtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	id := strings.TrimSpace(amtool(first, "silence", "add", "station=ipal-01", "--author", "operator", "--comment", "sensor is being cleaned", "--duration", "1h"))
	first.stop()

	again := startSite(t, dir)
	type seen struct{ ID, Comment string }
	var silences []seen
	ask(t, again.alertmanager+"/api/v2/silences", &silences)
	if diff := cmp.Diff(silences, []seen{{id, "sensor is being cleaned"}}); diff != "" {
		t.Errorf("silences (-got +want):\n%s", diff)
	}
	again.measure(t, "ipal-01", 30_000)
	again.awaitAlert(t, "ipal-01")
	again.measure(t, "ipal-02", 30_000)
	again.awaitMail(t, "Second outlet")
	if got := again.subjects(t); len(got) != 1 {
		t.Errorf("mail: got %q, want none about what is silenced", got)
	}
	if got := amtool(again, "alert", "query", "--silenced", "station=ipal-01"); !strings.Contains(got, "EffluentOverLimit") {
		t.Errorf("amtool: got\n%swant the alert, silenced", got)
	}
}

func TestQueryAPI(t *testing.T) {
	r := startSite(t, t.TempDir())
	r.measure(t, "ipal-01", 120)
	type series struct {
		Metric map[string]string
		Value  [2]any
	}
	var answer struct{ Data struct{ Result []series } }
	query := func(q string) []series {
		ask(t, r.prometheus+"/api/v1/query?"+url.Values{"query": {q}}.Encode(), &answer)
		return answer.Data.Result
	}
	await(t, "the reading", func() (string, bool) {
		got := query(`tofuwatch_reading{station="ipal-01"}`)
		return fmt.Sprint(got), len(got) == 1 && got[0].Value[1] == "120" && got[0].Metric["job"] == "tofuwatch"
	})
	if got := query("up == 1"); len(got) != 2 {
		t.Errorf("up: got %v, want tofuwatch and alertmanager", got)
	}
	if got := query(`sum(alertmanager_notifications_failed_total{integration="email"})`); len(got) != 1 || got[0].Value[1] != "0" {
		t.Errorf("failed notifications: got %v, want 0 from the start", got)
	}

	var rules struct {
		Data struct {
			Groups []struct {
				Name  string
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	await(t, "all rules", func() (string, bool) {
		ask(t, r.prometheus+"/api/v1/rules", &rules)
		for _, g := range rules.Data.Groups {
			for _, rule := range g.Rules {
				if rule.Health == "err" {
					t.Fatalf("%s: %s: %s", g.Name, rule.Name, rule.LastError)
				}
				if rule.Health != "ok" {
					return g.Name + ": " + rule.Name, false
				}
			}
		}
		return "", len(rules.Data.Groups) > 0
	})
	for _, path := range []string{"/api/v1/status/buildinfo", "/api/v1/labels", "/api/v1/metadata", "/api/v1/alerts", "/api/v1/targets", "/api/v1/status/tsdb", "/-/ready", "/metrics"} {
		if status, body := request(t, "GET", r.prometheus+path, "", ""); status != http.StatusOK {
			t.Errorf("%s: got status %d: %s", path, status, body)
		}
	}
	for path, want := range map[string]int{
		"/api/v1/admin/tsdb/delete_series?match[]=up": http.StatusUnavailableForLegalReasons, "/api/v1/write": http.StatusNotFound,
	} {
		if status, body := request(t, "POST", r.prometheus+path, "", ""); status < 400 {
			t.Errorf("%s: got status %d: %s, want something like %d", path, status, body, want)
		}
	}
}
