package ingest

import (
	"tofuwatch/ingest/quality"
	"tofuwatch/internal/water"
)

// JudgeSample returns the readings of one sample that came in a file as observations
// of a station, each in its place, by the checks that a message's go through; behind
// them what can be calculated from a sensor's. Their time is known to be plausible.
func (p *Pipeline) JudgeSample(s *water.Station, method water.Method, readings []water.Reading) []water.Observation {
	observations := make([]water.Observation, len(readings))
	for i, r := range readings {
		o := water.Observation{Station: s, Parameter: r.Parameter, Method: method, Time: r.Time}
		if method == water.Lab {
			o.Value, o.Flag = quality.JudgeResult(r)
		} else {
			o.Value, o.Flag = quality.Judge(s, r)
			o.Maintenance = p.o.Care != nil && p.o.Care.During(s, r.Parameter, r.Time)
			if o.Maintenance && o.Flag != water.Missing {
				o.Flag = water.Bad
			}
		}
		observations[i] = o
	}
	if method == water.Sensor && p.o.Derive != nil {
		observations = append(observations, p.o.Derive(observations)...)
	}
	return observations
}
