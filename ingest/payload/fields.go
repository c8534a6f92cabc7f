package payload

import (
	"maps"
	"slices"
	"strings"

	"tofuwatch/internal/water"
)

// A field is what a name in a message stands for.
type field struct {
	parameter *water.Parameter // nil: the site file says that it is not wanted
	unit      water.Unit       // of values whose message states none
	unitGiven bool             // the site file says so
}

// fields are what names stand for, in lower case.
type fields map[string]*field

func newFields(s Settings) fields {
	fs := make(fields)
	for _, p := range s.Parameters.All() {
		f := &field{parameter: p, unit: p.Unit}
		if unit, ok := s.Units[p.Code]; ok {
			f.unit, f.unitGiven = unit, true
		}
		for _, name := range append([]string{p.Code}, p.Aliases...) {
			fs[name] = f
		}
	}
	// In the order of names, so that one of them that differs in case only
	// always wins.
	own := make(fields)
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		given := s.Fields[name]
		f := *fs[given.Parameter.Code]
		if given.UnitGiven {
			f.unit, f.unitGiven = given.Unit, true
		}
		own[lower(name)] = &f
	}
	maps.Copy(fs, own)
	for _, name := range s.Ignore {
		fs[lower(name)] = new(field)
	}
	return fs
}

// lookup returns what name stands for, in any case, or nil.
func (fs fields) lookup(name []byte) *field {
	var buf [32]byte
	if len(name) > len(buf) {
		return fs[lower(string(name))]
	}
	low := buf[:len(name)]
	for i, c := range name {
		low[i] = lowerByte(c)
	}
	return fs[string(low)]
}

// lower returns s with its ASCII letters in lower case: what else there is has
// no case that loggers agree on.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 {
			return rune(lowerByte(byte(r)))
		}
		return r
	}, s)
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}
