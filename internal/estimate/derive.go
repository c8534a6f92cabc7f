package estimate

import (
	"fmt"
	"math"

	"tofuwatch/internal/water"
)

// A Deriver adds estimates to observations.
type Deriver struct {
	models map[string][]*applied // by station
}

// applied is a model with the parameters that it names.
type applied struct {
	*Model
	parameter *water.Parameter
	inputs    []*water.Parameter
}

// NewDeriver returns a deriver by models, of which at most one holds for a
// station at a time.
func NewDeriver(models []*Model, parameters *water.Parameters) (*Deriver, error) {
	d := &Deriver{models: make(map[string][]*applied)}
	for _, m := range models {
		a := &applied{Model: m, parameter: parameters.Lookup([]byte(m.Parameter))}
		for _, in := range m.Inputs {
			a.inputs = append(a.inputs, parameters.Lookup([]byte(in.Parameter)))
		}
		for _, p := range append(a.inputs, a.parameter) {
			if p == nil {
				return nil, fmt.Errorf("use model %s: the site lacks a parameter of it", m.ID)
			}
		}
		d.models[m.Station] = append(d.models[m.Station], a)
	}
	return d, nil
}

// Derive returns the estimates that observations allow, in their order: one for
// each COD that a sensor measured in the range of a model that holds then, if its
// flag is good or not evaluated, and so are the model's other inputs in the same
// sample. The estimate's flag is the worse one's. Nothing is estimated from what
// is suspect: it would look as good as any other estimate.
func (d *Deriver) Derive(observations []water.Observation) []water.Observation {
	var derived []water.Observation
	for i := range observations {
		o := &observations[i]
		models := d.models[o.Station.ID]
		if models == nil || !usable(o) {
			continue
		}
		for _, m := range models {
			if o.Parameter != m.inputs[0] || !m.Holds(o.Time) {
				continue
			}
			values, flag, ok := m.values(observations, i)
			if !ok || !m.Covers(values) {
				continue
			}
			if e, ok := m.estimate(o, values, flag); ok {
				derived = append(derived, e)
			}
		}
	}
	return derived
}

// Revise returns the estimate that stands beside a COD whose flag was corrected
// later, with that flag: an estimate is no better than what it was made of. It
// stands in the place of the one that Derive gave. ok is false if there is none,
// as for a model with more inputs, whose other values are not known here.
func (d *Deriver) Revise(o water.Observation) (revised water.Observation, ok bool) {
	if o.Method != water.Sensor || o.Flag == water.Missing {
		return water.Observation{}, false
	}
	for _, m := range d.models[o.Station.ID] {
		values := []float64{o.Value}
		if o.Parameter == m.inputs[0] && len(m.inputs) == 1 && m.Holds(o.Time) && m.Covers(values) {
			return m.estimate(&o, values, o.Flag)
		}
	}
	return water.Observation{}, false
}

// estimate returns the estimate beside o from values.
func (m *applied) estimate(o *water.Observation, values []float64, flag water.Flag) (e water.Observation, ok bool) {
	value, low, high := m.Apply(values)
	return water.Observation{
		Station: o.Station, Parameter: m.parameter, Method: water.Estimate,
		Value: rounded(value), Flag: flag, Time: o.Time,
		Estimation: &water.Estimation{Model: m.ID, Low: rounded(low), High: rounded(high)},
	}, !math.IsNaN(low) // as it is where the covariance was changed by hand, and is none
}

func usable(o *water.Observation) bool {
	return o.Method == water.Sensor && (o.Flag == water.Good || o.Flag == water.NotEvaluated)
}

// values returns what the sample of observations[at] has of m's inputs, and the
// worst flag; ok is false if an input is missing.
func (m *applied) values(observations []water.Observation, at int) (values []float64, flag water.Flag, ok bool) {
	first, end := sample(observations, at)
	for _, input := range m.inputs {
		found := false
		for i := first; i < end && !found; i++ {
			o := &observations[i]
			if o.Parameter == input && usable(o) {
				values, flag, found = append(values, o.Value), max(flag, o.Flag), true
			}
		}
		if !found {
			return nil, 0, false
		}
	}
	return values, flag, true
}

// sample returns where the sample of observations[at] starts and ends: those of
// one sample are neighbours.
func sample(observations []water.Observation, at int) (first, end int) {
	same := func(i int) bool {
		a, b := &observations[i], &observations[at]
		return a.Station == b.Station && a.Method == b.Method && a.Time.Equal(b.Time)
	}
	for first = at; first > 0 && same(first-1); {
		first--
	}
	for end = at + 1; end < len(observations) && same(end); {
		end++
	}
	return first, end
}
