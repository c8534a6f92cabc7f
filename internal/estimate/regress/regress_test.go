package regress

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/gonum/mat"

	"tofuwatch/internal/estimate"
	"tofuwatch/internal/water"
)

var (
	outlet = &water.Station{ID: "ipal-01", River: "bajak", Kind: water.Effluent}
	first  = time.Date(2026, 1, 5, 2, 0, 0, 0, time.UTC)
	wib    = time.FixedZone("WIB", 7*60*60)
)

// near fails the test unless got is want to so many significant digits.
func near(t *testing.T, what string, got, want float64, digits int) {
	t.Helper()
	if !(math.Abs(got-want) <= math.Abs(want)*math.Pow10(-digits)) {
		t.Errorf("%s is %.15g, want %.15g", what, got, want)
	}
}

// design returns a matrix with a column of 1 before the columns given.
func design(columns ...[]float64) *mat.Dense {
	x := mat.NewDense(len(columns[0]), 1+len(columns), nil)
	for i := range columns[0] {
		x.Set(i, 0, 1)
		for j, c := range columns {
			x.Set(i, j+1, c[i])
		}
	}
	return x
}

// The certified values are those of NIST, Statistical Reference Datasets, Norris
// (interlaboratory ozone monitors), to 11 digits.
func TestLeastSquaresIsAsNISTCertifies(t *testing.T) {
	y := []float64{
		0.1, 338.8, 118.1, 888.0, 9.2, 228.1, 668.5, 998.5, 449.1, 778.9, 559.2, 0.3, 0.1, 778.1, 668.8, 339.3, 448.9, 10.8,
		557.7, 228.3, 998.0, 888.8, 119.6, 0.3, 0.6, 557.6, 339.3, 888.0, 998.5, 778.9, 10.2, 117.6, 228.9, 668.4, 449.2, 0.2,
	}
	x := []float64{
		0.2, 337.4, 118.2, 884.6, 10.1, 226.5, 666.3, 996.3, 448.6, 777.0, 558.2, 0.4, 0.6, 775.5, 666.9, 338.0, 447.5, 11.6,
		556.0, 228.1, 995.8, 887.6, 120.2, 0.3, 0.3, 556.8, 339.1, 887.2, 999.0, 779.0, 11.1, 118.3, 229.2, 669.1, 448.9, 0.5,
	}
	s, err := leastSquares(design(x), y)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "intercept", s.coefficients[0], -0.262323073774029, 9)
	near(t, "slope", s.coefficients[1], 1.00211681802045, 11)
	near(t, "standard deviation of the intercept", math.Sqrt(s.covariance[0][0]), 0.232818234301152, 9)
	near(t, "standard deviation of the slope", math.Sqrt(s.covariance[1][1]), 0.429796848199937e-3, 9)
	near(t, "residual standard deviation", s.sd, 0.884796396144373, 9)
	near(t, "R²", s.r2, 0.999993745883712, 11)
	if s.freedom != 34 {
		t.Errorf("%d degrees of freedom, want 34", s.freedom)
	}
}

// Two inputs in a factorial design, by hand: y = 10 + 2a - 3b, and residuals of 1
// in the pattern that no coefficient can take up. Every leverage is p/n = 3/8;
// the residual variance is 8/5, that of each coefficient 8/5/8.
func TestLeastSquaresByHand(t *testing.T) {
	a := []float64{-1, -1, 1, 1, -1, -1, 1, 1}
	b := []float64{-1, 1, -1, 1, -1, 1, -1, 1}
	e := []float64{1, -1, -1, 1, 1, -1, -1, 1}
	y := make([]float64, len(a))
	for i := range y {
		y[i] = 10 + 2*a[i] - 3*b[i] + e[i]
	}
	s, err := leastSquares(design(a, b), y)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{10, 2, -3} {
		near(t, "coefficient", s.coefficients[i], want, 13)
		near(t, "variance", s.covariance[i][i], 0.2, 13)
	}
	for i := range y {
		near(t, "residual", s.residuals[i], e[i], 12)
		near(t, "leverage", s.leverages[i], 3.0/8, 13)
	}
	near(t, "R²", s.r2, 1-8.0/(8*(4+9+1)), 13)

	if _, err := leastSquares(design(a, a), y); err == nil {
		t.Error("the same input twice is fitted; want an error")
	}
}

