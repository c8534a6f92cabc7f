package quality

import (
	"math"

	"tofuwatch/internal/water"
)

// A comparison holds two parameters of one sample against each other.
type comparison struct {
	a, b string // codes
	// plausible says whether both values can be true.
	plausible func(a, b float64) bool
	onlyA     bool // b tells of a, and is not in question itself
}

// comparisons are all there are. What they find is Suspect: it may be true, if
// rarely.
var comparisons = []comparison{
	// What bacteria can oxidise is part of what dichromate can. 4 of 499 rows of
	// the UCI Water Treatment Plant record (municipal) have it the other way round
	// in the influent and 1 of 490 in the effluent.
	{a: "bod", b: "cod", plausible: func(bod, cod float64) bool { return bod <= cod }},
	// Algae in the afternoon reach 150 % at most. Starting value, unverified.
	{a: "do", b: "temperature", onlyA: true, plausible: func(do, temperature float64) bool {
		return do <= mostSaturated*Saturation(temperature)
	}},
}

// mostSaturated is how much of its saturation dissolved oxygen may be.
const mostSaturated = 1.5

// Saturation returns the dissolved oxygen, in mg/L, that fresh water of a
// temperature in °C holds at sea level, by Benson and Krause (Limnol. Oceanogr.
// 29, 1984, equation 32 with a salinity of 0), as Standard Methods 4500-O has it.
// It is for 0 to 40 °C; warmer water is taken for 40 °C and colder for 0 °C.
func Saturation(temperature float64) float64 {
	t := math.Min(math.Max(temperature, 0), 40) + 273.15
	return math.Exp(-139.34411 + 1.575701e5/t - 6.642308e7/(t*t) + 1.243800e10/(t*t*t) - 8.621949e11/(t*t*t*t))
}

// crossed is a comparison of a site's parameters.
type crossed struct {
	*comparison
	a, b *water.Parameter
}

func crossings(parameters *water.Parameters) []crossed {
	var all []crossed
	for i := range comparisons {
		c := &comparisons[i]
		all = append(all, crossed{c, parameters.Lookup([]byte(c.a)), parameters.Lookup([]byte(c.b))})
	}
	return all
}

// judge returns flags for a and b; 0 says nothing. What is missing, or cannot be
// true already, accuses nobody.
func (c *crossed) judge(a, b float64, testsA, testsB water.Tests, settingsA, settingsB *Settings) (forA, forB water.Flag) {
	flag := water.Good
	switch {
	case settingsA.Alone || settingsB.Alone:
		return 0, 0
	case math.IsNaN(a) || math.IsNaN(b), testsA.Flag(water.GrossRangeTest) == water.Bad, testsB.Flag(water.GrossRangeTest) == water.Bad:
		flag = water.NotEvaluated
	case !c.plausible(a, b):
		flag = water.Suspect
	}
	if c.onlyA {
		return flag, 0
	}
	return flag, flag
}
