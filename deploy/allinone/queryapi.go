package main

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/grafana/regexp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/route"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	webapi "github.com/prometheus/prometheus/web/api/v1"
)

// prometheusVersion is what Prometheus says it is.
const prometheusVersion = "3.16.0"

// newQueryAPI returns the HTTP API of p: what Grafana and promtool ask, and the
// engine's own metrics. Nothing can be written or deleted through it.
func newQueryAPI(p *prometheusServer, engine *promql.Engine, language parser.Parser) http.Handler {
	started := time.Now()
	none := notScraped{}
	address := p.ln.Addr().String()
	api := webapi.NewAPI(
		engine, p.db, nil, p.db,
		func(context.Context) webapi.ScrapePoolsRetriever { return none },
		func(context.Context) webapi.TargetRetriever { return none },
		func(context.Context) webapi.AlertmanagerRetriever { return none },
		func() config.Config { return config.DefaultConfig },
		nil,
		webapi.GlobalURLOptions{ListenAddress: address, Host: address, Scheme: "http"},
		func(next http.HandlerFunc) http.HandlerFunc { return next },
		readOnly{p.db}, p.o.Dir, false, false, 0,
		p.log,
		func(context.Context) webapi.RulesRetriever { return p.rules },
		50_000_000, 10, 1<<20,
		false,
		regexp.MustCompile("^$"), // no page of another site may ask
		func() (webapi.RuntimeInfo, error) {
			dir, err := os.Getwd()
			return webapi.RuntimeInfo{
				StartTime: started, ServerTime: time.Now(), CWD: dir, ReloadConfigSuccess: true, LastConfigTime: started,
				GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0),
				StorageRetention: keepMetricsFor.String(),
			}, err
		},
		&webapi.PrometheusVersion{Version: prometheusVersion, GoVersion: runtime.Version()},
		nil, nil,
		p.metrics, p.metrics,
		nil,
		false, nil,
		false, false, false,
		5*time.Minute,
		false, false,
		nil, nil,
		webapi.OpenAPIOptions{ExternalURL: "http://" + address, Version: prometheusVersion},
		language,
		false, 2*time.Minute,
	)
	router := route.New()
	api.Register(router)
	mux := http.NewServeMux()
	mux.Handle("/api/v1/", http.StripPrefix("/api/v1", router))
	serveHealth(mux, "Prometheus", p.metrics)
	return mux
}

// serveHealth adds what the real programs answer beside their API.
func serveHealth(mux *http.ServeMux, name string, metrics *prometheus.Registry) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	for path, state := range map[string]string{"GET /-/healthy": "Healthy", "GET /-/ready": "Ready"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(name + " is " + state + ".\n"))
		})
	}
}

// notScraped is what there is of scraping and of other Alertmanagers: both are in
// this process.
type notScraped struct{}

// ScrapePools returns none.
func (notScraped) ScrapePools() []string { return nil }

// TargetsActive returns none.
func (notScraped) TargetsActive() map[string][]*scrape.Target { return nil }

// TargetsDropped returns none.
func (notScraped) TargetsDropped() map[string][]*scrape.Target { return nil }

// TargetsDroppedCounts returns none.
func (notScraped) TargetsDroppedCounts() map[string]int { return nil }

// ScrapePoolConfig returns none.
func (notScraped) ScrapePoolConfig(string) (*config.ScrapeConfig, error) { return nil, os.ErrNotExist }

// Alertmanagers returns none.
func (notScraped) Alertmanagers() []*url.URL { return nil }

// DroppedAlertmanagers returns none.
func (notScraped) DroppedAlertmanagers() []*url.URL { return nil }

// readOnly is the database for an API that shows what is in it.
type readOnly struct{ *tsdb.DB }

// Stats returns how many series there are of what.
func (r readOnly) Stats(label string, limit int) (*tsdb.Stats, error) {
	return r.Head().Stats(label, limit), nil
}

// WALReplayStatus returns that all was read before the API was there.
func (r readOnly) WALReplayStatus() (tsdb.WALReplayStatus, error) { return tsdb.WALReplayStatus{}, nil }

// BlockMetas returns what is on disk.
func (r readOnly) BlockMetas() ([]tsdb.BlockMeta, error) { return r.DB.BlockMetas(), nil }
