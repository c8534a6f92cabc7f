package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/flux"
	influxd "github.com/influxdata/influxdb/cmd/influxd/run"
	"github.com/influxdata/influxdb/flux/control"
	"github.com/influxdata/influxdb/services/continuous_querier"
	"github.com/influxdata/influxdb/services/httpd"
	"github.com/influxdata/influxdb/services/meta"
	"github.com/influxdata/influxdb/services/precreator"
	"github.com/influxdata/influxdb/services/retention"
	"github.com/influxdata/influxdb/services/storage"
	"github.com/influxdata/influxdb/storage/reads"
	"github.com/prometheus/client_golang/prometheus"
)

// influxDBVersion is what the database says it is.
const influxDBVersion = "1.8.10"

// shutdownWithin is how long requests may take to end.
const shutdownWithin = 10 * time.Second

// influxDBOptions are what a database needs to know of its site.
type influxDBOptions struct {
	Dir    string // its folder; made if it is missing
	Bucket string // database, or database/retention-policy; made if it is missing
	Token  string // user:password; empty: everybody may do everything
}

// An influxDB is InfluxDB 1.8: storage engine, InfluxQL, Flux and the HTTP API.
//
// The server of package run opens more than is wanted here: a port for backups
// without a password, and loggers of its own on standard error. So it only puts
// the engine together, and what a site needs of the rest is opened in Run.
type influxDB struct {
	server  *influxd.Server
	handler *httpd.Handler
	ln      net.Listener
	o       influxDBOptions
	ready   chan struct{}
}

// newInfluxDB returns a database that will serve ln, which it then owns.
func newInfluxDB(ln net.Listener, o influxDBOptions, log *slog.Logger) (*influxDB, error) {
	c := influxd.NewConfig()
	c.ReportingDisabled = true
	c.Meta.Dir = filepath.Join(o.Dir, "meta")
	c.Meta.LoggingEnabled = false
	c.Data.Dir = filepath.Join(o.Dir, "data")
	c.Data.WALDir = filepath.Join(o.Dir, "wal")
	c.Data.QueryLogEnabled = false
	c.Data.MaxSeriesPerDatabase = 0 // no limit: the site file bounds what there can be
	c.Data.MaxValuesPerTag = 0
	c.Monitor.StoreEnabled = false
	c.ContinuousQuery.LogEnabled = false
	c.HTTPD.LogEnabled = false
	c.HTTPD.PprofEnabled = false
	c.HTTPD.FluxEnabled = true
	c.HTTPD.AuthEnabled = o.Token != ""

	server, err := influxd.NewServer(c, &influxd.BuildInfo{Version: influxDBVersion})
	if err != nil {
		return nil, fmt.Errorf("prepare InfluxDB in %q: %w", o.Dir, err)
	}
	server.Logger = zapTo(log)
	if err := provide(server.MetaClient, o); err != nil {
		return nil, errors.Join(err, server.MetaClient.Close())
	}
	return &influxDB{
		server:  server,
		handler: newHandler(server, c.HTTPD, log),
		ln:      ln,
		o:       o,
		ready:   make(chan struct{}),
	}, nil
}

// provide makes the bucket and the user, if they are missing.
func provide(m *meta.Client, o influxDBOptions) error {
	database, policy, _ := strings.Cut(o.Bucket, "/")
	if _, err := m.CreateDatabase(database); err != nil {
		return fmt.Errorf("create database %q: %w", database, err)
	}
	known, err := m.RetentionPolicy(database, policy)
	if err != nil {
		return fmt.Errorf("look for retention policy %q: %w", policy, err)
	}
	if policy != "" && known == nil {
		forever := time.Duration(0)
		spec := &meta.RetentionPolicySpec{Name: policy, Duration: &forever}
		if _, err := m.CreateRetentionPolicy(database, spec, false); err != nil {
			return fmt.Errorf("create retention policy %q: %w", policy, err)
		}
	}
	if o.Token == "" {
		return nil
	}
	user, password, _ := strings.Cut(o.Token, ":")
	_, err = m.CreateUser(user, password, true)
	if errors.Is(err, meta.ErrUserExists) {
		err = errors.Join(m.UpdateUser(user, password), m.SetAdminPrivilege(user, true))
	}
	if err != nil {
		return fmt.Errorf("create user %q: %w", user, err)
	}
	return nil
}

