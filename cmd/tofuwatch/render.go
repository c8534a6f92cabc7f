package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"tofuwatch/alerts/alertmanager"
	"tofuwatch/alerts/mail"
	"tofuwatch/deploy/mosquitto"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

func renderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Write the configuration of other programs, from the site file",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{fmt.Errorf("render what? Have alertmanager, prometheus, mosquitto, dashboards")}
		},
	}
	cmd.AddCommand(
		renderDashboardsCommand(),
		renderOne("alertmanager", "Who is told of what by mail, how soon and how often, and the mail itself", func(s *site.Site, dir string) ([]alertmanager.File, error) {
			return alertmanager.Alertmanager(alertmanagerInput(s, dir))
		}),
		renderOne("prometheus", "What is scraped, and the rules for alerts", func(s *site.Site, dir string) ([]alertmanager.File, error) {
			return alertmanager.Prometheus(alertmanagerInput(s, dir))
		}),
		renderOne("mosquitto", "A broker that keeps messages while the ingester is away", func(s *site.Site, _ string) ([]alertmanager.File, error) {
			config, err := mosquitto.Config(s.MQTT.Broker, s.MQTT.Username != "")
			return []alertmanager.File{{Name: "mosquitto.conf", Data: []byte(config), Mode: 0o644}}, err
		}),
	)
	return cmd
}

// renderOne returns the command that writes the files of one program.
func renderOne(program, short string, files func(*site.Site, string) ([]alertmanager.File, error)) *cobra.Command {
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
			fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(*out, f.Name))
		}
		return nil
	}
	return cmd
}

// alertmanagerInput returns what the site file says to Alertmanager and
// Prometheus, whose files will be in dir.
func alertmanagerInput(s *site.Site, dir string) alertmanager.Input {
	in := alertmanager.Input{Site: mailSite(s), Ingester: s.HTTP.Listen, Dir: dir}
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
