// Package regress fits models of package estimate, and refuses to where that
// would mislead.
//
// The fit is ordinary least squares on logarithms. It is not a robust one: its
// prediction interval would need more pairs than there ever are, and a result
// that does not fit is for a person to look into. So all pairs count; those that
// lie far from where most are ([Fit.Outliers]) are named by their sample's date;
// and one that spoils the fit has it refused until somebody has mended or
// excluded it by hand.
package regress

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"tofuwatch/internal/estimate"
	"tofuwatch/internal/water"
)

// What a fit must be like.
const (
	// Least is how many pairs there must be. The scatter about the relation, which
	// the interval is made of, is known from n pairs to 1/sqrt(2(n-2)) of itself:
	// 17 % with 20. With fewer it is less sure than BOD itself, which a
	// laboratory tells to 15 to 20 % (Hindawi J. Chem. 2013/243769).
	Least = 20
	// LeastSpread is how many times the COD at the low end the one at the high end
	// must be, the lowest and the highest pair left out. Over less than a factor
	// of 2, the laboratory's own 15 to 20 % are as large as what COD explains.
	LeastSpread = 2
	// LeastR2 is how much of the variance of ln(BOD) COD must explain.
	LeastR2 = 0.5
	// MostFactor bounds the interval at a usual COD: an estimate that can as well be
	// half of it, or its double, tells nobody anything.
	MostFactor = 2
	// leastGain is by how much a further input must lessen the leave-one-out error.
	leastGain = 0.05
)

// confidence is that of a prediction interval.
const confidence = 0.95

// Options say what the model is for.
type Options struct {
	ID       string
	Station  *water.Station
	With     []string // inputs beside COD
	From, To time.Time
	At       time.Time // when it is fitted
}

// A Fit is a model and how well it does.
type Fit struct {
	Model  *estimate.Model
	Points []Point // one a pair, oldest first
	// Usual are the medians of the inputs.
	Usual []float64
	// LeaveOneOut is the root mean square of the residuals of ln(BOD), each by a
	// model that was fitted without its pair.
	LeaveOneOut float64
}

// A Point is a pair that was used.
type Point struct {
	estimate.Pair
	Inputs   []float64
	Estimate float64 // by the model
	// Unseen is the estimate of a model fitted without this pair.
	Unseen  float64
	Outlier bool // far from where most pairs are
}

// Refusals say why there is no model, and what would be right.
type Refusals []string

// Error returns one refusal a line.
func (r Refusals) Error() string { return strings.Join(r, "\n") }

// Run fits a model. Its error is [Refusals] where the pairs do not carry one; the
// fit beside it is then to look at and not to be used, or nil.
func Run(pairs estimate.Pairs, o Options) (*Fit, error) {
	inputs := append([]string{estimate.COD}, o.With...)
	usable, without := complete(pairs.Usable, inputs)
	var refused Refusals
	refuse := func(format string, args ...any) { refused = append(refused, fmt.Sprintf(format, args...)) }

	if n := len(usable); n < Least {
		missing := ""
		if without > 0 {
			missing = fmt.Sprintf(" (%d more lack %s)", without, strings.Join(o.With, " or "))
		}
		if len(pairs.LeftOut) > 0 {
			missing += fmt.Sprintf(" (%d laboratory results make no pair; they are listed)", len(pairs.LeftOut))
		}
		refuse("too few pairs: %d%s; want at least %d, because from fewer the interval is less sure than a BOD analysis itself. At one sample a week that takes %d weeks more", n, missing, Least, Least-n)
	}
	if kinds := kindsOf(usable); len(kinds) > 1 || len(kinds) == 1 && usable[0].Kind != o.Station.Kind {
		refuse("pairs of different water: %s, and the station is now %s; want %s alone, since BOD is another share of COD in each: choose the time with --from and --to", strings.Join(kinds, ", "), o.Station.Kind, o.Station.Kind)
	}
	if refused != nil {
		return nil, refused
	}
	if low, high := spread(usable); high < LeastSpread*low {
		refuse("too narrow a range: COD from %.4g to %.4g, its lowest and highest pair left out; want the high end at least %d times the low one: take samples on bad days and on good ones too, at other hours, after rain", low, high, LeastSpread)
	}

	fit, err := fitted(usable, inputs, o)
	if err != nil {
		return nil, append(refused, err.Error())
	}
	m := fit.Model
	m.Origin.COD = pairs.COD
	blame := ""
	if n := len(fit.Outliers()); n > 0 {
		blame = fmt.Sprintf(". Look first into the outliers (%d, listed): one wrong result can do this", n)
	}
	if b := m.Inputs[0].Exponent; b <= 0 {
		refuse("BOD falls while COD rises (exponent %.2f), which is no treatment; want an exponent above 0: are the samples and their times those of the COD?%s", b, blame)
	}
	if m.Origin.R2 < LeastR2 {
		refuse("%s explains too little: R² is %.2f, want at least %.1f%s", names(inputs), m.Origin.R2, LeastR2, blame)
	}
	if value, _, high := m.Apply(fit.Usual); high > MostFactor*value {
		refuse("too wide an interval: at a usual COD of %.4g a BOD between the estimate ÷ %.2f and × %.2f is to be expected; want at most a factor of %d%s", fit.Usual[0], high/value, high/value, MostFactor, blame)
	}
	if len(o.With) > 0 {
		plain, err := fitted(usable, inputs[:1], o)
		if err == nil && fit.LeaveOneOut > (1-leastGain)*plain.LeaveOneOut {
			refuse("%s does not help: without it a pair that the fit has not seen is off by a factor of %.3f, with it by %.3f; want it smaller by a twentieth: fit without --with", strings.Join(o.With, " and "), math.Exp(plain.LeaveOneOut), math.Exp(fit.LeaveOneOut))
		}
	}
	if refused != nil {
		return fit, refused
	}
	return fit, nil
}

