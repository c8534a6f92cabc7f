//go:build !race

package main

// Days in simulated time take the race detector too long; the other tests show it
// the same engines.

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"tofuwatch/alerts"
	"tofuwatch/alerts/rules"
	"tofuwatch/ingest"
	"tofuwatch/ingest/payload"
	"tofuwatch/internal/simulate"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// A told is a mail that was sent.
type told struct {
	at      time.Time
	to      string // the recipient's name
	subject string
	alerts  []*alert.Alert
}

// has reports whether a mail tells of an alert with these labels, in pairs.
func (m told) has(pairs ...string) bool {
	return slices.ContainsFunc(m.alerts, func(a *alert.Alert) bool {
		for i := 0; i < len(pairs); i += 2 {
			if v := string(a.Labels[model.LabelName(pairs[i])]); !slices.Contains(strings.Split(pairs[i+1], "|"), v) {
				return false
			}
		}
		return true
	})
}

// A recorder is in the place of a mail server.
type recorder struct {
	mu   sync.Mutex
	mail []told
}

// notifiers returns the notifiersFunc that records.
func (r *recorder) notifiers(c config.Receiver, templates *template.Template) []notify.Integration {
	var all []notify.Integration
	for i, e := range c.EmailConfigs {
		all = append(all, notify.NewIntegration(recording{r, c.Name, e, templates}, e, "email", i, c.Name))
	}
	return all
}

type recording struct {
	to        *recorder
	name      string
	config    *config.EmailConfig
	templates *template.Template
}

// Notify records a mail.
func (r recording) Notify(ctx context.Context, alerts ...*alert.Alert) (retry bool, err error) {
	data := notify.GetTemplateData(ctx, r.templates, alerts, slog.New(slog.DiscardHandler))
	subject, err := r.templates.ExecuteTextString(r.config.Headers["Subject"], data)
	if err != nil {
		return false, err
	}
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	r.to.mail = append(r.to.mail, told{time.Now(), r.name, strings.TrimSpace(subject), alerts})
	return false, nil
}

// A play is a site that lives in simulated time: the simulator's messages go
// through the pipeline to the metrics, and Prometheus and Alertmanager make mail
// of them. There is no network and no spool.
type play struct {
	scenario simulate.Scenario
	stations int           // of the simulator; 0: its base set
	only     []string      // the stations that the site file has; nil: all
	before   time.Duration // until the incident begins
	lasts    time.Duration
	dir      string
	on       sockets // nothing is served
}

// playStart is when all plays begin: a Monday in Semarang.
var playStart = time.Date(2026, 11, 1, 17, 0, 0, 0, time.UTC)

// playPass is how far passes are apart. It has to be less than the five minutes
// for which a series is seen.
const playPass = 290 * time.Second

// spoolFunc is a spool.
type spoolFunc func(ingest.Outcome, func(error))

func (f spoolFunc) Append(o ingest.Outcome, done func(error)) { f(o, done) }

