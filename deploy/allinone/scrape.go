package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// A target is one part of this process that Prometheus watches.
type target struct {
	job, instance string
	metrics       prometheus.Gatherer
	prefix        string // of the names that are kept; empty: all
}

// A scraper keeps the metrics of targets in a database, as scraping them over
// HTTP would: with their job and instance, an up for each, and marked as gone when
// they are. Counters and gauges only: nothing that judges needs the others.
type scraper struct {
	targets []target
	to      storage.AppendableV2
	series  map[string]*scraped // by their text
	round   int
}

// A scraped is a series, and what was last seen of it.
type scraped struct {
	labels labels.Labels
	ref    storage.SeriesRef
	value  float64
	round  int // in which it was there
}

func newScraper(targets []target, to storage.AppendableV2) *scraper {
	return &scraper{targets: targets, to: to, series: make(map[string]*scraped)}
}

// gather takes the metrics of all targets and reports whether a series is new or
// gone, or a metric of ours has another value. A target that cannot be gathered
// is down.
func (s *scraper) gather(log *slog.Logger) (changed bool) {
	s.round++
	for _, t := range s.targets {
		families, err := t.metrics.Gather()
		up := 1.0
		if err != nil {
			log.Warn("metrics not gathered", "job", t.job, "err", err)
			up, families = 0, nil
		}
		if s.see(t, "up", nil, up) {
			changed = true
		}
		for _, family := range families {
			name := family.GetName()
			if !strings.HasPrefix(name, t.prefix) {
				continue
			}
			ours := strings.HasPrefix(name, "tofuwatch_")
			for _, m := range family.GetMetric() {
				if v, ok := single(m); ok && s.see(t, name, m.GetLabel(), v) && ours {
					changed = true
				}
			}
		}
	}
	for _, series := range s.series {
		if series.round < s.round {
			changed = true
		}
	}
	return changed
}

// single returns the value of a metric that has one.
func single(m *dto.Metric) (v float64, ok bool) {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue(), true
	case m.Counter != nil:
		return m.Counter.GetValue(), true
	case m.Untyped != nil:
		return m.Untyped.GetValue(), true
	}
	return 0, false
}

// see notes the value of a series and reports whether it is another than before.
func (s *scraper) see(t target, name string, pairs []*dto.LabelPair, v float64) (changed bool) {
	var key strings.Builder
	for _, part := range []string{t.job, t.instance, name} {
		key.WriteString(part)
		key.WriteByte(0)
	}
	for _, pair := range pairs {
		key.WriteString(pair.GetName())
		key.WriteByte(0)
		key.WriteString(pair.GetValue())
		key.WriteByte(0)
	}
	series := s.series[key.String()]
	if series == nil {
		b := labels.NewScratchBuilder(len(pairs) + 3)
		b.Add(model.MetricNameLabel, name)
		b.Add("job", t.job)
		b.Add("instance", t.instance)
		for _, pair := range pairs {
			b.Add(pair.GetName(), pair.GetValue())
		}
		b.Sort()
		series = &scraped{labels: b.Labels()}
		s.series[key.String()] = series
	}
	changed = series.round == 0 || math.Float64bits(series.value) != math.Float64bits(v)
	series.value, series.round = v, s.round
	return changed
}

// store appends what was gathered, at a time, and forgets the series that are
// gone.
func (s *scraper) store(ctx context.Context, at time.Time) error {
	to := s.to.AppenderV2(ctx)
	var failures []error
	add := func(series *scraped, v float64) {
		ref, err := to.Append(series.ref, series.labels, 0, at.UnixMilli(), v, nil, nil, storage.AOptions{})
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", series.labels, err))
			return
		}
		series.ref = ref
	}
	for key, series := range s.series {
		if series.round == s.round {
			add(series, series.value)
			continue
		}
		add(series, math.Float64frombits(value.StaleNaN))
		delete(s.series, key)
	}
	return errors.Join(append(failures, to.Commit())...)
}
