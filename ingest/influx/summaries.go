package influx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-faster/jx"
	influxdb2 "github.com/influxdata/influxdb-client-go/v2"

	"tofuwatch/internal/water"
)

// Measurements of what is made from observations. Their tags are those of
// [Measurement] and the parameter; a removal has the influent's station instead
// of river and kind.
const (
	HourlyMeasurement       = "water_quality_hourly"
	DailyMeasurement        = "water_quality_daily"
	MonthlyMeasurement      = "water_quality_monthly"
	TreatmentMeasurement    = "treatment_hourly" // removal in the 24 hours up to this one
	TreatmentDayMeasurement = "treatment_daily"
)

var summaryMeasurements = map[water.Span]string{
	water.Hour: HourlyMeasurement, water.Day: DailyMeasurement, water.Month: MonthlyMeasurement,
}

var removalMeasurements = map[water.Span]string{
	water.Hour: TreatmentMeasurement, water.Day: TreatmentDayMeasurement,
}

// A History reads back what the writer stored, by a [Reader], and stores what is
// made of it.
type History struct {
	reader *Reader
	write  func(ctx context.Context, lines string) error
}

// NewHistory returns the history that a writer with the same options fills.
func NewHistory(client influxdb2.Client, o Options) *History {
	blocking := client.WriteAPIBlocking(o.Org, o.Bucket)
	return &History{
		reader: NewReader(client, o),
		write:  func(ctx context.Context, lines string) error { return write(ctx, blocking, lines) },
	}
}

// First returns when a station's sensors were first read; zero if they never were.
func (h *History) First(ctx context.Context, s *water.Station) (time.Time, error) {
	var first time.Time
	err := h.series(ctx, fmt.Sprintf("SELECT * FROM %q WHERE station = '%s' AND method = '%s' ORDER BY time ASC LIMIT 1", Measurement, s.ID, water.Sensor),
		func(map[string]string, []string) func(time.Time, []cell) error {
			return func(at time.Time, _ []cell) error {
				first = at
				return nil
			}
		})
	return first, err
}

// Observations returns what stations measured from one time to another, of
// parameters that are known, in the order of time for each station and method.
// Which tests gave a flag is not read.
func (h *History) Observations(ctx context.Context, stations map[string]*water.Station, parameters *water.Parameters, from, to time.Time) ([]water.Observation, error) {
	var observations []water.Observation
	// columnsOf are the columns of one parameter; value and censor are -1 if absent.
	type columnsOf struct {
		parameter           *water.Parameter
		flag, value, censor int
	}
	err := h.series(ctx, fmt.Sprintf("SELECT %s FROM %q WHERE %s GROUP BY station, method", readingFields(parameters), Measurement, within(stations, from, to)),
		func(tags map[string]string, columns []string) func(time.Time, []cell) error {
			station, method := stations[tags["station"]], water.Method(tags["method"])
			var of []columnsOf
			for i, column := range columns {
				code, isFlag := strings.CutSuffix(column, flagSuffix)
				if p := parameters.Lookup([]byte(code)); isFlag && p != nil && p.Code == code {
					of = append(of, columnsOf{p, i, slices.Index(columns, code), slices.Index(columns, code+censorSuffix)})
				}
			}
			return func(at time.Time, values []cell) error {
				for _, c := range of {
					if station == nil || values[c.flag].kind == jx.Null {
						continue
					}
					flag, err := values[c.flag].float()
					if err != nil {
						return err
					}
					o := water.Observation{
						Station: station, Parameter: c.parameter, Method: method,
						Value: math.NaN(), Flag: water.Flag(flag), Time: at,
					}
					if c.value >= 0 && values[c.value].kind != jx.Null && o.Flag != water.Missing {
						if o.Value, err = values[c.value].float(); err != nil {
							return err
						}
					}
					if c.censor >= 0 {
						o.Censor = water.Censor(values[c.censor].text)
					}
					observations = append(observations, o)
				}
				return nil
			}
		})
	return observations, err
}

// Summaries returns those of stations that begin at one time or later, and
// before another.
func (h *History) Summaries(ctx context.Context, span water.Span, stations map[string]*water.Station, parameters *water.Parameters, from, to time.Time) ([]water.Summary, error) {
	var summaries []water.Summary
	err := h.series(ctx, fmt.Sprintf("SELECT * FROM %q WHERE %s GROUP BY station, method, parameter", summaryMeasurements[span], within(stations, from, to)),
		func(tags map[string]string, columns []string) func(time.Time, []cell) error {
			station, p := stations[tags["station"]], parameters.Lookup([]byte(tags["parameter"]))
			var s water.Summary // filled in anew for each row
			all := fields(&s)
			column := make([]int, len(all))
			for i, f := range all {
				column[i] = slices.Index(columns, f.name)
			}
			return func(at time.Time, values []cell) error {
				if station == nil || p == nil {
					return nil
				}
				s = water.NoSummary(station, p, water.Method(tags["method"]), span, at)
				for i, f := range all {
					if column[i] < 0 || values[column[i]].kind == jx.Null {
						continue
					}
					v, err := values[column[i]].float()
					if err != nil {
						return err
					}
					f.set(v)
				}
				forget(&s)
				summaries = append(summaries, s)
				return nil
			}
		})
	return summaries, err
}

