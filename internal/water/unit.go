package water

import (
	"fmt"
	"slices"
	"strings"
)

// A Unit is a unit of measurement as it is written for people: "mg/L", "µS/cm".
// The empty Unit is that of pH.
type Unit string

// conversion turns a value into the base unit of its dimension:
// base = value*scale + offset.
type conversion struct {
	dimension     string
	scale, offset float64
}

// units are all spellings that a site file or a payload may use. Factors are
// exact: they follow from the definitions of the SI prefixes, the litre
// (1 dm3), the hour (3600 s) and the degree Celsius (T − 273.15 K).
var units = map[Unit]conversion{
	"": {"ph", 1, 0}, "pH": {"ph", 1, 0},

	"mg/L": {"concentration", 1, 0}, "g/L": {"concentration", 1e3, 0},
	"µg/L": {"concentration", 1e-3, 0}, "g/m3": {"concentration", 1, 0},

	"°C": {"temperature", 1, 0}, "K": {"temperature", 1, -273.15},
	"°F": {"temperature", 5.0 / 9, -160.0 / 9},

	"µS/cm": {"conductivity", 1, 0}, "mS/cm": {"conductivity", 1e3, 0},
	"mS/m": {"conductivity", 10, 0}, "S/m": {"conductivity", 1e4, 0},

	"m3/h": {"flow", 1, 0}, "m3/s": {"flow", 3600, 0}, "m3/d": {"flow", 1.0 / 24, 0},
	"L/s": {"flow", 3.6, 0}, "L/min": {"flow", 0.06, 0}, "L/h": {"flow", 1e-3, 0},

	"m": {"length", 1, 0}, "cm": {"length", 1e-2, 0}, "mm": {"length", 1e-3, 0},

	"mV": {"potential", 1, 0}, "V": {"potential", 1e3, 0},

	"NTU": {"turbidity, white light", 1, 0},
	"FNU": {"turbidity, infrared", 1, 0}, // another instrument than NTU: no factor joins them

	"MPN/100mL": {"bacteria", 1, 0},
}

// Known reports whether u is a unit that [Convert] can handle.
func (u Unit) Known() bool { _, ok := units[u]; return ok }

// Convert returns value, given in from, in the unit to. It fails if it knows
// either unit not, or if they measure different things.
func Convert(value float64, from, to Unit) (float64, error) {
	if from == to {
		return value, nil
	}
	f, ok := units[from]
	t, ok2 := units[to]
	switch {
	case !ok:
		return 0, fmt.Errorf("no unit %q; have %s", from, unitsLike(to))
	case !ok2:
		return 0, fmt.Errorf("no unit %q; have %s", to, unitsLike(from))
	case f.dimension != t.dimension:
		return 0, fmt.Errorf("%q is no unit of %s; have %s", from, t.dimension, unitsLike(to))
	}
	return (value*f.scale + f.offset - t.offset) / t.scale, nil
}

// unitsLike lists the units of u's dimension, or all where u is unknown.
func unitsLike(u Unit) string {
	want, known := units[u]
	var have []string
	for name, c := range units {
		if name != "" && (!known || c.dimension == want.dimension) {
			have = append(have, string(name))
		}
	}
	slices.Sort(have)
	return strings.Join(have, ", ")
}
