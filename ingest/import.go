package ingest

import (
	"tofuwatch/ingest/quality"
	"tofuwatch/internal/water"
)

// JudgeSample returns the readings of one sample that came in a file as observations
// of a station, each in its place, by the checks that a message's go through. Their
// time is known to be plausible.
func (p *Pipeline) JudgeSample(s *water.Station, method water.Method, readings []water.Reading) []water.Observation {
	observations := make([]water.Observation, len(readings))
	for i, r := range readings {
		o := water.Observation{Station: s, Parameter: r.Parameter, Method: method, Time: r.Time}
		if method == water.Lab {
			o.Value, o.Flag = quality.JudgeResult(r)
		} else {
			o.Value, o.Flag = quality.Judge(s, r)
		}
		observations[i] = o
	}
	return observations
}