// forget takes away the numbers that are left of an earlier version of s.
func forget(s *water.Summary) {
	none := math.NaN()
	if s.Valid == 0 {
		s.Mean, s.Min, s.Max = none, none, none
	}
	if s.Judged == 0 {
		s.Times = none
	}
	if s.LoadHours == 0 {
		s.Load = none
	}
}

// A field is a number of a summary as InfluxDB has it.
type field struct {
	name   string
	number *float64 // or
	count  *int     // or
	length *time.Duration
}

func (f field) set(v float64) {
	switch {
	case f.number != nil:
		*f.number = v
	case f.count != nil:
		*f.count = int(v)
	default:
		*f.length = time.Duration(v * float64(time.Second))
	}
}

// fields are all of a summary.
func fields(s *water.Summary) []field {
	return []field{
		{name: "mean", number: &s.Mean},
		{name: "min", number: &s.Min},
		{name: "max", number: &s.Max},
		{name: "valid", count: &s.Valid},
		{name: "suspect", count: &s.Suspect},
		{name: "bad", count: &s.Bad},
		{name: "missing", count: &s.Missing},
		{name: "expected", count: &s.Expected},
		{name: "judged", count: &s.Judged},
		{name: "over", count: &s.Over},
		{name: "judged_seconds", length: &s.JudgedTime},
		{name: "over_seconds", length: &s.OverTime},
		{name: "times", number: &s.Times},
		{name: "mean_judged", count: &s.MeanJudged},
		{name: "mean_over", count: &s.MeanOver},
		{name: "load", number: &s.Load},
		{name: "load_hours", count: &s.LoadHours},
		{name: "day_ago", number: &s.DayAgo},
		{name: "week_ago", number: &s.WeekAgo},
	}
}

// SummaryFields are the fields of the hourly, daily and monthly measurements.
func SummaryFields() []string {
	var names []string
	for _, f := range fields(new(water.Summary)) {
		names = append(names, f.name)
	}
	return names
}

// RemovalFields are the fields of the measurements of treatment.
func RemovalFields() []string { return []string{"removal", "influent_mean", "effluent_mean", "hours"} }

// PutSummaries stores summaries in place of those of the same start. What is NaN
// is not written, and InfluxDB keeps a field that a later point lacks: a mean can
// outlive its values, should those turn out bad. So mean, min and max mean nothing
// unless valid is above 0, times unless judged is, and load unless load_hours is
// enough. [History.Summaries] and every query of a dashboard keep to that.
func (h *History) PutSummaries(ctx context.Context, summaries []water.Summary) error {
	return h.put(ctx, EncodeSummaries(nil, summaries))
}

// PutRemovals stores removals in place of those of the same start.
func (h *History) PutRemovals(ctx context.Context, removals []water.Removal) error {
	return h.put(ctx, EncodeRemovals(nil, removals))
}

// put writes lines, a request for each batch.
func (h *History) put(ctx context.Context, lines []byte) error {
	for len(lines) > 0 {
		end, n := 0, 0
		for end < len(lines) && n < batchPoints {
			end += slices.Index(lines[end:], '\n') + 1
			n++
		}
		if err := h.write(ctx, string(lines[:end])); err != nil {
			return fmt.Errorf("write %d summaries: %w", n, err)
		}
		lines = lines[end:]
	}
	return nil
}

// EncodeSummaries appends summaries to dst in line protocol:
//
//	water_quality_hourly,kind=effluent,method=sensor,parameter=cod,river=bajak,station=ipal-01 mean=286.5,…,valid=30i,… 1795417200000000000
func EncodeSummaries(dst []byte, summaries []water.Summary) []byte {
	for i := range summaries {
		s := &summaries[i]
		dst = fmt.Appendf(dst, "%s,kind=%s,method=%s,parameter=%s,river=%s,station=%s ", summaryMeasurements[s.Span],
			s.Station.Kind, s.Method, s.Parameter.Code, s.Station.River, s.Station.ID)
		for _, f := range fields(s) {
			switch {
			case f.count != nil:
				dst = fmt.Appendf(dst, "%s=%di,", f.name, *f.count)
			case f.length != nil:
				dst = fmt.Appendf(dst, "%s=%di,", f.name, int64(f.length.Seconds()))
			case !math.IsNaN(*f.number):
				dst = append(dst, f.name...)
				dst = append(dst, '=')
				dst = strconv.AppendFloat(dst, *f.number, 'g', -1, 64)
				dst = append(dst, ',')
			}
		}
		dst[len(dst)-1] = ' ' // for the last comma
		dst = strconv.AppendInt(dst, s.Start.UnixNano(), 10)
		dst = append(dst, '\n')
	}
	return dst
}

