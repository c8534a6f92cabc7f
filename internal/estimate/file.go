package estimate

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// fileVersion is the one form of a model file that there is.
const fileVersion = 1

// MostBOD is what no model may estimate, in mg/L: the physical range of BOD ends
// there.
const MostBOD = 30000

// Format returns m as a file that [Parse] reads back.
func (m *Model) Format() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Estimated %s of station %s: %s", strings.ToUpper(m.Parameter), m.Station, m.Formula())
	line("# Written by \"tofuwatch fit %s\". To change it, fit again and name the new file in the site file.", m.Parameter)
	line("version: %d", fileVersion)
	line("id: %s", m.ID)
	line("parameter: %s", m.Parameter)
	line("station: %s", m.Station)
	line("kind: %s", m.Kind)
	line("valid_from: %q", m.From.Format(time.RFC3339))
	line("valid_to: %q", m.To.Format(time.RFC3339))
	line("")
	line("# ln(%s) = intercept + the sum of exponent * ln(input); no estimate outside the ranges", m.Parameter)
	line("intercept: %s", number(m.Intercept))
	line("inputs:")
	for _, in := range m.Inputs {
		line("  - {parameter: %s, range: [%s, %s], exponent: %s}", in.Parameter, number(in.Low), number(in.High), number(in.Exponent))
	}
	line("")
	line("# What the prediction interval of 95 %% comes from: the covariance of intercept and")
	line("# exponents, the standard deviation of ln(%s) about the relation, and Student's t", m.Parameter)
	line("covariance:")
	for _, row := range m.Covariance {
		numbers := make([]string, len(row))
		for i, v := range row {
			numbers[i] = number(v)
		}
		line("  - [%s]", strings.Join(numbers, ", "))
	}
	line("residual_sd: %s", number(m.ResidualSD))
	line("quantile: %s", number(m.Quantile))
	line("")
	line("fitted:")
	line("  at: %q", m.Origin.At.Format(time.RFC3339))
	line("  pairs: %d", m.Origin.Pairs)
	line("  first: %q", m.Origin.First.Format(time.RFC3339))
	line("  last: %q", m.Origin.Last.Format(time.RFC3339))
	line("  cod: %s", m.Origin.COD)
	line("  r2: %s", number(m.Origin.R2))
	line("  sha256: %q", m.Origin.SHA256)
	return b.Bytes()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Formula returns the relation as people read it: "BOD = 0.52 × COD^0.98".
func (m *Model) Formula() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s = %.4g", strings.ToUpper(m.Parameter), math.Exp(m.Intercept))
	for _, in := range m.Inputs {
		name := in.Parameter
		if name == COD {
			name = "COD"
		}
		fmt.Fprintf(&b, " × %s^%.3g", name, in.Exponent)
	}
	return b.String()
}

// Parse reads a model file. Its error is the [strict.Faults] found, all of them.
func Parse(file string, data []byte) (*Model, error) {
	d := strict.Parse(file, data, strict.Options{
		Want:    "what tofuwatch fit bod writes",
		Example: "id: ipal-01-bod-2026-11",
	})
	if d.Root().Absent() {
		return nil, d.Faults()
	}
	m := read(d.Root())
	if fs := d.Faults(); fs != nil {
		return nil, fs
	}
	return m, nil
}

const written = "as tofuwatch fit bod writes it"

func read(v strict.Value) *Model {
	root := v.Section("version", "id", "parameter", "station", "kind", "valid_from", "valid_to",
		"intercept", "inputs", "covariance", "residual_sd", "quantile", "fitted")
	m := new(Model)
	version := root.Key("version").Required(written)
	if n := 0.0; version.Number(&n) && n != fileVersion {
		version.Fault("no version %v; have %d: fit again with this release", n, fileVersion)
	}
	strict.Text(root.Key("id").Required("for example ipal-01-bod-2026-11"), &m.ID, "text", ID)
	strict.Text(root.Key("parameter").Required("what is estimated: "+BOD), &m.Parameter, "text", strict.OneOf("estimate of", BOD))
	strict.Text(root.Key("station").Required("the station's id"), &m.Station, "text", strict.Printable)
	var kinds []string
	for _, k := range water.Kinds() {
		kinds = append(kinds, string(k))
	}
	strict.Text(root.Key("kind").Required("the station's kind"), (*string)(&m.Kind), "text", strict.OneOf("kind", kinds...))
	ok := strict.Text(root.Key("valid_from").Required(aMoment), &m.From, aMoment, moment)
	to := root.Key("valid_to").Required(aMoment)
	if strict.Text(to, &m.To, aMoment, moment) && ok && !m.From.Before(m.To) {
		to.Fault("%s is not after valid_from; want a later time", m.To.Format(time.RFC3339))
	}

	numbers := root.Key("intercept").Required(written).NumberWithin(&m.Intercept, -100, 100)
	list := root.Key("inputs").Required("at least {parameter: cod, range: [88, 640], exponent: 0.98}")
	for i, item := range list.Items() {
		numbers = m.readInput(item, i) && numbers
	}
	if list.IsList() && len(m.Inputs) == 0 {
		list.Fault("is empty; want at least {parameter: cod, range: [88, 640], exponent: 0.98}")
	}
	numbers = m.readCovariance(root.Key("covariance").Required(written)) && numbers
	numbers = root.Key("residual_sd").Required(written).NumberWithin(&m.ResidualSD, 1e-9, 10) && numbers
	numbers = root.Key("quantile").Required(written).NumberWithin(&m.Quantile, 1.9, 13) && numbers
	m.Origin.read(root.Key("fitted").Required(written))
	if numbers {
		m.checkEnds(root)
	}
	return m
}

