package water

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The four shapes of a limit.
var (
	maxCOD   = Limit{Parameter: "cod", Unit: "mg/L", Bound: Max, Value: 300}
	minDO    = Limit{Parameter: "do", Unit: "mg/L", Bound: Min, Value: 4}
	noMinDO  = Limit{Parameter: "do", Unit: "mg/L", Bound: Min, Value: 0}
	minPH    = Limit{Parameter: "ph", Bound: Min, Value: 6, Range: true}
	maxPH    = Limit{Parameter: "ph", Bound: Max, Value: 9, Range: true}
	warming  = Limit{Parameter: "temperature", Unit: "°C", Bound: Deviation, Value: 3}
	unknown  = math.NaN()
	infinite = math.Inf(1)
)

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		limit     Limit
		value     float64
		censor    Censor
		reference float64
		want      Verdict
	}{
		"maximum, equal":             {maxCOD, 300, Uncensored, unknown, Complies},
		"maximum, just above":        {maxCOD, math.Nextafter(300, infinite), Uncensored, unknown, Exceeds},
		"maximum, below":             {maxCOD, 0, Uncensored, unknown, Complies},
		"maximum, no value":          {maxCOD, unknown, Uncensored, unknown, Undecided},
		"minimum, equal":             {minDO, 4, Uncensored, unknown, Complies},
		"minimum, just below":        {minDO, math.Nextafter(4, 0), Uncensored, unknown, Exceeds},
		"minimum, nothing left":      {minDO, 0, Uncensored, unknown, Exceeds},
		"minimum, no value":          {minDO, unknown, Uncensored, unknown, Undecided},
		"minimum of 0 is not passed": {noMinDO, -0.1, Uncensored, unknown, Complies},
		"range, lower end":           {minPH, 6, Uncensored, unknown, Complies},
		"range, below":               {minPH, 5.99, Uncensored, unknown, Exceeds},
		"range, upper end":           {maxPH, 9, Uncensored, unknown, Complies},
		"range, above":               {maxPH, 9.01, Uncensored, unknown, Exceeds},
		"deviation, equal":           {warming, 31, Uncensored, 28, Complies},
		"deviation, warmer":          {warming, 31.5, Uncensored, 28, Exceeds},
		"deviation, colder":          {warming, 24.5, Uncensored, 28, Exceeds},
		"deviation, no reference":    {warming, 90, Uncensored, unknown, Undecided},
		"deviation, censored":        {warming, 31.5, Above, 28, Undecided},

		"maximum, less than the limit":       {maxCOD, 300, Below, unknown, Complies},
		"maximum, less than more than it":    {maxCOD, 301, Below, unknown, Undecided},
		"maximum, more than the limit":       {maxCOD, 300, Above, unknown, Exceeds},
		"maximum, more than less than it":    {maxCOD, 299, Above, unknown, Undecided},
		"minimum, less than the limit":       {minDO, 4, Below, unknown, Exceeds},
		"minimum, less than more than it":    {minDO, 5, Below, unknown, Undecided},
		"minimum, more than the limit":       {minDO, 4, Above, unknown, Complies},
		"minimum, more than less than it":    {minDO, 2, Above, unknown, Undecided},
		"minimum of 0, less than something":  {noMinDO, 1, Below, unknown, Complies},
		"a limit without a bound says never": {Limit{}, 1, Uncensored, unknown, Undecided},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.limit.Judge(test.value, test.censor, test.reference); got != test.want {
				t.Errorf("Judge(%v, %q, %v) = %v, want %v", test.value, test.censor, test.reference, got, test.want)
			}
		})
	}
}

func TestTimesAndOutside(t *testing.T) {
	for name, test := range map[string]struct {
		limit            Limit
		value, reference float64
		times, outside   float64
	}{
		"maximum":                   {maxCOD, 2590, unknown, 2590.0 / 300, 2290},
		"maximum, equal":            {maxCOD, 300, unknown, 1, 0},
		"maximum, below":            {maxCOD, 150, unknown, 0.5, 0},
		"maximum, capped":           {maxCOD, 1e6, unknown, MostTimes, 1e6 - 300},
		"maximum of 0":              {Limit{Unit: "mg/L", Bound: Max}, 1, unknown, MostTimes, 1},
		"maximum of 0, equal":       {Limit{Unit: "mg/L", Bound: Max}, 0, unknown, 1, 0},
		"maximum below 0":           {Limit{Unit: "mV", Bound: Max, Value: -100}, -50, unknown, unknown, 50},
		"maximum, negative value":   {maxCOD, -1, unknown, 0, 0},
		"minimum":                   {minDO, 2, unknown, 2, 2},
		"minimum, above":            {minDO, 8, unknown, 0.5, 0},
		"minimum, nothing left":     {minDO, 0, unknown, MostTimes, 4},
		"minimum of 0":              {noMinDO, 0, unknown, 1, 0},
		"minimum of 0, above":       {noMinDO, 2, unknown, 0, 0},
		"range":                     {minPH, 4.5, unknown, unknown, 1.5},
		"range, other end":          {maxPH, 4.5, unknown, unknown, 0},
		"pH, one bound":             {Limit{Parameter: "ph", Bound: Max, Value: 9}, 9.5, unknown, unknown, 0.5},
		"deviation":                 {warming, 32, 28, 4.0 / 3, 1},
		"deviation, colder":         {warming, 26.5, 28, 0.5, 0},
		"deviation, no reference":   {warming, 32, unknown, unknown, unknown},
		"no value":                  {maxCOD, unknown, unknown, unknown, unknown},
		"minimum and negative, cap": {minDO, -1, unknown, MostTimes, 5},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.limit.Times(test.value, test.reference); !same(got, test.times) {
				t.Errorf("Times(%v, %v) = %v, want %v", test.value, test.reference, got, test.times)
			}
			if got := test.limit.Outside(test.value, test.reference); !same(got, test.outside) {
				t.Errorf("Outside(%v, %v) = %v, want %v", test.value, test.reference, got, test.outside)
			}
		})
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestVerdictInWords(t *testing.T) {
	for v, want := range map[Verdict]string{Undecided: "undecided", Complies: "complies", Exceeds: "exceeds", 7: "no such verdict"} {
		if got := v.String(); got != want {
			t.Errorf("Verdict(%d) = %q, want %q", v, got, want)
		}
	}
}

