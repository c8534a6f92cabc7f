package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/internal/simulate"
)

// What simulate does where nothing is said.
const (
	fastPast    = 7 * 24 * time.Hour // the past that --speed runs through
	soon        = 2 * time.Minute    // after the present is reached, when an incident begins
	underWay    = -36 * time.Hour    // an upset takes days: it has begun when the present is reached
	longestPast = 366 * 24 * time.Hour
)

// passwordName is the variable that holds the broker's password, as for ingest.
const passwordName = "TOFUWATCH_MQTT_PASSWORD"

func simulateCommand() *cobra.Command {
	var (
		broker, username, passwordFile, scenario string
		stations                                 int
		seed                                     uint64
		speed                                    float64
		backfill, incident, length, interval     period
		printSite, asJSON, verbose               bool
	)
	cmd := &cobra.Command{
		Use:   "simulate --broker URL",
		Short: "Play the stations of a tofu district in Semarang",
		Long: `Play the stations of a tofu district in Semarang: workshops, their treatment
plant, and three rivers. Readings are published as loggers would.

Simulated time never runs ahead of the clock, as readings from the future are
refused. With --backfill the past is published first, as fast as the broker
acknowledges it. With --speed it is played at that speed (seven days of it,
unless --backfill says otherwise). Both go over into the present, in real time.

Scenarios:
  normal         everyday life
  spill          a tank of whey is emptied into the Kali Tenggang: see tenggang-hilir
  plant-upset    the shared plant's digester turns sour: see ipal-01
  sensor-faults  instruments and loggers lie, each in its own way`,
		Example: `  tofuwatch simulate --print-site > site.yaml
  tofuwatch simulate --broker tcp://127.0.0.1:1883 --backfill 7d
  tofuwatch simulate --broker tcp://127.0.0.1:1883 --scenario spill --incident-in 30s`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&broker, "broker", "tcp://127.0.0.1:1883", "where to publish")
	flags.StringVar(&username, "username", "", "for the broker")
	flags.StringVar(&passwordFile, "password-file", "", "for the broker; or set "+passwordName)
	flags.IntVar(&stations, "stations", 0, "how many; past eight, outlets of workshops are added (default 8)")
	flags.StringVar(&scenario, "scenario", string(simulate.Normal), "what happens")
	flags.Uint64Var(&seed, "seed", 1, "another seed is another district")
	flags.Float64Var(&speed, "speed", 1, "simulated seconds a second, until the present is reached")
	flags.Var(&backfill, "backfill", "how much of the past to publish, such as 7d or 36h")
	flags.Var(&incident, "incident-in", "when the scenario's incident begins, counted from when the present is reached; negative: before (default 2m; plant-upset: -36h if there is that much of a past)")
	flags.Var(&length, "for", "how long to run (default until stopped)")
	flags.Var(&interval, "interval", "between a station's samples (default 2m at the plant, 5m elsewhere)")
	flags.BoolVar(&printSite, "print-site", false, "write a site file for these stations and end")
	flags.BoolVar(&asJSON, "json", false, "log as JSON")
	flags.BoolVar(&verbose, "verbose", false, "log more")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		past := time.Duration(backfill)
		if speed > 1 && !flags.Changed("backfill") {
			past = fastPast
		}
		switch {
		case !(speed >= 1 && speed <= 1e6): // nor NaN
			return usageError{fmt.Errorf("--speed %v: from 1 to 1000000", speed)}
		case past < 0 || past > longestPast:
			return usageError{fmt.Errorf("--backfill %s: up to 366d", backfill)}
		case speed > 1 && past == 0:
			return usageError{errors.New("--speed without a past to play: --backfill 7d, or leave it out")}
		case length < 0:
			return usageError{fmt.Errorf("--for %s: more than 0", length)}
		}
		now := time.Now().UTC()
		start := now.Add(-past).Truncate(time.Second)
		begins := time.Duration(incident)
		if !flags.Changed("incident-in") {
			begins = soon
			if scenario == string(simulate.PlantUpset) && past >= -underWay {
				begins = underWay
			}
		}
		world, err := simulate.New(simulate.Options{
			Stations: stations,
			Scenario: simulate.Scenario(scenario),
			Seed:     seed,
			Start:    start,
			Incident: simulate.CaughtUp(start, now, speed).Add(begins),
			Interval: time.Duration(interval),
		})
		if err != nil {
			return usageError{err}
		}
		if printSite {
			_, err := cmd.OutOrStdout().Write(simulate.SiteFile(world, simulate.SiteOptions{
				Broker: broker, Username: username, PasswordFile: passwordFile,
			}))
			return err
		}
		password, err := brokerPassword(passwordFile)
		if err != nil {
			return usageError{err}
		}
		ctx := cmd.Context()
		if length > 0 {
			timed, cancel := context.WithTimeout(ctx, time.Duration(length))
			defer cancel()
			ctx = timed
		}
		log := logger(cmd.ErrOrStderr(), asJSON, verbose)
		announce(log, world, start, simulate.CaughtUp(start, now, speed))
		n, err := simulate.Publish(ctx, world, simulate.PublishOptions{
			Broker: broker, Username: username, Password: password, Speed: speed,
		}, log)
		if err != nil {
			return err
		}
		log.Info("simulation ended", "acknowledged", n)
		return nil
	}
	return cmd
}

// announce tells what will happen in the day after the present is reached, so
// that one can look for it.
func announce(log *slog.Logger, w *simulate.World, start, present time.Time) {
	log.Info("simulation begins", "stations", len(w.Stations()), "from", start)
	for _, i := range w.Incidents(present, present.Add(24*time.Hour)) {
		log.Info("incident", "cause", string(i.Cause), "station", i.Station, "from", i.From, "to", i.To)
	}
}

// brokerPassword returns the password for the broker, or "".
func brokerPassword(file string) (string, error) {
	if p := os.Getenv(passwordName); p != "" || file == "" {
		return p, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(bytes.TrimRight(text, "\r\n")), nil
}

// A period is a duration that may have days: 7d, 1d12h, 90s.
type period time.Duration

// Set implements pflag.Value.
func (p *period) Set(s string) error {
	rest, sign := s, time.Duration(1)
	if after, ok := strings.CutPrefix(rest, "-"); ok {
		rest, sign = after, -1
	}
	var total time.Duration
	if days, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return errors.New("a duration such as 7d, 1d12h or 90s")
		}
		total, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return errors.New("a duration such as 7d, 1d12h or 90s")
		}
		total += d
	} else if total == 0 && !strings.Contains(s, "d") {
		return errors.New("a duration such as 7d, 1d12h or 90s")
	}
	*p = period(sign * total)
	return nil
}

// String implements pflag.Value.
func (p period) String() string {
	switch d := time.Duration(p); {
	case d == 0:
		return "" // not given
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	default:
		return d.String()
	}
}

// Type implements pflag.Value.
func (period) Type() string { return "duration" }
