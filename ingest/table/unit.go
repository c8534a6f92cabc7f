package table

import (
	"strings"

	"tofuwatch/internal/water"
)

// unitSpellings are what people write for units, beside the unit itself in any
// case. The keys are folded by foldUnit.
var unitSpellings = map[string]water.Unit{
	"mg/l": "mg/L", "mgl-1": "mg/L", "mg/lt": "mg/L", "mg/ltr": "mg/L", "mg/liter": "mg/L", "mg/litre": "mg/L",
	"g/l": "g/L", "ug/l": "µg/L", "g/m3": "g/m3",
	"c": "°C", "oc": "°C", "°c": "°C", "ºc": "°C", "degc": "°C", "celsius": "°C", "k": "K", "°f": "°F", "f": "°F",
	"us/cm": "µS/cm", "umhos/cm": "µS/cm", "umho/cm": "µS/cm", "ms/cm": "mS/cm", "ms/m": "mS/m", "s/m": "S/m",
	"m3/h": "m3/h", "m3/jam": "m3/h", "m3/hr": "m3/h", "m3/s": "m3/s", "m3/detik": "m3/s", "m3/det": "m3/s", "m3/dtk": "m3/s",
	"m3/d": "m3/d", "m3/hari": "m3/d", "m3/day": "m3/d",
	"l/s": "L/s", "l/detik": "L/s", "l/det": "L/s", "l/dtk": "L/s", "liter/detik": "L/s",
	"l/min": "L/min", "l/menit": "L/min", "l/h": "L/h", "l/jam": "L/h",
	"m": "m", "meter": "m", "cm": "cm", "mm": "mm", "mv": "mV", "v": "V",
	"ntu": "NTU", "fnu": "FNU",
	"mpn/100ml": "MPN/100mL", "jml/100ml": "MPN/100mL", "jumlah/100ml": "MPN/100mL", "jpt/100ml": "MPN/100mL",
	"ph": "", "phunit": "", "-": "", "": "", "unitph": "", "satuanph": "",
}

// foldUnit takes the differences out of a unit that mean nothing.
var foldUnit = strings.NewReplacer(" ", "", "\u00a0", "", "³", "3", "µ", "u", "μ", "u", "⁻¹", "-1", "^", "", "·", "", "\\", "/")

// ReadUnit returns the unit that people mean by s, if one is known.
func ReadUnit(s string) (water.Unit, bool) {
	u, ok := unitSpellings[strings.ToLower(foldUnit.Replace(s))]
	return u, ok
}
