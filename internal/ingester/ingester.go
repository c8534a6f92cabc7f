// Package ingester wires the path of a message into a service.
package ingester

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"tofuwatch/alerts"
	"tofuwatch/ingest"
	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/mqtt"
	"tofuwatch/ingest/payload"
	"tofuwatch/ingest/spool"
	"tofuwatch/ingest/summary"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// Options are what the site file does not say.
type Options struct {
	SpoolLimit int64                // bytes that the spool may take; 0 means spool.DefaultLimit
	Registry   *prometheus.Registry // where the metrics are registered; nil means a new one
}

// Times of the service.
const (
	saveEvery    = 2 * time.Second
	replayEvery  = 500 * time.Millisecond
	probeEvery   = time.Second
	shutdownTime = 5 * time.Second
)

// Run is the service: it ingests until ctx is done, which is no error, and
// serves /metrics, /healthz and /readyz on ln, which it closes.
//
//	broker --> subscriber --> pipeline --> spool --> writer --> InfluxDB
//	                             |                     |           ^|
//	        Prometheus <----- exporter                 +--> keeper -+v
//
// Shutdown follows the data. The subscriber disconnects, so that what is not
// acknowledged stays with the broker; the spool commits and closes; what the
// writer has not sent is on disk and waits for the next start.
func Run(ctx context.Context, s *site.Site, ln net.Listener, o Options, log *slog.Logger) error {
	defer ln.Close()
	i, err := open(s, o, log)
	if err != nil {
		return err
	}
	defer i.client.Close()
	subscriber := mqtt.New(MQTTOptions(s, i.spool.Writable), i.pipeline.Handle, log.With("component", "mqtt"))
	keeper, err := i.keeper()
	if err != nil {
		return errors.Join(err, i.close())
	}
	defer keeper.Close()
	writer := influx.NewWriter(i.client, InfluxOptions(s), keeper.Watch(i.spool), log.With("component", "influx"))

	registry := o.Registry
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	registry.MustRegister(
		i.exporter,
		ingest.NewMetrics(i.pipeline, i.spool.Health, writer.Up, subscriber.Up),
		keeper,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	server := &http.Server{Handler: handler(registry, subscriber.Up, i.spool.Writable), ReadHeaderTimeout: 10 * time.Second}

	log.Info("ingesting", "site", s.Name, "stations", len(s.Stations), "metrics", "http://"+ln.Addr().String()+"/metrics")
	// The writer, which reads the spool, ends before the spool closes, and the
	// server last, so that the final counts can still be scraped.
	g, ctx := errgroup.WithContext(ctx)
	writerDone := make(chan struct{})
	g.Go(func() error {
		defer close(writerDone)
		return writer.Run(ctx)
	})
	g.Go(func() error {
		var rest sync.WaitGroup
		rest.Go(func() { i.saveLatest(ctx) })
		rest.Go(func() { keeper.Run(ctx) })
		rest.Go(func() { i.replayRequests(ctx) })
		rest.Go(func() { i.reconnectAfterRefusal(ctx, subscriber) })
		err := subscriber.Run(ctx)
		rest.Wait()
		<-writerDone
		err = errors.Join(err, i.close())
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		return errors.Join(err, server.Shutdown(stopping))
	})
	g.Go(func() error {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve metrics: %w", err)
		}
		return nil
	})
	err = g.Wait()
	log.Info("stopped")
	return err
}

// An ingester is what lies between broker and database: decide, keep, show.
type ingester struct {
	site     *site.Site
	stations map[string]*water.Station // by ID
	log      *slog.Logger
	exporter *alerts.Exporter
	spool    *spool.Spool
	pipeline *ingest.Pipeline
	client   influxdb2.Client
	refused  atomic.Bool // the spool refused a message since the last connection
}

