package score

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"tofuwatch/internal/simulate"
	"tofuwatch/internal/water"
)

// harmless are the causes that make no reading wrong.
var harmless = []simulate.Cause{simulate.Dead, simulate.Resent, simulate.Backlog}

// Drift is the label of readings under a film: no test that looks at one sensor
// alone can tell it from water that changes for days.
const Drift = string(simulate.Film)

// Simulated returns the records of a simulated district, with the faults of a
// scenario as labels. What a scenario changed is known by the same district on a
// normal day.
func Simulated(scenario simulate.Scenario, seed uint64, start time.Time, days int) (*water.Parameters, []Record, error) {
	parameters, err := water.NewParameters()
	if err != nil {
		return nil, nil, err
	}
	o := simulate.Options{Scenario: simulate.Normal, Seed: seed, Start: start}
	until := start.AddDate(0, 0, days)
	normal, err := simulate.New(o)
	if err != nil {
		return nil, nil, err
	}
	usual := make(map[place]string)
	if err := samples(normal, until, func(at place, _ time.Time, _ time.Time, text string) { usual[at] = text }); err != nil {
		return nil, nil, err
	}
	o.Scenario = scenario
	world, err := simulate.New(o)
	if err != nil {
		return nil, nil, err
	}
	incidents := world.Incidents(start, until)
	stations := make(map[string]*water.Station)
	for _, s := range world.Stations() {
		stations[s.ID] = &s
	}
	var records []Record
	index := make(map[[2]string]int)
	err = samples(world, until, func(at place, clock, sent time.Time, text string) {
		key := [2]string{at.station, at.code}
		i, ok := index[key]
		if !ok {
			i = len(records)
			index[key] = i
			records = append(records, Record{Station: stations[at.station], Parameter: parameters.Lookup([]byte(at.code))})
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			value = math.NaN()
		}
		label := ""
		for _, c := range incidents {
			concerned := c.Station == at.station && (c.Parameters == nil || slices.Contains(c.Parameters, at.code))
			if !concerned || slices.Contains(harmless, c.Cause) || at.time.Before(c.From) || !at.time.Before(c.To) {
				continue
			}
			if c.Cause != simulate.Bubbles || text != usual[at] {
				label = string(c.Cause)
			}
		}
		records[i].Readings = append(records[i].Readings, Reading{Time: clock, Received: sent, Value: value, Label: label})
	})
	return parameters, records, err
}

// A place is where and when a sample was really taken, and of what.
type place struct {
	station, code string
	time          time.Time
}

// samples calls f for each value that a world sends until then: with when it was
// sampled, by the station's clock, when it was sent, and its JSON.
func samples(w *simulate.World, until time.Time, f func(at place, clock, sent time.Time, text string)) error {
	for {
		m := w.Next()
		if !m.Time.Before(until) {
			return nil
		}
		if m.Retained {
			continue
		}
		body := m.Payload
		backlog := body[0] == '['
		if !backlog {
			body = fmt.Appendf(nil, "[%s]", body)
		}
		var all []map[string]json.RawMessage
		if err := json.Unmarshal(body, &all); err != nil {
			return fmt.Errorf("read a simulated message: %w", err)
		}
		for _, sample := range all {
			var clock time.Time
			if err := json.Unmarshal(sample["time"], &clock); err != nil {
				return fmt.Errorf("read a simulated time: %w", err)
			}
			taken := m.Time
			if backlog {
				taken = clock
			}
			for code, text := range sample {
				if code != "time" {
					f(place{m.Station, code, taken}, clock, m.Time, string(bytes.Trim(text, `"`)))
				}
			}
		}
	}
}