// EncodeRemovals appends removals to dst in line protocol:
//
//	treatment_daily,influent=ipal-01-in,parameter=cod,station=ipal-01 removal=0.94,influent_mean=6000,effluent_mean=360,hours=24i 1795417200000000000
func EncodeRemovals(dst []byte, removals []water.Removal) []byte {
	for i := range removals {
		r := &removals[i]
		dst = fmt.Appendf(dst, "%s,influent=%s,parameter=%s,station=%s removal=%s,influent_mean=%s,effluent_mean=%s,hours=%di %d\n",
			removalMeasurements[r.Span], r.Influent.ID, r.Parameter.Code, r.Station.ID,
			float(r.Share), float(r.In), float(r.Out), r.Hours, r.Start.UnixNano())
	}
	return dst
}

func float(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// readingFields selects value, flag and censor of parameters, which is less than
// half of what there is.
func readingFields(parameters *water.Parameters) string {
	var codes []string
	for _, p := range parameters.All() {
		codes = append(codes, regexp.QuoteMeta(p.Code))
	}
	return fmt.Sprintf("/^(%s)(%s|%s)?$/", strings.Join(codes, "|"), flagSuffix, censorSuffix)
}

// within is the condition of a query for stations and a time. Nothing needs
// escaping: IDs are letters, digits and '-'.
func within(stations map[string]*water.Station, from, to time.Time) string {
	ids := make([]string, 0, len(stations))
	for id := range stations {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return fmt.Sprintf("station =~ /^(%s)$/ AND time >= %d AND time < %d", strings.Join(ids, "|"), from.UnixNano(), to.UnixNano())
}

// series asks InfluxDB, and calls begin for each series of the answer, and what
// that returns for each of its rows, as they come. The values are in the order of
// the columns, of which the first is the time; they are valid until the next row.
//
//	{"results":[{"statement_id":0,"series":[{"name":"water_quality","tags":{"station":"ipal-01"},
//	 "columns":["time","bod","bod_qc"],"values":[[1795417200000000000,142,1]]}]}]}
func (h *History) series(ctx context.Context, query string, begin func(tags map[string]string, columns []string) func(time.Time, []cell) error) error {
	err := h.reader.ask(ctx, query, func(body io.Reader) error {
		return jx.Decode(body, 64<<10).ObjBytes(func(d *jx.Decoder, key []byte) error {
			if string(key) != "results" {
				return d.Skip()
			}
			return d.Arr(func(d *jx.Decoder) error { return readResult(d, begin) })
		})
	})
	if err != nil {
		return fmt.Errorf("query InfluxDB: %w", err)
	}
	return nil
}

// readResult reads what InfluxDB answers to a statement.
func readResult(d *jx.Decoder, begin func(map[string]string, []string) func(time.Time, []cell) error) error {
	return d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "error":
			text, err := d.Str()
			return cmp.Or(err, errors.New(text))
		case "series":
			return d.Arr(func(d *jx.Decoder) error { return readSeries(d, begin) })
		}
		return d.Skip()
	})
}

// readSeries reads a series, of which InfluxDB writes the rows last.
func readSeries(d *jx.Decoder, begin func(map[string]string, []string) func(time.Time, []cell) error) error {
	var (
		tags    = make(map[string]string)
		columns []string
	)
	return d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "tags":
			return d.Obj(func(d *jx.Decoder, key string) (err error) {
				tags[key], err = d.Str()
				return err
			})
		case "columns":
			return d.Arr(func(d *jx.Decoder) error {
				column, err := d.Str()
				columns = append(columns, column)
				return err
			})
		case "values":
			row, cells := begin(tags, columns), make([]cell, len(columns))
			return d.Arr(func(d *jx.Decoder) error {
				at, err := readRow(d, cells)
				if err != nil {
					return fmt.Errorf("read InfluxDB's answer: %w", err)
				}
				return row(at, cells)
			})
		}
		return d.Skip()
	})
}

// readRow fills cells, and returns the time, which is the first of them.
func readRow(d *jx.Decoder, cells []cell) (at time.Time, err error) {
	i := 0
	err = d.Arr(func(d *jx.Decoder) (err error) {
		if i == len(cells) {
			return fmt.Errorf("a row has more values than the %d columns", i)
		}
		c := &cells[i]
		*c = cell{kind: d.Next()}
		switch {
		case i == 0:
			var ns int64 // which does not fit into a float64
			ns, err = d.Int64()
			at = time.Unix(0, ns).UTC()
		case c.kind == jx.Number:
			c.number, err = d.Float64()
		case c.kind == jx.String:
			c.text, err = d.Str()
		default:
			err = d.Skip()
		}
		i++
		return err
	})
	if err == nil && i < len(cells) {
		err = fmt.Errorf("a row has %d values for %d columns", i, len(cells))
	}
	return at, err
}

// A cell is what a row has in one column: a number or a text, or jx.Null.
type cell struct {
	kind   jx.Type
	number float64
	text   string
}

func (c cell) float() (float64, error) {
	if c.kind != jx.Number {
		return 0, fmt.Errorf("a %v is no number", c.kind)
	}
	return c.number, nil
}
