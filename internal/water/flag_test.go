package water

import (
	"slices"
	"testing"
)

// The numbers are QARTOD's and stand in databases: they never change.
func TestFlags(t *testing.T) {
	for flag := range Flag(12) {
		want := map[Flag]string{1: "good", 2: "not evaluated", 3: "suspect", 4: "bad", 9: "missing"}[flag]
		if want == "" {
			want = "no such flag"
		}
		if got := flag.String(); got != want {
			t.Errorf("flag %d is %q, want %q", flag, got, want)
		}
		if got, want := flag.Usable(), flag >= 1 && flag <= 3; got != want {
			t.Errorf("flag %d is usable: %t, want %t", flag, got, want)
		}
	}
}

func TestReasonsAreLabelValues(t *testing.T) {
	reasons := Reasons()
	for i, r := range reasons {
		if !codePattern.MatchString(string(r)) {
			t.Errorf("reason %q is no word for a label", r)
		}
		if slices.Index(reasons, r) != i {
			t.Errorf("reason %q comes twice", r)
		}
	}
}

func TestRangeIsTheInstrumentsOrTheParameters(t *testing.T) {
	p := builtinParameters(t)
	cod, ph := p.Lookup([]byte("cod")), p.Lookup([]byte("ph"))
	s := &Station{Instruments: map[string]Instrument{"cod": {Parameter: cod, Min: 5, Max: 1500}}}
	if lowest, highest := s.Range(cod); lowest != 5 || highest != 1500 {
		t.Errorf("range of cod is [%v, %v], want [5, 1500]", lowest, highest)
	}
	if lowest, highest := s.Range(ph); lowest != 0 || highest != 14 {
		t.Errorf("range of ph is [%v, %v], want [0, 14]", lowest, highest)
	}
}