// complete returns the pairs that have all inputs, and how many have not.
func complete(pairs []estimate.Pair, inputs []string) (with []estimate.Pair, without int) {
	for _, p := range pairs {
		if slices.ContainsFunc(inputs, func(in string) bool { return !(p.Value(in) > 0) }) {
			without++
			continue
		}
		with = append(with, p)
	}
	return with, without
}

// kindsOf returns what kinds of water there are, and how many pairs of each.
func kindsOf(pairs []estimate.Pair) []string {
	counts := make(map[water.Kind]int)
	for _, p := range pairs {
		counts[p.Kind]++
	}
	var kinds []string
	for _, k := range water.Kinds() {
		if counts[k] > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", counts[k], k))
		}
	}
	return kinds
}

// spread returns the lowest and the highest COD but one.
func spread(pairs []estimate.Pair) (low, high float64) {
	var cod []float64
	for _, p := range pairs {
		cod = append(cod, p.COD)
	}
	slices.Sort(cod)
	return cod[1], cod[len(cod)-2]
}

func names(inputs []string) string {
	return strings.Replace(strings.Join(inputs, " with "), estimate.COD, "COD", 1)
}

// fitted fits a model and judges nothing.
func fitted(pairs []estimate.Pair, inputs []string, o Options) (*Fit, error) {
	x, y := mat.NewDense(len(pairs), 1+len(inputs), nil), make([]float64, len(pairs))
	for i, p := range pairs {
		x.Set(i, 0, 1)
		for j, in := range inputs {
			x.Set(i, j+1, math.Log(p.Value(in)))
		}
		y[i] = math.Log(p.BOD)
	}
	s, err := leastSquares(x, y)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be told apart in these pairs; want %s that vary each for itself", names(inputs), names(inputs))
	}
	m := &estimate.Model{
		ID: o.ID, Parameter: estimate.BOD, Station: o.Station.ID, Kind: o.Station.Kind, From: o.From, To: o.To,
		Intercept: s.coefficients[0], Covariance: s.covariance, ResidualSD: s.sd,
		Quantile: distuv.StudentsT{Sigma: 1, Nu: float64(s.freedom)}.Quantile((1 + confidence) / 2),
		Origin: estimate.Origin{
			At: o.At, Pairs: len(pairs), First: pairs[0].Time, Last: pairs[len(pairs)-1].Time,
			R2: s.r2, SHA256: estimate.Digest(pairs),
		},
	}
	fit := &Fit{Model: m, Points: make([]Point, len(pairs))}
	for j, in := range inputs {
		column := mat.Col(nil, j+1, x)
		slices.Sort(column)
		m.Inputs = append(m.Inputs, estimate.Input{
			Parameter: in, Exponent: s.coefficients[j+1],
			Low: math.Inf(1), High: math.Inf(-1),
		})
		fit.Usual = append(fit.Usual, math.Exp(stat.Quantile(0.5, stat.LinInterp, column, nil)))
	}
	far := outliers(x, y)
	sum := 0.0
	for i, p := range pairs {
		point := Point{Pair: p, Outlier: far[i]}
		for j, in := range inputs {
			v := p.Value(in)
			point.Inputs = append(point.Inputs, v)
			m.Inputs[j].Low, m.Inputs[j].High = min(m.Inputs[j].Low, v), max(m.Inputs[j].High, v)
		}
		unseen := s.residuals[i] / (1 - s.leverages[i])
		sum += unseen * unseen
		point.Estimate, point.Unseen = math.Exp(y[i]-s.residuals[i]), math.Exp(y[i]-unseen)
		fit.Points[i] = point
	}
	fit.LeaveOneOut = math.Sqrt(sum / float64(len(pairs)))
	return fit, nil
}

