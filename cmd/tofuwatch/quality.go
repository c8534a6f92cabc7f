package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/ingest/quality"
	"tofuwatch/internal/score"
	"tofuwatch/internal/simulate"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// What quality-report simulates where no file is given: the faults come every
// week.
const simulatedDays = 28

var simulatedFrom = time.Date(2026, 7, 6, 17, 0, 0, 0, time.UTC) // midnight of a Tuesday, WIB

func qualityReportCommand() *cobra.Command {
	var (
		columns                                       score.Columns
		parameter, config, station, scenario, writeTo string
		interval                                      period
		seed                                          uint64
		except                                        []string
	)
	cmd := &cobra.Command{
		Use:   "quality-report [FILE]",
		Short: "Tell how well quality flags find what is wrong in a labelled record",
		Long: `Tell how well quality flags find what is wrong in a labelled record.

FILE is a CSV with a header and a row a reading, of one sensor, in the order of
arrival. Its label column is empty (or 0, false, good) where nothing is wrong; any
other text is the name of a fault. Readings go through the same tests as those from
the broker, with the settings of the defaults or of a station in a site file.

Without FILE a simulated district of eight stations, whose faults are known, is
judged for four weeks. --write keeps its records as CSV files, one a sensor.`,
		Example: `  tofuwatch quality-report
  tofuwatch quality-report record.csv --parameter ph --time datetime --value raw --label anomaly
  tofuwatch quality-report record.csv --parameter cod --config site.yaml --station ipal-01`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := cmd.Flags()
	flags.StringVar(&columns.Time, "time", "time", "column of the sample's time; UTC unless it has a zone")
	flags.StringVar(&columns.Value, "value", "value", "column of the value")
	flags.StringVar(&columns.Label, "label", "label", "column of what is wrong with it")
	flags.StringVar(&parameter, "parameter", "", "what is measured, for example cod (required with FILE)")
	flags.Var(&interval, "interval", "between readings (default: as in the file)")
	flags.StringVar(&config, "config", "", "site file with the settings to use")
	flags.StringVar(&station, "station", "", "station in that site file")
	flags.StringVar(&scenario, "scenario", string(simulate.SensorFaults), "what is simulated; normal shows false flags only")
	flags.Uint64Var(&seed, "seed", 1, "another seed is another district")
	flags.StringSliceVar(&except, "except", nil, "labels that are no part of the recall (default without FILE: film, which no test of one sensor alone can tell from water that changes for days)")
	flags.StringVar(&writeTo, "write", "", "folder for the simulated records")

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			if !flags.Changed("except") {
				except = []string{score.Drift}
			}
			return simulatedReport(cmd, simulate.Scenario(scenario), seed, writeTo, except)
		}
		parameters, settings, at, err := settingsFor(config, station)
		if err != nil {
			return err
		}
		p := parameters.Lookup([]byte(parameter))
		if p == nil {
			return usageError{fmt.Errorf("--parameter %q: want the code of a parameter, for example cod", parameter)}
		}
		file, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		readings, err := score.ReadCSV(file, columns)
		if err != nil {
			return fmt.Errorf("read %s: %w", args[0], err)
		}
		every, ok := score.Interval(readings)
		if interval > 0 {
			every, ok = time.Duration(interval), true
		}
		if !ok {
			return fmt.Errorf("read %s: has no two readings", args[0])
		}
		if settings == nil {
			at.Instruments[p.Code] = water.Instrument{Parameter: p, Min: p.Min, Max: p.Max, Interval: every}
			settings = quality.DefaultsAt
		}
		return score.Judge(parameters, []score.Record{{Station: at, Parameter: p, Readings: readings}}, settings).Write(cmd.OutOrStdout(), except...)
	}
	return cmd
}

// settingsFor returns what a site file says of a station; without one settings is
// nil, and the station one that is not known.
func settingsFor(config, station string) (*water.Parameters, func(*water.Station, *water.Parameter) quality.Settings, *water.Station, error) {
	if config == "" {
		parameters, err := water.NewParameters()
		return parameters, nil, &water.Station{
			ID: "record", Sentinels: []float64{-9999}, Latitude: math.NaN(), Longitude: math.NaN(),
			Instruments: make(map[string]water.Instrument),
		}, err
	}
	s, err := site.Load(config, os.Getenv)
	if err != nil {
		return nil, nil, nil, err
	}
	st, ok := s.Station(station)
	if !ok {
		return nil, nil, nil, usageError{fmt.Errorf("--station %q: no such station in %s", station, config)}
	}
	return s.Parameters, s.Settings, st.Station, nil
}

func simulatedReport(cmd *cobra.Command, scenario simulate.Scenario, seed uint64, writeTo string, except []string) error {
	parameters, records, err := score.Simulated(scenario, seed, simulatedFrom, simulatedDays)
	if err != nil {
		return usageError{err}
	}
	if writeTo != "" {
		if err := writeRecords(writeTo, records); err != nil {
			return err
		}
	}
	return score.Judge(parameters, records, quality.DefaultsAt).Write(cmd.OutOrStdout(), except...)
}

func writeRecords(folder string, records []score.Record) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, r := range records {
		file, err := os.Create(filepath.Join(folder, r.Station.ID+"-"+r.Parameter.Code+".csv"))
		if err != nil {
			return err
		}
		if err := errors.Join(score.WriteCSV(file, r.Readings), file.Close()); err != nil {
			return fmt.Errorf("write %s: %w", file.Name(), err)
		}
	}
	return nil
}
