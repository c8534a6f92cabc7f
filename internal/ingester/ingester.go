// Package ingester wires the path of a message into a service.
package ingester

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
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
	"tofuwatch/ingest/care"
	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/laboratory"
	"tofuwatch/ingest/mqtt"
	"tofuwatch/ingest/payload"
	"tofuwatch/ingest/quality"
	"tofuwatch/ingest/spool"
	"tofuwatch/ingest/summary"
	"tofuwatch/internal/estimate"
	"tofuwatch/internal/estimate/score"
	"tofuwatch/internal/machine"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
	"tofuwatch/internal/web"
)

// Options are what the site file does not say.
type Options struct {
	SpoolLimit int64                // bytes that the spool may take; 0 means spool.DefaultLimit
	Registry   *prometheus.Registry // where the metrics are registered; nil means a new one
	// Snapshot copies what InfluxDB has stored into a folder, in files that nobody
	// changes, where it belongs to the same process. It may be nil.
	Snapshot func(folder string) error

	// Clock returns, of a time of ours, the time where the stations are; nil means
	// ours. Only a simulation has another.
	Clock func(time.Time) time.Time
}

// Times of the service.
const (
	saveEvery = 2 * time.Second
	// What readings are judged by is larger than the latest values, and is made
	// again from the spool after a crash: it is saved less often, unless the spool
	// grows by much meanwhile.
	saveJudgeEvery = 10 * time.Minute
	saveJudgeAfter = 64 << 20 // bytes
	probeEvery     = time.Second
	shutdownTime   = 5 * time.Second
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
	subscriber := mqtt.New(MQTTOptions(s, i.spool.Writable), i.handle, log.With("component", "mqtt"))
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
		i.care,
		ingest.NewMetrics(i.pipeline, i.spool.Health, writer.Up, subscriber.Up),
		machine.NewMetrics(s.DataDir),
		keeper,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	var scorer *score.Scorer
	if models := s.Estimates(); len(models) > 0 {
		history := influx.NewReader(i.client, InfluxOptions(s))
		scorer = score.New(history, models, i.stations, s.Parameters, log.With("component", "estimate"))
		registry.MustRegister(scorer)
	}
	server := &http.Server{Handler: handler(registry, subscriber.Up, i.spool.Writable), ReadHeaderTimeout: 10 * time.Second}

	log.Info("ingesting", "site", s.Name, "stations", len(s.Stations), "metrics", s.HTTP.URL(ln.Addr().String())+"/metrics")
	// The writer, which reads the spool, ends before the spool closes, and the
	// server last, so that the final counts can still be scraped.
	i.announce()
	i.checkClock()
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
		rest.Go(func() { i.answerRequests(ctx) })
		rest.Go(func() { i.watchdog(ctx, registry) })
		rest.Go(func() { i.makeSnapshots(ctx, o.Snapshot) })
		rest.Go(func() { i.correctDrift(ctx) })
		rest.Go(func() { i.importRequests(ctx) })
		rest.Go(func() { i.reconnectAfterRefusal(ctx, subscriber) })
		if scorer != nil {
			rest.Go(func() { scorer.Run(ctx) })
		}
		err := subscriber.Run(ctx)
		rest.Wait()
		<-writerDone
		err = errors.Join(err, i.close())
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		return errors.Join(err, server.Shutdown(stopping))
	})
	g.Go(func() error {
		if err := web.Serve(ln, server, s.HTTP.WebConfigFile, log.With("component", "web")); !errors.Is(err, http.ErrServerClosed) {
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
	judge    *quality.Judge
	care     *care.Book
	spool    *spool.Spool
	pipeline *ingest.Pipeline
	client   influxdb2.Client
	refused  atomic.Bool // the spool refused a message since the last connection
	clock    func(time.Time) time.Time

	judgeAfter   uint64 // by how much the spool grows until the judge is saved
	judgeSaved   uint64 // the spool's position when it was
	judgeSavedAt time.Time

	spoolLimit int64                // bytes
	register   *laboratory.Register // nil until the first import; opened under saving
	spooled    map[string]int64     // up to where a batch is in the spool, by its name

	saving sync.Mutex // held while the latest values are saved, or change with the register
	// hold is what the saved position must not pass, plus 1, while what is behind it
	// is in the spool and not in the latest values yet; 0 for no such thing.
	hold uint64
}

// open opens the data folder and restores the latest values.
func open(s *site.Site, o Options, log *slog.Logger) (*ingester, error) {
	i := &ingester{site: s, stations: stations(s), spooled: make(map[string]int64), log: log, clock: o.Clock}
	if i.clock == nil {
		i.clock = func(t time.Time) time.Time { return t }
	}
	if i.spoolLimit = o.SpoolLimit; i.spoolLimit == 0 {
		i.spoolLimit = spool.DefaultLimit
	}
	// Before anything is read, or set aside because it can't be.
	if err := spool.CheckFormat(s.DataDir); err != nil {
		return nil, err
	}
	if err := restored(s.DataDir); err != nil {
		return nil, err
	}
	i.exporter = alerts.NewExporter(i.stations)
	i.exporter.Judge(s.Limits(), func() time.Time { return i.clock(time.Now()) })
	position, err := i.exporter.Load(i.latestFile(), s.Parameters)
	if err != nil {
		// Values that come in replace it; nothing of the readings is lost.
		log.Error("latest values start empty", "err", err)
	}
	i.care = care.NewBook(care.Options{Stations: i.stations, Planned: s.Maintenance(), Longest: s.LongestMaintenance})
	carePosition, err := i.care.Load(i.careFile(), s.Parameters)
	if err != nil {
		if err := setAside(i.careFile()); err != nil {
			return nil, err
		}
		log.Error("maintenance and visits start empty, the damaged file is kept beside; give past visits once more for drift to be corrected", "err", err)
	}
	decides := PipelineOptions(s)
	i.judge = decides.Judge
	i.judgeAfter = min(saveJudgeAfter, uint64(cmp.Or(o.SpoolLimit, spool.DefaultLimit))/16)
	i.judgeSavedAt = time.Now()
	if i.judgeSaved, err = i.judge.Load(i.judgeFile(), i.stations, s.Parameters); err != nil {
		log.Error("readings are judged without those before, but for what is in the spool: for some hours a stuck sensor may not be found", "err", err)
	}
	i.spool, err = spool.Open(spool.Options{
		DataDir: s.DataDir, Limit: o.SpoolLimit,
		Encode: influx.Encode, EncodeCare: influx.EncodeCare, CountReadings: influx.CountReadings,
		RestoreFrom: min(position, carePosition, i.judgeSaved),
		Restore: func(r spool.Record) {
			maintenance, visits, err := influx.DecodeCare(r.Lines, i.stations, s.Parameters)
			if err != nil {
				log.Error("maintenance and visits may lack some", "err", err)
			}
			observations, err := influx.Decode(r.Lines, i.stations, s.Parameters)
			if err != nil {
				log.Error("latest values may lack some", "err", err)
			}
			if r.Corrections {
				if r.Position >= position {
					i.exporter.CorrectAt(r.Received, corrected(observations))
				}
				return
			}
			others := r.Position >= min(position, carePosition)
			if others {
				i.care.Keep(maintenance, visits, observations)
			}
			i.care.Mark(observations)
			if r.Position >= i.judgeSaved {
				i.judge.Restore(r.Received, observations) // and makes the corrections again
			}
			if r.Position >= position {
				i.exporter.ObserveAt(r.Received, observations)
			}
			i.noteSpooled(r.Topic)
		},
	}, log.With("component", "spool"))
	if err != nil {
		return nil, err
	}
	estimates, err := estimate.NewDeriver(s.Estimates(), s.Parameters)
	if err != nil {
		return nil, errors.Join(err, i.spool.Close())
	}
	decides.Stations, decides.Care = i.stations, i.care
	decides.Derive, decides.Revise = estimates.Derive, estimates.Revise
	decides.Refused = func(error) { i.refused.Store(true) }
	i.pipeline = ingest.NewPipeline(decides, i.spool, i.exporter, log.With("component", "pipeline"))
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
		TimeZone: i.site.TimeZone, Prefix: influx.Measurement + ",",
		Now: func() time.Time { return i.clock(time.Now()) },
	}, influx.NewHistory(i.client, InfluxOptions(i.site)), i.log.With("component", "summary"))
}

