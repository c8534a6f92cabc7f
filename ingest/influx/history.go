package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// mostStatements bounds those of one request.
const mostStatements = 50

// Between returns what is stored of parameters at a station by a method from from
// until before to, oldest first, those of one sample as neighbours. The stations
// of what it returns have the kind that they had then.
func (r *Reader) Between(ctx context.Context, s *water.Station, m water.Method, parameters []*water.Parameter, from, to time.Time) ([]water.Observation, error) {
	answers, err := r.read(ctx, s, m, parameters, []span{{from, to}})
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// Around is Between for what lies within window of each of times, both ends
// included.
func (r *Reader) Around(ctx context.Context, s *water.Station, m water.Method, parameters []*water.Parameter, times []time.Time, window time.Duration) ([][]water.Observation, error) {
	spans := make([]span, len(times))
	for i, at := range times {
		spans[i] = span{at.Add(-window), at.Add(window + 1)}
	}
	var all [][]water.Observation
	for part := range slices.Chunk(spans, mostStatements) {
		answers, err := r.read(ctx, s, m, parameters, part)
		if err != nil {
			return nil, err
		}
		all = append(all, answers...)
	}
	return all, nil
}

// A span is a time, without its end.
type span struct{ from, to time.Time }

// read asks one question a span.
func (r *Reader) read(ctx context.Context, s *water.Station, m water.Method, parameters []*water.Parameter, spans []span) ([][]water.Observation, error) {
	var fields []string
	for _, p := range parameters {
		for _, suffix := range []string{"", flagSuffix, censorSuffix, lowSuffix, highSuffix, modelSuffix} {
			fields = append(fields, `"`+p.Code+suffix+`"`)
		}
	}
	var q strings.Builder
	for _, span := range spans {
		// Neither station nor code needs escaping: the site file lets through none that does.
		fmt.Fprintf(&q, `SELECT %s FROM %q WHERE "station" = '%s' AND "method" = '%s' AND time >= %d AND time < %d GROUP BY "kind";`,
			strings.Join(fields, ", "), Measurement, s.ID, m, span.from.UnixNano(), span.to.UnixNano())
	}
	var answers [][]water.Observation
	err := r.ask(ctx, q.String(), func(answer io.Reader) (err error) {
		answers, err = decodeAnswers(answer, s, m, parameters)
		return err
	})
	switch {
	case err != nil:
		err = fmt.Errorf("%w; %s", err, Hint(err, r.o))
	case len(answers) != len(spans):
		err = fmt.Errorf("%d answers to %d questions", len(answers), len(spans))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s values of %s back from InfluxDB: %w", m, s.ID, err)
	}
	return answers, nil
}

// decodeAnswers reads InfluxDB's answer, which has one result a statement, and in
// it one series a kind:
//
//	{"results":[{"statement_id":0,"series":[{"name":"water_quality","tags":{"kind":"effluent"},
//	 "columns":["time","bod","bod_qc"],"values":[[1795417200000000000,142,1]]}]}]}
func decodeAnswers(r io.Reader, s *water.Station, m water.Method, parameters []*water.Parameter) ([][]water.Observation, error) {
	var answer struct {
		Results []struct {
			Error  string
			Series []struct {
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	decoder := json.NewDecoder(r)
	decoder.UseNumber() // nanoseconds do not fit into a float64
	if err := decoder.Decode(&answer); err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	all := make([][]water.Observation, len(answer.Results))
	for i, result := range answer.Results {
		if result.Error != "" {
			return nil, errors.New(result.Error)
		}
		for _, series := range result.Series {
			station := s
			if kind := water.Kind(series.Tags["kind"]); kind != s.Kind {
				then := *s
				then.Kind = kind
				station = &then
			}
			for _, values := range series.Values {
				row := make(map[string]any, len(values))
				for j, v := range values {
					row[series.Columns[j]] = v
				}
				number, _ := row["time"].(json.Number)
				ns, err := number.Int64()
				if err != nil {
					return nil, fmt.Errorf("decode the answer: %w", err)
				}
				for _, p := range parameters {
					o := water.Observation{Station: station, Parameter: p, Method: m, Time: time.Unix(0, ns).UTC()}
					if fill(&o, row) {
						all[i] = append(all[i], o)
					}
				}
			}
		}
		slices.SortStableFunc(all[i], func(a, b water.Observation) int { return a.Time.Compare(b.Time) })
	}
	return all, nil
}

// fill completes o from a row, and reports whether there is such an observation.
func fill(o *water.Observation, row map[string]any) bool {
	number := func(suffix string) float64 {
		n, ok := row[o.Parameter.Code+suffix].(json.Number)
		if !ok {
			return math.NaN()
		}
		f, err := n.Float64()
		if err != nil {
			return math.NaN()
		}
		return f
	}
	flag := number(flagSuffix)
	if math.IsNaN(flag) {
		return false
	}
	o.Flag, o.Value = water.Flag(flag), number("")
	if math.IsNaN(o.Value) {
		o.Flag = water.Missing
	}
	if censor, ok := row[o.Parameter.Code+censorSuffix].(string); ok {
		o.Censor = water.Censor(censor)
	}
	if model, ok := row[o.Parameter.Code+modelSuffix].(string); ok {
		o.Estimation = &water.Estimation{Model: model, Low: number(lowSuffix), High: number(highSuffix)}
	}
	return true
}
