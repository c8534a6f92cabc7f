package water

import "time"

// A Kind says which water a station measures.
type Kind string

// The kinds that there are.
const (
	River    Kind = "river"    // a river reach
	Influent Kind = "influent" // what reaches a treatment plant
	Effluent Kind = "effluent" // what leaves a plant or a workshop
)

// Kinds are all kinds, in the order in which people are told of them.
func Kinds() []Kind { return []Kind{River, Influent, Effluent} }

// A Station is a place where water is measured.
type Station struct {
	ID        string // permanent; lower case letters, digits and '-'
	Name      string // as people call the place
	River     string // ID of the river it lies on or drains to; spelled like a station's ID
	Kind      Kind
	Latitude  float64 // degrees north, WGS 84; NaN if unknown
	Longitude float64 // degrees east, WGS 84; NaN if unknown
	// Sentinels are the numbers that its loggers send for "no value".
	Sentinels []float64
	// Instruments are the parameters that the station is expected to report,
	// by code. A parameter that is absent here is accepted all the same.
	Instruments map[string]Instrument
}

// An Instrument measures one parameter at one station.
type Instrument struct {
	Parameter *Parameter
	Min, Max  float64       // what the instrument can measure, in Parameter.Unit, both ends included
	Interval  time.Duration // how often it should report
}

// Range returns what can be measured of p at s, both ends included: the
// instrument's range, or the parameter's where the station lists no such
// instrument.
func (s *Station) Range(p *Parameter) (lowest, highest float64) {
	if i, ok := s.Instruments[p.Code]; ok {
		return i.Min, i.Max
	}
	return p.Min, p.Max
}