// corrected are corrections of which it is not known what they correct.
func corrected(observations []water.Observation) []water.Correction {
	corrections := make([]water.Correction, len(observations))
	for i, o := range observations {
		corrections[i].Observation = o
	}
	return corrections
}

// handle decides what becomes of a message, by the time where it was sent.
func (i *ingester) handle(m ingest.Message) {
	m.Received = i.clock(m.Received)
	i.pipeline.Handle(m)
}

func (i *ingester) close() error {
	err := errors.Join(i.saveJudge(), i.save(), i.spool.Close())
	if i.register != nil {
		err = errors.Join(err, i.register.Close())
	}
	return err
}

func (i *ingester) judgeFile() string { return filepath.Join(i.site.DataDir, "quality") }

// saveJudge makes durable what readings are judged by.
func (i *ingester) saveJudge() error {
	position := i.spool.End()
	i.judgeSavedAt = time.Now()
	if err := i.judge.Save(i.judgeFile(), position); err != nil {
		return err
	}
	i.judgeSaved = position
	return nil
}

// judgeDue reports whether saveJudge is due. A spool that is full waits for it: it
// keeps what would have to be judged again.
func (i *ingester) judgeDue() bool {
	grown := i.spool.End() - i.judgeSaved
	return grown > 0 && (grown >= i.judgeAfter || time.Since(i.judgeSavedAt) >= saveJudgeEvery || i.spool.Writable() != nil)
}

