// Command stack runs a whole synthetic site as separate programs on this machine,
// with a month behind it: what "make stack" does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"tofuwatch/internal/simulate"
	"tofuwatch/internal/stack"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("stack", flag.ContinueOnError)
	var (
		o       = stack.Options{}
		days    = flags.Int("days", 31, "how many days of the past there are")
		eager   = flags.Bool("eager", false, "alerts fire at once, where rules usually wait for minutes")
		free    = flags.Bool("free-ports", false, "listen where there is room, in place of the usual ports")
		name    = flags.String("scenario", string(simulate.Normal), "what happens: normal, spill, plant-upset, sensor-faults")
		begins  = flags.Duration("incident-in", -30*time.Minute, "when it begins, counted from now")
		program = flags.String("grafana", "", "Grafana's program (default: the one that is installed, if any)")
		home    = flags.String("grafana-home", "", "Grafana's folder with public and conf")
	)
	flags.StringVar(&o.Dir, "dir", "build/stack", "folder for data, logs and mail; emptied first")
	flags.StringVar(&o.Tools, "tools", "build/tools", "folder with influxd and alertmanager")
	flags.StringVar(&o.Tofuwatch, "tofuwatch", "build/tofuwatch", "the command")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *days < 1 || *days > 366 || flags.NArg() > 0 {
		return errors.New("-days is from 1 to 366, and there are no further arguments")
	}
	for _, path := range []*string{&o.Dir, &o.Tools, &o.Tofuwatch} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	if err := empty(o.Dir); err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	o.World = simulate.Options{
		Scenario: simulate.Scenario(*name), Seed: 1,
		Start: now.AddDate(0, 0, -*days), Incident: now.Add(*begins),
	}
	o.Eager, o.FreePorts, o.GrafanaHome = *eager, *free, *home
	if o.Grafana = *program; o.Grafana == "" {
		o.Grafana, o.GrafanaHome = installed(o.GrafanaHome)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	s, err := stack.Start(ctx, o, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	grafana := s.Grafana
	if grafana == "" {
		grafana = "not installed; with one: make stack ARGS=\"-grafana PATH\""
	}
	fmt.Printf(`
Grafana       %s
Prometheus    %s
Alertmanager  %s
InfluxDB      %s  database %s
Metrics       %s/metrics
MQTT          %s
Site file     %s
Mail          %s
Logs          %s

%d days of the past are being published. Ctrl-C ends all of it.
`, grafana, s.Prometheus, s.Alertmanager, s.InfluxDB, s.Database, s.Ingester, s.Broker, s.Site, s.MailDir, s.LogDir, *days)
	go func() {
		for tick := time.Tick(time.Second); ctx.Err() == nil; <-tick {
			if s.Settled(ctx) == nil {
				fmt.Printf("All of the past is stored and summarised, after %s.\n", time.Since(began).Round(time.Second))
				return
			}
		}
	}()
	return s.Wait()
}

// empty takes away what an earlier run left in dir, if one did.
func empty(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "site.yaml")); errors.Is(err, os.ErrNotExist) {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
			return fmt.Errorf("%s holds something else; want a folder of its own", dir)
		}
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	return nil
}

// installed returns the Grafana of this machine, if there is one, and its folder.
func installed(home string) (program, folder string) {
	const debian = "/usr/share/grafana"
	for _, name := range []string{"grafana", "grafana-server", "/usr/sbin/grafana", "/usr/sbin/grafana-server"} {
		if path, err := exec.LookPath(name); err == nil {
			if _, err := os.Stat(debian); err == nil && home == "" {
				home = debian
			}
			return path, home
		}
	}
	return "", home
}
