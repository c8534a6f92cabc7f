package main

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/ingest/influx"
	"tofuwatch/internal/provision"
)

// provisionTime is how long "provision" has: InfluxDB may be starting.
const provisionTime = time.Minute

func provisionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "provision --secrets DIR --broker DIR --grafana DIR --admin DIR --host NAME --influxdb URL",
		Short: "Make passwords, certificates and InfluxDB tokens for a new site, once",
		Long: `Make what programs need to trust each other, for a new site: passwords that nobody
has chosen, the broker's certificate by an authority of the site's own, and for InfluxDB 2 its set-up, a token for the ingester (it may write and
read the bucket) and one for Grafana (it may read it). What is there already stays, so
that it can run at every start.`,
		Args: cobra.NoArgs,
	}
	var d provision.Dirs
	cmd.Flags().StringVar(&d.Ingester, "secrets", "", "folder for the ingester's secrets (required)")
	cmd.Flags().StringVar(&d.Grafana, "grafana", "", "folder for Grafana's secrets (required)")
	cmd.Flags().StringVar(&d.Broker, "broker", "", "folder for the broker's certificate and key (required)")
	cmd.Flags().StringVar(&d.Admin, "admin", "", "folder for the administrator's secrets and the authority's key (required)")
	hosts := cmd.Flags().StringSlice("host", nil, "name or address by which the broker is reached; may be repeated (required)")
	scrapers := cmd.Flags().StringSlice("ingester-host", nil, "name or address by which Prometheus reaches the ingester: makes a web configuration in --secrets; may be repeated")
	site := cmd.Flags().String("site", "tofuwatch", "name of the site, for the authority's certificate")
	address := cmd.Flags().String("influxdb", "", "where InfluxDB 2 answers, for example http://127.0.0.1:8086 (required)")
	org := cmd.Flags().String("org", "tofuwatch", "organisation in InfluxDB")
	bucket := cmd.Flags().String("bucket", "water", "bucket in InfluxDB")
	for _, name := range []string{"secrets", "grafana", "broker", "admin", "host", "influxdb"} {
		_ = cmd.MarkFlagRequired(name)
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		u, err := url.Parse(*address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return usageError{fmt.Errorf("--influxdb %q: want an address such as http://127.0.0.1:8086", *address)}
		}
		if err := provision.Passwords(d); err != nil {
			return err
		}
		if err := provision.Certificates(d, *site, *hosts, time.Now); err != nil {
			return err
		}
		if len(*scrapers) > 0 {
			if _, err := provision.Web(d.Ingester, d.Admin, *site, *scrapers, time.Now); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), provisionTime)
		defer cancel()
		return provision.InfluxDB(ctx, influx.Options{URL: u, Org: *org, Bucket: *bucket}, d)
	}
	return cmd
}