func (i *ingester) latestFile() string { return filepath.Join(i.site.DataDir, "latest.json") }

// save makes the latest values and the book of care durable, and lets the spool
// go of what led to them.
func (i *ingester) save() error {
	i.saving.Lock()
	defer i.saving.Unlock()
	position := i.spool.End() // before: what is not on disk by now may be missing
	if i.hold > 0 {
		position = min(position, i.hold-1)
	}
	if err := i.care.Save(i.careFile(), position); err != nil {
		return err
	}
	if err := i.exporter.Save(i.latestFile(), position); err != nil {
		return err
	}
	i.spool.Restored(min(position, i.judgeSaved))
	return nil
}

// saveLatest saves the latest values every now and then while they change.
func (i *ingester) saveLatest(ctx context.Context) {
	var saved uint64
	every(ctx, saveEvery, func() {
		if i.judgeDue() {
			if err := i.saveJudge(); err != nil {
				i.log.Error("what readings are judged by was not saved; after a crash it comes from the spool", "err", err)
			}
			saved = 0 // the spool can let go of more
		}
		if end := i.spool.End(); end != saved || i.exporter.Told() {
			if err := i.save(); err != nil {
				i.log.Error("latest values not saved; after a crash they come from the spool", "err", err)
				return
			}
			saved = end
		}
	})
}

// setAside renames a file that can't be read.
func setAside(file string) error {
	if err := os.Rename(file, file+".damaged"); err != nil {
		return fmt.Errorf("set the damaged file aside: %w", err)
	}
	return nil
}

// answerRequests answers what other processes ask, until ctx is done.
func (i *ingester) answerRequests(ctx context.Context) {
	every(ctx, lookEvery, func() {
		if err := replayDesk(i.site).serve(i.replay); err != nil {
			i.log.Error("replay request not answered", "err", err)
		}
		if err := noticeDesk(i.site).serve(i.notice); err != nil {
			i.log.Error("notice of another process not answered", "err", err)
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
		Filters:     append(filters, ingest.Presence.Filter(), ingest.Notices.Filter()),
		FiltersFile: filepath.Join(s.DataDir, "filters.json"),
		Gate:        gate,
	}
}

// InfluxOptions are a site's.
func InfluxOptions(s *site.Site) influx.Options {
	return influx.Options{URL: s.InfluxDB.URL, Org: s.InfluxDB.Org, Bucket: s.InfluxDB.Bucket, Token: string(s.InfluxDB.Token), TLS: s.InfluxDB.TLS.Config}
}

// PipelineOptions are what a site's readings are decided by.
func PipelineOptions(s *site.Site) ingest.Options {
	loggers := make(map[string]ingest.Logger)
	for _, station := range s.Stations {
		g := station.Logger
		loggers[station.ID] = ingest.Logger{
			Devices: g.Devices, Zone: g.TimeZone, Arrival: g.Arrival, Units: g.Units, Layout: payload.Layouts[g.Frames],
		}
	}
	return ingest.Options{
		Sources: sources(s), Stations: stations(s), Loggers: loggers, Zone: s.TimeZone, Parameters: s.Parameters,
		Judge: quality.NewJudge(s.Parameters, s.Settings),
	}
}

func stations(s *site.Site) map[string]*water.Station {
	byID := make(map[string]*water.Station, len(s.Stations))
	for _, station := range s.Stations {
		byID[station.ID] = station.Station
	}
	return byID
}

func sources(s *site.Site) []ingest.Source {
	var sources []ingest.Source
	for _, source := range s.MQTT.Sources {
		sources = append(sources, ingest.Source{
			Topic: source.Topic, Decode: payload.New(source.Format, source.Payload),
			From: source.Station, Zone: source.TimeZone, Arrival: source.Arrival, Layout: payload.Layouts[source.Frames],
		})
	}
	return sources
}
