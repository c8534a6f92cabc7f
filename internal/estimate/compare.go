package estimate

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tofuwatch/internal/water"
)

// Window is how long before and after a sample of the laboratory a sensor's value
// belongs to it, unless a person says otherwise. A shared treatment plant evens
// out a day or more; a bottle's label is right to some minutes.
const Window = 30 * time.Minute

// A Comparison is a laboratory's value beside what had been estimated.
type Comparison struct {
	Time      time.Time // when the water was sampled, UTC
	Measured  float64   // by the laboratory
	Estimate  float64   // the middle one of those within the window
	Low, High float64   // its prediction interval
	Model     string
}

// Ratio returns the estimate divided by the laboratory's value: 1 is right, 1.25
// a quarter too high.
func (c Comparison) Ratio() float64 { return c.Estimate / c.Measured }

// Outside reports whether the laboratory's value is not in the interval. One of
// twenty is to be expected.
func (c Comparison) Outside() bool { return c.Measured < c.Low || c.Measured > c.High }

// Compare returns, oldest first, each value of BOD of a laboratory that has
// stored estimates around it, from from until before to.
func Compare(ctx context.Context, h History, s *water.Station, p *water.Parameter, from, to time.Time, window time.Duration) ([]Comparison, error) {
	measured, err := Measured(ctx, h, s, p, from, to)
	if err != nil {
		return nil, err
	}
	return Beside(ctx, h, s, p, measured, window)
}

// Measured returns the values of a laboratory that can be compared: those that
// are good or not evaluated, above 0, and no mere bounds.
func Measured(ctx context.Context, h History, s *water.Station, p *water.Parameter, from, to time.Time) ([]water.Observation, error) {
	measured, err := h.Between(ctx, s, water.Lab, []*water.Parameter{p}, from, to)
	return slices.DeleteFunc(measured, func(o water.Observation) bool { return !(result(o) > 0) }), err
}

// Beside compares values of a laboratory; those without an estimate are left out.
func Beside(ctx context.Context, h History, s *water.Station, p *water.Parameter, measured []water.Observation, window time.Duration) ([]Comparison, error) {
	times := make([]time.Time, len(measured))
	for i, o := range measured {
		times[i] = o.Time
	}
	around, err := h.Around(ctx, s, water.Estimate, []*water.Parameter{p}, times, window)
	if err != nil {
		return nil, err
	}
	var compared []Comparison
	for i, o := range measured {
		estimates := slices.DeleteFunc(around[i], func(e water.Observation) bool {
			return e.Flag > water.NotEvaluated || e.Estimation == nil
		})
		if len(estimates) == 0 {
			continue
		}
		slices.SortFunc(estimates, func(a, b water.Observation) int { return cmp.Compare(a.Value, b.Value) })
		e := estimates[(len(estimates)-1)/2]
		compared = append(compared, Comparison{o.Time, o.Value, e.Value, e.Estimation.Low, e.Estimation.High, e.Estimation.Model})
	}
	return compared, nil
}
