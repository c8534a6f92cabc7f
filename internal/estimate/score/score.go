// Package score shows how well estimates did.
package score

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/internal/estimate"
	"tofuwatch/internal/water"
)

// Times of a Scorer.
const (
	scoreEvery = 5 * time.Minute
	// scoreAgain is how old a sample may be whose estimate may still come, from a
	// logger that was cut off.
	scoreAgain = 30 * 24 * time.Hour
)

// A Scorer shows as metrics how well estimates did, as the laboratory's values
// come in, days late. It keeps nothing of its own: whatever it shows comes from
// the history, so a restart changes nothing, and nor do values that come twice.
type Scorer struct {
	history estimate.History
	log     *slog.Logger
	now     func() time.Time

	mu     sync.Mutex
	scored []*scored // one a station and parameter that has models
}

// scored is what came of comparing at one station.
type scored struct {
	station   *water.Station
	parameter *water.Parameter
	from      time.Time                     // the first model's
	compared  map[int64]estimate.Comparison // by sample time; nil before the first answer
	tried     map[int64]float64             // values for which there was no estimate, by sample time
}

// New returns a scorer of models, whose stations are given by ID. It is to
// be registered by the caller.
func New(h estimate.History, models []*estimate.Model, stations map[string]*water.Station, parameters *water.Parameters, log *slog.Logger) *Scorer {
	s := &Scorer{history: h, log: log, now: time.Now}
	for _, m := range models {
		station, parameter := stations[m.Station], parameters.Lookup([]byte(m.Parameter))
		i := slices.IndexFunc(s.scored, func(c *scored) bool { return c.station == station && c.parameter == parameter })
		if i < 0 {
			s.scored = append(s.scored, &scored{station: station, parameter: parameter, from: m.From})
			continue
		}
		if m.From.Before(s.scored[i].from) {
			s.scored[i].from = m.From
		}
	}
	return s
}

// Run scores until ctx is done. While the history does not answer, what it last
// said is shown.
func (s *Scorer) Run(ctx context.Context) {
	ticker := time.NewTicker(scoreEvery)
	defer ticker.Stop()
	for failed := false; ; {
		err := s.score(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			s.log.Warn("estimates not compared with the laboratory; trying again", "err", err)
		}
		failed = err != nil
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// score compares what is new.
func (s *Scorer) score(ctx context.Context) error {
	now := s.now()
	for _, c := range s.scored {
		measured, err := estimate.Measured(ctx, s.history, c.station, c.parameter, c.from, now)
		if err != nil {
			return err
		}
		next, tried := make(map[int64]estimate.Comparison), make(map[int64]float64)
		fresh := slices.DeleteFunc(measured, func(o water.Observation) bool {
			at := o.Time.UnixNano()
			if old, ok := c.compared[at]; ok && old.Measured == o.Value {
				next[at] = old
				return true
			}
			value, ok := c.tried[at]
			if ok && value == o.Value && now.Sub(o.Time) > scoreAgain {
				tried[at] = value
				return true
			}
			return false
		})
		compared, err := estimate.Beside(ctx, s.history, c.station, c.parameter, fresh, estimate.Window)
		if err != nil {
			return err
		}
		for _, o := range fresh {
			tried[o.Time.UnixNano()] = o.Value
		}
		for _, n := range compared {
			next[n.Time.UnixNano()] = n
		}
		s.mu.Lock()
		c.compared, c.tried = next, tried
		s.mu.Unlock()
	}
	return nil
}

var (
	errorRatio = prometheus.NewDesc("tofuwatch_estimate_error_ratio",
		"Estimate divided by the laboratory's value of the newest sample that has both: 1 is right, 1.25 a quarter too high.",
		[]string{"station", "parameter"}, nil)
	errorTimestamp = prometheus.NewDesc("tofuwatch_estimate_error_timestamp_seconds",
		"When the water of that sample was taken.",
		[]string{"station", "parameter"}, nil)
	comparedTotal = prometheus.NewDesc("tofuwatch_estimate_compared_total",
		"Laboratory values that have an estimate beside them, since the first model; absent until InfluxDB was asked.",
		[]string{"station", "parameter"}, nil)
	outsideTotal = prometheus.NewDesc("tofuwatch_estimate_outside_interval_total",
		"Of these, values outside of the estimate's 95 % interval: one of twenty is to be expected.",
		[]string{"station", "parameter"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Scorer) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{errorRatio, errorTimestamp, comparedTotal, outsideTotal} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. There is no counter before the first
// answer of the history: one that starts at 0 and jumps would look like news.
func (s *Scorer) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.scored {
		if c.compared == nil {
			continue
		}
		show := func(d *prometheus.Desc, t prometheus.ValueType, v float64) {
			ch <- prometheus.MustNewConstMetric(d, t, v, c.station.ID, c.parameter.Code)
		}
		newest, outside := int64(math.MinInt64), 0
		for at, n := range c.compared {
			newest = max(newest, at)
			if n.Outside() {
				outside++
			}
		}
		show(comparedTotal, prometheus.CounterValue, float64(len(c.compared)))
		show(outsideTotal, prometheus.CounterValue, float64(outside))
		if n, ok := c.compared[newest]; ok {
			show(errorRatio, prometheus.GaugeValue, n.Ratio())
			show(errorTimestamp, prometheus.GaugeValue, float64(n.Time.UnixMilli())/1e3)
		}
	}
}
