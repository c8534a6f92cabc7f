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

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"

	"tofuwatch/alerts"
	"tofuwatch/alerts/rules"
	"tofuwatch/ingest"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/simulate"
	"tofuwatch/internal/site"
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
	start    time.Time // midnight in Semarang; zero: playStart
	dir      string
	on       sockets // nothing is served
}

// begins returns when p begins.
func (p *play) begins() time.Time {
	if p.start.IsZero() {
		return playStart
	}
	return p.start
}

// playStart is when plays begin: a Monday in Semarang.
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
	time.Sleep(time.Until(p.begins()))
	w, err := simulate.New(simulate.Options{Scenario: p.scenario, Stations: p.stations, Seed: 1, Start: p.begins(), Incident: p.begins().Add(p.before)})
	if err != nil {
		t.Fatal(err)
	}
	s := p.site(t, w)
	log := quietly(slog.New(slog.NewTextHandler(t.Output(), nil)), slog.LevelWarn)

	decides := ingester.PipelineOptions(s)
	exporter := alerts.NewExporter(decides.Stations)
	exporter.Judge(s.Limits(), time.Now)
	registry := prometheus.NewRegistry()
	registry.MustRegister(exporter)
	pipeline := ingest.NewPipeline(decides, spoolFunc(func(_ ingest.Outcome, done func(error)) { done(nil) }), exporter, slog.New(slog.DiscardHandler))

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

	for m := w.Next(); m.Time.Before(p.begins().Add(p.lasts)); m = w.Next() {
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

// The recipients of the demo.
const (
	agency   = "Environment Agency"
	bajak    = "Forum bajak"
	kanal    = "Forum banjir-kanal-timur"
	tenggang = "Forum tenggang"
)

var everybody = []string{agency, bajak, kanal, tenggang}

const overLimit = "EffluentOverLimit|RiverOverLimit"

// perRecipient returns the mails of each recipient that tell of an alert with these
// labels. Nobody is in it with none.
func perRecipient(mail []told, pairs ...string) map[string]int {
	n := make(map[string]int)
	for _, m := range mail {
		if m.has(pairs...) {
			n[m.to]++
		}
	}
	return n
}

// perDay returns the mails of each recipient on each day in Semarang from the one
// on which a time lies.
func perDay(mail []told, from time.Time) map[string]map[string]int {
	first := from.In(wib).Format(time.DateOnly)
	n := make(map[string]map[string]int)
	for _, m := range mail {
		date := m.at.In(wib).Format(time.DateOnly)
		if date < first {
			continue
		}
		if n[date] == nil {
			n[date] = make(map[string]int)
		}
		n[date][m.to]++
	}
	return n
}

// since returns the mail that came after a time.
func since(mail []told, t time.Time) []told {
	return slices.DeleteFunc(slices.Clone(mail), func(m told) bool { return !m.at.After(t) })
}

func TestScenarioSpillIsToldOnceAndItsEndOnce(t *testing.T) {
	t.Parallel()
	mail := mailOf(t, play{scenario: simulate.Spill, before: 15 * time.Hour, lasts: 21 * time.Hour})
	want := map[string]int{tenggang: 1, agency: 1}
	if diff := cmp.Diff(perRecipient(mail, "severity", "critical"), want); diff != "" {
		t.Errorf("emergencies (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(perRecipient(mail, "alertname", "LimitKeptAgain|EmergencyOver", "told", "critical"), want); diff != "" {
		t.Errorf("all-clears of an emergency (-got +want):\n%s", diff)
	}
	for _, m := range mail {
		if m.has("told", "critical") && m.at.Before(playStart.Add(15*time.Hour+dumped)) {
			t.Errorf("an all-clear before the end: %v", m)
		}
	}
}

// dumped is how long the spill goes on.
const dumped = 75 * time.Minute

func TestScenarioAWeekOfNormalLifeIsQuiet(t *testing.T) {
	t.Parallel()
	quietWeek(t, play{only: []string{"ipal-01", "bajak-hilir", "bkt-hilir", "tenggang-hilir"}})
}

// quietWeek plays a week of everyday life. The first day tells of each station
// once, at once: nobody knew. From then on there is one mail a day for each
// recipient, the digest.
func quietWeek(t *testing.T, p play) {
	p.scenario, p.lasts = simulate.Normal, 7*24*time.Hour
	mail := mailOf(t, p)
	for _, m := range mail {
		if m.has("severity", "critical") {
			t.Errorf("an emergency where there is none: %v", m)
		}
	}
	first := make(map[string]int) // mails of each recipient about each station
	for _, m := range mail {
		if m.at.Before(p.begins().AddDate(0, 0, 1)) && !m.has("standing", "yes") {
			first[m.to+" of "+string(m.alerts[0].Labels["station"])]++
		}
	}
	for of, n := range first {
		if n > 1 {
			t.Errorf("first day: %s: got %d mails, want one", of, n)
		}
	}
	once := make(map[string]int)
	for _, to := range everybody {
		once[to] = 1
	}
	want := make(map[string]map[string]int)
	for day := 1; day < 7; day++ {
		want[p.begins().In(wib).AddDate(0, 0, day).Format(time.DateOnly)] = once
	}
	if diff := cmp.Diff(perDay(mail, p.begins().AddDate(0, 0, 1)), want); diff != "" {
		t.Errorf("mails a day (-got +want):\n%s", diff)
	}
}

func TestScenarioFaultySensorsAreToldAsSuch(t *testing.T) {
	t.Parallel()
	const before = 15 * time.Hour
	mail := since(mailOf(t, play{scenario: simulate.SensorFaults, before: before, lasts: before + 10*time.Hour}), playStart.Add(before))
	for _, m := range mail {
		// The digest tells what the water is like as every day.
		if m.has("alertname", overLimit+"|SuddenChange|TreatmentUpset|LateExceedance|LimitKeptAgain|EmergencyOver", "standing", "no") {
			t.Errorf("a limit mail: %v", m)
		}
	}
	for _, dead := range [][3]string{
		{bajak, "bajak-hulu", "do"}, {bajak, "bajak-hilir", "cod"}, {bajak, "ipal-01", "nh3n"},
	} {
		got := perRecipient(mail, "alertname", "SensorSilent", "station", dead[1], "parameter", dead[2])
		if diff := cmp.Diff(got, map[string]int{dead[0]: 1, agency: 1}); diff != "" {
			t.Errorf("mails that %s of %s is silent (-got +want):\n%s", dead[2], dead[1], diff)
		}
	}
}

func TestScenarioPlantUpsetIsToldApartFromWhatIsAlwaysOver(t *testing.T) {
	t.Parallel()
	const before = 108 * time.Hour // four days of which make a usual
	mail := mailOf(t, play{
		scenario: simulate.PlantUpset, stations: 9, only: []string{"ipal-01", "workshop-001"},
		before: before, lasts: before + 40*time.Hour, // on the next day it is told again
	})
	upset := slices.DeleteFunc(slices.Clone(mail), func(m told) bool { return !m.has("severity", "critical") })
	if diff := cmp.Diff(perRecipient(upset, "alertname", "TreatmentUpset", "station", "ipal-01"), map[string]int{bajak: 1, agency: 1}); diff != "" {
		t.Errorf("mails of the upset (-got +want):\n%s", diff)
	}
	for _, m := range upset {
		if m.at.Before(playStart.Add(before)) || !m.has("alertname", "TreatmentUpset") || m.has("station", "workshop-001") {
			t.Errorf("an emergency where there is none: %v", m)
		}
	}
	// The workshop is as far over its limits, every day.
	for _, m := range since(mail, playStart.AddDate(0, 0, 1)) {
		if m.has("station", "workshop-001", "standing", "no") {
			t.Errorf("what is always so is told at once: %v", m)
		}
	}
	if got := perRecipient(mail, "station", "workshop-001", "standing", "yes")[kanal]; got < 5 {
		t.Errorf("digests of what is always so: got %d, want one a day", got)
	}
}
