package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/spf13/cobra"

	"tofuwatch/alerts/rules"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
)

func upCommand() *cobra.Command {
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "up --config site.yaml",
		Short: "Run the whole of a site, from MQTT broker to mail, until stopped",
		Long: `Run the whole of a site in this process, until stopped: MQTT broker, ingester,
InfluxDB 1.8, Prometheus and Alertmanager. They listen where the site file says
(mqtt.broker, influxdb.url, http.listen) and keep everything in its data_dir.

Grafana can be pointed at Prometheus, amtool at Alertmanager. A site file without
smtp sends no mail: it is kept as files in the folder mail of data_dir.`,
		Args: cobra.NoArgs,
	}
	file := cmd.Flags().String("config", "", "site file, for example site.yaml (required)")
	watching := cmd.Flags().String("prometheus-listen", defaultAddresses.prometheus, "where Prometheus answers, on this machine only")
	telling := cmd.Flags().String("alertmanager-listen", defaultAddresses.alertmanager, "where Alertmanager answers, on this machine only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "log as JSON")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log more")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *file == "" {
			return usageError{errors.New("which site? Name its file: --config site.yaml")}
		}
		s, err := site.Load(*file, os.Getenv)
		if err != nil {
			return err
		}
		if err := servable(s); err != nil {
			return usageError{err}
		}
		at := addresses{
			mqtt: s.MQTT.Broker.Host, influxDB: s.InfluxDB.URL.Host, http: s.HTTP.Listen,
			prometheus: *watching, alertmanager: *telling,
		}
		if err := at.guarded(); err != nil {
			return usageError{err}
		}
		sockets, err := listen(at)
		if err != nil {
			return fmt.Errorf("%w\nStop what listens there, or give other addresses in %s or by these flags", err, s.File)
		}
		log := logger(cmd.ErrOrStderr(), asJSON, verbose)
		all, err := assemble(s, sockets, assemblyOptions{MailDir: filepath.Join(s.DataDir, "mail"), Registry: prometheus.NewRegistry()}, log)
		if err != nil {
			return err
		}
		log.Info("up", "mqtt", s.MQTT.Broker.String(), "influxdb", s.InfluxDB.URL.String(),
			"prometheus", "http://"+sockets.prometheus.Addr().String(), "alertmanager", "http://"+sockets.alertmanager.Addr().String(),
			"mail", all.mailGoesTo(s), "data", s.DataDir)
		return runEngines(cmd.Context(), all.engines)
	}
	return cmd
}

// servable reports what in a site file is meant for engines elsewhere and cannot
// be served from here.
func servable(s *site.Site) error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s: %s", s.File, key, fmt.Sprintf(format, args...)))
	}
	if s.MQTT.Broker.Scheme != "tcp" {
		fault("mqtt.broker", "the broker of this program speaks tcp, not %s", s.MQTT.Broker.Scheme)
	}
	if s.InfluxDB.URL.Scheme != "http" {
		fault("influxdb.url", "the InfluxDB of this program speaks http, not %s", s.InfluxDB.URL.Scheme)
	}
	if strings.Trim(s.InfluxDB.URL.Path, "/") != "" {
		fault("influxdb.url", "the InfluxDB of this program has no path %q", s.InfluxDB.URL.Path)
	}
	if s.MQTT.Username == "" && !onLoopback(s.MQTT.Broker.Hostname()) {
		fault("mqtt.username", "required, with password_file: mqtt.broker is open to other machines, and anybody could publish")
	}
	if !onLoopback(s.InfluxDB.URL.Hostname()) {
		fault("influxdb.url", "the InfluxDB of this program does not encrypt what it is asked and answers; want an address of this machine only, for example http://127.0.0.1:8086")
	}
	token := string(s.InfluxDB.Token)
	if user, password, ok := strings.Cut(token, ":"); token != "" && (!ok || user == "" || password == "") {
		fault("influxdb.token_file", "want user:password, which is what InfluxDB 1.8 has")
	}
	return errors.Join(faults...)
}

// onLoopback reports whether host is this machine, seen from itself only.
func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// addresses are where the engines of a site listen, host:port.
type addresses struct{ mqtt, influxDB, http, prometheus, alertmanager string }

// defaultAddresses are what the engines have where nobody says anything else.
var defaultAddresses = addresses{
	mqtt: "127.0.0.1:1883", influxDB: "127.0.0.1:8086", http: "127.0.0.1:9464",
	prometheus: "127.0.0.1:9090", alertmanager: "127.0.0.1:9093",
}

// anyAddresses are free ones.
var anyAddresses = addresses{
	mqtt: "127.0.0.1:0", influxDB: "127.0.0.1:0", http: "127.0.0.1:0",
	prometheus: "127.0.0.1:0", alertmanager: "127.0.0.1:0",
}

// guarded reports what would be open to other machines and has no password.
func (a addresses) guarded() error {
	var faults []error
	for _, flag := range [][2]string{{"--prometheus-listen", a.prometheus}, {"--alertmanager-listen", a.alertmanager}} {
		if host, _, err := net.SplitHostPort(flag[1]); err != nil || !onLoopback(host) {
			faults = append(faults, fmt.Errorf("%s %s: want an address of this machine only, for example 127.0.0.1:9090: it asks nobody for a password", flag[0], flag[1]))
		}
	}
	return errors.Join(faults...)
}

// sockets are the listeners of a site, open before anything else happens.
type sockets struct{ mqtt, influxDB, http, prometheus, alertmanager net.Listener }

