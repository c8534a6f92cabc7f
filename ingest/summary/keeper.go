package summary

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// A History is what InfluxDB holds. Spans and observations are asked for from one
// time to before another.
type History interface {
	First(ctx context.Context, s *water.Station) (time.Time, error) // zero: nothing is there
	Observations(ctx context.Context, stations map[string]*water.Station, parameters *water.Parameters, from, to time.Time) ([]water.Observation, error)
	Summaries(ctx context.Context, span water.Span, stations map[string]*water.Station, parameters *water.Parameters, from, to time.Time) ([]water.Summary, error)
	PutSummaries(ctx context.Context, summaries []water.Summary) error
	PutRemovals(ctx context.Context, removals []water.Removal) error
}

// Options say what is summarised and by what.
type Options struct {
	File       string                    // the marks
	Stations   map[string]*water.Station // by ID
	Parameters *water.Parameters
	Limits     map[string]water.Limits // by the station's ID
	Plants     []Plant
	TimeZone   *time.Location
	Prefix     string // of the lines that are observations: the measurement and a comma
	Now        func() time.Time
}

// Numbers of the work.
const (
	leastPause = 10 * time.Second // between two rounds
	mostPause  = time.Minute
	pauseTimes = 20                 // as long as the last round took: 5 % of the time
	backlog    = 500                // marks that are more than the present makes
	atOnce     = 20                 // stations in one query
	stride     = 7 * 24 * time.Hour // of the past that is marked at a time
	// longestPast is how far back hours are looked for in which a sensor said
	// nothing: one reading with an odd time must not make years of them.
	longestPast = 5 * 366 * 24 * time.Hour
	nagEvery    = 10 * time.Minute // how often the log repeats what keeps failing
)

// A Keeper keeps summaries up to date.
type Keeper struct {
	o       Options
	site    site
	history History
	marks   *marks
	first   map[string]time.Time // the hour of each station's oldest reading of a sensor; zero if there is none
	log     *slog.Logger
	told    time.Time
}

// New returns a keeper whose marks are in a file.
func New(o Options, h History, log *slog.Logger) (*Keeper, error) {
	m, err := openMarks(o.File)
	if err != nil {
		return nil, err
	}
	return &Keeper{
		o: o, history: h, marks: m, log: log,
		site:  site{o.Stations, o.Limits, o.Plants, o.TimeZone},
		first: make(map[string]time.Time),
	}, nil
}

// Close closes the file of marks.
func (k *Keeper) Close() error { return k.marks.close() }

// A Spool is what the writer drains.
type Spool interface {
	Next(ctx context.Context, atMost int, linger time.Duration) (*ingest.Batch, error)
	Done(b *ingest.Batch, refused []ingest.Refusal) error
}

// Watch returns s, except that it marks the hours of a batch before it lets go of
// it. If that fails, so does Done: the batch is written once more.
func (k *Keeper) Watch(s Spool) Spool { return &watchedSpool{s, k} }

type watchedSpool struct {
	Spool
	keeper *Keeper
}

func (w *watchedSpool) Done(b *ingest.Batch, refused []ingest.Refusal) error {
	if err := w.keeper.Stored(b.Lines); err != nil {
		return err
	}
	return w.Spool.Done(b, refused)
}

// Stored marks the hours of lines that InfluxDB has.
func (k *Keeper) Stored(lines []byte) error {
	var all []mark
	latest := make(map[string]int64) // hour of a series
	for line := range bytes.Lines(lines) {
		series, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		ns, err := strconv.ParseInt(string(rest[bytes.LastIndexByte(rest, ' ')+1:]), 10, 64)
		hour := time.Unix(0, ns).UTC().Truncate(time.Hour).Unix()
		if before, ok := latest[string(series)]; err != nil || ok && before == hour {
			continue
		}
		latest[string(series)] = hour
		if s := k.stationOf(string(series)); s != nil {
			all = append(all, mark{water.Hour, s.ID, hour})
		}
	}
	return k.marks.add(all)
}

// stationOf returns the station of a series of observations, whose tag is the last
// one, or nil.
func (k *Keeper) stationOf(series string) *water.Station {
	_, id, ok := strings.Cut(series, ",station=")
	if !ok || !strings.HasPrefix(series, k.o.Prefix) {
		return nil
	}
	return k.o.Stations[id]
}

// Run keeps summaries up to date until ctx is done, which is no error. It takes
// little of the time: whoever writes and asks InfluxDB comes first. Of a backlog it
// takes half.
func (k *Keeper) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		if err := k.Round(ctx); err != nil && ctx.Err() == nil && time.Since(k.told) >= nagEvery {
			k.told = time.Now()
			k.log.Warn("hourly and daily means not made; trying again", "n", k.marks.count(), "err", err)
		}
		took := time.Since(began)
		pause := min(max(leastPause, pauseTimes*took), mostPause)
		if k.marks.count() > backlog {
			pause = max(time.Second, took)
		}
		timer.Reset(pause)
	}
}

