package water

import (
	"math"
	"strings"
	"testing"
)

func TestConvert(t *testing.T) {
	for _, test := range []struct {
		value    float64
		from, to Unit
		want     float64
	}{
		{1, "L/s", "m3/h", 3.6},
		{3.6, "m3/h", "L/s", 1},
		{1, "m3/s", "m3/h", 3600},
		{24, "m3/d", "m3/h", 1},
		{60, "L/min", "L/s", 1},
		{1000, "L/h", "m3/h", 1},
		{1, "m3/s", "L/s", 1000},
		{1, "mS/cm", "µS/cm", 1000},
		{100, "mS/m", "mS/cm", 1},
		{1, "S/m", "µS/cm", 10000},
		{212, "°F", "°C", 100},
		{32, "°F", "°C", 0},
		{-40, "°F", "°C", -40},
		{0, "°C", "°F", 32},
		{273.15, "K", "°C", 0},
		{0, "°C", "K", 273.15},
		{0, "K", "°F", -459.67},
		{1, "g/L", "mg/L", 1000},
		{5, "µg/L", "mg/L", 0.005},
		{2, "g/m3", "mg/L", 2},
		{150, "cm", "m", 1.5},
		{1500, "mm", "cm", 150},
		{0.2, "V", "mV", 200},
		{7, "pH", "", 7},
		{7, "", "pH", 7},
		{3, "NTU", "NTU", 3},
		{-1, "m", "cm", -100},
		{0, "L/s", "m3/h", 0},
	} {
		got, err := Convert(test.value, test.from, test.to)
		if err != nil || math.Abs(got-test.want) > 1e-9*max(1, math.Abs(test.want)) {
			t.Errorf("Convert(%v, %q, %q) = %v, %v; want %v", test.value, test.from, test.to, got, err, test.want)
		}
		back, err := Convert(got, test.to, test.from)
		if err != nil || math.Abs(back-test.value) > 1e-9*max(1, math.Abs(test.value)) {
			t.Errorf("Convert(%v, %q, %q) = %v, %v; want %v back", got, test.to, test.from, back, err, test.value)
		}
	}
	if got, err := Convert(math.NaN(), "L/s", "m3/h"); err != nil || !math.IsNaN(got) {
		t.Errorf("Convert(NaN) = %v, %v; want NaN", got, err)
	}
}

func TestConvertTellsWhatWouldBeRight(t *testing.T) {
	for _, test := range []struct {
		from, to Unit
		want     string
	}{
		{"ppm", "mg/L", `no unit "ppm"; have g/L, g/m3, mg/L, µg/L`},
		{"mg/l", "mg/L", `no unit "mg/l"; have g/L, g/m3, mg/L, µg/L`},
		{"m3/h", "gpm", `no unit "gpm"; have L/h, L/min, L/s, m3/d, m3/h, m3/s`},
		{"L/s", "mg/L", `"L/s" is no unit of concentration; have g/L, g/m3, mg/L, µg/L`},
		{"NTU", "FNU", `"NTU" is no unit of turbidity, infrared; have FNU`},
		{"mg/L", "", `"mg/L" is no unit of ph; have pH`},
		{"furlong", "fathom", `no unit "furlong"; have FNU, K, `},
	} {
		if _, err := Convert(1, test.from, test.to); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("Convert from %q to %q: %v, want %s", test.from, test.to, err, test.want)
		}
	}
}

func TestKnown(t *testing.T) {
	for unit, want := range map[Unit]bool{"mg/L": true, "": true, "pH": true, "ppm": false, "MG/L": false} {
		if got := unit.Known(); got != want {
			t.Errorf("%q is known: %t, want %t", unit, got, want)
		}
	}
}
