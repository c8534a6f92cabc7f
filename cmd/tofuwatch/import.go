package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tofuwatch/alerts"
	"tofuwatch/ingest/table"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

func importCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import FILE... --config site.yaml",
		Short: "Take in CSV files of laboratories and loggers",
		Long: `Take in CSV files of laboratories and loggers.

What a file is like is said under imports in the site file, and chosen by the
file's name or by --as; what that leaves open is found out from the file. Every
value goes the way of a station's own: checks, spool, InfluxDB, late alerts. Where
an ingester runs on the site's data folder it takes them in; else they wait in the
spool until it runs.

A line that cannot be used stops no other, and is told with what would be right. A
file that is imported twice changes nothing. A laboratory's result that differs from
an earlier one of the same sample takes its place, and the earlier one is kept.

Exit status 0: all of it was used. 1: something was refused, or nothing could be
done. 2: wrong usage or site file.`,
		Args: cobra.MinimumNArgs(1),
	}
	load := siteFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&o.as, "as", "", `the site file's import that the files are like, or "guess"`)
	f.StringVar(&o.station, "station", "", "the station of every row, for example ipal-01")
	f.StringVar(&o.method, "method", "", "lab or sensor; without a description files are a laboratory's")
	f.StringVar(&o.decimal, "decimal", "", "the decimal sign, . or ,")
	f.BoolVar(&o.dryRun, "dry-run", false, "tell what would become of the files, and change nothing")
	f.BoolVar(&o.again, "again", false, "also send what was imported before, for an InfluxDB that lost it")
	f.StringVar(&o.report, "report", "", "write the refused rows into this CSV file")
	f.StringVar(&o.language, "language", "en", "of what is told of lines: en or id")
	f.BoolVar(&o.asJSON, "json", false, "one JSON object a line")
	f.BoolVar(&o.verbose, "verbose", false, "log more")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		if err := o.check(); err != nil {
			return err
		}
		s, err := load()
		if err != nil {
			return err
		}
		i := &importRun{importOptions: o, site: s, out: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
		return i.run(cmd.Context(), files)
	}
	return cmd
}

type importOptions struct {
	as, station, method, decimal, report, language string
	dryRun, again, asJSON, verbose                 bool
}

func (o *importOptions) check() error {
	oneOf := func(flag, value string, have ...string) error {
		if value != "" && !slices.Contains(have, value) {
			return usageError{fmt.Errorf("--%s %q: have %s", flag, value, strings.Join(have, ", "))}
		}
		return nil
	}
	if o.language == "" {
		o.language = "en"
	}
	return errors.Join(
		oneOf("method", o.method, string(water.Lab), string(water.Sensor)),
		oneOf("decimal", o.decimal, ".", ","),
		oneOf("language", o.language, "en", "id"),
	)
}

// An importRun is one run of the command.
type importRun struct {
	importOptions
	site    *site.Site
	out     io.Writer
	stderr  io.Writer
	refused *refusedRows     // nil without --report
	limits  *alerts.Exporter // what a dry run holds values against
}

// An importedFile is what became of a file.
type importedFile struct {
	name     string
	method   water.Method
	counts   table.Counts
	unused   []string
	batch    string        // empty if there is nothing to take in
	broken   bool          // nothing of the file can be read, or not up to its end
	faults   []table.Fault // at most mostTold
	untold   int           // faults beyond those
	result   ingester.ImportResult
	finished bool // result says what became of the values
}

// mostTold is how many lines of a file are told on the screen; --report and --json
// tell all.
const mostTold = 100

func (r *importRun) run(ctx context.Context, files []string) (err error) {
	layouts := make([]table.Layout, len(files))
	for n, file := range files {
		if layouts[n], err = r.layout(file); err != nil {
			return err
		}
	}
	if r.report != "" {
		if r.refused, err = createRefusedRows(r.report, r.language); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.refused.close()) }()
	}
	if r.dryRun {
		stations := make(map[string]*water.Station)
		for _, s := range r.site.Stations {
			stations[s.ID] = s.Station
		}
		r.limits = alerts.NewExporter(stations)
		r.limits.Judge(r.site.Limits(), time.Now)
	}
	var (
		imported []*importedFile
		waiting  []*importedFile
	)
	for n, file := range files {
		f := &importedFile{name: file, method: layouts[n].Method}
		if err := r.read(ctx, f, layouts[n]); err != nil {
			return err
		}
		imported = append(imported, f)
		if f.batch != "" {
			waiting = append(waiting, f)
		}
	}
	failure := r.takeIn(ctx, waiting)
	good := true
	for _, f := range imported {
		if err := r.tell(f); err != nil {
			return err
		}
		good = good && !f.broken && f.counts.Refused+f.counts.RefusedRows+f.result.Unknown == 0 && f.result.Problem == ""
	}
	if failure == nil && !good {
		failure = errTold
	}
	return failure
}