// Round makes all that is marked: hours, then days, then months.
func (k *Keeper) Round(ctx context.Context) error {
	now := k.o.Now()
	for {
		caughtUp, err := k.goOn(ctx, now)
		for _, step := range []func(context.Context, time.Time) error{k.hours, k.hours, k.days, k.months} { // hours may mark further ones
			if err == nil {
				err = step(ctx, now)
			}
		}
		if err != nil || caughtUp {
			return err
		}
	}
}

// goOn marks the hours that began since it was last called, so that one in which
// nothing came says so, and at first all that InfluxDB has. It reports whether
// that is all; it takes a long past in strides.
func (k *Keeper) goOn(ctx context.Context, now time.Time) (caughtUp bool, err error) {
	oldest := now
	for id, s := range k.o.Stations {
		if _, ok := k.first[id]; !ok {
			first, err := k.history.First(ctx, s)
			if err != nil {
				return false, err
			}
			k.first[id] = first.Truncate(time.Hour)
		}
		if first := k.first[id]; !first.IsZero() && first.Before(oldest) {
			oldest = first
		}
	}
	from := k.marks.through
	if from.IsZero() {
		from = oldest.Truncate(time.Hour)
	}
	if longest := now.Add(-longestPast).Truncate(time.Hour); from.Before(longest) {
		from = longest
	}
	// The latest hour is marked again when it is over.
	to := now.Truncate(time.Hour)
	if from.Add(stride).Before(to) {
		to = from.Add(stride)
	}
	if !to.After(from) && !k.marks.through.IsZero() {
		return true, nil
	}
	var all []mark
	for id, first := range k.first {
		if !first.IsZero() {
			all = appendHours(all, id, later(first, from.Add(-time.Hour)), to.Add(time.Hour))
		}
	}
	return to.Equal(now.Truncate(time.Hour)), k.marks.goOn(to, all)
}

