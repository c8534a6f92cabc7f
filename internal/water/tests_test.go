package water

import (
	"strings"
	"testing"
)

// row is a flag for each of some tests, as QARTOD's code takes it.
func row(flags ...Flag) Flag {
	worst := Missing
	for _, f := range flags {
		worst = worst.Worse(f)
	}
	return worst
}

// The vector of ioos_qc (tests/test_qartod.py): three tests of eight readings.
func TestAggregateHasQartodsPrecedence(t *testing.T) {
	one, two, three := []Flag{1, 1, 1, 9, 1, 1, 9, 9}, []Flag{2, 1, 1, 1, 1, 1, 9, 9}, []Flag{1, 3, 3, 4, 3, 1, 2, 9}
	want := []Flag{1, 3, 3, 4, 3, 1, 2, 9}
	for i := range want {
		if got := row(one[i], two[i], three[i]); got != want[i] {
			t.Errorf("reading %d: got %d, want %d", i, got, want[i])
		}
	}
}

func TestTests(t *testing.T) {
	for digits, want := range map[string]struct{ flag, doubtful string }{
		"22222222222": {"2", "00000000000"},
		"21112111222": {"1", "00000000000"},
		"11114111122": {"4", "00004000000"},
		"11132411122": {"4", "00030400000"},
		"99999999999": {"9", "00000000000"},
		"11999999999": {"9", "00000000000"},
		// Timing, syntax and location say nothing of the value.
		"44412111122": {"1", "44400000000"},
		"11131111133": {"3", "00030000033"},
	} {
		tests, ok := ParseTests(digits)
		if !ok || tests.String() != digits {
			t.Errorf("%s is read as %s (%t)", digits, tests, ok)
		}
		if got := tests.Aggregate(); want.flag != string('0'+rune(got)) {
			t.Errorf("%s: flag %d, want %s", digits, got, want.flag)
		}
		var doubtful strings.Builder
		for _, test := range AllTests() {
			doubtful.WriteRune('0' + rune(tests.Doubtful()>>(bitsPerTest*(test-1))&testMask))
		}
		if got := doubtful.String(); got != want.doubtful {
			t.Errorf("%s: doubtful %s, want %s", digits, got, want.doubtful)
		}
	}
	for _, bad := range []string{"", "1", "1111111111", "111111111111", "11111011111", "1111111111x", "51111111111"} {
		if tests, ok := ParseTests(bad); ok {
			t.Errorf("%q is read as %s", bad, tests)
		}
	}
	if got, want := Tests(0).String(), "22222222222"; got != want {
		t.Errorf("no tests are %s, want %s", got, want)
	}
	if AllMissing.Aggregate() != Missing || AllMissing.String() != "99999999999" {
		t.Errorf("a missing value has %s, %s", AllMissing, AllMissing.Aggregate())
	}
}

func TestNamesOfTests(t *testing.T) {
	all := AllTests()
	if len(all) != 11 || all[0] != 1 || all[10] != NeighbourTest {
		t.Errorf("tests are %v, want QARTOD's eleven", all)
	}
	seen := make(map[string]bool)
	for _, test := range all {
		if name := test.String(); name == "" || seen[name] {
			t.Errorf("test %d is called %q", test, name)
		} else {
			seen[name] = true
		}
	}
	if got := Test(0).String(); got != "no such test" {
		t.Errorf("test 0 is called %q", got)
	}
}
