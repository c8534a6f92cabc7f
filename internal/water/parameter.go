package water

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Parameter is a property of water that is measured.
type Parameter struct {
	Code     string   // field, label and key: "nh3n"
	Aliases  []string // other spellings that loggers use, lower case; local ones stand here and nowhere else
	Name     string   // in English: "ammonia nitrogen"
	Unit     Unit
	Min, Max float64 // physically possible, in Unit, both ends included; outside is flagged Bad
	Source   string  // where name, unit and range come from
}

// builtin are the parameters that every site has. The ranges marked
// "starting value" hold until a site's own data or instruments say better; a
// site file narrows them per sensor.
var builtin = []Parameter{
	{Code: "bod", Aliases: []string{"bod5"}, Name: "biochemical oxygen demand, 5 days", Unit: "mg/L", Min: 0, Max: 30000, Source: "Standard Methods 5210 B; range: starting value, unverified"},
	{Code: "cod", Aliases: []string{"cod_cr"}, Name: "chemical oxygen demand", Unit: "mg/L", Min: 0, Max: 50000, Source: "Standard Methods 5220; range: starting value, unverified"},
	{Code: "ph", Name: "pH", Unit: "", Min: 0, Max: 14, Source: "Standard Methods 4500-H+ B; the scale's ends"},
	{Code: "tss", Aliases: []string{"ss"}, Name: "total suspended solids", Unit: "mg/L", Min: 0, Max: 20000, Source: "Standard Methods 2540 D; range: starting value, unverified"},
	{Code: "temperature", Aliases: []string{"temp", "suhu"}, Name: "water temperature", Unit: "°C", Min: -5, Max: 60, Source: "Standard Methods 2550 B; range: starting value, unverified"},
	{Code: "do", Aliases: []string{"dissolved_oxygen"}, Name: "dissolved oxygen", Unit: "mg/L", Min: 0, Max: 20, Source: "Standard Methods 4500-O; range: starting value, unverified"},
	{Code: "ec", Aliases: []string{"dhl", "conductivity"}, Name: "electrical conductivity", Unit: "µS/cm", Min: 0, Max: 60000, Source: "Standard Methods 2510 B; range: starting value, unverified"},
	{Code: "turbidity", Aliases: []string{"kekeruhan"}, Name: "turbidity", Unit: "NTU", Min: 0, Max: 4000, Source: "Standard Methods 2130 B; range: starting value, unverified"},
	{Code: "nh3n", Aliases: []string{"nh3-n", "nh3_n", "amonia"}, Name: "ammonia nitrogen", Unit: "mg/L", Min: 0, Max: 2000, Source: "Standard Methods 4500-NH3; range: starting value, unverified"},
	{Code: "flow", Aliases: []string{"debit"}, Name: "flow", Unit: "m3/h", Min: 0, Max: 1000000, Source: "ISO 4373; range: starting value, unverified"},
	{Code: "level", Aliases: []string{"kedalaman", "depth"}, Name: "water level", Unit: "m", Min: -10, Max: 50, Source: "ISO 4373; range: starting value, unverified"},
	{Code: "orp", Aliases: []string{"redox"}, Name: "oxidation-reduction potential", Unit: "mV", Min: -1000, Max: 1000, Source: "Standard Methods 2580 B; range: starting value, unverified"},
	{Code: "tds", Name: "total dissolved solids", Unit: "mg/L", Min: 0, Max: 50000, Source: "Standard Methods 2540 C; range: starting value, unverified"},
	{Code: "no3n", Aliases: []string{"no3-n", "no3_n", "nitrat"}, Name: "nitrate nitrogen", Unit: "mg/L", Min: 0, Max: 1000, Source: "Standard Methods 4500-NO3; range: starting value, unverified"},
	{Code: "no2n", Aliases: []string{"no2-n", "no2_n", "nitrit"}, Name: "nitrite nitrogen", Unit: "mg/L", Min: 0, Max: 500, Source: "Standard Methods 4500-NO2; range: starting value, unverified"},
	{Code: "total_n", Aliases: []string{"tn"}, Name: "total nitrogen", Unit: "mg/L", Min: 0, Max: 5000, Source: "Standard Methods 4500-N; range: starting value, unverified"},
	{Code: "po4p", Aliases: []string{"po4-p", "po4_p"}, Name: "orthophosphate phosphorus", Unit: "mg/L", Min: 0, Max: 1000, Source: "Standard Methods 4500-P; range: starting value, unverified"},
	{Code: "total_p", Aliases: []string{"tp"}, Name: "total phosphorus", Unit: "mg/L", Min: 0, Max: 1000, Source: "Standard Methods 4500-P; range: starting value, unverified"},
	{Code: "oil", Aliases: []string{"minyak", "oil_grease"}, Name: "oil and grease", Unit: "mg/L", Min: 0, Max: 20000, Source: "Standard Methods 5520; range: starting value, unverified"},
	{Code: "fecal_coliform", Name: "fecal coliform", Unit: "MPN/100mL", Min: 0, Max: 1e10, Source: "Standard Methods 9221; range: starting value, unverified"},
	{Code: "total_coliform", Name: "total coliform", Unit: "MPN/100mL", Min: 0, Max: 1e10, Source: "Standard Methods 9221; range: starting value, unverified"},
}

