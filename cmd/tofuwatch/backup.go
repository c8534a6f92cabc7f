package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/internal/backup"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
)

func backupCommand() *cobra.Command {
	var (
		o      ingester.BackupOptions
		out    string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "backup --config site.yaml --out FILE.tar.zst",
		Short: "Write a backup of the data folder and the site file",
		Long: `Write a backup of the data folder and the site file.

The data folder has the spool, dead letters, latest values, maintenance and
visits, credentials of stations, and the register of laboratory results. An ingester that runs on it goes on;
whatever it has acknowledged before the backup is in there, or in InfluxDB, of
which a backup has to be made afterwards (docs/backup.md).`,
		Args: cobra.NoArgs,
	}
	load := siteFlag(cmd)
	cmd.Flags().StringVar(&out, "out", "", "file to write; it has this name when it is whole (required)")
	cmd.Flags().BoolVar(&o.WithSecrets, "with-secrets", false, "also the passwords, tokens and keys that the site file names")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is in it as JSON")
	_ = cmd.MarkFlagRequired("out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		o.Program = "tofuwatch " + version()
		m, err := ingester.Backup(cmd.Context(), s, out, o, logger(cmd.ErrOrStderr(), asJSON, false))
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(m)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", out, describeBackup(m, s.TimeZone))
		tellLeftOut(cmd.ErrOrStderr(), m)
		return nil
	}
	return cmd
}

func restoreCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "restore --from FILE.tar.zst --config site.yaml",
		Short: "Bring a backup back, into an empty data folder",
		Long: `Bring a backup back, into an empty data folder.

The folder is the data_dir of the site file. Where the site file is missing it is
taken from the backup too, with the files it names beside it; secrets that are
not in the backup have to be put in place, and the command given again. The
backup is checked to its end before anything is written.`,
		Args: cobra.NoArgs,
	}
	config := cmd.Flags().String("config", "", "site file, for example site.yaml (required)")
	cmd.Flags().StringVar(&from, "from", "", "the backup (required)")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagRequired("from")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var s *site.Site
		m, err := ingester.Restore(from, *config, func() (loaded *site.Site, err error) {
			s, err = site.Load(*config, os.Getenv)
			return s, err
		})
		if errors.As(err, new(site.Faults)) {
			fmt.Fprintln(cmd.ErrOrStderr(), "tofuwatch: the data is not restored yet; mend what is wrong with the site file, then give the same command again")
			tellLeftOut(cmd.ErrOrStderr(), m)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: restored %s\n", s.DataDir, describeBackup(m, s.TimeZone))
		if !m.InfluxDB {
			fmt.Fprintln(cmd.ErrOrStderr(), "tofuwatch: what InfluxDB had stored is not in this backup; restore InfluxDB's own before the ingester starts")
		}
		return nil
	}
	return cmd
}

// describeBackup says in a line what is in a backup.
func describeBackup(m backup.Manifest, zone *time.Location) string {
	var bytes int64
	for _, f := range m.Files {
		bytes += f.Bytes
	}
	return fmt.Sprintf("site %s as of %s, %s, %.1f MB unpacked", printable(m.Site), m.Made.In(zone).Format("2006-01-02 15:04:05 MST"), count(len(m.Files), "file"), float64(bytes)/1e6)
}

func tellLeftOut(w io.Writer, m backup.Manifest) {
	if len(m.LeftOut) == 0 {
		return
	}
	fmt.Fprintf(w, "tofuwatch: not in the backup, keep them elsewhere:\n  %s\n", printable(strings.Join(m.LeftOut, "\n  ")))
}