func (m *Model) readInput(v strict.Value, at int) bool {
	s := v.Section("parameter", "range", "exponent")
	var in Input
	ok := strict.Text(s.Key("parameter").Required("cod or turbidity"), &in.Parameter, "text", strict.OneOf("input", COD, Turbidity))
	if ok && (at == 0) != (in.Parameter == COD) || at > 1 {
		v.Fault("want cod first and once, and turbidity behind it or nothing")
		ok = false
	}
	if span := s.Key("range").Required("[lowest, highest] of the pairs"); !span.Span(&in.Low, &in.High) {
		ok = false
	} else if in.Low <= 0 {
		span.Fault("%v is not above 0, and has no logarithm", in.Low)
		ok = false
	}
	ok = s.Key("exponent").Required(written).NumberWithin(&in.Exponent, -100, 100) && ok
	m.Inputs = append(m.Inputs, in)
	return ok
}

func (m *Model) readCovariance(v strict.Value) bool {
	size, ok := 1+len(m.Inputs), true
	rows := v.Items()
	for _, row := range rows {
		var numbers []float64
		for _, item := range row.Items() {
			var n float64
			ok = item.NumberWithin(&n, -1e4, 1e4) && ok
			numbers = append(numbers, n)
		}
		if row.IsList() && len(numbers) != size {
			row.Fault("has %d numbers; want %d: one for the intercept and one an input", len(numbers), size)
		}
		ok = ok && len(numbers) == size
		m.Covariance = append(m.Covariance, numbers)
	}
	if v.IsList() && len(rows) != size {
		v.Fault("has %d rows; want %d: one for the intercept and one an input", len(rows), size)
	}
	if ok = ok && len(rows) == size; !ok {
		return false
	}
	for i, row := range m.Covariance {
		for j := range i {
			if row[j] != m.Covariance[j][i] {
				v.Fault("is not symmetric: row %d has %v where row %d has %v", i+1, row[j], j+1, m.Covariance[j][i])
				return false
			}
		}
	}
	return true
}

func (o *Origin) read(v strict.Value) {
	s := v.Section("at", "pairs", "first", "last", "cod", "r2", "sha256")
	strict.Text(s.Key("at").Required(aMoment), &o.At, aMoment, moment)
	strict.Text(s.Key("first").Required(aMoment), &o.First, aMoment, moment)
	strict.Text(s.Key("last").Required(aMoment), &o.Last, aMoment, moment)
	var pairs float64
	if at := s.Key("pairs").Required("how many"); at.NumberWithin(&pairs, 1, 1e9) && pairs != math.Trunc(pairs) {
		at.Fault("%v is no count; want a whole number", pairs)
	}
	o.Pairs = int(pairs)
	strict.Text(s.Key("cod").Required("how COD was measured: sensor or lab"), (*string)(&o.COD), "text", strict.OneOf("method", string(water.Sensor), string(water.Lab)))
	s.Key("r2").Required(written).NumberWithin(&o.R2, -1, 1)
	strict.Text(s.Key("sha256").Required("of the pairs"), &o.SHA256, "text", digest)
}

// checkEnds records a fault if the model gives nonsense anywhere at the ends of
// its ranges, as it may after somebody changed a number.
func (m *Model) checkEnds(v strict.Section) {
	corners := [][]float64{nil}
	for _, in := range m.Inputs {
		var next [][]float64
		for _, c := range corners {
			next = append(next, append(slices.Clone(c), in.Low), append(slices.Clone(c), in.High))
		}
		corners = next
	}
	for _, values := range corners {
		value, low, high := m.Apply(values)
		if !(low > 0 && low < value && value < high && value <= MostBOD) || math.IsInf(high, 0) {
			v.Key("intercept").Fault("gives %s %.4g (%.4g to %.4g) for %v; want a value up to %d inside its interval: was the file changed by hand? Fit again", m.Parameter, value, low, high, values, MostBOD)
			return
		}
	}
}

const aMoment = `a time in quotes, such as "2026-11-01T00:00:00+07:00"`

func moment(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is no time; want one like 2026-11-01T00:00:00+07:00", strict.Quote(s))
	}
	return t, nil
}

var idPattern = regexp.MustCompile(`^[a-z0-9-]{1,100}$`)

// ID takes the name of a model, which is stored beside every estimate.
func ID(s string) (string, error) {
	if !idPattern.MatchString(s) {
		return "", fmt.Errorf("%s is no id; want up to 100 lower case letters, digits and '-', for example ipal-01-bod-2026-11", strict.Quote(s))
	}
	return s, nil
}

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func digest(s string) (string, error) {
	if !digestPattern.MatchString(s) {
		return "", fmt.Errorf("%s is no SHA-256; want 64 hexadecimal digits", strict.Quote(s))
	}
	return s, nil
}
