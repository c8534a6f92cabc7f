package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/internal/ingester"
	"tofuwatch/internal/water"
)

func calibrateCommand() *cobra.Command {
	var (
		station, parameter, at, by, note string
		asJSON, verbose                  bool
		readings                         [4]float64
	)
	cmd := &cobra.Command{
		Use:   "calibrate --station ID --parameter CODE --reference N --before N [--after-cleaning N] [--after N] --config site.yaml",
		Short: "Note how far a sensor was off, and have the readings since the last time corrected",
		Long: `Note how far a sensor was off, and have the readings since the last time corrected.

All numbers are of one water: a standard solution, whose value is the reference,
or the station's own water beside a better instrument. What the sensors sent is
never changed; corrected readings are a series of their own (method corrected).

Where an ingester runs on the site's data folder it does the work, else the next
one will. The same can be published to tofu/STATION/maintenance.`,
		Args: cobra.NoArgs,
	}
	load := siteFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&station, "station", "", "the station's id (required)")
	flags.StringVar(&parameter, "parameter", "", "what the sensor measures, for example ph (required)")
	names := [4][2]string{{"reference", "reference"}, {"before", "before"}, {"after-cleaning", "after_cleaning"}, {"after", "after_calibration"}}
	for i, help := range []string{
		"what the sensor should have said",
		"what it said as it was found",
		"what it said when it was clean",
		"what it said when it was calibrated",
	} {
		flags.Float64Var(&readings[i], names[i][0], 0, help)
	}
	flags.StringVar(&at, "time", "", "when, for example 2026-11-23T09:00:00+07:00 (default: now)")
	flags.StringVar(&by, "by", "", "who did it")
	flags.StringVar(&note, "note", "", "anything else")
	flags.BoolVar(&asJSON, "json", false, "write a JSON object")
	flags.BoolVar(&verbose, "verbose", false, "log more")
	_ = cmd.MarkFlagRequired("station")
	_ = cmd.MarkFlagRequired("parameter")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		notice := map[string]any{"state": water.Calibration, "parameter": parameter, "time": at, "by": by, "note": note}
		if at == "" {
			notice["time"] = time.Now().UTC().Format(time.RFC3339)
		}
		for i, name := range names {
			if flags.Changed(name[0]) {
				notice[name[1]] = readings[i]
			}
		}
		data, err := json.Marshal(notice)
		if err != nil {
			return usageError{fmt.Errorf("a reading must be a number: %w", err)} // NaN, Inf
		}
		result, err := ingester.Notify(cmd.Context(), s, station, data, logger(cmd.ErrOrStderr(), asJSON, verbose))
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		switch {
		case asJSON:
			if err := json.NewEncoder(out).Encode(result); err != nil {
				return err
			}
		case result.Problem == "":
			fmt.Fprintf(out, "%s at %s: %s\n", parameter, station, result.Outlook)
		}
		if result.Problem != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "tofuwatch: not noted: %s\n", result.Problem)
			return errTold
		}
		return nil
	}
	return cmd
}
