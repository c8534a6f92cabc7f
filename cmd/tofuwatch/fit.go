package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"tofuwatch/ingest/influx"
	"tofuwatch/internal/estimate"
	"tofuwatch/internal/estimate/regress"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
)

func fitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fit",
		Short: "Fit a relation by which a station's BOD is estimated",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("fit what? There is: tofuwatch fit bod")}
		},
	}
	cmd.AddCommand(fitBODCommand())
	return cmd
}

// bodFlags are the flags of "fit bod" as they were given.
type bodFlags struct {
	station            string
	from, to           string
	with, exclude      []string
	window             time.Duration
	lab                string
	out                string
	validFrom, validTo string
	score              bool
}

func fitBODCommand() *cobra.Command {
	var f bodFlags
	cmd := &cobra.Command{
		Use:   "bod --config site.yaml --station ID",
		Short: "Fit a station's BOD to its COD, from the laboratory's own results",
		Long: `Fit a station's BOD to its COD, from the laboratory's own results.

A pair is a BOD of the laboratory and the COD of the same water: what the sensor
said within --window of the sample, or the laboratory's own COD. Both are read from
InfluxDB, or from a CSV file with the columns time, bod, cod (and turbidity).

The report goes to standard output, and the model into a file that is named in
the site file under stations[].estimates. Nothing is written where the pairs do
not carry a relation; then the messages say what would.

With --score nothing is fitted: the laboratory's results are shown beside what
was estimated at their sample's time.`,
		Args: cobra.NoArgs,
	}
	load := siteFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.station, "station", "", "the station's id (required)")
	_ = cmd.MarkFlagRequired("station")
	flags.StringVar(&f.from, "from", "", "use samples from this date or time on; default: all")
	flags.StringVar(&f.to, "to", "", "use samples before this date or time; default: now")
	flags.StringSliceVar(&f.with, "with", nil, "a further input beside COD: turbidity")
	flags.StringSliceVar(&f.exclude, "exclude", nil, "leave out samples of these dates or times, which were looked into and are wrong")
	flags.DurationVar(&f.window, "window", estimate.Window, "how long before and after a sample the sensor's values belong to it")
	flags.StringVar(&f.lab, "lab", "", "read pairs from this CSV file and not from InfluxDB")
	flags.StringVar(&f.out, "out", "", "the model file; its name is the model's id; default: models/ID-bod-YYYY-MM.yaml beside the site file")
	flags.StringVar(&f.validFrom, "valid-from", "", "estimate from this date or time on; default: today")
	flags.StringVar(&f.validTo, "valid-to", "", "estimate before this date or time; default: a year later")
	flags.BoolVar(&f.score, "score", false, "fit nothing; compare stored estimates with the laboratory's results")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		b, err := f.resolve(s, time.Now())
		if err != nil {
			return usageError{err}
		}
		if f.score {
			return b.compare(cmd)
		}
		return b.fit(cmd)
	}
	return cmd
}

// A bodFit is what bodFlags mean for a site.
type bodFit struct {
	site    *site.Site
	station site.Station
	flags   bodFlags

	now, from, to      time.Time
	validFrom, validTo time.Time
	exclude            []interval
	out                string
}

// An interval is a time, without its end.
type interval struct{ from, to time.Time }

