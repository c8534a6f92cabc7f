// Package alerts turns observations into what people are told: the metrics that
// the rules judge.
package alerts

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/internal/water"
)

// An Exporter holds the latest usable observation of each series and shows it as
// metrics, and counts those past their limit. Every label value comes from the
// site file or from a closed set; nothing that a device sends becomes one.
type Exporter struct {
	stations map[string]*water.Station

	mu     sync.Mutex
	judge  *judge
	series map[series]*tracked
	online map[*water.Station]bool
}

// flags are all flags, in the order of their numbers.
var flags = [...]water.Flag{water.Good, water.NotEvaluated, water.Suspect, water.Bad, water.Missing}

// series is what a value is the latest of.
type series struct {
	station   *water.Station
	parameter *water.Parameter
	method    water.Method
}

type sample struct {
	value float64
	flag  water.Flag
	time  time.Time
}

// A tracked series has its latest usable sample, and the one before it: the latest
// one may turn out to be bad. The flag of a sample is 0 if there is none.
type tracked struct {
	latest, before sample
	counted        bool               // since the start, or expected to be: a series from the disk is shown, and not counted yet
	counts         [len(flags)]uint64 // observations, by index in flags
}

// NewExporter returns an exporter for stations, by ID. It is to be registered by
// the caller.
func NewExporter(stations map[string]*water.Station) *Exporter {
	e := &Exporter{
		stations: stations,
		judge:    newJudge(stations, nil, time.Now),
		series:   make(map[series]*tracked),
		online:   make(map[*water.Station]bool),
	}
	for _, s := range stations {
		for _, i := range s.Instruments {
			e.series[series{s, i.Parameter, water.Sensor}] = &tracked{counted: true}
		}
	}
	return e
}

// Judge has e hold what it observes against limits: those of each station, by
// ID. now is the clock. It is to be called before anything else; without it there
// are no limits.
func (e *Exporter) Judge(limits map[string]water.Limits, now func() time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.judge = newJudge(e.stations, limits, now)
}

// Observe takes in observations that arrived just now, in any order: what is
// older than the latest of its series, or not usable, does not replace it. Seeing
// one twice is harmless.
func (e *Exporter) Observe(observations []water.Observation) {
	e.ObserveAt(e.judge.now(), observations)
}

// Exceeds reports whether o is past a limit that bound when the water was sampled.
func (e *Exporter) Exceeds(o water.Observation) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.judge.past(&o)
}

// ObserveAt is Observe for observations that arrived at some other time, before
// a restart.
func (e *Exporter) ObserveAt(received time.Time, observations []water.Observation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range observations {
		o := &observations[i]
		if o.Maintenance || o.Method == water.Corrected || o.Method == water.LabSuperseded {
			continue // not about the water; or seen before, as the sensor sent it or as the laboratory's word
		}
		t := e.tracked(o)
		t.count(o.Flag)
		if o.Flag.Usable() {
			t.keep(o)
			e.judge.observe(o, received)
		}
	}
}

// tracked returns what is known of the series of o.
func (e *Exporter) tracked(o *water.Observation) *tracked {
	key := series{o.Station, o.Parameter, o.Method}
	t := e.series[key]
	if t == nil {
		t = new(tracked)
		e.series[key] = t
	}
	return t
}

// count counts an observation by its flag.
func (t *tracked) count(flag water.Flag) {
	t.counted = true
	if i := slices.Index(flags[:], flag); i >= 0 {
		t.counts[i]++
	}
}

// keep makes a usable observation the latest of its series, unless it is older.
func (t *tracked) keep(o *water.Observation) {
	now := sample{o.Value, o.Flag, o.Time}
	switch {
	case t.latest.flag == 0 || o.Time.Equal(t.latest.time):
		t.latest = now
	case o.Time.After(t.latest.time):
		t.latest, t.before = now, t.latest
	case t.before.flag == 0 || !o.Time.Before(t.before.time):
		t.before = now
	}
}

// Correct takes in what is judged otherwise by now. The latest value of a series
// gets its new flag; if it is not usable any more, the one before it is the latest
// again. A reading counts once more, under its new flag, if that says suspect or
// bad and the old one did not. What was counted as past a limit stays so: people
// were told.
func (e *Exporter) Correct(corrections []water.Correction) {
	e.CorrectAt(e.judge.now(), corrections)
}

// CorrectAt is Correct for what arrived at some other time, before a restart.
func (e *Exporter) CorrectAt(received time.Time, corrections []water.Correction) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range corrections {
		o := &corrections[i].Observation
		was, t := corrections[i].Was, e.tracked(o)
		if was != 0 && was != o.Flag && (o.Flag == water.Suspect || o.Flag == water.Bad) {
			t.count(o.Flag)
		}
		if o.Flag.Usable() {
			t.keep(o)
			if was != 0 && !was.Usable() {
				e.judge.observe(o, received)
			}
			continue
		}
		t.withdraw(o.Time)
	}
}

// withdraw takes back a sample that turned out not to be usable.
func (t *tracked) withdraw(at time.Time) {
	switch {
	case at.Equal(t.latest.time):
		t.latest, t.before = t.before, sample{}
	case at.Equal(t.before.time):
		t.before = sample{}
	}
}

// Online notes that a station connected or went away.
func (e *Exporter) Online(s *water.Station, online bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.online[s] = online
}