// listen opens the listeners of a site, or names every address that is taken.
func listen(at addresses) (sockets, error) {
	var (
		open  sockets
		taken []string
	)
	for _, want := range []struct {
		ln           *net.Listener
		address, who string
	}{
		{&open.mqtt, at.mqtt, "the MQTT broker (mqtt.broker)"},
		{&open.influxDB, at.influxDB, "InfluxDB (influxdb.url)"},
		{&open.http, at.http, "the metrics (http.listen)"},
		{&open.prometheus, at.prometheus, "Prometheus (--prometheus-listen)"},
		{&open.alertmanager, at.alertmanager, "Alertmanager (--alertmanager-listen)"},
	} {
		ln, err := net.Listen("tcp", want.address)
		if err != nil {
			cause := err
			if system, ok := errors.AsType[syscall.Errno](err); ok {
				cause = system
			}
			taken = append(taken, fmt.Sprintf("  %s, for %s: %v", want.address, want.who, cause))
			continue
		}
		*want.ln = ln
	}
	if taken == nil {
		return open, nil
	}
	open.close()
	return sockets{}, fmt.Errorf("cannot listen on\n%s", strings.Join(taken, "\n"))
}

// close closes the listeners that are open.
func (s sockets) close() {
	for _, ln := range []net.Listener{s.mqtt, s.influxDB, s.http, s.prometheus, s.alertmanager} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// An assembly is the engines of a site, in the order in which they start, and what
// can be asked of them.
type assembly struct {
	engines []engine
	mailbox *mailbox // nil: the site has a mail server
	firing  func() []labels.Labels
}

// mailGoesTo says where mail goes.
func (a *assembly) mailGoesTo(s *site.Site) string {
	switch {
	case len(s.Recipients) == 0:
		return "nobody: the site file has no recipients"
	case a.mailbox != nil:
		return a.mailbox.dir
	}
	return net.JoinHostPort(s.SMTP.Host, strconv.Itoa(s.SMTP.Port))
}

// assemblyOptions are what the site file does not say.
type assemblyOptions struct {
	MailDir  string               // where mail is kept if the site has no mail server
	Registry *prometheus.Registry // where the ingester's metrics are registered
	Clock    clock                // by which the stations live
}

// assemble puts the engines of a site together:
//
//	stations --> broker --> ingester --> InfluxDB
//	                           |
//	                       Prometheus --> Alertmanager --> mailbox, or the site's mail server
//
// What takes starts before what gives.
func assemble(s *site.Site, on sockets, o assemblyOptions, log *slog.Logger) (all *assembly, err error) {
	all = new(assembly)
	var made []func() error // what closes what was made
	defer func() {
		if err == nil {
			return
		}
		on.close()
		for _, undo := range slices.Backward(made) {
			err = errors.Join(err, undo())
		}
	}()
	start := func(name string, run func(context.Context) error, ready <-chan struct{}) {
		all.engines = append(all.engines, engine{name: name, run: run, ready: ready})
	}

	database, err := newInfluxDB(on.influxDB, influxDBOptions{
		Dir:    filepath.Join(s.DataDir, "influxdb"),
		Bucket: s.InfluxDB.Bucket,
		Token:  string(s.InfluxDB.Token),
	}, log.With("component", "influxdb"))
	if err != nil {
		return nil, err
	}
	made = append(made, database.server.Close)
	broker, err := newBroker(on.mqtt, brokerOptions{
		Dir:      filepath.Join(s.DataDir, "broker"),
		Username: s.MQTT.Username,
		Password: string(s.MQTT.Password),
		Complete: s.MQTT.ClientID,
	}, log.With("component", "broker"))
	if err != nil {
		return nil, err
	}
	start("InfluxDB", database.Run, database.Ready())
	start("MQTT broker", broker.Run, nil)
	start("ingester", func(ctx context.Context) error {
		return ingester.Run(ctx, s, on.http, ingester.Options{Registry: o.Registry, Clock: o.Clock.there, Snapshot: database.Snapshot}, log)
	}, nil)

	server := s.SMTP
	if server == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("open the mailbox: %w", err)
		}
		made = append(made, ln.Close)
		all.mailbox, err = newMailbox(ln, o.MailDir, log.With("component", "mailbox"))
		if err != nil {
			return nil, err
		}
		server = all.mailbox.smtp()
		start("mailbox", all.mailbox.Run, nil)
	}
	dir := filepath.Join(s.DataDir, "alertmanager")
	configuration, err := alertmanagerConfig(s, server, dir)
	if err != nil {
		return nil, err
	}
	teller, err := newAlertmanager(on.alertmanager, alertmanagerOptions{Dir: dir, Config: configuration, Clock: o.Clock},
		quietly(log, slog.LevelWarn).With("component", "alertmanager"))
	if err != nil {
		return nil, err
	}
	made = append(made, teller.Close)
	start("Alertmanager", teller.Run, teller.Ready())

	ruleFiles, err := rules.Files()
	if err != nil {
		return nil, err
	}
	watcher := newPrometheus(on.prometheus, prometheusOptions{
		Dir: filepath.Join(s.DataDir, "prometheus"),
		Targets: []target{
			{job: "tofuwatch", instance: on.http.Addr().String(), metrics: o.Registry},
			{job: "alertmanager", instance: on.alertmanager.Addr().String(), metrics: teller.metrics, prefix: "alertmanager_"},
		},
		Rules:  ruleFiles,
		Notify: teller.Notify,
		Clock:  o.Clock,
	}, quietly(log, slog.LevelWarn).With("component", "prometheus"))
	start("Prometheus", watcher.Run, watcher.Ready())
	all.firing = watcher.Firing
	return all, nil
}
