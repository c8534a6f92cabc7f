// Package estimate calculates BOD from what sensors measure at once.
//
// BOD takes a laboratory five days. A [Model] is a relation from COD, and
// turbidity where that helps, to BOD: fitted (package regress) from the paired
// laboratory results of one station, for this station, for a time. A [Deriver]
// applies models to observations as they come in; [Compare] holds what
// they said against the laboratory's results, when those come, and package score
// goes on doing so.
package estimate

import (
	"math"
	"time"

	"tofuwatch/internal/water"
)

// Parameters that a model can have to do with.
const (
	BOD       = "bod"
	COD       = "cod"
	Turbidity = "turbidity"
)

// A Model says what BOD to expect at one station:
//
//	ln(BOD) = Intercept + the sum of Exponent · ln(value) over the inputs
//
// so that with COD alone BOD = e^Intercept · COD^Exponent. A laboratory's error
// is a share of the value, so residuals are even on this scale; no estimate is
// negative; and the ratio of BOD to COD may change with COD, as it does from
// influent to effluent. What it gives is the median of the BOD to expect. A
// Model is not changed once it is in use.
type Model struct {
	ID        string // such as "ipal-01-bod-2026-11"; lower case letters, digits and '-'
	Parameter string // what is estimated: BOD
	Station   string // ID
	Kind      water.Kind
	From, To  time.Time // it holds from From, until before To

	Inputs    []Input // COD first
	Intercept float64
	// Covariance is that of Intercept and the exponents, in this order.
	Covariance [][]float64
	ResidualSD float64 // of ln(BOD); above 0
	// Quantile makes a prediction interval of 95 % from a standard deviation:
	// Student's t for the pairs that the model was fitted from.
	Quantile float64

	Origin Origin
}

// An Input is what a model calculates from.
type Input struct {
	Parameter string
	Low, High float64 // the range of the pairs, both ends included; there is no estimate outside
	Exponent  float64
}

// An Origin says what a model was fitted from.
type Origin struct {
	At          time.Time // when it was fitted
	Pairs       int
	First, Last time.Time // samples of the pairs
	COD         water.Method
	R2          float64 // of ln(BOD)
	SHA256      string  // of the pairs; see [Digest]
}

// Holds reports whether m is valid for a sample.
func (m *Model) Holds(sampled time.Time) bool {
	return !sampled.Before(m.From) && sampled.Before(m.To)
}

// Covers reports whether values, one an input, lie in the range that m was
// fitted from.
func (m *Model) Covers(values []float64) bool {
	for i, in := range m.Inputs {
		if !(values[i] >= in.Low && values[i] <= in.High) { // NaN is not covered
			return false
		}
	}
	return true
}

// Apply returns the estimate from values, one an input and above 0, and the
// limits between which 95 of 100 laboratory results are expected.
func (m *Model) Apply(values []float64) (value, low, high float64) {
	x := make([]float64, 1, 4)
	x[0] = 1
	ln := m.Intercept
	for i, in := range m.Inputs {
		x = append(x, math.Log(values[i]))
		ln += in.Exponent * x[i+1]
	}
	variance := m.ResidualSD * m.ResidualSD
	for i, row := range m.Covariance {
		for j, c := range row {
			variance += x[i] * c * x[j]
		}
	}
	half := m.Quantile * math.Sqrt(variance)
	return math.Exp(ln), math.Exp(ln - half), math.Exp(ln + half)
}

// rounded cuts a value above 0 to four significant digits: more would look like
// an accuracy that no estimate has.
func rounded(v float64) float64 {
	scale := math.Pow(10, 3-math.Floor(math.Log10(v)))
	return math.Round(v*scale) / scale
}