// layout returns what a file is like, as far as somebody says.
func (r *importRun) layout(file string) (table.Layout, error) {
	l, err := r.described(file)
	if err != nil {
		return l, err
	}
	if r.station != "" {
		if _, ok := r.site.Station(r.station); !ok {
			return l, usageError{fmt.Errorf("--station %q: %s has no such station", r.station, r.site.File)}
		}
		l.Station = table.Text{Value: r.station}
	}
	if r.method != "" {
		l.Method = water.Method(r.method)
	}
	if l.Method == "" {
		l.Method = water.Lab
	}
	if r.decimal != "" {
		l.Decimal = r.decimal[0]
	}
	return l, nil
}

// described returns the site file's description of a file: that of --as, else the
// one whose pattern the name has, else the only one that has no pattern.
func (r *importRun) described(file string) (table.Layout, error) {
	var names []string
	var open []table.Layout
	for _, l := range r.site.Imports {
		names = append(names, l.Name)
		if l.Name == r.as {
			return l, nil
		}
		matches := slices.ContainsFunc(l.Files, func(pattern string) bool {
			ok, _ := path.Match(pattern, filepath.Base(file)) // the site file was checked
			return ok
		})
		switch {
		case r.as == "" && matches:
			return l, nil
		case len(l.Files) == 0:
			open = append(open, l)
		}
	}
	switch {
	case r.as == "guess", r.as == "" && len(open) == 0:
		return table.Layout{}, nil
	case r.as != "":
		return table.Layout{}, usageError{fmt.Errorf("--as %q: have %s", r.as, strings.Join(append(names, "guess"), ", "))}
	case len(open) > 1:
		return table.Layout{}, usageError{fmt.Errorf("%s: which import of the site file is it like? Give --as with one of %s", file, strings.Join(append(names, "guess"), ", "))}
	}
	return open[0], nil
}

// read reads a file into a batch. What is wrong with the file is in f; an error says
// that the command cannot go on.
func (r *importRun) read(ctx context.Context, f *importedFile, layout table.Layout) error {
	file, err := os.Open(f.name)
	if err != nil {
		f.broken = true
		return r.fault(f, unreadable(f.name, err))
	}
	defer file.Close()
	var size int64
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	bar := r.bar("Reading "+filepath.Base(f.name), size)
	defer func() { _ = bar.Clear() }()
	stations := make([]*water.Station, len(r.site.Stations))
	for n, s := range r.site.Stations {
		stations[n] = s.Station
	}
	pass := progressbar.NewReader(file, bar)
	reader, err := table.NewReader(&pass, table.Options{
		File: f.name, Layout: layout, Stations: stations, Parameters: r.site.Parameters, Zone: r.site.TimeZone, Now: time.Now(),
	})
	if err != nil {
		f.broken = true
		return r.fault(f, asFault(f.name, err))
	}
	f.unused = reader.Unused()
	var batch *ingester.Batch
	defer func() {
		f.counts = reader.Counts()
		if batch != nil {
			_ = batch.Abort() // nothing was taken in
		}
	}()
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before %s was read; nothing was changed: %w", f.name, context.Cause(ctx))
		}
		sample, faults, err := reader.Next()
		for _, fault := range faults {
			if err := r.fault(f, fault); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // what came before it can be used
			f.broken = true
			if err := r.fault(f, asFault(f.name, err)); err != nil {
				return err
			}
			break
		}
		switch {
		case len(sample.Values) == 0:
			continue
		case r.dryRun:
			r.wouldStore(f, sample)
			continue
		case batch == nil:
			if batch, err = ingester.NewBatch(r.site, filepath.Base(f.name), f.method, r.again); err != nil {
				return err
			}
		}
		if err := batch.Add(sample); err != nil {
			return err
		}
	}
	if batch == nil {
		f.finished = true
		return nil
	}
	finished := batch
	batch = nil
	f.batch, err = finished.Finish()
	return err
}

// wouldStore counts what storing a sample would do.
func (r *importRun) wouldStore(f *importedFile, s *table.Sample) {
	for _, v := range s.Values {
		o := water.Observation{Station: s.Station, Parameter: v.Parameter, Method: f.method, Value: v.Value, Censor: v.Censor, Flag: water.Good, Time: s.Time}
		switch {
		case math.IsNaN(v.Value):
			continue
		case v.Value < v.Parameter.Min, v.Value > v.Parameter.Max:
			o.Flag = water.Bad
			f.result.Bad++
		}
		f.result.Stored++
		if r.limits.Exceeds(o) {
			f.result.OverLimit++
		}
	}
}