// cars are R's data set of that name (Ezekiel 1930): speed in mph and stopping
// distance in feet. Logarithms undo the exponentials, so the model is R's
// lm(dist ~ speed) with the numbers that R prints for it; they are scaled to let
// a distance be less than its speed, as a BOD is less than its COD.
func cars() []estimate.Pair {
	speed := []float64{
		4, 4, 7, 7, 8, 9, 10, 10, 10, 11, 11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15,
		15, 16, 16, 17, 17, 17, 18, 18, 18, 18, 19, 19, 19, 20, 20, 20, 20, 20, 22, 23, 24, 24, 24, 24, 25,
	}
	dist := []float64{
		2, 10, 4, 22, 16, 10, 18, 26, 34, 17, 28, 14, 20, 24, 28, 26, 34, 34, 46, 26, 36, 60, 80, 20, 26,
		54, 32, 40, 32, 40, 50, 42, 56, 76, 84, 36, 46, 68, 32, 48, 52, 56, 64, 66, 54, 70, 92, 93, 120, 85,
	}
	pairs := make([]estimate.Pair, len(speed))
	for i := range pairs {
		pairs[i] = estimate.Pair{
			Time: first.AddDate(0, 0, i), Kind: water.Effluent,
			COD: math.Exp(speed[i]), BOD: math.Exp(dist[i] / 100), Turbidity: math.NaN(),
		}
	}
	return pairs
}

// The intervals are those of R's predict(lm(dist ~ speed), interval = "prediction").
func TestPredictionIntervalIsAsRPrintsIt(t *testing.T) {
	fit, err := fitted(cars(), []string{estimate.COD}, Options{ID: "cars", Station: outlet})
	if err != nil {
		t.Fatal(err)
	}
	m := fit.Model
	near(t, "intercept", m.Intercept*100, -17.579095, 7)
	near(t, "slope", m.Inputs[0].Exponent*100, 3.932409, 6)
	near(t, "residual standard error", m.ResidualSD*100, 15.379587, 7)
	near(t, "R²", m.Origin.R2, 0.6510794, 6)
	near(t, "quantile of t for 48 degrees of freedom", m.Quantile, 2.010634758, 9)
	for _, test := range []struct{ speed, dist, low, high float64 }{
		{10, 21.74499, -9.809601, 53.29959},
		{12, 29.60981, -1.749529, 60.96915},
		{19, 57.13667, 25.761756, 88.51159},
		{24, 76.79872, 44.752478, 108.84495},
	} {
		value, low, high := m.Apply([]float64{math.Exp(test.speed)})
		near(t, "fit", 100*math.Log(value), test.dist, 6)
		near(t, "low end", 100*math.Log(low), test.low, 6)
		near(t, "high end", 100*math.Log(high), test.high, 6)
	}
}

// Each leave-one-out residual is that of a fit without its pair.
func TestLeaveOneOutLeavesOneOut(t *testing.T) {
	pairs := cars()
	fit, err := fitted(pairs, []string{estimate.COD}, Options{Station: outlet})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, p := range pairs {
		others := append(append([]estimate.Pair(nil), pairs[:i]...), pairs[i+1:]...)
		without, err := fitted(others, []string{estimate.COD}, Options{Station: outlet})
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := without.Model.Apply([]float64{p.COD})
		near(t, "unseen", fit.Points[i].Unseen, want, 9)
		sum += math.Pow(math.Log(p.BOD/want), 2)
	}
	near(t, "leave-one-out error", fit.LeaveOneOut, math.Sqrt(sum/float64(len(pairs))), 9)
}

// plant returns pairs of a plant whose BOD is 0.45 COD^0.97, with a scatter of
// ln(BOD) of sd, and COD about 330 with one of codSD. Turbidity says something
// of its own about BOD.
func plant(n int, sd, codSD, byTurbidity float64) estimate.Pairs {
	random := rand.New(rand.NewPCG(11, 22))
	pairs := estimate.Pairs{COD: water.Sensor}
	for i := range n {
		cod := 330 * math.Exp(codSD*random.NormFloat64())
		own := 0.5 * random.NormFloat64()
		bod := 0.45 * math.Pow(cod, 0.97) * math.Exp(sd*random.NormFloat64()+byTurbidity*own)
		pairs.Usable = append(pairs.Usable, estimate.Pair{
			Time: first.AddDate(0, 0, 7*i), Kind: water.Effluent, BOD: bod, COD: cod, Turbidity: 0.2 * cod * math.Exp(own),
		})
	}
	return pairs
}

