package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

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
		func(map[string]string, []string) func(time.Time, []any) error {
			return func(at time.Time, _ []any) error {
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
	err := h.series(ctx, fmt.Sprintf("SELECT * FROM %q WHERE %s GROUP BY station, method", Measurement, within(stations, from, to)),
		func(tags map[string]string, columns []string) func(time.Time, []any) error {
			station, method := stations[tags["station"]], water.Method(tags["method"])
			var of []columnsOf
			for i, column := range columns {
				code, isFlag := strings.CutSuffix(column, flagSuffix)
				if p := parameters.Lookup([]byte(code)); isFlag && p != nil && p.Code == code {
					of = append(of, columnsOf{p, i, slices.Index(columns, code), slices.Index(columns, code+censorSuffix)})
				}
			}
			return func(at time.Time, values []any) error {
				for _, c := range of {
					if station == nil || values[c.flag] == nil {
						continue
					}
					flag, err := numberOf(values[c.flag])
					if err != nil {
						return err
					}
					o := water.Observation{
						Station: station, Parameter: c.parameter, Method: method,
						Value: math.NaN(), Flag: water.Flag(flag), Time: at,
					}
					if c.value >= 0 && values[c.value] != nil && o.Flag != water.Missing {
						if o.Value, err = numberOf(values[c.value]); err != nil {
							return err
						}
					}
					if c.censor >= 0 {
						censor, _ := values[c.censor].(string)
						o.Censor = water.Censor(censor)
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
		func(tags map[string]string, columns []string) func(time.Time, []any) error {
			station, p := stations[tags["station"]], parameters.Lookup([]byte(tags["parameter"]))
			var s water.Summary // filled in anew for each row
			all := fields(&s)
			column := make([]int, len(all))
			for i, f := range all {
				column[i] = slices.Index(columns, f.name)
			}
			return func(at time.Time, values []any) error {
				if station == nil || p == nil {
					return nil
				}
				s = water.NoSummary(station, p, water.Method(tags["method"]), span, at)
				for i, f := range all {
					if column[i] < 0 || values[column[i]] == nil {
						continue
					}
					v, err := numberOf(values[column[i]])
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
// that returns for each of its rows. The values are in the order of the columns,
// of which the first is the time.
func (h *History) series(ctx context.Context, query string, begin func(tags map[string]string, columns []string) func(time.Time, []any) error) error {
	var answer struct {
		Results []struct {
			Error  string
			Series []struct {
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	if err := h.reader.ask(ctx, query, func(body io.Reader) error {
		d := json.NewDecoder(body)
		d.UseNumber() // nanoseconds do not fit into a float64
		return d.Decode(&answer)
	}); err != nil {
		return fmt.Errorf("query InfluxDB: %w", err)
	}
	for _, result := range answer.Results {
		if result.Error != "" {
			return fmt.Errorf("query InfluxDB: %w", errors.New(result.Error))
		}
		for _, series := range result.Series {
			row := begin(series.Tags, series.Columns)
			for _, values := range series.Values {
				at, err := timeOf(values[0])
				if err == nil {
					err = row(at, values)
				}
				if err != nil {
					return fmt.Errorf("read InfluxDB's answer: %w", err)
				}
			}
		}
	}
	return nil
}

func timeOf(v any) (time.Time, error) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, fmt.Errorf("time %v is no number", v)
	}
	ns, err := n.Int64()
	return time.Unix(0, ns).UTC(), err
}

func numberOf(v any) (float64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("value %v is no number", v)
	}
	return n.Float64()
}
