package ingest

import (
	"tofuwatch/ingest/quality"
	"tofuwatch/internal/water"
)

// Judge returns a reading that came in a file as an observation of a station, by the
// checks that a message's go through. Its time is known to be plausible.
func (p *Pipeline) Judge(s *water.Station, method water.Method, r water.Reading) water.Observation {
	o := water.Observation{Station: s, Parameter: r.Parameter, Method: method, Time: r.Time}
	if method == water.Lab {
		o.Value, o.Flag = quality.JudgeResult(r)
		return o
	}
	o.Value, o.Flag = quality.Judge(s, r)
	return o
}