func TestBinding(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	limit := func(standard string, b Bound, value float64, change ...func(*Limit)) Limit {
		l := Limit{Parameter: "cod", Unit: "mg/L", Bound: b, Value: value, Statistic: Instant, Standard: standard}
		for _, c := range change {
			c(&l)
		}
		return l
	}
	override := func(l *Limit) { l.Override = true }
	daily := func(l *Limit) { l.Statistic = DailyMean }
	tss := func(l *Limit) { l.Parameter = "tss" }
	from := func(n int) func(*Limit) { return func(l *Limit) { l.From = day(n) } }
	until := func(n int) func(*Limit) { return func(l *Limit) { l.To = day(n) } }
	analysis := func(a string) func(*Limit) { return func(l *Limit) { l.Analysis = a } }

	for name, test := range map[string]struct {
		limits Limits
		at     time.Time
		want   []string // standards
	}{
		"none":                     {nil, day(1), nil},
		"strictest maximum":        {Limits{limit("a", Max, 300), limit("b", Max, 275), limit("c", Max, 280)}, day(1), []string{"b"}},
		"strictest minimum":        {Limits{limit("a", Min, 3), limit("b", Min, 4), limit("c", Min, 1)}, day(1), []string{"b"}},
		"smallest deviation":       {Limits{limit("a", Deviation, 3), limit("b", Deviation, 2)}, day(1), []string{"b"}},
		"first of equals":          {Limits{limit("a", Max, 300), limit("b", Max, 300)}, day(1), []string{"a"}},
		"both ends":                {Limits{limit("a", Min, 6), limit("b", Max, 9)}, day(1), []string{"a", "b"}},
		"a mean beside":            {Limits{limit("a", Max, 160), limit("b", Max, 120, daily)}, day(1), []string{"a", "b"}},
		"another parameter beside": {Limits{limit("a", Max, 160), limit("b", Max, 120, tss)}, day(1), []string{"a", "b"}},
		"site's own, stricter":     {Limits{limit("a", Max, 300), limit("site", Max, 250)}, day(1), []string{"site"}},
		"site's own, laxer":        {Limits{limit("a", Max, 300), limit("site", Max, 350)}, day(1), []string{"a"}},
		"override, laxer":          {Limits{limit("a", Max, 300), limit("site", Max, 400, override)}, day(1), []string{"site"}},
		"override, first":          {Limits{limit("site", Max, 400, override), limit("a", Max, 300)}, day(1), []string{"site"}},
		"override of one bound":    {Limits{limit("a", Max, 300), limit("b", Min, 6), limit("site", Max, 400, override)}, day(1), []string{"site", "b"}},
		"before the change":        {Limits{limit("a", Max, 300, until(10)), limit("b", Max, 350, from(10))}, day(10).Add(-1), []string{"a"}},
		"at the change":            {Limits{limit("a", Max, 300, until(10)), limit("b", Max, 350, from(10))}, day(10), []string{"b"}},
		"not yet":                  {Limits{limit("a", Max, 300, from(10))}, day(9), nil},
		"not any more":             {Limits{limit("a", Max, 300, until(10))}, day(10), nil},
		"the values' own analysis": {Limits{limit("a", Max, 300, analysis("cod-cr")), limit("b", Max, 160, analysis("cod-mn"))}, day(1), []string{"a"}},
		"no comparable analysis":   {Limits{limit("b", Max, 160, analysis("cod-mn"))}, day(1), nil},
		"unknown how it is made":   {Limits{limit("b", Max, 160, tss, analysis("filter"))}, day(1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, l := range test.limits.Binding(test.at) {
				got = append(got, l.Standard)
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Errorf("binding (-got +want):\n%s", diff)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	a, b := time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2014, 1, 1, 0, 0, 0, 0, time.UTC)
	limits := Limits{{Parameter: "cod", From: b}, {Parameter: "tss", From: a, To: b}, {Parameter: "cod"}}
	if diff := cmp.Diff(limits.Changes(), []time.Time{a, b}); diff != "" {
		t.Errorf("changes (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(limits.Of("cod").Changes(), []time.Time{b}); diff != "" {
		t.Errorf("changes of COD (-got +want):\n%s", diff)
	}
}
