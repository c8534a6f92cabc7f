package ingest

import (
	"time"

	"tofuwatch/internal/water"
)

// JudgeSample returns the readings of one sample that came in a file as observations
// of a station, each in its place; behind them what can be calculated from a
// sensor's. They are judged by themselves and beside each other, and not beside
// other samples: a file may have any order, and holes. What each test said is kept
// of those that are not good, since files are long. Their time is known to be
// plausible.
func (p *Pipeline) JudgeSample(s *water.Station, method water.Method, readings []water.Reading) []water.Observation {
	observations := p.o.Judge.Look(p.batch(s, method, readings, time.Time{}))
	for i := range observations {
		if o := &observations[i]; o.Flag == water.Good {
			o.Tests = 0
		}
	}
	if method == water.Sensor && p.o.Derive != nil {
		observations = append(observations, p.o.Derive(observations)...)
	}
	return observations
}