// firstSample is before any sample that a site can have.
var firstSample = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// resolve checks the flags.
func (f bodFlags) resolve(s *site.Site, now time.Time) (*bodFit, error) {
	b := &bodFit{site: s, flags: f, now: now.UTC().Truncate(time.Second)}
	station, ok := s.Station(f.station)
	if !ok {
		var ids []string
		for _, st := range s.Stations {
			ids = append(ids, st.ID)
		}
		return nil, fmt.Errorf("--station %q: the site file has none of this name; have %s", f.station, strings.Join(ids, ", "))
	}
	b.station = station
	for i, in := range f.with {
		if in != estimate.Turbidity || i > 0 {
			return nil, fmt.Errorf("--with %s: there is one further input, turbidity", strings.Join(f.with, ","))
		}
	}
	if f.window <= 0 {
		return nil, fmt.Errorf("--window %s: more than 0, for example 30m", f.window)
	}
	local := now.In(s.TimeZone)
	today := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, s.TimeZone)
	for _, flag := range []struct {
		name, given string
		to          *time.Time
		otherwise   func() time.Time
	}{
		{"from", f.from, &b.from, func() time.Time { return firstSample }},
		{"to", f.to, &b.to, func() time.Time { return b.now }},
		{"valid-from", f.validFrom, &b.validFrom, func() time.Time { return today }},
		{"valid-to", f.validTo, &b.validTo, func() time.Time { return b.validFrom.AddDate(1, 0, 0) }},
	} {
		*flag.to = flag.otherwise()
		if flag.given == "" {
			continue
		}
		at, err := estimate.ReadTime(flag.given, s.TimeZone)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag.name, err)
		}
		*flag.to = at.In(s.TimeZone)
	}
	if !b.from.Before(b.to) || !b.validFrom.Before(b.validTo) {
		return nil, errors.New("--from has to be before --to, and --valid-from before --valid-to")
	}
	for _, given := range f.exclude {
		at, err := estimate.ReadTime(given, s.TimeZone)
		if err != nil {
			return nil, fmt.Errorf("--exclude: %w", err)
		}
		end := at.Add(time.Minute) // lists tell no seconds
		if _, err := time.Parse(time.DateOnly, given); err == nil {
			end = at.In(s.TimeZone).AddDate(0, 0, 1)
		}
		b.exclude = append(b.exclude, interval{at, end})
	}
	b.out = f.out
	if b.out == "" {
		b.out = filepath.Join(filepath.Dir(s.File), "models", fmt.Sprintf("%s-%s-%s.yaml", station.ID, estimate.BOD, b.validFrom.Format("2006-01")))
	}
	if _, err := estimate.ID(b.id()); err != nil || filepath.Ext(b.out) != ".yaml" {
		return nil, fmt.Errorf("--out %s: the file is named like the model, with .yaml; want lower case letters, digits and '-', for example %s-bod-2026-11.yaml", b.out, station.ID)
	}
	return b, nil
}

// id returns the model's name, which is that of its file.
func (b *bodFit) id() string { return strings.TrimSuffix(filepath.Base(b.out), ".yaml") }

