package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"tofuwatch/alerts/alertmanager"
	"tofuwatch/dashboards"
	"tofuwatch/internal/site"
)

// renderDashboardsCommand returns "tofuwatch render dashboards".
func renderDashboardsCommand() *cobra.Command {
	var language, prometheus, alerting string
	files := func(s *site.Site, dir string) ([]alertmanager.File, error) {
		in := dashboardsInput(s, dir)
		in.Prometheus, in.Alertmanager = prometheus, alerting
		if language != "" {
			in.Languages = []string{language}
		}
		all, err := dashboards.Files(in)
		if err != nil {
			return nil, err
		}
		configuration := make([]alertmanager.File, len(all))
		for i, f := range all {
			configuration[i] = alertmanager.File(f)
		}
		return configuration, nil
	}
	cmd := renderOne("dashboards", "grafana", "Grafana: data sources, dashboards in Indonesian and English, and its environment", files)
	cmd.Long = `Write what a Grafana needs to show this site: data sources, dashboards, the
provisioning that loads them, and grafana.env, the environment that points it
there. Grafana 10 or later.

Grafana logs in to InfluxDB with TOFUWATCH_GRAFANA_INFLUXDB_USER and
TOFUWATCH_GRAFANA_INFLUXDB_PASSWORD of its own environment; on InfluxDB 2.x the
password is a token. Give it one that may only read.`
	cmd.Flags().StringVar(&language, "language", "", "id or en (default both; Grafana opens with Indonesian)")
	cmd.Flags().StringVar(&prometheus, "prometheus", "", "where Prometheus answers (default http://127.0.0.1:9090)")
	cmd.Flags().StringVar(&alerting, "alertmanager", "", "where Alertmanager answers (default http://127.0.0.1:9093)")
	render := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch language {
		case "", "id", "en":
			return render(cmd, args)
		}
		return usageError{fmt.Errorf("--language %s: id or en", language)}
	}
	return cmd
}

// dashboardsInput returns what the site file says to Grafana, whose files will be
// in dir.
func dashboardsInput(s *site.Site, dir string) dashboards.Input {
	in := dashboards.Input{
		Site: s.Name, Parameters: s.Parameters.All(), TimeZone: s.TimeZone,
		InfluxDB: s.InfluxDB.URL, Database: s.InfluxDB.Bucket, Dir: filepath.Clean(dir),
	}
	for _, st := range s.Stations {
		in.Stations = append(in.Stations, st.Station)
	}
	return in
}