var (
	reading = prometheus.NewDesc("tofuwatch_reading",
		"Latest usable value (flag 1 to 3), kept until a newer one comes.",
		[]string{"station", "river", "kind", "parameter", "unit", "method"}, nil)
	readingTimestamp = prometheus.NewDesc("tofuwatch_reading_timestamp_seconds",
		"When the water of the latest usable value was sampled.",
		[]string{"station", "parameter", "method"}, nil)
	readingFlag = prometheus.NewDesc("tofuwatch_reading_flag",
		"Quality flag of the latest usable value: 1 good, 2 not evaluated, 3 suspect.",
		[]string{"station", "parameter", "method"}, nil)
	observationsCounted = prometheus.NewDesc("tofuwatch_observations_total",
		"Observations since the start, by quality flag: 1 good, 2 not evaluated, 3 suspect, 4 bad, 9 missing. One that came twice counts twice; those made during maintenance, and corrected ones, do not count.",
		[]string{"station", "parameter", "method", "flag"}, nil)
	expectedInterval = prometheus.NewDesc("tofuwatch_expected_interval_seconds",
		"How often a station should report a parameter.",
		[]string{"station", "parameter"}, nil)
	stationInfo = prometheus.NewDesc("tofuwatch_station_info",
		"1 for each station of the site file.",
		[]string{"station", "name", "river", "kind", "latitude", "longitude"}, nil)
	stationOnline = prometheus.NewDesc("tofuwatch_station_online",
		"1 if the station's logger said that it is connected, 0 if it is gone; absent if it never said.",
		[]string{"station"}, nil)
)

// Describe implements prometheus.Collector.
func (e *Exporter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{reading, readingTimestamp, readingFlag, observationsCounted, expectedInterval, stationInfo, stationOnline} {
		ch <- d
	}
	e.judge.describe(ch)
}

// Collect implements prometheus.Collector.
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for id, s := range e.stations {
		gauge(stationInfo, 1, id, s.Name, s.River, string(s.Kind), degrees(s.Latitude), degrees(s.Longitude))
		for code, i := range s.Instruments {
			gauge(expectedInterval, i.Interval.Seconds(), id, code)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.judge.collect(ch)
	for s, up := range e.online {
		value := 0.0
		if up {
			value = 1
		}
		gauge(stationOnline, value, s.ID)
	}
	for k, t := range e.series {
		id, code, method := k.station.ID, k.parameter.Code, string(k.method)
		if t.counted {
			for i, n := range t.counts {
				ch <- prometheus.MustNewConstMetric(observationsCounted, prometheus.CounterValue, float64(n), id, code, method, strconv.Itoa(int(flags[i])))
			}
		}
		if l := t.latest; l.flag != 0 {
			gauge(reading, l.value, id, k.station.River, string(k.station.Kind), code, string(k.parameter.Unit), method)
			gauge(readingTimestamp, float64(l.time.UnixMilli())/1e3, id, code, method)
			gauge(readingFlag, float64(l.flag), id, code, method)
		}
	}
}

// degrees writes a coordinate; "" where the site file gives none.
func degrees(d float64) string {
	if math.IsNaN(d) {
		return ""
	}
	return strconv.FormatFloat(d, 'f', -1, 64)
}

// snapshot is an Exporter on disk.
type snapshot struct {
	// Position is where in the spool the observations start that may be missing
	// from the rest.
	Position uint64         `json:"position"`
	Latest   []snapshotItem `json:"latest"`
	judgements
}

type snapshotItem struct {
	Station   string       `json:"station"`
	Parameter string       `json:"parameter"`
	Method    water.Method `json:"method"`
	Value     float64      `json:"value"`
	Flag      water.Flag   `json:"flag"`
	Time      time.Time    `json:"time"`
}

// Save writes e to file; position is that of the spool before the call.
func (e *Exporter) Save(file string, position uint64) error {
	s := snapshot{Position: position}
	e.mu.Lock()
	s.judgements = e.judge.judgements()
	e.judge.told = false
	for k, t := range e.series {
		for _, v := range []sample{t.before, t.latest} {
			if v.flag != 0 {
				s.Latest = append(s.Latest, snapshotItem{k.station.ID, k.parameter.Code, k.method, v.value, v.flag, v.time})
			}
		}
	}
	e.mu.Unlock()
	data, err := json.Marshal(s)
	if err == nil {
		err = renameio.WriteFile(file, data, 0o640)
	}
	if err != nil {
		return fmt.Errorf("save latest values: %w", err)
	}
	return nil
}

// Told reports whether somebody collected late exceedances since the last Save:
// they are not to be told again after a restart.
func (e *Exporter) Told() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.judge.told
}

// Load reads back what Save wrote and returns its position; a file that is not
// there is empty. What is of no station or parameter known now is left out.
func (e *Exporter) Load(file string, parameters *water.Parameters) (position uint64, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var s snapshot
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return 0, fmt.Errorf("load latest values from %s: %w", file, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range s.Latest {
		o := water.Observation{
			Station: e.stations[i.Station], Parameter: parameters.Lookup([]byte(i.Parameter)),
			Method: i.Method, Value: i.Value, Flag: i.Flag, Time: i.Time,
		}
		if o.Station != nil && o.Parameter != nil {
			e.tracked(&o).keep(&o)
		}
	}
	e.judge.restore(e.stations, s.judgements)
	return s.Position, nil
}
