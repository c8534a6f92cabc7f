package payload

import (
	"bytes"
	"strings"

	"tofuwatch/internal/water"
)

// spellings are how devices write units, in lower case and without spaces, where
// that is not how [water.Unit] does: SenML's names (RFC 8428, 12.1; RFC 8798),
// those of Decentlab's decoders, and what programmers of loggers type.
var spellings = map[string]water.Unit{
	"ph": "pH", "phunits": "pH", "unitph": "pH",
	"cel": "°C", "degc": "°C", "deg_c": "°C", "celsius": "°C", "c": "°C", "℃": "°C", "degf": "°F", "fahrenheit": "°F", "k": "K",
	"mg/l": "mg/L", "mgl-1": "mg/L", "mgperl": "mg/L", "g/m3": "g/m3", "g/m^3": "g/m3", "kg/m3": "g/L", "g/l": "g/L",
	"µg/l": "µg/L", "ug/l": "µg/L",
	"µs/cm": "µS/cm", "us/cm": "µS/cm", "µscm-1": "µS/cm", "ms/cm": "mS/cm", "mscm-1": "mS/cm", "ms/m": "mS/m", "s/m": "S/m",
	"m3/h": "m3/h", "m^3/h": "m3/h", "m³/h": "m3/h", "m3/hr": "m3/h", "m3/s": "m3/s", "m^3/s": "m3/s", "m³/s": "m3/s",
	"m3/d": "m3/d", "m³/d": "m3/d", "m3/day": "m3/d",
	"l/s": "L/s", "lps": "L/s", "l/min": "L/min", "lpm": "L/min", "l/h": "L/h",
	"m": "m", "meter": "m", "cm": "cm", "mm": "mm",
	"mv": "mV", "v": "V", "volt": "V", "volts": "V",
	"ntu": "NTU", "fnu": "FNU",
	"mpn/100ml": "MPN/100mL",
}

// unitWriting are other ways to write the same signs.
var unitWriting = strings.NewReplacer(" ", "", "⋅", "", "·", "", "⁻¹", "-1", "μ", "µ", "deg.", "deg")

// unitOf returns the unit that a message states as text, whether that states
// one at all, and whether it is known.
func unitOf(text []byte) (unit water.Unit, stated, known bool) {
	text = bytes.Trim(text, whiteSpace)
	if len(text) == 0 || string(text) == "-" {
		return "", false, false
	}
	if u := water.Unit(text); u.Known() {
		return u, true, true
	}
	u, known := spellings[strings.ToLower(unitWriting.Replace(string(text)))]
	return u, true, known && u.Known()
}
