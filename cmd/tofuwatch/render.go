package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"tofuwatch/alerts/alertmanager"
	"tofuwatch/alerts/mail"
	"tofuwatch/deploy/mosquitto"
	"tofuwatch/internal/access"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

func renderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Write the configuration of other programs, from the site file",
		// "render grafana --config …" is about grafana, not about the flag.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		Args:               cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("render %s: no configuration for that; have alertmanager, prometheus, mosquitto", args[0])}
			}
			_ = cmd.Help()
			return usageError{fmt.Errorf("render what? Have alertmanager, prometheus, mosquitto, dashboards")}
		},
	}
	cmd.AddCommand(
		renderDashboardsCommand(),
		renderOne("alertmanager", "prometheus", "Who is told of what by mail, how soon and how often, and the mail itself", func(s *site.Site, dir string) ([]alertmanager.File, error) {
			return alertmanager.Alertmanager(alertmanagerInput(s, dir))
		}),
		renderPrometheus(),
		renderMosquitto(),
	)
	return cmd
}

// renderOne returns the command that writes the files of one program, which runs
// with a group that reads those which not everybody may.
func renderOne(program, group, short string, files func(*site.Site, string) ([]alertmanager.File, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   program + " --config site.yaml --out DIR",
		Short: short,
		Args:  cobra.NoArgs,
	}
	load := siteFlag(cmd)
	out := cmd.Flags().String("out", "", "folder for the files, where they stay: some name each other (required)")
	_ = cmd.MarkFlagRequired("out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(*out)
		if err != nil {
			return fmt.Errorf("tell the folder of %s: %w", *out, err)
		}
		all, err := files(s, dir)
		if err != nil {
			// It is the site file that has to say something else.
			return usageError{fmt.Errorf("%s: %w", s.File, err)}
		}
		if err := alertmanager.Write(dir, all); err != nil {
			return err
		}
		for _, f := range all {
			if f.Mode&0o004 == 0 {
				if err := letRead(group, filepath.Join(dir, f.Name)); err != nil {
					return err
				}
			}
			fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(*out, f.Name))
		}
		return nil
	}
	return cmd
}

// renderPrometheus returns the command that writes Prometheus' files.
func renderPrometheus() *cobra.Command {
	var ingester, alerting string
	cmd := renderOne("prometheus", "prometheus", "What is scraped, and the rules for alerts", func(s *site.Site, dir string) ([]alertmanager.File, error) {
		in := alertmanagerInput(s, dir)
		var err error
		if in.Entry, err = entry(s); err != nil {
			return nil, err
		}
		in.Ingester, in.Alertmanager = cmp.Or(ingester, in.Ingester), alerting
		return alertmanager.Prometheus(in)
	})
	cmd.Flags().StringVar(&ingester, "ingester", "", "host:port at which Prometheus reaches the ingester (default http.listen)")
	cmd.Flags().StringVar(&alerting, "alertmanager", "", "host:port at which it reaches Alertmanager (default 127.0.0.1:9093)")
	return cmd
}

// renderMosquitto returns the command that writes Mosquitto's files.
func renderMosquitto() *cobra.Command {
	certificates, data := false, ""
	cmd := renderOne("mosquitto", "mosquitto", "A broker that keeps messages while the ingester is away, and who may do what at it", func(s *site.Site, dir string) ([]alertmanager.File, error) {
		return mosquittoFiles(s, dir, data, certificates)
	})
	cmd.Flags().StringVar(&data, "data", "", "folder in which Mosquitto keeps sessions and queues (default /var/lib/mosquitto/)")
	cmd.Flags().BoolVar(&certificates, "client-certificates", false, "ask clients for a certificate in the place of a password")
	return cmd
}

func mosquittoFiles(s *site.Site, dir, data string, certificates bool) ([]alertmanager.File, error) {
	login := s.MQTT.Username != ""
	config, err := mosquitto.Config(mosquitto.Options{Broker: s.MQTT.Broker, Login: login, Certificates: certificates, Dir: dir, Data: data})
	if err != nil {
		return nil, err
	}
	files := []alertmanager.File{{Name: "mosquitto.conf", Data: []byte(config), Mode: 0o644}}
	if !login {
		return files, nil
	}
	files = append(files, alertmanager.File{Name: mosquitto.ACLFile, Data: accessRules(s).MosquittoACL(), Mode: 0o640})
	if certificates {
		return files, nil
	}
	credentials, err := access.LoadCredentials(credentialsFile(s))
	if err != nil {
		return nil, err
	}
	if err := credentials.Set(s.MQTT.Username, string(s.MQTT.Password)); err != nil {
		return nil, err
	}
	return append(files, alertmanager.File{Name: mosquitto.PasswordFile, Data: credentials.Bytes(), Mode: 0o640}), nil
}

// letRead gives files to a group, if we are root and there are such a group and
// such files.
func letRead(group string, files ...string) error {
	g, err := user.LookupGroup(group)
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("read the number of group %s: %w", group, err)
	}
	for _, file := range files {
		err := errors.Join(os.Chown(file, -1, gid), os.Chmod(file, 0o640))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("let %s read: %w", group, err)
		}
	}
	return nil
}

// entry returns what Prometheus needs to be let in by the ingester.
func entry(s *site.Site) (alertmanager.Entry, error) {
	e := alertmanager.Entry{Encrypted: s.HTTP.Encrypted, Username: s.HTTP.Username, Password: string(s.HTTP.Password)}
	if s.HTTP.TLS == nil {
		return e, nil
	}
	for _, f := range []struct {
		data *[]byte
		name string
	}{{&e.CA, s.HTTP.TLS.CAFile}, {&e.Certificate, s.HTTP.TLS.CertFile}, {&e.Key, s.HTTP.TLS.KeyFile}} {
		if f.name == "" {
			continue
		}
		var err error
		if *f.data, err = os.ReadFile(f.name); err != nil {
			return alertmanager.Entry{}, fmt.Errorf("http.tls: %w", err)
		}
	}
	return e, nil
}

// alertmanagerInput returns what the site file says to Alertmanager and
// Prometheus, whose files will be in dir.
func alertmanagerInput(s *site.Site, dir string) alertmanager.Input {
	in := alertmanager.Input{Site: mailSite(s), Ingester: s.HTTP.Listen, Dir: dir, Witness: alertmanager.PrometheusWitness}
	for _, r := range s.Recipients {
		in.Recipients = append(in.Recipients, alertmanager.Recipient(r))
	}
	if m := s.SMTP; m != nil {
		in.SMTP = alertmanager.SMTP{Host: m.Host, Port: m.Port, TLS: m.TLS, From: m.From, Username: m.Username, Password: string(m.Password)}
	}
	return in
}

// mailSite returns what the mail knows of a site.
func mailSite(s *site.Site) mail.Site {
	m := mail.Site{Name: s.Name, TimeZone: s.TimeZone, Parameters: s.Parameters.All(), Stations: make([]*water.Station, len(s.Stations))}
	for i, station := range s.Stations {
		m.Stations[i] = station.Station
	}
	return m
}