// takeIn has the batches of files taken in, and notes the results.
func (r *importRun) takeIn(ctx context.Context, files []*importedFile) error {
	if len(files) == 0 {
		return nil
	}
	names := make([]string, len(files))
	for n, f := range files {
		names[n] = f.batch
	}
	bar := r.bar("Storing", -1)
	defer func() { _ = bar.Clear() }()
	level := slog.LevelWarn
	if r.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(r.stderr, &slog.HandlerOptions{Level: level}))
	results, err := ingester.Import(ctx, r.site, names, func(done, total int64) {
		bar.ChangeMax64(total)
		_ = bar.Set64(done)
	}, log)
	if err != nil {
		return err
	}
	for n, f := range files {
		f.result, f.finished = results[n], true
	}
	return nil
}

// bar returns a progress bar, which nobody sees unless standard error is a terminal.
func (r *importRun) bar(what string, total int64) *progressbar.ProgressBar {
	file, ok := r.stderr.(*os.File)
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(r.stderr),
		progressbar.OptionSetVisibility(ok && term.IsTerminal(int(file.Fd())) && !r.asJSON),
		progressbar.OptionSetDescription(table.Printable(what)),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)
}

// unreadable is the fault of a file that cannot be opened.
func unreadable(file string, err error) table.Fault {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err
	}
	return table.Fault{File: file, Problem: water.Text{
		English:    fmt.Sprintf("cannot be read: %v", err),
		Indonesian: fmt.Sprintf("tidak dapat dibaca: %v", err),
	}}
}

// asFault returns an error of the table reader as a fault.
func asFault(file string, err error) table.Fault {
	if f, ok := errors.AsType[table.Fault](err); ok {
		return f
	}
	return unreadable(file, err)
}

// faultJSON is a fault as programs read it.
type faultJSON struct {
	Type    string `json:"type"` // refused or note
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Heading string `json:"heading,omitempty"`
	Found   string `json:"found,omitempty"`
	Problem string `json:"problem"`
	Values  int    `json:"values"` // lost by it
}

// fault tells of a fault, now or with the rest of f.
func (r *importRun) fault(f *importedFile, t table.Fault) error {
	if r.refused != nil {
		r.refused.add(t)
	}
	if r.asJSON {
		j := faultJSON{"refused", t.File, t.Line, t.Column, t.Heading, t.Found, t.Problem.English, t.Values}
		if r.language == "id" {
			j.Problem = t.Problem.Indonesian
		}
		if t.Note {
			j.Type = "note"
		}
		return json.NewEncoder(r.out).Encode(j)
	}
	if len(f.faults) == mostTold {
		f.untold++
		return nil
	}
	f.faults = append(f.faults, t)
	return nil
}

// summaryJSON is what became of a file as programs read it.
type summaryJSON struct {
	Type     string       `json:"type"` // file
	File     string       `json:"file"`
	Method   water.Method `json:"method"`
	DryRun   bool         `json:"dry_run,omitempty"`
	TakenIn  bool         `json:"taken_in"` // false: the values are on disk and wait for the ingester
	Rows     int          `json:"rows"`
	Values   int          `json:"values"`
	Censored int          `json:"censored"`
	Missing  int          `json:"missing"`
	Repeated int          `json:"repeated"`
	Refused  int          `json:"refused"`
	BadRows  int          `json:"refused_rows"`
	Unused   []string     `json:"columns_not_used,omitempty"`
	ingester.ImportResult
}

// tell tells what became of a file.
func (r *importRun) tell(f *importedFile) error {
	c := f.counts
	if r.asJSON {
		return json.NewEncoder(r.out).Encode(summaryJSON{
			"file", f.name, f.method, r.dryRun, f.finished && !r.dryRun, c.Rows, c.Values, c.Censored, c.Missing, c.Repeated, c.Refused, c.RefusedRows, f.unused, f.result,
		})
	}
	for _, t := range f.faults {
		fmt.Fprintln(r.out, t.Text(r.language))
	}
	w := importWords[r.language]
	if f.untold > 0 {
		fmt.Fprintf(r.out, w.untold+"\n", table.Printable(f.name), f.untold)
	}
	if f.broken && c.Rows == 0 {
		return nil
	}
	kind := w.lab
	if f.method == water.Sensor {
		kind = w.sensor
	}
	fmt.Fprintf(r.out, "%s: %s\n", table.Printable(f.name), kind)
	t := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	line := func(always bool, words string, n int, more ...string) {
		if always || n > 0 {
			fmt.Fprintf(t, "  %s\t%d%s\n", words, n, strings.Join(more, ""))
		}
	}
	p := f.result
	line(true, w.rows, c.Rows)
	switch {
	case r.dryRun:
		line(true, w.wouldStore, p.Stored)
	case f.finished:
		line(true, w.stored, p.Stored)
	default:
		line(true, w.waiting, c.Values)
	}
	line(true, w.censored, c.Censored)
	line(true, w.overLimit, p.OverLimit)
	line(false, w.corrected, p.Corrected)
	line(false, w.unchanged, p.Unchanged+c.Repeated)
	line(false, w.outdated, p.Outdated)
	line(true, w.missing, c.Missing)
	line(false, w.bad, p.Bad)
	line(true, w.refused, c.Refused, inRows(w.inRows, c.RefusedRows))
	line(false, w.unknown, p.Unknown)
	if err := t.Flush(); err != nil {
		return err
	}
	if p.Before != "" {
		if at, err := time.Parse(time.RFC3339, p.Before); err == nil {
			fmt.Fprintf(r.out, "  "+w.before+"\n", at.In(r.site.TimeZone).Format("2006-01-02 15:04:05 MST"))
		}
	}
	if len(f.unused) > 0 {
		fmt.Fprintf(r.out, "  %s: %s\n", w.unused, table.Printable(strings.Join(f.unused, ", ")))
	}
	if p.Problem != "" {
		fmt.Fprintf(r.out, "  %s\n", p.Problem)
	}
	return nil
}

