package estimate

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// A Pair is a laboratory's BOD and what was measured of the same water.
type Pair struct {
	Time      time.Time // when the water was sampled, UTC
	Kind      water.Kind
	BOD, COD  float64 // mg/L, above 0
	Turbidity float64 // NTU, above 0; NaN if nobody measured it
}

// Value returns what p has of a parameter that a model can have to do with.
func (p Pair) Value(parameter string) float64 {
	switch parameter {
	case BOD:
		return p.BOD
	case COD:
		return p.COD
	case Turbidity:
		return p.Turbidity
	}
	panic("no pair has " + parameter)
}

// Digest returns the SHA-256 of pairs, in hexadecimal: by it one can tell later
// whether a model was fitted from them.
func Digest(pairs []Pair) string {
	h := sha256.New()
	for _, p := range pairs {
		fmt.Fprintf(h, "%s %s %s %s %s\n", p.Time.UTC().Format(time.RFC3339Nano), p.Kind, number(p.BOD), number(p.COD), number(p.Turbidity))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Pairs are what a model can be fitted from, and what cannot be used.
type Pairs struct {
	Usable  []Pair       // oldest first
	COD     water.Method // how their COD was measured: all by a sensor, or all in a laboratory
	LeftOut []LeftOut    // oldest first
}

// LeftOut is a laboratory's BOD that makes no pair.
type LeftOut struct {
	Time time.Time
	Why  string // "no COD within 30m0s of it"
}

// A History gives back observations that were stored.
type History interface {
	// Between returns what is stored of parameters at a station by a method from
	// from until before to, oldest first. The stations of what it returns have
	// the kind that they had then.
	Between(ctx context.Context, s *water.Station, m water.Method, parameters []*water.Parameter, from, to time.Time) ([]water.Observation, error)
	// Around is Between for what lies within window of each of times.
	Around(ctx context.Context, s *water.Station, m water.Method, parameters []*water.Parameter, times []time.Time, window time.Duration) ([][]water.Observation, error)
}

// A Source says which pairs to look for.
type Source struct {
	Station    *water.Station
	Parameters *water.Parameters
	From, To   time.Time     // of the samples; To is not among them
	Window     time.Duration // a sensor's value belongs to a sample so long before and after it
	// Enough is how many pairs with a sensor's COD are preferred to those with a
	// laboratory's: what a model is applied to is the sensor's.
	Enough int
}

// Find returns the pairs that h holds: each BOD of a laboratory with the median
// of what the sensors said around it, or with the laboratory's own COD of the
// same sample. The two are not mixed: a sensor that reads 10 % low does so in
// every estimate too, which a relation fitted to it makes good.
func Find(ctx context.Context, h History, s Source) (Pairs, error) {
	bod, cod, turbidity := s.Parameters.Lookup([]byte(BOD)), s.Parameters.Lookup([]byte(COD)), s.Parameters.Lookup([]byte(Turbidity))
	analysed, err := h.Between(ctx, s.Station, water.Lab, []*water.Parameter{bod, cod, turbidity}, s.From, s.To)
	if err != nil {
		return Pairs{}, err
	}
	type bottle map[*water.Parameter]water.Observation
	bottles := make(map[int64]bottle) // by sample time
	var times []time.Time
	for _, o := range analysed {
		if bottles[o.Time.UnixNano()] == nil {
			bottles[o.Time.UnixNano()] = make(bottle)
		}
		bottles[o.Time.UnixNano()][o.Parameter] = o
		if o.Parameter == bod && o.Flag != water.Missing {
			times = append(times, o.Time)
		}
	}
	around, err := h.Around(ctx, s.Station, water.Sensor, []*water.Parameter{cod, turbidity}, times, s.Window)
	if err != nil {
		return Pairs{}, err
	}

	from := map[water.Method]*Pairs{water.Sensor: {COD: water.Sensor}, water.Lab: {COD: water.Lab}}
	for i, at := range times {
		b := bottles[at.UnixNano()]
		for method, pairs := range from {
			p := Pair{Time: at, Kind: b[bod].Station.Kind, COD: math.NaN(), Turbidity: math.NaN()}
			missing := "no COD of the laboratory in the same sample, with flag 1 or 2"
			if method == water.Sensor {
				p.COD, p.Turbidity = median(around[i], cod), median(around[i], turbidity)
				missing = fmt.Sprintf("no COD of the sensor within %s of it, with flag 1 or 2", s.Window)
			} else {
				p.COD, p.Turbidity = result(b[cod]), result(b[turbidity])
			}
			p.BOD = result(b[bod])
			why := unusable(b[bod])
			if why == "" {
				why = p.fault(missing)
			}
			pairs.add(p, why)
		}
	}
	if n := len(from[water.Sensor].Usable); n >= s.Enough || n >= len(from[water.Lab].Usable) {
		return *from[water.Sensor], nil
	}
	return *from[water.Lab], nil
}

// add adds a pair, or what is wrong with it.
func (ps *Pairs) add(p Pair, why string) {
	if why != "" {
		ps.LeftOut = append(ps.LeftOut, LeftOut{p.Time, why})
		return
	}
	ps.Usable = append(ps.Usable, p)
}

// unusable says why a laboratory's BOD can't be used, or "".
func unusable(o water.Observation) string {
	switch {
	case o.Censor != water.Uncensored:
		return fmt.Sprintf("BOD is %s%s, a bound and no value", o.Censor, number(o.Value))
	case o.Flag > water.NotEvaluated:
		return "BOD is flagged " + o.Flag.String()
	}
	return ""
}

// fault says what is wrong with the values of p, or ""; missing is what it says
// where there is no COD.
func (p Pair) fault(missing string) string {
	switch {
	case math.IsNaN(p.COD):
		return missing
	case p.BOD <= 0 || p.COD <= 0:
		return fmt.Sprintf("BOD %s with COD %s: both have to be above 0", number(p.BOD), number(p.COD))
	case p.BOD > p.COD:
		return fmt.Sprintf("BOD %s is above COD %s, which cannot be: one of them is wrong", number(p.BOD), number(p.COD))
	}
	return ""
}

// result returns a laboratory's value, or NaN if it can't be used.
func result(o water.Observation) float64 {
	if o.Parameter == nil || o.Flag == water.Missing || unusable(o) != "" {
		return math.NaN()
	}
	return o.Value
}

// median returns the median of the usable values of p, or NaN.
func median(observations []water.Observation, p *water.Parameter) float64 {
	var values []float64
	for _, o := range observations {
		if o.Parameter == p && (o.Flag == water.Good || o.Flag == water.NotEvaluated) {
			values = append(values, o.Value)
		}
	}
	if len(values) == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// columns of a CSV file of pairs; the last three may be left out.
var columns = []string{"time", "bod", "cod", "turbidity", "station", "kind"}

// ReadCSV reads pairs from a file: a header that names columns, and a row for
// each sample.
//
//	time,bod,cod,turbidity
//	2026-03-04 09:30,142,298,61
//
// A time without a zone is one of zone. Rows of another station or kind stay in:
// fitting refuses them together. The error tells every row that can't be read.
func ReadCSV(r io.Reader, name string, s *water.Station, zone *time.Location) (Pairs, error) {
	reader := csv.NewReader(r)
	reader.TrimLeadingSpace = true
	reader.FieldsPerRecord = -1
	header, err := reader.Read()
	if err != nil {
		return Pairs{}, fmt.Errorf("%s:1: %w; want a header such as time,bod,cod", name, err)
	}
	at := make(map[string]int)
	for i, column := range header {
		column = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(column, "\ufeff")))
		if !slices.Contains(columns, column) {
			return Pairs{}, fmt.Errorf("%s:1: no column %q; have %s, separated by commas", name, column, strings.Join(columns, ", "))
		}
		at[column] = i
	}
	for _, column := range columns[:3] {
		if _, ok := at[column]; !ok {
			return Pairs{}, fmt.Errorf("%s:1: the column %s is missing; want at least time, bod and cod", name, column)
		}
	}
	pairs := Pairs{COD: water.Lab}
	var faults []error
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := reader.FieldPos(0)
		if err == nil && len(row) != len(header) {
			err = fmt.Errorf("has %d fields; want %d, as the header", len(row), len(header))
		}
		var p Pair
		if err == nil {
			p, err = readRow(row, at, s, zone)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", name, line, err))
			continue
		}
		pairs.add(p, p.fault("no COD"))
	}
	slices.SortStableFunc(pairs.Usable, func(a, b Pair) int { return a.Time.Compare(b.Time) })
	slices.SortStableFunc(pairs.LeftOut, func(a, b LeftOut) int { return a.Time.Compare(b.Time) })
	return pairs, errors.Join(faults...)
}

