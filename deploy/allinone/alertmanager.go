package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/api"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/email"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
)

// Times of the Alertmanager.
const (
	forgetAlertsEvery = 30 * time.Minute
	forgetGroupsEvery = 30 * time.Second
)

// alertmanagerOptions are what the Alertmanager needs to know of its site.
type alertmanagerOptions struct {
	Dir       string         // its folder; made if it is missing
	Config    *config.Config // with the names of its template files
	Clock     clock          // by which the stations live
	Notifiers notifiersFunc  // nil: e-mail
}

// notifiersFunc returns what tells a receiver.
type notifiersFunc func(config.Receiver, *template.Template) []notify.Integration

// notifyFunc takes in alerts, and never waits for them to be told.
type notifyFunc func(...*alert.Alert)

// rules is notify for the rules of Prometheus, which live by a clock: Alertmanager
// lives by ours, so that its waits are what they are.
func (notify notifyFunc) rules(by clock) rules.NotifyFunc {
	return func(_ context.Context, _ string, raised ...*rules.Alert) {
		alerts := make([]*alert.Alert, 0, len(raised))
		now := time.Now()
		for _, r := range raised {
			a := &alert.Alert{UpdatedAt: now}
			a.Labels, a.Annotations = labelSet(r.Labels), labelSet(r.Annotations)
			a.StartsAt = by.here(r.FiredAt)
			// For as long as it is valid there: less could end before it is said again.
			a.EndsAt = now.Add(r.ValidUntil.Sub(by.there(now)))
			if !r.ResolvedAt.IsZero() {
				a.EndsAt = by.here(r.ResolvedAt)
			}
			alerts = append(alerts, a)
		}
		notify(alerts...)
	}
}

// A dated notifier tells of alerts by the time of those whom they concern.
type dated struct {
	notify.Notifier
	clock clock
}

// Notify tells of alerts that have our time.
func (d dated) Notify(ctx context.Context, alerts ...*alert.Alert) (retry bool, err error) {
	there := make([]*alert.Alert, len(alerts))
	for i, a := range alerts {
		dated := *a
		dated.StartsAt, dated.EndsAt = d.clock.there(a.StartsAt), d.clock.there(a.EndsAt)
		there[i] = &dated
	}
	return d.Notifier.Notify(ctx, there...)
}

func labelSet(from labels.Labels) model.LabelSet {
	set := make(model.LabelSet, from.Len())
	from.Range(func(l labels.Label) {
		if l.Value != "" { // an annotation that its rule had nothing for
			set[model.LabelName(l.Name)] = model.LabelValue(l.Value)
		}
	})
	return set
}

// An alertmanagerServer is Alertmanager: it groups, inhibits and silences alerts,
// remembers what it has told, and sends mail.
//
//	alerts --> routes --> inhibition --> silences --> times --> notification log --> mail
type alertmanagerServer struct {
	ln       net.Listener
	o        alertmanagerOptions
	log      *slog.Logger
	metrics  *prometheus.Registry
	alerts   *mem.Alerts
	silences *silence.Silences
	told     *nflog.Log
	memories []*memory
	inhibit  *inhibit.Inhibitor
	dispatch *dispatch.Dispatcher
	handler  http.Handler
	ready    chan struct{}
}