// newHandler returns the HTTP API of s.
func newHandler(s *influxd.Server, c httpd.Config, log *slog.Logger) *httpd.Handler {
	authorizer := meta.NewQueryAuthorizer(s.MetaClient)
	store := storage.NewStore(s.TSDBStore, s.MetaClient)
	h := httpd.NewHandler(c)
	h.Version, h.BuildType = influxDBVersion, "OSS"
	h.MetaClient = s.MetaClient
	h.QueryAuthorizer = authorizer
	h.WriteAuthorizer = meta.NewWriteAuthorizer(s.MetaClient)
	h.QueryExecutor = s.QueryExecutor
	h.Monitor = s.Monitor
	h.PointsWriter = s.PointsWriter
	h.Store = store
	h.Controller = &fluxOnDemand{start: sync.OnceValue(func() httpd.Controller {
		return control.NewController(s.MetaClient, reads.NewReader(store), authorizer, c.AuthEnabled, s.Logger)
	})}
	h.Logger = s.Logger
	h.CLFLogger = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	return h
}

// fluxOnDemand starts Flux with its first query: the language takes seconds to
// set itself up, and InfluxQL and writing need none of it.
type fluxOnDemand struct{ start func() httpd.Controller }

// Query starts a query.
func (f *fluxOnDemand) Query(ctx context.Context, compiler flux.Compiler) (flux.Query, error) {
	return f.start().Query(ctx, compiler)
}

// PrometheusCollectors returns none: the engine's own metrics are not shown.
func (f *fluxOnDemand) PrometheusCollectors() []prometheus.Collector { return nil }

// Ready is closed when the database answers.
func (i *influxDB) Ready() <-chan struct{} { return i.ready }

// Run serves until ctx is done. What was written is then on disk and closed.
func (i *influxDB) Run(ctx context.Context) error {
	s := i.server
	s.PointsWriter.MetaClient = s.MetaClient
	s.Monitor.MetaClient = s.MetaClient
	s.TSDBStore.WithLogger(s.Logger)
	s.PointsWriter.WithLogger(s.Logger)
	s.QueryExecutor.WithLogger(s.Logger)
	if err := s.TSDBStore.Open(); err != nil {
		return errors.Join(fmt.Errorf("open InfluxDB in %q: %w", i.o.Dir, err), s.Close(), i.ln.Close())
	}
	if err := errors.Join(s.PointsWriter.Open(), i.openServices()); err != nil {
		return errors.Join(fmt.Errorf("start InfluxDB: %w", err), s.Close(), i.ln.Close())
	}

	web := &http.Server{
		Handler:           i.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          i.handler.CLFLogger,
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(i.ln) }()
	close(i.ready)
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-served:
		failed = fmt.Errorf("serve InfluxDB: %w", failed)
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	if err := web.Shutdown(deadline); err != nil {
		failed = errors.Join(failed, fmt.Errorf("end InfluxDB's requests: %w", err), web.Close())
	}
	return errors.Join(failed, s.Close())
}

// openServices opens what works in the background: shards that are created
// ahead of time, data that is past its retention, and continuous queries.
func (i *influxDB) openServices() error {
	s, c := i.server, influxd.NewConfig()

	shards := precreator.NewService(c.Precreator)
	shards.MetaClient = s.MetaClient

	keep := retention.NewService(c.Retention)
	keep.MetaClient, keep.TSDBStore = s.MetaClient, s.TSDBStore

	c.ContinuousQuery.LogEnabled = false
	continuous := continuous_querier.NewService(c.ContinuousQuery)
	continuous.MetaClient, continuous.QueryExecutor, continuous.Monitor = s.MetaClient, s.QueryExecutor, s.Monitor

	for _, service := range []influxd.Service{s.Monitor, shards, keep, continuous} {
		service.WithLogger(s.Logger)
		if err := service.Open(); err != nil {
			return err
		}
		s.Services = append(s.Services, service)
	}
	return nil
}