func readRow(row []string, at map[string]int, s *water.Station, zone *time.Location) (Pair, error) {
	p := Pair{Kind: s.Kind, Turbidity: math.NaN()}
	cell := func(column string) string {
		if i, ok := at[column]; ok {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	if other := cell("station"); other != "" && other != s.ID {
		return p, fmt.Errorf("is of station %q; want %s alone: a relation holds for the water it was fitted from", other, s.ID)
	}
	if kind := cell("kind"); kind != "" {
		p.Kind = water.Kind(kind)
		if !slices.Contains(water.Kinds(), p.Kind) {
			return p, fmt.Errorf("no kind %q; have %v", kind, water.Kinds())
		}
	}
	var err error
	if p.Time, err = ReadTime(cell("time"), zone); err != nil {
		return p, err
	}
	for column, to := range map[string]*float64{"bod": &p.BOD, "cod": &p.COD, "turbidity": &p.Turbidity} {
		text := cell(column)
		if text == "" && column == "turbidity" {
			continue
		}
		if *to, err = strconv.ParseFloat(text, 64); err != nil || math.IsNaN(*to) || math.IsInf(*to, 0) {
			return p, fmt.Errorf("%s %q is no number; want one such as 142.5, and leave out rows whose result is a bound such as <2", column, text)
		}
	}
	return p, nil
}

// ReadTime reads a time as people write it: RFC 3339, or a date with or without
// hours in zone.
func ReadTime(s string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q; want one such as 2026-03-04, 2026-03-04 09:30 or 2026-03-04T09:30:00+07:00", s)
}
