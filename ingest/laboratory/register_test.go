package laboratory

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/water"
)

var (
	outlet  = &water.Station{ID: "ipal-01"}
	cod     = &water.Parameter{Code: "cod"}
	sampled = time.Date(2026, 10, 5, 0, 30, 0, 0, time.UTC)
)

// opened returns a register that ends with the test.
func opened(t testing.TB, file string) *Register {
	t.Helper()
	r, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// result is a laboratory's, with details as "sample/laboratory".
func result(value float64, revision int, details string) water.Observation {
	name, lab, _ := strings.Cut(details, "/")
	return water.Observation{
		Station: outlet, Parameter: cod, Method: water.Lab, Value: value, Flag: water.Good, Time: sampled,
		Result: &water.Result{Sample: name, Laboratory: lab, Revision: revision},
	}
}

// take enters results one after the other, and returns what became of the last: the
// verdict, and what is to be stored as "method value r<revision> +<after the sample>".
func take(t testing.TB, r *Register, again bool, results ...water.Observation) (Verdict, []string) {
	t.Helper()
	c, err := r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Rollback()
	var verdict Verdict
	var stored []string
	for _, o := range results {
		v, kept, err := c.Take(o, again)
		if err != nil {
			t.Fatal(err)
		}
		verdict, stored = v, nil
		for _, k := range kept {
			stored = append(stored, fmt.Sprintf("%s %s%v r%d +%d", k.Method, k.Censor, k.Value, k.Result.Revision, k.Time.Sub(sampled)))
		}
	}
	if err := c.Commit(); err != nil {
		t.Fatal(err)
	}
	return verdict, stored
}

func TestTake(t *testing.T) {
	below := result(2, 0, "")
	below.Censor = water.Below
	for name, tt := range map[string]struct {
		results []water.Observation
		verdict Verdict
		want    []string
	}{
		"the first":                     {[]water.Observation{result(100, 0, "")}, New, []string{"lab 100 r1 +0"}},
		"the first has a number":        {[]water.Observation{result(100, 3, "")}, New, []string{"lab 100 r3 +0"}},
		"the same again":                {[]water.Observation{result(100, 0, ""), result(100, 0, "")}, Unchanged, nil},
		"another value":                 {[]water.Observation{result(100, 0, ""), result(90, 0, "")}, Corrected, []string{"lab 90 r2 +0", "lab_superseded 100 r1 +0"}},
		"censored now":                  {[]water.Observation{result(2, 0, ""), below}, Corrected, []string{"lab <2 r2 +0", "lab_superseded 2 r1 +0"}},
		"corrected twice":               {[]water.Observation{result(100, 0, ""), result(90, 0, ""), result(80, 0, "")}, Corrected, []string{"lab 80 r3 +0", "lab_superseded 90 r2 +1000000"}},
		"what was corrected comes back": {[]water.Observation{result(100, 0, ""), result(90, 0, ""), result(100, 0, "")}, Outdated, nil},
		"a higher number":               {[]water.Observation{result(100, 1, ""), result(90, 2, "")}, Corrected, []string{"lab 90 r2 +0", "lab_superseded 100 r1 +0"}},
		"a higher number, the value of old": {
			[]water.Observation{result(100, 1, ""), result(90, 2, ""), result(100, 3, "")},
			Corrected,
			[]string{"lab 100 r3 +0", "lab_superseded 90 r2 +1000000"},
		},
		"a lower number comes late":       {[]water.Observation{result(90, 2, ""), result(100, 1, "")}, Outdated, []string{"lab_superseded 100 r1 +0"}},
		"a lower number comes late twice": {[]water.Observation{result(90, 2, ""), result(100, 1, ""), result(100, 1, "")}, Outdated, nil},
		"the same number, another value":  {[]water.Observation{result(100, 1, ""), result(90, 1, "")}, Corrected, []string{"lab 90 r1 +0", "lab_superseded 100 r1 +0"}},
		"without a number after one":      {[]water.Observation{result(100, 5, ""), result(90, 0, "")}, Corrected, []string{"lab 90 r6 +0", "lab_superseded 100 r5 +0"}},
		"another sample":                  {[]water.Observation{result(100, 0, "A"), result(90, 0, "B")}, New, []string{"lab 90 r1 +1"}},
		"another laboratory":              {[]water.Observation{result(100, 0, "A/DLH"), result(90, 0, "A/UPTD")}, New, []string{"lab 90 r1 +1"}},
		"the name comes with the correction": {
			[]water.Observation{result(100, 0, ""), result(90, 0, "A/DLH")},
			Corrected,
			[]string{"lab 90 r2 +0", "lab_superseded 100 r1 +0"},
		},
		"the name is written otherwise": {[]water.Observation{result(100, 0, "A 1/DLH Kota"), result(100, 0, "a  1/DLH  kota")}, Unchanged, nil},
		"the second sample is corrected": {
			[]water.Observation{result(100, 0, "A"), result(90, 0, "B"), result(80, 0, "B")},
			Corrected,
			[]string{"lab 80 r2 +1", "lab_superseded 90 r1 +1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdict, stored := take(t, opened(t, filepath.Join(t.TempDir(), "new", "laboratory.db")), false, tt.results...)
			if diff := cmp.Diff(tt.want, stored); diff != "" || verdict != tt.verdict {
				t.Errorf("got verdict %d, want %d; stored (-want +got):\n%s", verdict, tt.verdict, diff)
			}
		})
	}
}

// An InfluxDB that lost its data gets all of it again, at the same points.
func TestTakeAgain(t *testing.T) {
	r := opened(t, filepath.Join(t.TempDir(), "laboratory.db"))
	last := result(80, 0, "")
	last.Result.Analysed = sampled.Add(48 * time.Hour)
	take(t, r, false, result(100, 0, ""), result(90, 0, ""), last)
	verdict, stored := take(t, r, true, result(80, 0, ""))
	want := []string{"lab 80 r3 +0", "lab_superseded 100 r1 +0", "lab_superseded 90 r2 +1000000"}
	if diff := cmp.Diff(want, stored); diff != "" || verdict != Unchanged {
		t.Errorf("got verdict %d, want %d; stored (-want +got):\n%s", verdict, Unchanged, diff)
	}
}

func TestRegisterSurvives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "laboratory.db")
	r := opened(t, file)
	take(t, r, false, result(100, 0, ""))
	c, err := r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Take(result(90, 0, ""), false); err != nil {
		t.Fatal(err)
	}
	if err := c.SetImport("x", 7); err != nil {
		t.Fatal(err)
	}
	c.Rollback() // as a crash does
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = opened(t, file)
	if verdict, _ := take(t, r, false, result(90, 0, "")); verdict != Corrected {
		t.Errorf("got verdict %d of a result whose change was never kept, want %d", verdict, Corrected)
	}
	c, err = r.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Rollback()
	var kept int
	if ok, err := c.Import("x", &kept); ok || err != nil {
		t.Errorf("got import %d, %v, want none", kept, err)
	}
	for _, want := range []any{7, nil} {
		if err := c.SetImport("x", want); err != nil {
			t.Fatal(err)
		}
		ok, err := c.Import("x", &kept)
		if ok != (want != nil) || err != nil || ok && kept != want {
			t.Errorf("got import %d, %v, %v, want %v", kept, ok, err, want)
		}
	}
}