// open opens the data folder and restores the latest values.
func open(s *site.Site, o Options, log *slog.Logger) (*ingester, error) {
	i := &ingester{site: s, stations: make(map[string]*water.Station, len(s.Stations)), log: log}
	for _, station := range s.Stations {
		i.stations[station.ID] = station.Station
	}
	i.exporter = alerts.NewExporter(i.stations)
	i.exporter.Judge(s.Limits(), time.Now)
	position, err := i.exporter.Load(i.latestFile(), s.Parameters)
	if err != nil {
		// Values that come in replace it; nothing of the readings is lost.
		log.Error("latest values start empty", "err", err)
	}
	i.spool, err = spool.Open(spool.Options{
		DataDir: s.DataDir, Limit: o.SpoolLimit,
		Encode: influx.Encode, CountReadings: influx.CountReadings,
		RestoreFrom: position,
		Restore: func(lines []byte, received time.Time) {
			observations, err := influx.Decode(lines, i.stations, s.Parameters)
			if err != nil {
				log.Error("latest values may lack some", "err", err)
			}
			i.exporter.ObserveAt(received, observations)
		},
	}, log.With("component", "spool"))
	if err != nil {
		return nil, err
	}
	i.pipeline = ingest.NewPipeline(ingest.Options{
		Sources: sources(s), Stations: i.stations, Parameters: s.Parameters,
		Refused: func(error) { i.refused.Store(true) },
	}, i.spool, i.exporter, log.With("component", "pipeline"))
	i.client = influx.NewClient(InfluxOptions(s))
	return i, nil
}

// keeper returns what makes hours and days of the readings.
func (i *ingester) keeper() (*summary.Keeper, error) {
	var plants []summary.Plant
	for _, p := range i.site.Plants() {
		plants = append(plants, summary.Plant{Effluent: p.Effluent, Influent: p.Influent, Retention: p.Retention})
	}
	return summary.New(summary.Options{
		File:     filepath.Join(i.site.DataDir, "summaries.marks"),
		Stations: i.stations, Parameters: i.site.Parameters, Limits: i.site.Limits(), Plants: plants,
		TimeZone: i.site.TimeZone, Prefix: influx.Measurement + ",", Now: time.Now,
	}, influx.NewHistory(i.client, InfluxOptions(i.site)), i.log.With("component", "summary"))
}

func (i *ingester) close() error { return errors.Join(i.save(), i.spool.Close()) }

func (i *ingester) latestFile() string { return filepath.Join(i.site.DataDir, "latest.json") }

// save makes the latest values durable, and lets the spool go of what led to
// them.
func (i *ingester) save() error {
	position := i.spool.End() // before: what is not on disk by now may be missing
	if err := i.exporter.Save(i.latestFile(), position); err != nil {
		return err
	}
	i.spool.Restored(position)
	return nil
}

// saveLatest saves the latest values every now and then while they change.
func (i *ingester) saveLatest(ctx context.Context) {
	var saved uint64
	every(ctx, saveEvery, func() {
		if end := i.spool.End(); end != saved {
			if err := i.save(); err != nil {
				i.log.Error("latest values not saved; after a crash they come from the spool", "err", err)
				return
			}
			saved = end
		}
	})
}

// reconnectAfterRefusal makes the broker send again what the spool refused, as
// soon as it has room.
func (i *ingester) reconnectAfterRefusal(ctx context.Context, subscriber *mqtt.Subscriber) {
	every(ctx, probeEvery, func() {
		if i.refused.Swap(false) {
			i.log.Error("spool refuses messages; staying away from the broker, which keeps them, until there is room", "err", i.spool.Writable())
			subscriber.Reconnect()
		}
	})
}

// every calls f at intervals until ctx is done.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// handler serves what the outside may ask.
func handler(registry *prometheus.Registry, brokerUp func() bool, writable func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		var faults error
		if !brokerUp() {
			faults = errors.New("the broker has not granted the subscriptions")
		}
		if faults = errors.Join(faults, writable()); faults != nil {
			http.Error(w, faults.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return mux
}

// MQTTOptions are a site's, with a gate that is asked before each connection.
func MQTTOptions(s *site.Site, gate func() error) mqtt.Options {
	var filters []string
	for _, source := range sources(s) {
		filters = append(filters, source.Filter())
	}
	return mqtt.Options{
		Broker: s.MQTT.Broker, ClientID: s.MQTT.ClientID,
		Username: s.MQTT.Username, Password: string(s.MQTT.Password),
		TLS:         s.MQTT.TLS.Config,
		Filters:     append(filters, ingest.Presence.Filter()),
		FiltersFile: filepath.Join(s.DataDir, "filters.json"),
		Gate:        gate,
	}
}

// InfluxOptions are a site's.
func InfluxOptions(s *site.Site) influx.Options {
	return influx.Options{URL: s.InfluxDB.URL, Org: s.InfluxDB.Org, Bucket: s.InfluxDB.Bucket, Token: string(s.InfluxDB.Token)}
}

func sources(s *site.Site) []ingest.Source {
	var sources []ingest.Source
	for _, source := range s.MQTT.Sources {
		sources = append(sources, ingest.Source{Topic: source.Topic, Decode: payload.Formats[source.Format]})
	}
	return sources
}
