package main

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

// A stage is a site that lives in simulated time: the simulator's messages go
// through the pipeline to the metrics, and Prometheus and Alertmanager make mail
// of them. There is no network and no spool.
type stage struct {
	world *simulate.World
	site  *site.Site
	mail  *recorder
}

// spoolFunc is a spool.
type spoolFunc func(ingest.Outcome, func(error))

func (f spoolFunc) Append(o ingest.Outcome, done func(error)) { f(o, done) }

// play lets a scenario happen for a time, of which its incident begins after
// some, and returns the mail. It is to be called in a bubble.
func play(t *testing.T, scenario simulate.Scenario, before, lasts, step time.Duration, dir string, lns sockets) []told {
	t.Helper()
	jakarta, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 11, 2, 0, 0, 0, 0, jakarta)
	time.Sleep(time.Until(start))
	w, err := simulate.New(simulate.Options{Scenario: scenario, Seed: 1, Start: start, Incident: start.Add(before)})
	if err != nil {
		t.Fatal(err)
	}
	s := siteOf(t, w, dir)
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
	configuration, err := alertmanagerConfig(s, &site.SMTP{Host: "127.0.0.1", Port: 25, TLS: "none", From: "tofuwatch@localhost"}, filepath.Join(dir, "alertmanager"))
	if err != nil {
		t.Fatal(err)
	}
	teller, err := newAlertmanager(lns.alertmanager, alertmanagerOptions{
		Dir: filepath.Join(dir, "alertmanager"), Config: configuration, Notifiers: box.notifiers,
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	ruleFiles, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	watcher := newPrometheus(lns.prometheus, prometheusOptions{
		Dir:     filepath.Join(dir, "prometheus"),
		Targets: []target{{job: "tofuwatch", instance: "test", metrics: registry}, {job: "alertmanager", instance: "test", metrics: teller.metrics, prefix: "alertmanager_"}},
		Rules:   ruleFiles,
		Notify:  teller.Notify,
		Pace:    pacing{Look: step, Pass: step},
	}, log)
	if err := watcher.open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { teller.tell(ctx) })
	<-teller.Ready()
	running.Go(func() { watcher.watch(ctx) })

	for m := w.Next(); m.Time.Before(start.Add(lasts)); m = w.Next() {
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

// siteOf returns the demo's site for a world.
func siteOf(t testing.TB, w *simulate.World, dir string) *site.Site {
	t.Helper()
	file := filepath.Join(dir, "site.yaml")
	text := append(simulate.SiteFile(w, simulate.SiteOptions{}), (&world{World: w}).recipients()...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(file, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// inSimulatedTime plays a scenario in a bubble.
func inSimulatedTime(t *testing.T, scenario simulate.Scenario, before, lasts, step time.Duration) (mail []told) {
	t.Helper()
	dir := t.TempDir()
	lns, err := listen(anyAddresses) // outside the bubble; nothing is served
	if err != nil {
		t.Fatal(err)
	}
	defer lns.close()
	synctest.Test(t, func(t *testing.T) { mail = play(t, scenario, before, lasts, step, dir, lns) })
	for _, m := range mail {
		var what []string
		for _, a := range m.alerts {
			what = append(what, fmt.Sprintf("%s{%s %s %s %s}", a.Labels["alertname"], a.Labels["station"], a.Labels["parameter"], a.Labels["severity"], a.Labels["bound"]))
		}
		t.Logf("%s  %-24s %s\n    %s", m.at.UTC().Add(7*time.Hour).Format("Mon 15:04"), m.to, m.subject, strings.Join(what, " "))
	}
	return mail
}

func TestSpill(t *testing.T) {
	inSimulatedTime(t, simulate.Spill, 34*time.Hour, 48*time.Hour, 2*time.Minute)
}

func TestNormalWeek(t *testing.T) {
	inSimulatedTime(t, simulate.Normal, 0, 7*24*time.Hour, 4*time.Minute)
}

func TestSensorFaults(t *testing.T) {
	inSimulatedTime(t, simulate.SensorFaults, 30*time.Hour, 60*time.Hour, 4*time.Minute)
}

func TestPlantUpset(t *testing.T) {
	inSimulatedTime(t, simulate.PlantUpset, 6*24*time.Hour, 10*24*time.Hour, 4*time.Minute)
}

func TestZZ(t *testing.T) {
	inSimulatedTime(t, simulate.Spill, 27*time.Hour, 33*time.Hour, 4*time.Minute)
}
