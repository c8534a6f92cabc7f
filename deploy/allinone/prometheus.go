package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
)

// How long Prometheus keeps what it has seen, and how much of it at most: what is
// usual at a station is a matter of weeks. Readings themselves are in InfluxDB.
const (
	keepMetricsFor  = 40 * 24 * time.Hour
	keepMetricsSize = 2 << 30 // bytes
)

// prometheusOptions are what Prometheus needs to know of its site.
type prometheusOptions struct {
	Dir     string            // its folder; made if it is missing
	Targets []target          // what it watches
	Rules   map[string][]byte // rule files by name
	Notify  notifyFunc        // told of alerts that fire and that no longer do
	Clock   clock             // by which its targets live
	Pace    pacing            // zero: usual
	Block   time.Duration     // how much a block of its database holds at first; 0: two hours
}

// A pacing says how often Prometheus does what.
type pacing struct {
	Look time.Duration // between two looks at the targets
	Pass time.Duration // between two passes if nothing changes
}

// usualPace is that of a service. A pass is made as soon as a look shows a
// change, so an emergency does not wait for an interval to end, and a site whose
// stations report every few minutes costs little between.
var usualPace = pacing{Look: time.Second, Pass: 15 * time.Second}

// longestStep is how far two looks may be apart in the time of the targets: of what
// was there before, rules see nothing after five minutes.
const longestStep = 4 * time.Minute

// idleShare is how much longer than a pass the time until the next look is at
// least. With hundreds of stations something changes every second, and a pass
// takes as long.
const idleShare = 2

// A prometheusServer is Prometheus: its time series database, its rules and its
// HTTP API. It scrapes nothing over the network: what it watches is in this
// process, and the series are those that a scrape would have made.
type prometheusServer struct {
	ln    net.Listener
	o     prometheusOptions
	log   *slog.Logger
	ready chan struct{}

	// What follows is there once it is open.
	db      *tsdb.DB
	metrics *prometheus.Registry
	scraper *scraper
	rules   *ruleSet
	handler http.Handler
	passed  time.Time // when the last pass was made
}

// newPrometheus returns a Prometheus that will serve ln, which it then owns.
func newPrometheus(ln net.Listener, o prometheusOptions, log *slog.Logger) *prometheusServer {
	if o.Pace == (pacing{}) {
		o.Pace = usualPace
	}
	return &prometheusServer{ln: ln, o: o, log: log, ready: make(chan struct{})}
}

// open opens the database and loads the rules.
func (p *prometheusServer) open() error {
	p.metrics = prometheus.NewRegistry()
	options := tsdb.DefaultOptions()
	options.RetentionDuration = keepMetricsFor.Milliseconds()
	options.MaxBytes = keepMetricsSize
	options.MaxBlockDuration = options.RetentionDuration / 10 // as in Prometheus; else a query of weeks opens hundreds of blocks
	if p.o.Block > 0 {
		options.MinBlockDuration = p.o.Block.Milliseconds()
	}
	options.WALCompression = compression.Snappy
	options.StripeSize = 1 << 10 // of a map of series: thousands, not millions
	var err error
	if p.db, err = tsdb.Open(p.o.Dir, p.log, p.metrics, options, nil); err != nil {
		return fmt.Errorf("open Prometheus in %q: %w", p.o.Dir, err)
	}
	language := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		Logger:               p.log,
		Reg:                  p.metrics,
		MaxSamples:           50_000_000,
		Timeout:              2 * time.Minute,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		Parser:               language,
	})
	p.rules, err = loadRules(p.o.Rules, p.o.Pace.Pass, &rules.ManagerOptions{
		QueryFunc:    rules.EngineQueryFunc(engine, p.db),
		NotifyFunc:   p.o.Notify.rules(p.o.Clock),
		AppendableV2: p.db,
		Queryable:    p.db,
		Logger:       p.log,
		Registerer:   p.metrics,
		Parser:       language,
		ResendDelay:  time.Minute,
		// After a restart an alert waits as long as it had left.
		OutageTolerance: time.Hour,
	})
	if err != nil {
		return errors.Join(err, p.close())
	}
	p.scraper = newScraper(p.o.Targets, p.db)
	p.handler = newQueryAPI(p, engine, language)
	return nil
}

// Firing returns the labels of the alerts that fire.
func (p *prometheusServer) Firing() []labels.Labels {
	select {
	case <-p.ready:
	default:
		return nil
	}
	var firing []labels.Labels
	for _, rule := range p.rules.AlertingRules() {
		for _, a := range rule.ActiveAlerts() {
			if a.State == rules.StateFiring {
				firing = append(firing, a.Labels)
			}
		}
	}
	return firing
}

func (p *prometheusServer) close() error {
	if err := p.db.Close(); err != nil {
		return fmt.Errorf("close Prometheus in %q: %w", p.o.Dir, err)
	}
	return nil
}

// Ready is closed when Prometheus answers.
func (p *prometheusServer) Ready() <-chan struct{} { return p.ready }

// Run watches and serves until ctx is done.
func (p *prometheusServer) Run(ctx context.Context) error {
	if err := p.open(); err != nil {
		return errors.Join(err, p.ln.Close())
	}
	web := &http.Server{
		Handler:           p.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	err := serveWhile(ctx, web, p.ln, func(ctx context.Context) {
		close(p.ready)
		p.watch(ctx)
	})
	if err != nil {
		err = fmt.Errorf("serve Prometheus: %w", err)
	}
	return errors.Join(err, p.close())
}

// watch looks at the targets until ctx is done.
func (p *prometheusServer) watch(ctx context.Context) {
	every := p.o.Pace.Look
	if p.o.Clock.speed > 1 {
		every = min(every, time.Duration(float64(longestStep)/p.o.Clock.speed))
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case began := <-next.C:
			p.look(ctx)
			next.Reset(max(every-time.Since(began), idleShare*time.Since(began)))
		case <-ctx.Done():
			return
		}
	}
}

// look gathers the metrics, and if any has changed, or none has for long, keeps
// them and evaluates the rules.
func (p *prometheusServer) look(ctx context.Context) {
	now := p.o.Clock.there(time.Now())
	changed := p.scraper.gather(p.log)
	if !changed && now.Sub(p.passed) < p.o.Pace.Pass {
		return
	}
	p.passed = now
	if err := p.scraper.store(ctx, now); err != nil {
		p.log.Error("metrics not stored", "err", err)
	}
	p.rules.evaluate(ctx, now)
}

// serveWhile serves ln, which it closes, and does work beside it, until ctx is
// done or either has ended.
func serveWhile(ctx context.Context, web *http.Server, ln net.Listener, work func(context.Context)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer stop()
		served <- web.Serve(ln)
	}()
	work(ctx)
	<-ctx.Done()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	err := web.Shutdown(deadline)
	if err != nil {
		err = errors.Join(fmt.Errorf("end requests: %w", err), web.Close())
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(serveErr, err)
	}
	return err
}
