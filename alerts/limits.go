package alerts

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/internal/water"
)

// A reading is late if it arrives after more than lateIntervals of its expected
// interval, and after leastLate at any rate: so long a rule that looks at now may
// take the latest reading for the present. A logger that sends an hour at once
// has to have an interval of an hour in the site file.
const (
	lateIntervals = 3
	leastLate     = 15 * time.Minute
)

// lateBatch is how long after a late exceedance another one is told of together
// with it, by the newer one's time.
const lateBatch = time.Hour

// judgedMethods are the methods whose values are held against limits: all but
// what a laboratory took back; corrected ones, of which people were told as the
// sensor sent them; and estimates. A law limits the BOD that is measured: one
// that was calculated, however high, exceeds nothing.
var judgedMethods = []water.Method{water.Sensor, water.Lab}

// A judge holds observations against the limits that bound them when the water
// was sampled, and counts what is past. Only limits for every sample are judged
// here: a daily mean needs the day, and a deviation a reference.
type judge struct {
	now      func() time.Time
	limits   map[*water.Station]water.Limits
	subjects map[subjectKey]*subject
	tallies  map[tallyKey]*tally
	late     map[lateKey]lateExceedance
	// restored says that nobody has collected since the counts came from the disk;
	// told, that somebody has since they were saved, and saw something new.
	restored, told bool
}

// A subject is a parameter at a station that has limits.
type subject struct {
	lateAfter time.Duration
	spans     []span // oldest first; the first has no beginning
}

type subjectKey struct {
	station   *water.Station
	parameter string
}

// A span is a time in which the same limits bind.
type span struct {
	from   time.Time
	limits water.Limits
}

// at returns the limits that bind at a moment.
func (s *subject) at(t time.Time) water.Limits {
	i := len(s.spans) - 1
	for i > 0 && t.Before(s.spans[i].from) {
		i--
	}
	return s.spans[i].limits
}

// A tally counts the readings of a series past a bound, each sample once.
type tally struct {
	live, late uint64
	// shown is late as it was last collected. What is counted while nobody collects,
	// as by an import without the ingester, would else be there from the first
	// scrape on, and increase() would never see it come.
	shown   uint64
	counted sampleTimes
}

type tallyKey struct {
	subjectKey
	bound  water.Bound
	method water.Method
}

// A lateExceedance is what people are told of late readings past a limit.
type lateExceedance struct {
	value    float64
	time     time.Time // when the water was sampled
	received time.Time // when the latest late exceedance of the series arrived
	unit     water.Unit
	bound    water.Bound
	limit    float64 // that bound the sample
	standard string
}

type lateKey struct {
	subjectKey
	method water.Method
}

// newJudge returns a judge by limits, which are those of each station, by ID.
func newJudge(stations map[string]*water.Station, limits map[string]water.Limits, now func() time.Time) *judge {
	j := &judge{
		now:      now,
		limits:   make(map[*water.Station]water.Limits),
		subjects: make(map[subjectKey]*subject),
		tallies:  make(map[tallyKey]*tally),
		late:     make(map[lateKey]lateExceedance),
	}
	for id, s := range stations {
		j.limits[s] = limits[id]
		for _, l := range limits[id] {
			if key := (subjectKey{s, l.Parameter}); judged(l) {
				j.add(key)
				for _, m := range judgedMethods {
					t := new(tally)
					if m == water.Lab {
						t.counted.most = mostLabRuns
					}
					j.tallies[tallyKey{key, l.Bound, m}] = t
				}
			}
		}
	}
	return j
}

// judged reports whether single readings are held against l.
func judged(l water.Limit) bool {
	return l.Statistic == water.Instant && l.Bound != water.Deviation && l.Comparable()
}

// add makes the subject of key known.
func (j *judge) add(key subjectKey) {
	if j.subjects[key] != nil {
		return
	}
	s := &subject{lateAfter: leastLate}
	if i, ok := key.station.Instruments[key.parameter]; ok {
		s.lateAfter = max(leastLate, lateIntervals*i.Interval)
	}
	limits := j.limits[key.station].Of(key.parameter)
	for _, from := range append([]time.Time{{}}, limits.Changes()...) {
		binding := slices.DeleteFunc(limits.Binding(from), func(l water.Limit) bool { return !judged(l) })
		s.spans = append(s.spans, span{from, binding})
	}
	j.subjects[key] = s
}

