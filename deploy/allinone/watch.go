package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// A row is the latest value of one parameter at one station.
type row struct {
	station   string // ID
	parameter string // code
	unit      string
	value     float64
	flag      water.Flag
	sampled   time.Time
	interval  time.Duration // how often it should come; 0 if the site does not say
}

// A ledger says where the readings are that have come.
type ledger struct{ received, stored, pending, deadLettered float64 }

// A snapshot is what the ingester's metrics say at one moment.
type snapshot struct {
	at   time.Time
	rows []row // in the order of the site file
	ledger
}

// take reads the metrics that the ingester of s has registered. There are none
// before it has started: then the snapshot is empty.
func take(registry prometheus.Gatherer, s *site.Site, now time.Time) (snapshot, error) {
	families, err := registry.Gather()
	if err != nil {
		return snapshot{}, err
	}
	type series struct{ station, parameter string }
	shot := snapshot{at: now}
	rows := make(map[series]*row)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			label := func(name string) string { return labelOf(m, name) }
			if method := label("method"); method != "" && method != string(water.Sensor) {
				continue
			}
			key := series{label("station"), label("parameter")}
			r := rows[key]
			if r == nil {
				r = &row{station: key.station, parameter: key.parameter}
				rows[key] = r
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			switch family.GetName() {
			case "tofuwatch_reading":
				r.value, r.unit = value, label("unit")
			case "tofuwatch_reading_timestamp_seconds":
				r.sampled = time.UnixMilli(int64(value * 1000))
			case "tofuwatch_reading_flag":
				r.flag = water.Flag(value)
			case "tofuwatch_expected_interval_seconds":
				r.interval = time.Duration(value * float64(time.Second))
			case "tofuwatch_readings_received_total":
				shot.received = value
			case "tofuwatch_readings_stored_total":
				shot.stored = value
			case "tofuwatch_readings_pending":
				shot.pending = value
			case "tofuwatch_readings_deadlettered_total":
				shot.deadLettered += value
			}
		}
	}
	for _, station := range s.Stations {
		for _, parameter := range s.Parameters.All() {
			if r := rows[series{station.ID, parameter.Code}]; r != nil && !r.sampled.IsZero() {
				shot.rows = append(shot.rows, *r)
			}
		}
	}
	return shot, nil
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// A pace is how many readings come per second, over the last ten seconds.
type pace struct{ shots []snapshot }

func (p *pace) add(s snapshot) {
	p.shots = append(p.shots, s)
	for len(p.shots) > 2 && s.at.Sub(p.shots[0].at) > 10*time.Second {
		p.shots = p.shots[1:]
	}
}

func (p *pace) perSecond() float64 {
	if len(p.shots) < 2 {
		return 0
	}
	first, last := p.shots[0], p.shots[len(p.shots)-1]
	return (last.received - first.received) / last.at.Sub(first.at).Seconds()
}