// newAlertmanager returns an Alertmanager that will serve ln, which it then owns.
func newAlertmanager(ln net.Listener, o alertmanagerOptions, log *slog.Logger) (*alertmanagerServer, error) {
	if o.Notifiers == nil {
		o.Notifiers = mailNotifiers(o.Clock, log)
	}
	a := &alertmanagerServer{ln: ln, o: o, log: log, metrics: prometheus.NewRegistry(), ready: make(chan struct{})}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	templates, err := template.FromGlobs(o.Config.Templates)
	if err != nil {
		return nil, fmt.Errorf("read the mail templates: %w", err)
	}
	templates.ExternalURL = &url.URL{Scheme: "http", Host: ln.Addr().String()}

	a.told, err = nflog.New(nflog.Options{
		SnapshotFile: a.toldFile(), Retention: times().Retention,
		Logger: log, Metrics: a.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("read what was told from %q: %w", a.toldFile(), err)
	}
	a.silences, err = silence.New(silence.Options{
		SnapshotFile: a.silencesFile(), Retention: times().Retention,
		Logger: log, Metrics: a.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("read silences from %q: %w", a.silencesFile(), err)
	}
	a.memories = []*memory{newMemory(a.told, a.toldFile(), log), newMemory(a.silences, a.silencesFile(), log)}
	var (
		events   eventrecorder.Recorder // none
		features = featurecontrol.NoopFlags{}
		groups   = marker.NewGroupMarker()
		silencer = silence.NewSilencer(a.silences, log, events)
	)
	a.alerts, err = mem.NewAlerts(context.Background(), forgetAlertsEvery, 0, silencer, log, events, a.metrics, features)
	if err != nil {
		return nil, err
	}
	a.inhibit = inhibit.NewInhibitor(a.alerts, o.Config.InhibitRules, log, events)
	routes := dispatch.NewRoute(o.Config.Route, nil)
	a.dispatch = dispatch.NewDispatcher(
		a.alerts, routes,
		notify.NewPipelineBuilder(a.metrics, features, events).New(
			a.receivers(templates),
			func() time.Duration { return 0 }, // there is no other Alertmanager to wait for
			a.inhibit, silencer,
			timeinterval.NewIntervener(timeIntervals(o.Config)),
			groups, a.told, nil,
		),
		groups,
		func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) },
		forgetGroupsEvery, nil, log, events,
		dispatch.NewDispatcherMetrics(false, a.metrics, features),
		templates,
	)
	a.handler, err = a.newAPI(groups, silencer)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (a *alertmanagerServer) toldFile() string     { return filepath.Join(a.o.Dir, "nflog") }
func (a *alertmanagerServer) silencesFile() string { return filepath.Join(a.o.Dir, "silences") }

// receivers returns what tells each receiver.
func (a *alertmanagerServer) receivers(templates *template.Template) map[string][]notify.Integration {
	all := make(map[string][]notify.Integration)
	for _, r := range a.o.Config.Receivers {
		all[r.Name] = a.o.Notifiers(r, templates)
	}
	return all
}

// mailNotifiers returns notifiers that send e-mail, which is all that this
// program can.
func mailNotifiers(by clock, log *slog.Logger) notifiersFunc {
	return func(r config.Receiver, templates *template.Template) []notify.Integration {
		var all []notify.Integration
		for i, c := range r.EmailConfigs {
			all = append(all, notify.NewIntegration(dated{email.New(c, templates, log), by}, c, "email", i, r.Name))
		}
		return all
	}
}

func timeIntervals(c *config.Config) map[string][]timeinterval.TimeInterval {
	all := make(map[string][]timeinterval.TimeInterval)
	for _, t := range c.TimeIntervals {
		all[t.Name] = t.TimeIntervals
	}
	return all
}

// newAPI returns the HTTP API: what amtool and Grafana ask.
func (a *alertmanagerServer) newAPI(groups marker.GroupMarker, silencer *silence.Silencer) (http.Handler, error) {
	v2, err := api.New(api.Options{
		Alerts: a.alerts, Silences: a.silences,
		GroupMutedFunc: groups.Muted, GroupFunc: a.dispatch.Groups,
		Logger: a.log, Registry: a.metrics,
		RequestDuration: promauto.With(a.metrics).NewHistogramVec(prometheus.HistogramOpts{
			Name: "alertmanager_http_request_duration_seconds",
			Help: "How long requests took.",
		}, []string{"handler", "method", "code"}),
	})
	if err != nil {
		return nil, fmt.Errorf("make the Alertmanager API: %w", err)
	}
	v2.Update(a.o.Config, func(ctx context.Context, labels model.LabelSet) {
		a.inhibit.Mutes(ctx, labels)
		silencer.Mutes(ctx, labels)
	})
	mux := v2.Register(route.New(), "/")
	serveHealth(mux, "Alertmanager", a.metrics)
	return mux, nil
}

// Notify takes in alerts.
func (a *alertmanagerServer) Notify(alerts ...*alert.Alert) {
	if err := a.alerts.Put(context.Background(), alerts...); err != nil {
		a.log.Error("alerts not taken in", "err", err)
	}
}

// Ready is closed when alerts are told and the API answers.
func (a *alertmanagerServer) Ready() <-chan struct{} { return a.ready }

// Run tells of alerts and serves until ctx is done.
func (a *alertmanagerServer) Run(ctx context.Context) error {
	web := &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	err := serveWhile(ctx, web, a.ln, func(ctx context.Context) { a.tell(ctx) })
	if err != nil {
		return fmt.Errorf("serve Alertmanager: %w", err)
	}
	return nil
}

// tell tells of alerts until ctx is done. What was told and what is silenced is
// then on disk.
func (a *alertmanagerServer) tell(ctx context.Context) {
	var saving sync.WaitGroup
	stopSaving := make(chan struct{})
	for _, m := range a.memories {
		saving.Go(func() { m.run(stopSaving) })
	}

	// Inhibition first: nothing is to be told that another alert inhibits.
	var telling sync.WaitGroup
	telling.Go(a.inhibit.Run)
	a.inhibit.WaitForLoading()
	telling.Go(func() { a.dispatch.Run(time.Now()) })
	a.dispatch.WaitForLoading()
	close(a.ready)

	<-ctx.Done()
	a.dispatch.Stop()
	a.inhibit.Stop()
	telling.Wait()
	close(stopSaving)
	saving.Wait()
	a.alerts.Close()
}

// Close releases an Alertmanager that does not run.
func (a *alertmanagerServer) Close() error {
	a.alerts.Close()
	if err := a.ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