// observe judges an observation whose flag is usable and which arrived then.
func (j *judge) observe(o *water.Observation, received time.Time) {
	key := subjectKey{o.Station, o.Parameter.Code}
	s := j.subjects[key]
	if s == nil {
		return
	}
	limits := s.at(o.Time)
	for i := range limits {
		l := &limits[i]
		if l.Judge(o.Value, o.Censor, math.NaN()) != water.Exceeds {
			continue
		}
		t := j.tallies[tallyKey{key, l.Bound, o.Method}]
		if t == nil || !t.counted.add(o.Time.UnixNano()) {
			continue
		}
		// A laboratory's result is never of now: the bottle travelled, and BOD takes five days.
		if o.Method != water.Lab && received.Sub(o.Time) <= s.lateAfter {
			t.live++
			continue
		}
		t.late++
		j.remember(lateKey{key, o.Method}, lateExceedance{
			value: o.Value, time: o.Time, received: received,
			unit: l.Unit, bound: l.Bound, limit: l.Value, standard: l.Standard,
		})
	}
}

// past reports whether an observation is past a limit that bound the sample.
func (j *judge) past(o *water.Observation) bool {
	s := j.subjects[subjectKey{o.Station, o.Parameter.Code}]
	return s != nil && o.Flag.Usable() && slices.ContainsFunc(s.at(o.Time), func(l water.Limit) bool {
		return l.Judge(o.Value, o.Censor, math.NaN()) == water.Exceeds
	})
}

// remember keeps of late exceedances that arrive together the newest sample.
func (j *judge) remember(key lateKey, e lateExceedance) {
	if old, ok := j.late[key]; ok && e.received.Sub(old.received) < lateBatch && e.time.Before(old.time) {
		old.received = e.received
		e = old
	}
	j.late[key] = e
}

var (
	limitNow = prometheus.NewDesc("tofuwatch_limit",
		"Limit for every sample that binds now, in the unit of the parameter: the strictest of the station's standards and its own (standard site).",
		[]string{"station", "parameter", "bound", "standard"}, nil)
	dailyMeanLimit = prometheus.NewDesc("tofuwatch_daily_mean_limit",
		"Limit for the mean of a day that binds now, in the unit of the parameter.",
		[]string{"station", "parameter", "bound", "standard"}, nil)
	limitInfo = prometheus.NewDesc("tofuwatch_limit_info",
		"1 for each standard that sets a binding limit: its law in Indonesian and English, and whether somebody compared the limit with it (verified true or false; empty for a station's own limit).",
		[]string{"standard", "parameter", "bound", "law_id", "law_en", "verified"}, nil)
	exceedances = prometheus.NewDesc("tofuwatch_exceedances_total",
		"Readings past the limit that bound when the water was sampled, each sample once. Late ones arrived after more than 3 expected intervals, and 15 minutes.",
		[]string{"station", "parameter", "bound", "method", "timing"}, nil)
	lateTimestamp = prometheus.NewDesc("tofuwatch_late_exceedance_timestamp_seconds",
		"When the water was sampled of the latest late reading past a limit; of those that arrive within an hour of each other, the newest.",
		[]string{"station", "parameter", "method"}, nil)
	lateValue = prometheus.NewDesc("tofuwatch_late_exceedance_value",
		"Value of the latest late reading past a limit.",
		[]string{"station", "parameter", "unit", "method"}, nil)
	lateLimit = prometheus.NewDesc("tofuwatch_late_exceedance_limit",
		"Limit that the latest late reading is past, as it was when the water was sampled.",
		[]string{"station", "parameter", "bound", "standard", "method"}, nil)
)

func (j *judge) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{limitNow, dailyMeanLimit, limitInfo, exceedances, lateTimestamp, lateValue, lateLimit} {
		ch <- d
	}
}

