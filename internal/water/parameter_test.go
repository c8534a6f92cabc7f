package water

import (
	"slices"
	"strings"
	"testing"
)

func builtinParameters(t *testing.T) *Parameters {
	t.Helper()
	p, err := NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The design's table: what a site can count on.
func TestBuiltinParameters(t *testing.T) {
	want := map[string]Unit{
		"bod": "mg/L", "cod": "mg/L", "ph": "", "tss": "mg/L", "temperature": "°C", "do": "mg/L", "ec": "µS/cm",
		"turbidity": "NTU", "nh3n": "mg/L", "flow": "m3/h", "level": "m", "orp": "mV", "tds": "mg/L", "no3n": "mg/L",
		"no2n": "mg/L", "total_n": "mg/L", "po4p": "mg/L", "total_p": "mg/L", "oil": "mg/L",
		"fecal_coliform": "MPN/100mL", "total_coliform": "MPN/100mL",
	}
	taken := make(map[string]string)
	for _, p := range builtinParameters(t).All() {
		unit, ok := want[p.Code]
		if !ok || p.Unit != unit {
			t.Errorf("%s has the unit %q, want %q (%t)", p.Code, p.Unit, unit, ok)
		}
		delete(want, p.Code)
		for _, name := range append([]string{p.Code}, p.Aliases...) {
			if other, ok := taken[name]; ok {
				t.Errorf("%q names both %s and %s", name, other, p.Code)
			}
			taken[name] = p.Code
			if name != strings.ToLower(name) {
				t.Errorf("%q of %s is not lower case", name, p.Code)
			}
		}
		if p.Min >= p.Max {
			t.Errorf("%s: range [%v, %v] is empty", p.Code, p.Min, p.Max)
		}
		if p.Name == "" || p.Source == "" {
			t.Errorf("%s: name %q and source %q; want both", p.Code, p.Name, p.Source)
		}
	}
	for code := range want {
		t.Errorf("%s is missing", code)
	}
}

func TestLookupInAnyCase(t *testing.T) {
	p := builtinParameters(t)
	for name, want := range map[string]string{
		"cod": "cod", "COD": "cod", "Cod": "cod", "pH": "ph", "Suhu": "temperature", "DEBIT": "flow",
		"NH3-N": "nh3n", "Oil_Grease": "oil", "dhl": "ec", "BOD5": "bod",
		"": "", "co": "", "codd": "", " cod": "", "cod ": "", "time": "",
		"ſs": "", "K": "", // letters that fold to others in Unicode only
		strings.Repeat("cod", 20): "",
	} {
		got := p.Lookup([]byte(name))
		if want == "" && got != nil || want != "" && (got == nil || got.Code != want) {
			t.Errorf("Lookup(%q) = %+v, want %q", name, got, want)
		}
	}
	const long = "a_code_that_has_more_than_32_letters_in_it"
	own, err := NewParameters(Parameter{Code: long, Unit: "mg/L", Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := own.Lookup([]byte(strings.ToUpper(long))); got == nil || got.Code != long {
		t.Errorf("Lookup of a long code = %+v, want it", got)
	}
}

func TestNewParametersRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		own  Parameter
		want string
	}{
		"upper case":             {Parameter{Code: "Alkalinity", Unit: "mg/L"}, "a code is lower case letters, digits and '_', and starts with a letter"},
		"no code":                {Parameter{Unit: "mg/L"}, "a code is lower case letters"},
		"starts with a digit":    {Parameter{Code: "2nd", Unit: "mg/L"}, "starts with a letter"},
		"a flag's suffix":        {Parameter{Code: "cod_qc", Unit: "mg/L"}, "this name is reserved"},
		"a censor's suffix":      {Parameter{Code: "cod_censor", Unit: "mg/L"}, "this name is reserved"},
		"the time":               {Parameter{Code: "time", Unit: "mg/L"}, `the name "time" is reserved`},
		"the time as alias":      {Parameter{Code: "hour", Aliases: []string{"time"}, Unit: "mg/L"}, `the name "time" is reserved`},
		"unknown unit":           {Parameter{Code: "alkalinity", Unit: "ppm"}, `no unit "ppm"; have FNU, K, `},
		"empty range":            {Parameter{Code: "alkalinity", Unit: "mg/L", Min: 2, Max: 1}, "range [2, 1] is empty"},
		"code of a builtin":      {Parameter{Code: "cod", Unit: "mg/L"}, `"cod" is taken by "cod"`},
		"alias of a builtin":     {Parameter{Code: "suhu", Unit: "°C"}, `"suhu" is taken by "temperature"`},
		"code as alias":          {Parameter{Code: "oxygen", Aliases: []string{"do"}, Unit: "mg/L"}, `"do" is taken by "do"`},
		"alias in upper case":    {Parameter{Code: "alkalinity", Aliases: []string{"ALK"}, Unit: "mg/L"}, `alias "ALK": lower case letters, digits, '_' and '-'`},
		"alias with other signs": {Parameter{Code: "alkalinity", Aliases: []string{"a.b"}, Unit: "mg/L"}, `alias "a.b"`},
	} {
		if _, err := NewParameters(test.own); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestNewParametersCopies(t *testing.T) {
	own := Parameter{Code: "alkalinity", Aliases: []string{"alk"}, Name: "total alkalinity", Unit: "mg/L", Max: 5000, Source: "Standard Methods 2320 B"}
	p, err := NewParameters(own)
	if err != nil {
		t.Fatal(err)
	}
	own.Aliases[0] = "changed"
	got := p.Lookup([]byte("ALK"))
	if got == nil || !slices.Equal(got.Aliases, []string{"alk"}) {
		t.Errorf("Lookup of the alias = %+v, want it as it was given", got)
	}
	if all := p.All(); all[len(all)-1] != got {
		t.Errorf("the last of All() is %+v, want %+v", all[len(all)-1], got)
	}
}
