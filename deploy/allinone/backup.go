package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/influxdata/influxdb/tsdb"
	"github.com/spf13/cobra"

	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
)

func backupCommand() *cobra.Command {
	var (
		file, out string
		o         ingester.BackupOptions
		asJSON    bool
	)
	cmd := &cobra.Command{
		Use:   "backup --config site.yaml --out FILE.tar.zst",
		Short: "Write a backup of everything in the data folder, InfluxDB too, and the site file",
		Long: `Write a backup of everything in the data folder, InfluxDB too, and the site file.

"up" goes on meanwhile, if it runs. "tofuwatch restore" brings the backup back.
Left out are sessions of the broker, and what Prometheus and Alertmanager keep.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&file, "config", "", "site file, for example site.yaml (required)")
	cmd.Flags().StringVar(&out, "out", "", "file to write; it has this name when it is whole (required)")
	cmd.Flags().BoolVar(&o.WithSecrets, "with-secrets", false, "also the passwords, tokens and keys that the site file names")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is in it as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" || out == "" {
			return usageError{errors.New("a backup of which site, into which file? Name both: --config site.yaml --out FILE.tar.zst")}
		}
		s, err := site.Load(file, os.Getenv)
		if err != nil {
			return err
		}
		o.Program = "tofuwatch-allinone " + version()
		o.Snapshot = func(folder string) error { return linkFolder(influxDBFolder(s), folder) }
		m, err := ingester.Backup(cmd.Context(), s, out, o, logger(cmd.ErrOrStderr(), asJSON, false))
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(m)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %d files, as of %s\n", out, len(m.Files), m.Made.In(s.TimeZone).Format("2006-01-02 15:04:05 MST"))
		for _, left := range m.LeftOut {
			fmt.Fprintf(cmd.ErrOrStderr(), "tofuwatch-allinone: not in the backup, keep it elsewhere: %q\n", left)
		}
		return nil
	}
	return cmd
}

func influxDBFolder(s *site.Site) string { return filepath.Join(s.DataDir, "influxdb") }

// linkFolder has the files of a database at rest in another folder too. Should it
// start meanwhile, the backup finds that they change, and fails.
func linkFolder(from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil // it never ran
	}
	return filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o750)
		}
		return os.Link(path, filepath.Join(to, name))
	})
}

// Snapshot makes a folder from which InfluxDB starts with what it has stored by now.
// What it has in memory and in its write-ahead log goes to files that never change
// first; those are linked. What it makes of them, as the index, it makes again.
func (i *influxDB) Snapshot(folder string) error {
	select {
	case <-i.ready:
	case <-time.After(shutdownWithin):
		return errors.New("it has not started yet")
	}
	// Who knows the shards comes first: one that is made later has nothing that was
	// stored before.
	known, err := i.server.MetaClient.MarshalBinary()
	if err != nil {
		return fmt.Errorf("copy the list of databases: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "meta"), 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "meta", "meta.db"), known, 0o640); err != nil {
		return fmt.Errorf("copy the list of databases: %w", err)
	}
	store := i.server.TSDBStore
	for _, id := range store.ShardIDs() {
		name, err := store.ShardRelativePath(id)
		if err != nil {
			continue // past its retention, and removed
		}
		linked, err := store.CreateShardSnapshot(id, false)
		if errors.Is(err, tsdb.ErrShardNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("copy shard %d: %w", id, err)
		}
		to := filepath.Join(folder, "data", name)
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			return err
		}
		if err := os.Rename(linked, to); err != nil {
			return fmt.Errorf("copy shard %d: %w", id, err)
		}
	}
	return nil
}