func options(with ...string) Options {
	return Options{
		ID: "ipal-01-bod-2026-11", Station: outlet, With: with,
		From: time.Date(2026, 11, 1, 0, 0, 0, 0, wib), To: time.Date(2027, 11, 1, 0, 0, 0, 0, wib), At: time.Date(2026, 11, 1, 9, 0, 0, 0, wib),
	}
}

func TestRunFits(t *testing.T) {
	pairs := plant(40, 0.15, 0.5, 0)
	fit, err := Run(pairs, options())
	if err != nil {
		t.Fatal(err)
	}
	m := fit.Model
	if got := m.Inputs[0].Exponent; math.Abs(got-0.97) > 0.1 {
		t.Errorf("exponent %v, want about 0.97", got)
	}
	if got := m.ResidualSD; math.Abs(got-0.15) > 0.04 {
		t.Errorf("residual standard deviation %v, want about 0.15", got)
	}
	lowest, highest := math.Inf(1), 0.0
	for _, p := range pairs.Usable {
		lowest, highest = min(lowest, p.COD), max(highest, p.COD)
	}
	if m.Inputs[0].Low != lowest || m.Inputs[0].High != highest {
		t.Errorf("range %v to %v, want that of the pairs, %v to %v", m.Inputs[0].Low, m.Inputs[0].High, lowest, highest)
	}
	want := estimate.Origin{
		At: options().At, Pairs: 40, First: first, Last: first.AddDate(0, 0, 7*39), COD: water.Sensor,
		R2: m.Origin.R2, SHA256: estimate.Digest(pairs.Usable),
	}
	if diff := cmp.Diff(m.Origin, want); diff != "" {
		t.Errorf("origin (-got +want):\n%s", diff)
	}
	if len(fit.Outliers()) != 0 {
		t.Errorf("outliers %+v, want none", fit.Outliers())
	}
}

// The interval keeps its promise: of results that the fit has not seen, 95 of 100
// lie in it.
func TestIntervalCovers(t *testing.T) {
	pairs := plant(4030, 0.18, 0.5, 0).Usable
	fit, err := Run(estimate.Pairs{Usable: pairs[:30], COD: water.Sensor}, options())
	if err != nil {
		t.Fatal(err)
	}
	in, of := 0, 0
	for _, p := range pairs[30:] {
		if values := []float64{p.COD}; fit.Model.Covers(values) {
			of++
			if _, low, high := fit.Model.Apply(values); low <= p.BOD && p.BOD <= high {
				in++
			}
		}
	}
	if got := float64(in) / float64(of); got < 0.90 || got > 0.985 {
		t.Errorf("%.1f %% of %d results lie in the interval, want about 95", 100*got, of)
	}
}

func TestTurbidityHelpsWhereItSaysSomething(t *testing.T) {
	fit, err := Run(plant(40, 0.12, 0.5, 0.5), options(estimate.Turbidity))
	if err != nil {
		t.Fatal(err)
	}
	if got := fit.Model.Inputs[1]; got.Parameter != estimate.Turbidity || math.Abs(got.Exponent-0.5) > 0.15 {
		t.Errorf("second input %+v, want turbidity with an exponent of about 0.5", got)
	}
	if len(fit.Model.Covariance) != 3 || len(fit.Usual) != 2 {
		t.Errorf("covariance of %d and %d usual values, want 3 and 2", len(fit.Model.Covariance), len(fit.Usual))
	}
}

