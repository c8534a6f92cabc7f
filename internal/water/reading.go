package water

import "time"

// A Reading is one value as a station wrote it: decoded, not judged.
type Reading struct {
	Parameter *Parameter
	Value     float64   // in Parameter.Unit; NaN where the station said "no value"
	Time      time.Time // UTC; zero if the payload carries none
}