// Parameters are those a site knows: the built-in ones and its own.
type Parameters struct {
	byName map[string]*Parameter // code or alias, lower case
	list   []*Parameter
}

// codePattern is what a code or an alias may be: it becomes a field, a label
// and a JSON key. A code that ends in a suffix of the storage format would be
// read back as something else.
var (
	codePattern  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	aliasPattern = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	reserved     = []string{"time"}
	suffixes     = []string{"_qc", "_qc_tests", "_censor", "_lab", "_analysis", "_sample", "_revision", "_analysed", "_model", "_low", "_high"}
)

// NewParameters returns the built-in parameters and the site's own beside
// them. It fails on a code or an alias that is taken, misspelled or reserved,
// on Min > Max, and on an unknown unit.
func NewParameters(own ...Parameter) (*Parameters, error) {
	p := &Parameters{byName: make(map[string]*Parameter)}
	for _, q := range slices.Concat(builtin, own) {
		if err := p.add(q); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Parameters) add(q Parameter) error {
	switch {
	case !codePattern.MatchString(q.Code):
		return fmt.Errorf("parameter %q: a code is lower case letters, digits and '_', and starts with a letter", q.Code)
	case slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(q.Code, s) }):
		return fmt.Errorf("parameter %q: this name is reserved", q.Code)
	case !q.Unit.Known():
		return fmt.Errorf("parameter %q: no unit %q; have %s", q.Code, q.Unit, unitsLike(q.Unit))
	case q.Min > q.Max:
		return fmt.Errorf("parameter %q: range [%v, %v] is empty", q.Code, q.Min, q.Max)
	}
	for _, name := range append([]string{q.Code}, q.Aliases...) {
		if name != q.Code && !aliasPattern.MatchString(name) {
			return fmt.Errorf("parameter %q: alias %q: lower case letters, digits, '_' and '-'", q.Code, name)
		}
		if slices.Contains(reserved, name) {
			return fmt.Errorf("parameter %q: the name %q is reserved", q.Code, name)
		}
		if taken, ok := p.byName[name]; ok {
			return fmt.Errorf("parameter %q: %q is taken by %q", q.Code, name, taken.Code)
		}
	}
	own := q
	own.Aliases = slices.Clone(q.Aliases)
	p.list = append(p.list, &own)
	p.byName[own.Code] = &own
	for _, alias := range own.Aliases {
		p.byName[alias] = &own
	}
	return nil
}

// All returns every parameter, the built-in ones first. The caller must not
// change them.
func (p *Parameters) All() []*Parameter { return p.list }

// Lookup returns the parameter that a code or alias names, in any case, or nil.
func (p *Parameters) Lookup(name []byte) *Parameter {
	var buf [32]byte
	if len(name) > len(buf) {
		return p.byName[strings.ToLower(string(name))]
	}
	lower := buf[:len(name)]
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return p.byName[string(lower)]
}