func TestRunRefuses(t *testing.T) {
	few := plant(19, 0.15, 0.5, 0)
	few.LeftOut = make([]estimate.LeftOut, 3)
	twoKinds := plant(40, 0.15, 0.5, 0)
	for i := range 12 {
		twoKinds.Usable[i].Kind = water.Influent
	}
	otherKind := plant(40, 0.15, 0.5, 0)
	for i := range otherKind.Usable {
		otherKind.Usable[i].Kind = water.River
	}
	oneFar := plant(40, 0.15, 0.1, 0) // one bad day makes no range
	oneFar.Usable[7].COD *= 5
	oneFar.Usable[7].BOD *= 5
	falling := plant(40, 0.1, 0.5, 0)
	for i, p := range falling.Usable {
		falling.Usable[i].BOD = 30000 / p.BOD
	}
	typo := plant(30, 0.12, 0.5, 0)
	typo.Usable[4].BOD /= 100
	sparse := plant(40, 0.15, 0.5, 0.5)
	for i := range 25 {
		sparse.Usable[i].Turbidity = math.NaN()
	}
	same := plant(40, 0.15, 0.5, 0)
	for i, p := range same.Usable {
		same.Usable[i].Turbidity = p.COD / 5
	}
	for name, test := range map[string]struct {
		pairs estimate.Pairs
		with  []string
		want  []string // in the refusals, in their order
	}{
		"too few":                      {few, nil, []string{"too few pairs: 19 (3 laboratory results make no pair; they are listed); want at least 20"}},
		"none":                         {estimate.Pairs{}, nil, []string{"too few pairs: 0; want at least 20"}},
		"too few have turbidity":       {sparse, []string{estimate.Turbidity}, []string{"too few pairs: 15 (25 more lack turbidity)"}},
		"two kinds":                    {twoKinds, nil, []string{"12 influent, 28 effluent, and the station is now effluent; want effluent alone"}},
		"all of another kind":          {otherKind, nil, []string{"40 river, and the station is now effluent"}},
		"too narrow":                   {plant(40, 0.02, 0.1, 0), nil, []string{"too narrow a range: COD from 2"}},
		"wide by one pair alone":       {oneFar, nil, []string{"too narrow a range"}},
		"falls":                        {falling, nil, []string{"BOD falls while COD rises"}},
		"explains too little":          {plant(60, 0.32, 0.24, 0), nil, []string{"COD explains too little: R² is 0."}},
		"too wide":                     {plant(60, 0.5, 0.8, 0), nil, []string{"too wide an interval: at a usual COD of 3"}},
		"one typing error":             {typo, nil, []string{"Look first into the outliers (1, listed)"}},
		"turbidity says nothing":       {plant(40, 0.15, 0.5, 0), []string{estimate.Turbidity}, []string{"turbidity does not help"}},
		"turbidity is COD in disguise": {same, []string{estimate.Turbidity}, []string{"cannot be told apart"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Run(test.pairs, options(test.with...))
			refused, ok := errors.AsType[Refusals](err)
			if !ok {
				t.Fatalf("error %v, want refusals", err)
			}
			if len(refused) < len(test.want) {
				t.Fatalf("%d refusals, want %d:\n%v", len(refused), len(test.want), err)
			}
			for i, want := range test.want {
				if !strings.Contains(refused[i], want) {
					t.Errorf("refusal %q, want one with %q", refused[i], want)
				}
			}
			for _, r := range refused {
				if !strings.Contains(r, "want ") || strings.Contains(r, "\n") {
					t.Errorf("refusal %q does not say in a line what would be right", r)
				}
			}
		})
	}
}

// Three wrong results together hide from least squares; they are found all the same.
func TestOutliersDoNotHideEachOther(t *testing.T) {
	pairs := plant(40, 0.12, 0.5, 0)
	wrong := []int{3, 17, 30}
	for _, i := range wrong {
		pairs.Usable[i].BOD /= 4
	}
	fit, _ := Run(pairs, options())
	if fit == nil {
		t.Fatal("no fit to look at")
	}
	var got []time.Time
	for _, p := range fit.Outliers() {
		got = append(got, p.Time)
	}
	var want []time.Time
	for _, i := range wrong {
		want = append(want, pairs.Usable[i].Time)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("outliers (-got +want):\n%s", diff)
	}
}

// What lies within the laboratory's own uncertainty is no outlier, however well
// the others fit.
func TestOutliersAreWorthLookingAt(t *testing.T) {
	pairs := plant(40, 0.01, 0.5, 0)
	pairs.Usable[3].BOD *= 1.17
	fit, err := Run(pairs, options())
	if err != nil {
		t.Fatal(err)
	}
	if got := fit.Outliers(); len(got) != 0 {
		t.Errorf("outliers %+v, want none", got)
	}
}

func TestModelSurvivesItsFile(t *testing.T) {
	for name, with := range map[string][]string{"COD": nil, "COD and turbidity": {estimate.Turbidity}} {
		t.Run(name, func(t *testing.T) {
			fit, err := Run(plant(40, 0.12, 0.5, 0.5*float64(len(with))), options(with...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := estimate.Parse("model.yaml", fit.Model.Format())
			if err != nil {
				t.Fatalf("%v in\n%s", err, fit.Model.Format())
			}
			if diff := cmp.Diff(got, fit.Model); diff != "" {
				t.Errorf("model (-got +want):\n%s", diff)
			}
		})
	}
}
