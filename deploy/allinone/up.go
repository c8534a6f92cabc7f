package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
)

func upCommand() *cobra.Command {
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "up --config site.yaml",
		Short: "Run the whole of a site: MQTT broker, ingester and InfluxDB, until stopped",
		Long: `Run the whole of a site in this process, until stopped: MQTT broker, ingester
and InfluxDB 1.8. They listen where the site file says (mqtt.broker,
influxdb.url, http.listen) and keep everything in its data_dir.`,
		Args: cobra.NoArgs,
	}
	file := cmd.Flags().String("config", "", "site file, for example site.yaml (required)")
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
		sockets, err := listenFor(s)
		if err != nil {
			return fmt.Errorf("%w\nStop what listens there, or give other addresses in %s", err, s.File)
		}
		log := logger(cmd.ErrOrStderr(), asJSON, verbose)
		engines, err := assemble(s, sockets, prometheus.NewRegistry(), log)
		if err != nil {
			return err
		}
		log.Info("up", "mqtt", s.MQTT.Broker.String(), "influxdb", s.InfluxDB.URL.String(), "data", s.DataDir)
		return runEngines(cmd.Context(), engines)
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
	token := string(s.InfluxDB.Token)
	if token == "" && !onLoopback(s.InfluxDB.URL.Hostname()) {
		fault("influxdb.token_file", "required: influxdb.url is open to other machines, and anybody could write")
	}
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

// sockets are the listeners of a site, open before anything else happens.
type sockets struct{ mqtt, influxDB, http net.Listener }

// listenFor opens the listeners of s, or names every address that is taken.
func listenFor(s *site.Site) (sockets, error) {
	return listen(s.MQTT.Broker.Host, s.InfluxDB.URL.Host, s.HTTP.Listen)
}

func listen(mqtt, influxDB, http string) (sockets, error) {
	var (
		open  sockets
		taken []string
	)
	for _, want := range []struct {
		ln           *net.Listener
		address, who string
	}{
		{&open.mqtt, mqtt, "the MQTT broker (mqtt.broker)"},
		{&open.influxDB, influxDB, "InfluxDB (influxdb.url)"},
		{&open.http, http, "the metrics (http.listen)"},
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
	for _, ln := range []net.Listener{s.mqtt, s.influxDB, s.http} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// assemble returns the engines of a site in the order in which they start:
//
//	stations --> broker --> ingester --> InfluxDB
//
// The last one starts first. The ingester's metrics are registered with registry.
func assemble(s *site.Site, on sockets, registry *prometheus.Registry, log *slog.Logger) ([]engine, error) {
	database, err := newInfluxDB(on.influxDB, influxDBOptions{
		Dir:    filepath.Join(s.DataDir, "influxdb"),
		Bucket: s.InfluxDB.Bucket,
		Token:  string(s.InfluxDB.Token),
	}, log.With("component", "influxdb"))
	if err != nil {
		on.close()
		return nil, err
	}
	broker, err := newBroker(on.mqtt, brokerOptions{
		Dir:      filepath.Join(s.DataDir, "broker"),
		Username: s.MQTT.Username,
		Password: string(s.MQTT.Password),
		Complete: s.MQTT.ClientID,
	}, log.With("component", "broker"))
	if err != nil {
		on.close()
		return nil, errors.Join(err, database.server.Close())
	}
	return []engine{
		{name: "InfluxDB", run: database.Run, ready: database.Ready()},
		{name: "MQTT broker", run: broker.Run},
		{name: "ingester", run: func(ctx context.Context) error {
			return ingester.Run(ctx, s, on.http, ingester.Options{Registry: registry}, log)
		}},
	}, nil
}