// fit finds the pairs, fits, reports and writes.
func (b *bodFit) fit(cmd *cobra.Command) error {
	if _, err := os.Lstat(b.out); err == nil {
		return usageError{fmt.Errorf("%s exists, and a model in use is never changed; name another file with --out", b.out)}
	}
	pairs, err := b.pairs(cmd)
	if err != nil {
		return err
	}
	out, zone := cmd.OutOrStdout(), b.site.TimeZone
	if len(pairs.LeftOut) > 0 {
		fmt.Fprintf(out, "Results of the laboratory that make no pair (%d)\n", len(pairs.LeftOut))
		for _, l := range pairs.LeftOut {
			fmt.Fprintf(out, "  %s  %s\n", l.Time.In(zone).Format("2006-01-02 15:04"), l.Why)
		}
		fmt.Fprintln(out)
	}
	fit, err := regress.Run(pairs, regress.Options{
		ID: b.id(), Station: b.station.Station, With: b.flags.with,
		From: b.validFrom, To: b.validTo, At: b.now.In(zone),
	})
	if fit != nil {
		if err := fit.Report(out, zone); err != nil {
			return err
		}
	}
	if refused, ok := errors.AsType[regress.Refusals](err); ok {
		for _, r := range refused {
			fmt.Fprintf(cmd.ErrOrStderr(), "tofuwatch: not fitted: %s\n", r)
		}
		return errTold
	}
	if err != nil {
		return err
	}
	err = os.MkdirAll(filepath.Dir(b.out), 0o755)
	if err == nil {
		err = renameio.WriteFile(b.out, fit.Model.Format(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the model: %w", err)
	}
	fmt.Fprintf(out, "\nWritten to %s. To use it, restart the ingester with this in %s, at station %s:\n\n    estimates:\n      - {parameter: bod, model_file: %q}\n",
		b.out, b.site.File, b.station.ID, b.named())
	return nil
}

// named returns the model file as the site file should name it.
func (b *bodFit) named() string {
	if name, err := filepath.Rel(filepath.Dir(b.site.File), b.out); err == nil && filepath.IsLocal(name) {
		return name
	}
	if name, err := filepath.Abs(b.out); err == nil {
		return name
	}
	return b.out
}

// pairs reads the pairs, and takes out what is excluded.
func (b *bodFit) pairs(cmd *cobra.Command) (estimate.Pairs, error) {
	var pairs estimate.Pairs
	var err error
	if b.flags.lab != "" {
		pairs, err = b.readFile()
	} else {
		client := influx.NewClient(ingester.InfluxOptions(b.site))
		defer client.Close()
		pairs, err = estimate.Find(cmd.Context(), influx.NewReader(client, ingester.InfluxOptions(b.site)), estimate.Source{
			Station: b.station.Station, Parameters: b.site.Parameters,
			From: b.from, To: b.to, Window: b.flags.window, Enough: regress.Least,
		})
	}
	if err != nil {
		return pairs, err
	}
	used := make([]bool, len(b.exclude))
	pairs.Usable = slices.DeleteFunc(pairs.Usable, func(p estimate.Pair) bool {
		for i, x := range b.exclude {
			if !p.Time.Before(x.from) && p.Time.Before(x.to) {
				pairs.LeftOut = append(pairs.LeftOut, estimate.LeftOut{Time: p.Time, Why: fmt.Sprintf("excluded by you: BOD %g with COD %.4g", p.BOD, p.COD)})
				used[i] = true
				return true
			}
		}
		return p.Time.Before(b.from) || !p.Time.Before(b.to)
	})
	if i := slices.Index(used, false); i >= 0 {
		return pairs, usageError{fmt.Errorf("--exclude %s: there is no pair of that time", b.flags.exclude[i])}
	}
	slices.SortStableFunc(pairs.LeftOut, func(a, c estimate.LeftOut) int { return a.Time.Compare(c.Time) })
	return pairs, nil
}

func (b *bodFit) readFile() (estimate.Pairs, error) {
	f, err := os.Open(b.flags.lab)
	if err != nil {
		return estimate.Pairs{}, usageError{err}
	}
	defer f.Close()
	pairs, err := estimate.ReadCSV(f, b.flags.lab, b.station.Station, b.site.TimeZone)
	if err != nil {
		return pairs, usageError{err}
	}
	return pairs, nil
}

// compare shows the laboratory's results beside what was estimated.
func (b *bodFit) compare(cmd *cobra.Command) error {
	client := influx.NewClient(ingester.InfluxOptions(b.site))
	defer client.Close()
	compared, err := estimate.Compare(cmd.Context(), influx.NewReader(client, ingester.InfluxOptions(b.site)), b.station.Station,
		b.site.Parameters.Lookup([]byte(estimate.BOD)), b.from, b.to, b.flags.window)
	if err != nil {
		return err
	}
	if len(compared) == 0 {
		return fmt.Errorf("no BOD of a laboratory has an estimate within %s of its sample at %s; name a model in the site file first", b.flags.window, b.station.ID)
	}
	return writeComparison(cmd.OutOrStdout(), b.station.ID, compared, b.site.TimeZone)
}

func writeComparison(w io.Writer, station string, compared []estimate.Comparison, zone *time.Location) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s  %10s  %8s  %-15s  %7s\n", "SAMPLED", "LABORATORY", "ESTIMATE", "INTERVAL", "OFF")
	outside, ratios := 0, make([]float64, len(compared))
	for i, c := range compared {
		note := ""
		if c.Outside() {
			outside++
			note = "  outside"
		}
		ratios[i] = c.Ratio()
		fmt.Fprintf(&b, "%-16s  %10.4g  %8.4g  %-15s  %+6.0f%%%s\n", c.Time.In(zone).Format("2006-01-02 15:04"),
			c.Measured, c.Estimate, fmt.Sprintf("%.4g to %.4g", c.Low, c.High), 100*(c.Ratio()-1), note)
	}
	slices.SortFunc(ratios, cmp.Compare[float64])
	n := len(ratios)
	middle := (ratios[(n-1)/2] + ratios[n/2]) / 2
	fmt.Fprintf(&b, "\n%s: %s compared, %d outside of the 95 %% interval (one of twenty is to be expected).\nThe estimate is %.2f times the laboratory's result in the middle case; 1 is right.\n",
		station, count(n, "result"), outside, middle)
	_, err := io.WriteString(w, b.String())
	return err
}
