package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"tofuwatch/ingest/spool"
	"tofuwatch/internal/ingester"
)

func ingestCommand() *cobra.Command {
	var (
		asJSON, verbose bool
		spoolLimit      int64
	)
	cmd := &cobra.Command{
		Use:   "ingest --config site.yaml",
		Short: "Take readings from the broker and bring them to InfluxDB, until stopped",
		Long: `Take readings from the broker and bring them to InfluxDB, until stopped.

A message is acknowledged once what became of it is on this machine's disk: in
the spool, from where InfluxDB gets it, or among the dead letters. The address
http.listen of the site file serves /metrics, /healthz and /readyz.`,
		Args: cobra.NoArgs,
	}
	load := siteFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "log as JSON")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log more")
	cmd.Flags().Int64Var(&spoolLimit, "spool-mib", spool.DefaultLimit>>20, "how much of the disk may be taken by readings that wait for InfluxDB, in MiB; past it messages stay with the broker")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if spoolLimit < 1 {
			return usageError{fmt.Errorf("--spool-mib %d: at least 1", spoolLimit)}
		}
		s, err := load()
		if err != nil {
			return err
		}
		ln, err := net.Listen("tcp", s.HTTP.Listen)
		if err != nil {
			return fmt.Errorf("listen on http.listen of %s: %w", s.File, err)
		}
		return ingester.Run(cmd.Context(), s, ln, ingester.Options{SpoolLimit: spoolLimit << 20}, logger(cmd.ErrOrStderr(), asJSON, verbose))
	}
	return cmd
}