func (j *judge) collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(exceedances, prometheus.CounterValue, float64(n), labels...)
	}
	now, laws := j.now(), make(map[ruleKey]law)
	for s, limits := range j.limits {
		for _, l := range limits.Binding(now) {
			desc := limitNow
			if l.Statistic == water.DailyMean {
				desc = dailyMeanLimit
			}
			gauge(desc, l.Value, s.ID, l.Parameter, string(l.Bound), l.Standard)
			key := ruleKey{l.Standard, l.Parameter, l.Bound}
			known, ok := laws[key]
			laws[key] = law{l.Law, l.Verified != nil && (known.verified || !ok)}
		}
	}
	for k, l := range laws {
		verified := strconv.FormatBool(l.verified)
		if k.standard == water.OwnLimit {
			verified = ""
		}
		gauge(limitInfo, 1, k.standard, k.parameter, string(k.bound), l.title.Indonesian, l.title.English, verified)
	}
	for k, t := range j.tallies {
		late := t.late
		if j.restored {
			late = t.shown
		}
		count(t.live, k.station.ID, k.parameter, string(k.bound), string(k.method), "live")
		count(late, k.station.ID, k.parameter, string(k.bound), string(k.method), "late")
		j.told = j.told || t.shown != late
		t.shown = late
	}
	j.restored = false
	for k, e := range j.late {
		gauge(lateTimestamp, float64(e.time.UnixMilli())/1e3, k.station.ID, k.parameter, string(k.method))
		gauge(lateValue, e.value, k.station.ID, k.parameter, string(e.unit), string(k.method))
		gauge(lateLimit, e.limit, k.station.ID, k.parameter, string(e.bound), e.standard, string(k.method))
	}
}

// ruleKey is what tofuwatch_limit_info has one of: the limits for every sample
// and for the mean of a day share it.
type ruleKey struct {
	standard, parameter string
	bound               water.Bound
}

// law is what is told of a ruleKey; verified if all its limits are.
type law struct {
	title    water.Text
	verified bool
}

// judgements are a judge on disk. They belong to the same moment as the latest
// values beside them: what comes again from the spool behind it is counted, or
// found among the counted.
type judgements struct {
	Exceedances []tallyItem `json:"exceedances,omitempty"`
	Late        []lateItem  `json:"late,omitempty"`
}

type tallyItem struct {
	Station   string       `json:"station"`
	Parameter string       `json:"parameter"`
	Bound     water.Bound  `json:"bound"`
	Method    water.Method `json:"method"`
	Live      uint64       `json:"live"`
	LateOnes  uint64       `json:"late"`
	Untold    uint64       `json:"late_untold,omitempty"` // of LateOnes, those that nobody has collected yet
	Counted   [][3]int64   `json:"counted"`
}

type lateItem struct {
	Station   string       `json:"station"`
	Parameter string       `json:"parameter"`
	Method    water.Method `json:"method"`
	Value     float64      `json:"value"`
	Time      time.Time    `json:"time"`
	Received  time.Time    `json:"received"`
	Unit      water.Unit   `json:"unit"`
	Bound     water.Bound  `json:"bound"`
	Limit     float64      `json:"limit"`
	Standard  string       `json:"standard"`
}

// judgements returns what j has to keep over a restart, sorted: the same state
// is the same file.
func (j *judge) judgements() judgements {
	var s judgements
	for k, t := range j.tallies {
		if t.live+t.late > 0 {
			s.Exceedances = append(s.Exceedances, tallyItem{k.station.ID, k.parameter, k.bound, k.method, t.live, t.late, t.late - t.shown, t.counted.saved()})
		}
	}
	slices.SortFunc(s.Exceedances, func(a, b tallyItem) int {
		return cmp.Or(cmp.Compare(a.Station, b.Station), cmp.Compare(a.Parameter, b.Parameter), cmp.Compare(a.Bound, b.Bound), cmp.Compare(a.Method, b.Method))
	})
	for k, e := range j.late {
		s.Late = append(s.Late, lateItem{k.station.ID, k.parameter, k.method, e.value, e.time, e.received, e.unit, e.bound, e.limit, e.standard})
	}
	slices.SortFunc(s.Late, func(a, b lateItem) int {
		return cmp.Or(cmp.Compare(a.Station, b.Station), cmp.Compare(a.Parameter, b.Parameter), cmp.Compare(a.Method, b.Method))
	})
	return s
}

// restore takes up what judgements returned. What is of no station or limit known
// now is left out.
func (j *judge) restore(stations map[string]*water.Station, s judgements) {
	j.restored = true
	for _, i := range s.Exceedances {
		if t := j.tallies[tallyKey{subjectKey{stations[i.Station], i.Parameter}, i.Bound, i.Method}]; t != nil {
			t.live, t.late = i.Live, i.LateOnes
			t.shown = i.LateOnes - min(i.Untold, i.LateOnes)
			t.counted.restore(i.Counted)
		}
	}
	for _, i := range s.Late {
		key := subjectKey{stations[i.Station], i.Parameter}
		if j.subjects[key] != nil {
			j.late[lateKey{key, i.Method}] = lateExceedance{i.Value, i.Time, i.Received, i.Unit, i.Bound, i.Limit, i.Standard}
		}
	}
}