// run plays, in a bubble, and returns the mail.
func (p *play) run(t *testing.T) []told {
	t.Helper()
	time.Sleep(time.Until(playStart))
	w, err := simulate.New(simulate.Options{Scenario: p.scenario, Stations: p.stations, Seed: 1, Start: playStart, Incident: playStart.Add(p.before)})
	if err != nil {
		t.Fatal(err)
	}
	s := p.site(t, w)
	log := quietly(slog.New(slog.NewTextHandler(t.Output(), nil)), slog.LevelWarn)

	stations := make(map[string]*water.Station)
	for _, station := range s.Stations {
		stations[station.ID] = station.Station
	}
	exporter := alerts.NewExporter(stations)
	exporter.Judge(s.Limits(), time.Now)
	registry := prometheus.NewRegistry()
	registry.MustRegister(exporter)
	var sources []ingest.Source
	for _, source := range s.MQTT.Sources {
		sources = append(sources, ingest.Source{Topic: source.Topic, Decode: payload.Formats[source.Format]})
	}
	pipeline := ingest.NewPipeline(ingest.Options{Sources: sources, Stations: stations, Parameters: s.Parameters},
		spoolFunc(func(_ ingest.Outcome, done func(error)) { done(nil) }), exporter, slog.New(slog.DiscardHandler))

	box := new(recorder)
	configuration, err := alertmanagerConfig(s, &site.SMTP{Host: "127.0.0.1", Port: 25, TLS: "none", From: "tofuwatch@localhost"}, filepath.Join(p.dir, "alertmanager"))
	if err != nil {
		t.Fatal(err)
	}
	teller, err := newAlertmanager(p.on.alertmanager, alertmanagerOptions{
		Dir: filepath.Join(p.dir, "alertmanager"), Config: configuration, Notifiers: box.notifiers,
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	ruleFiles, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	watcher := newPrometheus(p.on.prometheus, prometheusOptions{
		Dir:     filepath.Join(p.dir, "prometheus"),
		Targets: []target{{job: "tofuwatch", instance: "test", metrics: registry}, {job: "alertmanager", instance: "test", metrics: teller.metrics, prefix: "alertmanager_"}},
		Rules:   ruleFiles,
		Notify:  teller.Notify,
		Pace:    pacing{Look: playPass, Pass: playPass},
		Block:   2 * p.lasts, // all of it in memory
	}, log)
	if err := watcher.open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { teller.tell(ctx) })
	<-teller.Ready()
	running.Go(func() { watcher.watch(ctx) })

	for m := w.Next(); m.Time.Before(playStart.Add(p.lasts)); m = w.Next() {
		time.Sleep(time.Until(m.Time))
		pipeline.Handle(ingest.Message{Topic: m.Topic, Payload: m.Payload, Received: time.Now(), Ack: func() {}})
	}
	cancel()
	running.Wait()
	if err := watcher.close(); err != nil {
		t.Error(err)
	}
	return box.mail
}

// site returns the demo's site for a world, with the stations of the play.
func (p *play) site(t testing.TB, w *simulate.World) *site.Site {
	t.Helper()
	file := filepath.Join(p.dir, "site.yaml")
	text := append(simulate.SiteFile(w, simulate.SiteOptions{}), (&world{World: w}).recipients()...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(file, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if p.only != nil {
		s.Stations = slices.DeleteFunc(s.Stations, func(s site.Station) bool { return !slices.Contains(p.only, s.ID) })
	}
	return s
}

// mailOf plays in simulated time and returns the mail.
func mailOf(t *testing.T, p play) (mail []told) {
	t.Helper()
	p.dir = t.TempDir()
	on, err := listen(anyAddresses) // outside the bubble
	if err != nil {
		t.Fatal(err)
	}
	defer on.close()
	p.on = on
	synctest.Test(t, func(t *testing.T) { mail = p.run(t) })
	for _, m := range mail {
		t.Log(m)
	}
	return mail
}

// String returns a mail in a line, and what it tells of in another.
func (m told) String() string {
	var what []string
	for _, a := range m.alerts {
		var values []string
		for _, name := range []model.LabelName{"station", "parameter", "bound", "severity", "told", "standing"} {
			if v := a.Labels[name]; v != "" {
				values = append(values, string(v))
			}
		}
		what = append(what, fmt.Sprintf("%s(%s)", a.Name(), strings.Join(values, " ")))
	}
	return fmt.Sprintf("%s %s: %s\n    %s", m.at.In(wib).Format("Mon 2 15:04"), m.to, m.subject, strings.Join(what, " "))
}

var wib = time.FixedZone("WIB", 7*60*60)

// mails returns how many of mail are to somebody and tell of an alert with these
// labels.
func mails(mail []told, to string, pairs ...string) int {
	n := 0
	for _, m := range mail {
		if m.to == to && m.has(pairs...) {
			n++
		}
	}
	return n
}

const (
	agency     = "Environment Agency"
	bajak      = "Forum bajak"
	kanal      = "Forum banjir-kanal-timur"
	tenggang   = "Forum tenggang"
	limitNames = "EffluentOverLimit|RiverOverLimit"
)

// everybody are the recipients of the demo.
var everybody = []string{agency, bajak, kanal, tenggang}

func TestSpillIsToldOnceAndItsEndOnce(t *testing.T) {
	t.Parallel()
	mail := mailOf(t, play{scenario: simulate.Spill, before: 15 * time.Hour, lasts: 30 * time.Hour})
	for _, to := range everybody {
		want := 0
		if to == tenggang || to == agency {
			want = 1
		}
		if got := mails(mail, to, "severity", "critical"); got != want {
			t.Errorf("%s: got %d emergencies, want %d", to, got, want)
		}
		if got := mails(mail, to, "alertname", "LimitKeptAgain|EmergencyOver", "told", "critical"); got != want {
			t.Errorf("%s: got %d all-clears of an emergency, want %d", to, got, want)
		}
	}
}

func TestAWeekOfNormalLifeIsQuiet(t *testing.T) {
	t.Parallel()
	mail := mailOf(t, play{scenario: simulate.Normal, lasts: 7 * 24 * time.Hour})
	type day struct {
		to, date string
	}
	digests, warnings := make(map[day]int), make(map[day]int)
	for _, m := range mail {
		on := day{m.to, m.at.In(wib).Format(time.DateOnly)}
		switch {
		case m.has("severity", "critical"):
			t.Errorf("an emergency where there is none: %v", m)
		case m.has("standing", "yes"):
			digests[on]++
		case m.has("severity", "warning"):
			warnings[on]++
		}
	}
	// The first day tells what has been over its limit for years.
	for date := playStart.In(wib).AddDate(0, 0, 1); date.Before(playStart.Add(7 * 24 * time.Hour)); date = date.AddDate(0, 0, 1) {
		for _, to := range everybody {
			on := day{to, date.Format(time.DateOnly)}
			if got := digests[on]; got != 1 {
				t.Errorf("%v: got %d digests, want 1", on, got)
			}
			if got := warnings[on]; got > 1 {
				t.Errorf("%v: got %d warnings at once, want one at most", on, got)
			}
		}
	}
}

func TestFaultySensorsAreToldAsSuch(t *testing.T) {
	t.Parallel()
	const before = 15 * time.Hour
	mail := mailOf(t, play{scenario: simulate.SensorFaults, before: before, lasts: before + 22*time.Hour})
	for _, m := range mail {
		if m.at.After(playStart.Add(before)) && m.has("alertname", limitNames+"|SuddenChange|TreatmentUpset", "standing", "no") {
			t.Errorf("a limit mail: %v", m)
		}
	}
	for _, dead := range [][3]string{
		{bajak, "bajak-hulu", "do"}, {bajak, "bajak-hilir", "cod"}, {bajak, "ipal-01", "nh3n"},
	} {
		for _, to := range []string{dead[0], agency} {
			if got := mails(mail, to, "alertname", "SensorSilent", "station", dead[1], "parameter", dead[2]); got != 1 {
				t.Errorf("%s: got %d mails that %s of %s is silent, want 1", to, got, dead[2], dead[1])
			}
		}
	}
}

func TestPlantUpsetIsToldApartFromWhatIsAlwaysOver(t *testing.T) {
	t.Parallel()
	const before = 108 * time.Hour
	mail := mailOf(t, play{
		scenario: simulate.PlantUpset, stations: 9, only: []string{"ipal-01", "workshop-001"},
		before: before, lasts: before + 2*24*time.Hour,
	})
	for _, to := range []string{agency, bajak} {
		if got := mails(mail, to, "alertname", "TreatmentUpset", "station", "ipal-01"); got == 0 {
			t.Errorf("%s: got no mail of the upset", to)
		}
	}
	for _, m := range mail {
		switch {
		case m.has("alertname", "TreatmentUpset") && m.at.Before(playStart.Add(before)):
			t.Errorf("an upset before there is one: %v", m)
		case m.has("alertname", "TreatmentUpset", "station", "workshop-001"):
			t.Errorf("an upset where there is no plant: %v", m)
		case m.at.After(playStart.Add(48*time.Hour)) && m.has("station", "workshop-001", "standing", "no", "alertname", limitNames):
			t.Errorf("what is always so is told at once: %v", m)
		}
	}
}
