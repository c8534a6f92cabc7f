package quality

import (
	"math"

	"tofuwatch/internal/water"
)

// JudgeResult returns the value and flag of a laboratory's result: Bad outside of
// what is physically possible, else Good. A station's instruments and their
// sentinels say nothing of a laboratory.
func JudgeResult(r water.Reading) (float64, water.Flag) {
	switch {
	case math.IsNaN(r.Value):
		return r.Value, water.Missing
	case r.Value < r.Parameter.Min, r.Value > r.Parameter.Max:
		return r.Value, water.Bad
	}
	return r.Value, water.Good
}