func inRows(format string, rows int) string {
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf(format, rows)
}

// importWords are the words of the summary, by language.
var importWords = map[string]struct {
	lab, sensor, rows, stored, wouldStore, waiting, censored, overLimit, corrected, unchanged, outdated, missing, bad, refused, inRows, unknown, before, unused, untold string
}{
	"en": {
		lab: "laboratory results", sensor: "sensor readings", rows: "rows",
		stored: "values stored", wouldStore: "values would be stored", waiting: "values wait on disk for the ingester",
		censored: "less or more than (<, >)", overLimit: "past a limit, told as late", corrected: "correct an earlier result, which is kept",
		unchanged: "known already, unchanged", outdated: "older than a result that is known", missing: "no value", bad: "cannot be, marked as bad",
		refused: "values refused", inRows: ", in %d rows", unknown: "of stations or parameters that the ingester does not know; restart it with this site file",
		before: "the same values were imported on %s: nothing changed", unused: "columns not used", untold: "%s: %d more lines like these; --report FILE writes all",
	},
	"id": {
		lab: "hasil laboratorium", sensor: "data sensor", rows: "baris",
		stored: "nilai disimpan", wouldStore: "nilai akan disimpan", waiting: "nilai menunggu di disk sampai ingester berjalan",
		censored: "kurang atau lebih dari (<, >)", overLimit: "melewati baku mutu, diberitahukan sebagai terlambat", corrected: "mengoreksi hasil sebelumnya, yang tetap disimpan",
		unchanged: "sudah ada, tidak berubah", outdated: "lebih lama dari hasil yang sudah ada", missing: "tanpa nilai", bad: "tidak mungkin, ditandai buruk",
		refused: "nilai ditolak", inRows: ", dalam %d baris", unknown: "stasiun atau parameternya tidak dikenal ingester; jalankan ulang dengan berkas site ini",
		before: "nilai yang sama sudah diimpor pada %s: tidak ada perubahan", unused: "kolom yang tidak dipakai", untold: "%s: masih ada %d baris seperti ini; --report BERKAS menuliskan semuanya",
	},
}

// refusedRows is the file of --report: what was refused, with the rows themselves, for
// whoever mends them. Columns are apart by semicolons and the text has a byte order
// mark, which is what a spreadsheet in Indonesia wants.
type refusedRows struct {
	f        *os.File
	w        *csv.Writer
	language string
}

func createRefusedRows(file, language string) (*refusedRows, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("write report: %w", err)
	}
	r := &refusedRows{f, csv.NewWriter(f), language}
	r.w.Comma = ';'
	if _, err := f.WriteString("\ufeff"); err != nil {
		return nil, errors.Join(fmt.Errorf("write report: %w", err), f.Close())
	}
	_ = r.w.Write([]string{"file", "line", "column", "heading", "found", "problem", "row"}) // close tells
	return r, nil
}

func (r *refusedRows) add(t table.Fault) {
	if t.Note {
		return
	}
	problem := t.Problem.English
	if r.language == "id" {
		problem = t.Problem.Indonesian
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	_ = r.w.Write([]string{inert(t.File), number(t.Line), number(t.Column), inert(t.Heading), inert(t.Found), inert(problem), inert(t.Row)})
}

// inert keeps a spreadsheet from taking a text for a formula.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return "'" + s
		}
	}
	return s
}

func (r *refusedRows) close() error {
	r.w.Flush()
	if err := errors.Join(r.w.Error(), r.f.Close()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
