package care

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/internal/water"
)

var (
	underMaintenance = prometheus.NewDesc("tofuwatch_maintenance",
		"1 while people work on the sensor, else 0. Without a parameter: on the whole station.",
		[]string{"station", "parameter"}, nil)
	maintenanceEnd = prometheus.NewDesc("tofuwatch_maintenance_end_timestamp_seconds",
		"When the last maintenance that has begun was over, or will be; absent if there was none.",
		[]string{"station", "parameter"}, nil)
	lastVisit = prometheus.NewDesc("tofuwatch_calibration_timestamp_seconds",
		"When the sensor was last checked against something known; absent if it never was.",
		[]string{"station", "parameter"}, nil)
	correctionsDue = prometheus.NewDesc("tofuwatch_drift_corrections_due",
		"Spans between two calibrations whose readings are not all corrected yet.", nil, nil)
)

// Describe implements prometheus.Collector.
func (b *Book) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{underMaintenance, maintenanceEnd, lastVisit, correctionsDue} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Every label value comes from the site
// file.
func (b *Book) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := b.now()
	for id, s := range b.stations {
		for code, p := range b.shown(s) {
			at, end := 0.0, time.Time{}
			if w := b.works[s]; w != nil {
				for _, m := range w.list {
					// Of the whole station, p is nil: no list of parameters has it.
					if now.Before(m.From) || !m.Covers(p, m.From) {
						continue
					}
					if now.Before(m.To) {
						at = 1
					}
					if m.To.After(end) {
						end = m.To
					}
				}
			}
			gauge(underMaintenance, at, id, code)
			if !end.IsZero() {
				gauge(maintenanceEnd, seconds(end), id, code)
			}
		}
	}
	due := 0
	for key, visits := range b.sensors {
		gauge(lastVisit, seconds(visits[len(visits)-1].Time), key.station.ID, key.parameter.Code)
		for i := 1; i < len(visits); i++ {
			if _, ok := standing[key.parameter.Code]; ok && visits[i].corrected.Before(visits[i].Time) {
				due++
			}
		}
	}
	gauge(correctionsDue, float64(due))
}

// shown returns the sensors of s that a scrape tells of, by code: those it is
// expected to have, those that were ever worked on by name, and, as "", all.
func (b *Book) shown(s *water.Station) map[string]*water.Parameter {
	shown := map[string]*water.Parameter{"": nil}
	for code, i := range s.Instruments {
		shown[code] = i.Parameter
	}
	if w := b.works[s]; w != nil {
		for _, m := range w.list {
			for _, p := range m.Parameters {
				shown[p.Code] = p
			}
		}
	}
	return shown
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