// Outliers returns the pairs that lie far from where most are.
func (f *Fit) Outliers() []Point {
	return slices.DeleteFunc(slices.Clone(f.Points), func(p Point) bool { return !p.Outlier })
}

// Errors returns how far off the estimates are of models that have not seen the
// pair, as a share of the laboratory's value: the middle case, and what 9 of 10
// stay below.
func (f *Fit) Errors() (middle, nineOfTen float64) {
	errs := make([]float64, len(f.Points))
	for i, p := range f.Points {
		errs[i] = math.Abs(p.Unseen/p.BOD - 1)
	}
	slices.Sort(errs)
	return stat.Quantile(0.5, stat.LinInterp, errs, nil), stat.Quantile(0.9, stat.LinInterp, errs, nil)
}

// A solution is an ordinary least squares fit of y = x·coefficients.
type solution struct {
	coefficients []float64
	covariance   [][]float64 // of the coefficients
	sd           float64     // of the residuals
	freedom      int         // degrees of it
	residuals    []float64   // y less fitted
	leverages    []float64
	r2           float64 // of a fit whose first column is 1
}

var errSingular = errors.New("columns depend on each other")

// mostCondition is where the columns of x count as depending on each other.
const mostCondition = 1e10

func leastSquares(x *mat.Dense, y []float64) (solution, error) {
	n, p := x.Dims()
	var qr mat.QR
	qr.Factorize(x)
	if qr.Cond() > mostCondition {
		return solution{}, errSingular
	}
	var b mat.VecDense
	if err := qr.SolveVecTo(&b, false, mat.NewVecDense(n, y)); err != nil {
		return solution{}, errSingular
	}
	// The inverse of x'x is that of R, times its transpose.
	var r mat.Dense
	qr.RTo(&r)
	upper := mat.NewTriDense(p, mat.Upper, nil)
	for i := range p {
		for j := i; j < p; j++ {
			upper.SetTri(i, j, r.At(i, j))
		}
	}
	var inverse mat.TriDense
	if err := inverse.InverseTri(upper); err != nil {
		return solution{}, errSingular
	}
	var gram mat.SymDense
	gram.SymOuterK(1, &inverse)

	s := solution{coefficients: b.RawVector().Data, freedom: n - p}
	var within float64
	for i, v := range y {
		row := mat.NewVecDense(p, mat.Row(nil, i, x))
		residual := v - mat.Dot(row, &b)
		within += residual * residual
		s.residuals = append(s.residuals, residual)
		s.leverages = append(s.leverages, mat.Inner(row, &gram, row))
	}
	variance := within / float64(s.freedom)
	s.sd = math.Sqrt(variance)
	s.r2 = 1 - within/(stat.Variance(y, nil)*float64(n-1))
	for i := range p {
		var row []float64
		for j := range p {
			row = append(row, variance*gram.At(i, j))
		}
		s.covariance = append(s.covariance, row)
	}
	return s, nil
}

// outliers tells which rows lie far from where most are: by more than 3.5 times
// the scatter of most (Iglewicz and Hoaglin 1993), and by more than the
// laboratory's own uncertainty. Most lie about the line with the least sum of
// absolute residuals, which a few rows cannot draw to themselves as they can
// the least squares.
func outliers(x *mat.Dense, y []float64) []bool {
	const (
		farther = 3.5
		normal  = 1.4826 // a normal distribution's standard deviation, in median absolute residuals
		rounds  = 200
		nearly  = 1e-6
	)
	own := math.Log(1.2)
	n, p := x.Dims()
	residuals := make([]float64, n)
	for i := range residuals {
		residuals[i] = 1 // the first round is plain least squares
	}
	weighted, values := mat.NewDense(n, p, nil), make([]float64, n)
	for range rounds {
		for i, r := range residuals {
			weight := 1 / math.Sqrt(math.Max(math.Abs(r), nearly))
			values[i] = y[i] * weight
			for j := range p {
				weighted.Set(i, j, x.At(i, j)*weight)
			}
		}
		var b mat.VecDense
		if err := b.SolveVec(weighted, mat.NewVecDense(n, values)); err != nil {
			break // as good as it was
		}
		var moved float64
		for i := range residuals {
			r := y[i] - mat.Dot(x.RowView(i), &b)
			moved = max(moved, math.Abs(r-residuals[i]))
			residuals[i] = r
		}
		if moved < nearly {
			break
		}
	}
	sizes := make([]float64, n)
	for i, r := range residuals {
		sizes[i] = math.Abs(r)
	}
	sorted := slices.Sorted(slices.Values(sizes))
	scatter := normal * stat.Quantile(0.5, stat.LinInterp, sorted, nil)
	far := make([]bool, n)
	for i, size := range sizes {
		far[i] = size > farther*scatter && size > own
	}
	return far
}