// appendHours appends a station's hours from one to before another.
func appendHours(to []mark, station string, from, until time.Time) []mark {
	for h := from; h.Before(until); h = h.Add(time.Hour) {
		to = append(to, mark{water.Hour, station, h.Unix()})
	}
	return to
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// begins takes note of a reading of a station's sensor in an hour. If it is the
// oldest yet, the hours behind it are marked: those in which nothing came count.
func (k *Keeper) begins(station string, hour, now time.Time) error {
	first := k.first[station]
	if !first.IsZero() && !hour.Before(first) {
		return nil
	}
	until := first
	if first.IsZero() {
		until = now
	}
	k.first[station] = hour
	return k.marks.add(appendHours(nil, station, later(hour.Add(time.Hour), now.Add(-longestPast).Truncate(time.Hour)), until))
}

// hours makes the hours that are marked, those of a day and some stations with one
// query, and marks the days that are made of them.
func (k *Keeper) hours(ctx context.Context, now time.Time) error {
	all, version := k.marks.take(water.Hour)
	return k.byDay(all, func(day []mark, stations map[string]*water.Station) error {
		from, to := day[0].start, day[0].start
		for _, m := range day {
			from, to = min(from, m.start), max(to, m.start)
		}
		observations, err := k.history.Observations(ctx, stations, k.o.Parameters, time.Unix(from, 0), time.Unix(to, 0).Add(time.Hour))
		if err != nil {
			return err
		}
		of := make(map[mark][]water.Observation)
		for _, o := range observations {
			hour := o.Time.Truncate(time.Hour)
			m := mark{water.Hour, o.Station.ID, hour.Unix()}
			of[m] = append(of[m], o)
			if o.Method == water.Sensor {
				if err := k.begins(o.Station.ID, hour, now); err != nil {
					return err
				}
			}
		}
		var summaries []water.Summary
		for _, m := range day {
			start := time.Unix(m.start, 0).UTC()
			summaries = append(summaries, k.site.hour(stations[m.station], start, now, of[m])...)
		}
		if err := k.history.PutSummaries(ctx, summaries); err != nil {
			return err
		}
		var days []mark
		for _, m := range day {
			days = append(days, k.daysOf(m, now)...)
		}
		return errors.Join(k.marks.add(days), k.marks.done(day, version))
	})
}

// byDay calls f with the marks of each UTC day, for some stations at a time, the
// oldest first.
func (k *Keeper) byDay(all []mark, f func([]mark, map[string]*water.Station) error) error {
	const day = 24 * 60 * 60
	slices.SortFunc(all, func(a, b mark) int {
		if a.start/day != b.start/day {
			return int(a.start/day - b.start/day)
		}
		return bytes.Compare([]byte(a.station), []byte(b.station))
	})
	for len(all) > 0 {
		stations := make(map[string]*water.Station)
		n := 0
		for n < len(all) && all[n].start/day == all[0].start/day {
			id := all[n].station
			if stations[id] == nil && len(stations) == atOnce {
				break
			}
			stations[id] = k.o.Stations[id]
			n++
		}
		part := slices.Clone(all[:n])
		all = all[n:]
		// Stations may have left the site file since.
		gone := func(m mark) bool { return k.o.Stations[m.station] == nil }
		if slices.ContainsFunc(part, gone) {
			var left []mark
			for _, m := range part {
				if gone(m) {
					left = append(left, m)
					delete(stations, m.station)
				}
			}
			if err := k.marks.done(left, ^uint64(0)); err != nil {
				return err
			}
			part = slices.DeleteFunc(part, gone)
		}
		if len(part) == 0 {
			continue
		}
		if err := f(part, stations); err != nil {
			return err
		}
	}
	return nil
}

// daysOf returns the days that an hour has a part in: its own, those whose hours
// look back at it, and those of a plant's outlet for which it is what came in.
func (k *Keeper) daysOf(m mark, now time.Time) []mark {
	var days []mark
	add := func(station string, at time.Time) {
		if !at.After(now) {
			d := mark{water.Day, station, water.Day.Start(at, k.o.TimeZone).Unix()}
			if !slices.Contains(days, d) {
				days = append(days, d)
			}
		}
	}
	at := time.Unix(m.start, 0)
	for _, after := range []time.Duration{0, 24 * time.Hour, 7 * 24 * time.Hour} {
		add(m.station, at.Add(after))
	}
	for _, p := range k.o.Plants {
		var passes time.Duration
		switch m.station {
		case p.Effluent.ID:
		case p.Influent.ID:
			passes = p.Retention.Truncate(time.Hour)
		default:
			continue
		}
		add(p.Effluent.ID, at.Add(passes))
		add(p.Effluent.ID, at.Add(passes+23*time.Hour)) // the last hour that looks back at it
	}
	return days
}

// days makes the days that are marked, has their hours look back, and marks their
// months.
func (k *Keeper) days(ctx context.Context, now time.Time) error {
	all, version := k.marks.take(water.Day)
	return k.byDay(all, func(day []mark, stations map[string]*water.Station) error {
		from := time.Unix(day[0].start, 0).UTC() // the same for all: days begin once in 24 hours
		to := water.Day.Next(from, k.o.TimeZone)
		hours, err := k.history.Summaries(ctx, water.Hour, stations, k.o.Parameters, from, to)
		if err != nil {
			return err
		}
		var earlier []water.Summary
		for _, back := range []time.Duration{24 * time.Hour, 7 * 24 * time.Hour} {
			then, err := k.history.Summaries(ctx, water.Hour, stations, k.o.Parameters, from.Add(-back), to.Add(-back))
			if err != nil {
				return err
			}
			earlier = append(earlier, then...)
		}
		whole := int(to.Sub(from).Hours())
		summaries := k.site.merge(water.Day, from, whole, !now.Before(to), hours)
		if err := k.history.PutSummaries(ctx, append(summaries, lookBack(hours, earlier)...)); err != nil {
			return err
		}
		if err := k.removals(ctx, stations, from, to, now); err != nil {
			return err
		}
		var months []mark
		for _, m := range day {
			months = append(months, mark{water.Month, m.station, water.Month.Start(from, k.o.TimeZone).Unix()})
		}
		return errors.Join(k.marks.add(months), k.marks.done(day, version))
	})
}

// removals makes what the plants among stations removed on a day, and in the 24
// hours up to each hour of it.
func (k *Keeper) removals(ctx context.Context, stations map[string]*water.Station, from, to, now time.Time) error {
	var removals []water.Removal
	for i := range k.o.Plants {
		p := &k.o.Plants[i]
		if stations[p.Effluent.ID] == nil {
			continue
		}
		both := map[string]*water.Station{p.Effluent.ID: p.Effluent, p.Influent.ID: p.Influent}
		hours, err := k.history.Summaries(ctx, water.Hour, both, k.o.Parameters, from.Add(-23*time.Hour-p.Retention), to)
		if err != nil {
			return err
		}
		removals = append(removals, p.removal(water.Day, from, from, to, hours)...)
		for h := from; h.Before(to) && !h.After(now); h = h.Add(time.Hour) {
			removals = append(removals, p.removal(water.Hour, h, h.Add(-23*time.Hour), h.Add(time.Hour), hours)...)
		}
	}
	return k.history.PutRemovals(ctx, removals)
}

// months makes the months that are marked.
func (k *Keeper) months(ctx context.Context, now time.Time) error {
	all, version := k.marks.take(water.Month)
	return k.byDay(all, func(month []mark, stations map[string]*water.Station) error {
		from := time.Unix(month[0].start, 0).UTC()
		to := water.Month.Next(from, k.o.TimeZone)
		days, err := k.history.Summaries(ctx, water.Day, stations, k.o.Parameters, from, to)
		if err != nil {
			return err
		}
		past := to
		if now.Before(to) {
			past = now
		}
		whole := int(past.Sub(from).Hours())
		if err := k.history.PutSummaries(ctx, k.site.merge(water.Month, from, whole, !now.Before(to), days)); err != nil {
			return err
		}
		return k.marks.done(month, version)
	})
}

var pendingSpans = prometheus.NewDesc("tofuwatch_summaries_pending",
	"Hours, days and months of stations that have to be made anew from readings that came since.", nil, nil)

// Describe implements prometheus.Collector.
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) { ch <- pendingSpans }

// Collect implements prometheus.Collector.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(pendingSpans, prometheus.GaugeValue, float64(k.marks.count()))
}
