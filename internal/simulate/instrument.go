package simulate

import "math/rand/v2"

// An instrumentMake is how instruments for a property are built.
type instrumentMake struct {
	code        string
	decimals    int
	noise       float64 // standard deviation, in the parameter's unit
	relative    float64 // and as a part of the value
	fouling     float64 // what a day of film adds, in the unit
	foulingRate float64 // and as a part of the value
	highest     float64 // what it can measure, where that is less than can be
}

// makes are the instruments by the property they measure.
var makes = [properties]instrumentMake{
	flow:        {code: "flow", decimals: 4, relative: 0.012},
	level:       {code: "level", decimals: 3, noise: 0.003},
	ph:          {code: "ph", decimals: 2, noise: 0.012, fouling: -0.006}, // -0.08 in two weeks, as in real records
	temperature: {code: "temperature", decimals: 1, noise: 0.04},
	do:          {code: "do", decimals: 2, noise: 0.03, foulingRate: -0.002},
	ec:          {code: "ec", decimals: 0, relative: 0.005},
	turbidity:   {code: "turbidity", decimals: 1, relative: 0.025, foulingRate: 0.004},
	tss:         {code: "tss", decimals: 0, relative: 0.03, foulingRate: 0.003},
	cod:         {code: "cod", decimals: 1, relative: 0.018, foulingRate: 0.002, highest: 20000},
	bod:         {code: "bod", decimals: 1, relative: 0.022, foulingRate: 0.002, highest: 10000},
	nh3n:        {code: "nh3n", decimals: 2, relative: 0.02},
}

// An instrument measures one property at one station.
type instrument struct {
	property property
	make     *instrumentMake
	random   *rand.Rand
	held     float64 // what it says while it is stuck
	stuck    bool
}

// read returns what the instrument makes of v, days after it was cleaned.
func (i *instrument) read(v, days float64) float64 {
	n := i.random.NormFloat64()
	v *= 1 + i.make.relative*n + i.make.foulingRate*days
	v += i.make.noise*n + i.make.fouling*days
	if i.property != level {
		v = max(0, v)
	}
	return round(v, i.make.decimals)
}
