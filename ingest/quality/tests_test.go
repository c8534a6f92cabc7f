package quality

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tofuwatch/internal/water"
)

// The vectors are those of ioos_qc (tests/test_qartod.py, commit 9c1853a),
// calculated again by hand where they hang on floating point.

var midnight = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// sampled is a series with a value at each interval; null is missing.
func sampled(t *testing.T, values string, interval time.Duration) []sample {
	t.Helper()
	var all []sample
	for i, text := range strings.Fields(values) {
		v := math.NaN()
		if text != "null" {
			var err error
			if v, err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, sample{at: midnight.Add(time.Duration(i) * interval).UnixNano(), value: v})
	}
	return all
}

// flagged is what a test says of each sample of a series.
func flagged(all []sample, test func(series []sample, i int) water.Flag) string {
	var flags []string
	for i := range all {
		flags = append(flags, strconv.Itoa(int(test(all, i))))
	}
	return strings.Join(flags, " ")
}

func negated(all []sample) []sample {
	all = slices.Clone(all)
	for i := range all {
		all[i].value = -all[i].value
	}
	return all
}

func TestGrossRange(t *testing.T) {
	r := GrossRange{Fail: NewSpan(10, 50), Suspect: NewSpan(20, 40)}
	reversed := GrossRange{Fail: NewSpan(50, 10), Suspect: NewSpan(40, 20)}
	for name, test := range map[string]struct {
		r            GrossRange
		values, want string
	}{
		"G1":                    {r, "5 10 15 20 25 30 35 40 45 51", "4 3 3 1 1 1 1 1 3 4"},
		"G1, spans reversed":    {reversed, "5 10 15 20 25 30 35 40 45 51", "4 3 3 1 1 1 1 1 3 4"},
		"G2":                    {r, "null 10 15 20 25 30 35 40 null 51 null", "9 3 3 1 1 1 1 1 9 4 9"},
		"on the fail bounds":    {GrossRange{Fail: NewSpan(10, 50)}, "9.999 10 50 50.001", "4 1 1 4"},
		"0 where that is rare":  {GrossRange{Fail: NewSpan(0, 50), ZeroSuspect: true}, "0 0.001 -0 50", "3 1 3 1"},
		"0 where that is usual": {GrossRange{Fail: NewSpan(0, 50)}, "0", "1"},
	} {
		got := flagged(sampled(t, test.values, time.Hour), func(s []sample, i int) water.Flag { return grossRange(s[i].value, test.r) })
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestClimatology(t *testing.T) {
	rainy := Season{Months: []time.Month{11, 12, 1, 2, 3}, Suspect: NewSpan(22, 30), Fail: NewSpan(18, 35)}
	november := Season{Months: []time.Month{11}, Suspect: NewSpan(24, 28)}
	all := sampled(t, "17.9 18 22 26 30 30.1 35 35.1 null", time.Hour)
	for name, test := range map[string]struct {
		c    Climatology
		from time.Time
		want string
	}{
		"in season":           {Climatology{rainy}, midnight, "4 3 1 1 1 3 3 4 9"},
		"out of season":       {Climatology{rainy}, midnight.AddDate(0, 6, 0), "2 2 2 2 2 2 2 2 9"},
		"a later one wins":    {Climatology{rainy, november}, midnight, "3 3 3 1 3 3 3 3 9"},
		"an earlier one not":  {Climatology{november, rainy}, midnight, "4 3 1 1 1 3 3 4 9"},
		"last hour of season": {Climatology{november}, time.Date(2026, 11, 30, 15, 0, 0, 0, time.UTC), "3 3 3 1 3 3 3 3 9"},
		"none":                {nil, midnight, "2 2 2 2 2 2 2 2 9"},
	} {
		got := flagged(all, func(s []sample, i int) water.Flag {
			at := s[i].at - midnight.UnixNano() + test.from.UnixNano()
			return climatology(at, s[i].value, test.c)
		})
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestSpike(t *testing.T) {
	const s4 = "3 4.99 5 6 8 6 6 6.75 6 6 5.3 6 6 9 5 null 4 4"
	low, high := Spike{Method: Average, Suspect: 25, Fail: 50}, Spike{Method: Average, Suspect: 0.5, Fail: 1}
	differential := Spike{Method: Differential, Suspect: 0.5, Fail: 1}
	for name, test := range map[string]struct {
		s            Spike
		values, want string
	}{
		"S1":                   {low, "10 12 999.99 13 15 40 9 9", "2 4 4 4 1 3 1 2"},
		"S1, reversed":         {low, "-10 -12 -999.99 -13 -15 -40 -9 -9", "2 4 4 4 1 3 1 2"},
		"S2":                   {low, "-100 -99 -99 -98", "2 1 1 2"},
		"S3":                   {low, "10 12 999.99 13 15 40 9 9 null 10 10 999.99 10 null", "2 4 4 4 1 3 1 2 9 2 4 4 2 9"},
		"S4":                   {high, s4, "2 3 1 1 4 3 1 3 1 1 3 1 4 4 2 9 2 2"},
		"S5":                   {differential, s4, "2 1 1 1 4 1 1 3 1 1 3 1 1 4 2 9 2 2"},
		"S6":                   {high, "-0.3597 -0.442 -0.509 0 -0.5944 -0.57 -0.4267", "2 1 1 3 1 1 2"},
		"equal is no spike":    {Spike{Method: Average, Suspect: 2}, "1 3 1", "2 1 2"},
		"only suspect":         {Spike{Method: Average, Suspect: 25}, "10 12 999.99 13", "2 3 3 2"},
		"only fail":            {Spike{Method: Average, Fail: 50}, "10 12 40 12 12", "2 1 1 1 2"},
		"off":                  {Spike{Method: Average}, "10 999 10", "2 2 2"},
		"raised by its share":  {Spike{Method: Differential, Suspect: 5, Share: 0.1}, "100 115 100 116 100", "2 1 1 3 2"},
		"a step is no spike":   {Spike{Method: Differential, Suspect: 5}, "10 10 90 90 91", "2 1 1 1 2"},
		"nor is a slope":       {Spike{Method: Differential, Suspect: 5}, "10 30 50 70", "2 1 1 2"},
		"troughs are as peaks": {Spike{Method: Differential, Suspect: 5}, "50 50 3 50 50", "2 1 3 1 2"},
	} {
		got := flagged(sampled(t, test.values, 15*time.Minute), func(s []sample, i int) water.Flag { return spike(s, i, test.s, 0) })
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// Upstream takes the next sample for a neighbour however long it was away.
func TestSpikeDoesNotLookOverAGap(t *testing.T) {
	all := sampled(t, "10 10 99 10 10", 15*time.Minute)
	for i := range all[3:] {
		all[3+i].at += int64(3 * time.Hour)
	}
	s := Spike{Method: Differential, Suspect: 5}
	if got, want := flagged(all, func(a []sample, i int) water.Flag { return spike(a, i, s, int64(2*time.Hour)) }), "2 1 2 2 2"; got != want {
		t.Errorf("with a gap: got %s, want %s", got, want)
	}
	if got, want := flagged(all, func(a []sample, i int) water.Flag { return spike(a, i, s, 0) }), "2 1 3 1 2"; got != want {
		t.Errorf("as upstream: got %s, want %s", got, want)
	}
}

func TestRateOfChange(t *testing.T) {
	const r1 = "2 10 2.1 3 4 5 7 10 0 2 2.2 2 1 2 3 90 91 92 93 1 2 3 4 5"
	quarter := (15 * time.Minute).Seconds()
	suspect := RateOfChange{Suspect: 5 / quarter}
	for name, test := range map[string]struct {
		r            RateOfChange
		values, want string
	}{
		"R1": {suspect, r1, "1 3 3 1 1 1 1 1 3 1 1 1 1 1 1 3 1 1 1 3 1 1 1 1"},
		"R2": {suspect, "2 10 2 3 null null 7 10", "1 3 3 1 9 9 1 1"},
		"R3": {suspect, "-2 -10 -2 -3", "1 3 3 1"},
		// The ninth changes by exactly 10. Upstream's 10/15/60, rounded twice, is a
		// hair less than that; 9.99 says the same without.
		"R4":                  {RateOfChange{5 / quarter, 9.99 / quarter}, r1, "1 3 3 1 1 1 1 1 4 1 1 1 1 1 1 4 1 1 1 4 1 1 1 1"},
		"equal does not":      {RateOfChange{5 / quarter, 10 / quarter}, "10 0 5 10.01", "1 3 1 3"},
		"off":                 {RateOfChange{}, "10 0 null", "2 2 9"},
		"first after missing": {suspect, "null 100 100", "9 1 1"},
	} {
		got := flagged(sampled(t, test.values, 15*time.Minute), func(s []sample, i int) water.Flag { return rateOfChange(s, i, test.r) })
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// Upstream cuts the time between samples to whole seconds: two in one second
// divide by zero, which is more than any threshold or, for no change, no number.
func TestRateOfChangeWithinASecond(t *testing.T) {
	r := RateOfChange{Suspect: 1}
	for name, test := range map[string]struct {
		values   string
		interval time.Duration
		want     string
	}{
		"no change within a second":        {"5 5 5", 100 * time.Millisecond, "1 1 1"},
		"equal to a second's":              {"5 6 7", 100 * time.Millisecond, "1 1 1"},
		"more than a second's":             {"5 6.01 7", 100 * time.Millisecond, "1 3 1"},
		"a second and a half is not one":   {"5 6.4 7.8", 1500 * time.Millisecond, "1 1 1"},
		"more than in a second and a half": {"5 6.6", 1500 * time.Millisecond, "1 3"},
	} {
		got := flagged(sampled(t, test.values, test.interval), func(s []sample, i int) water.Flag { return rateOfChange(s, i, r) })
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestFlatLine(t *testing.T) {
	r := FlatLine{Tolerance: 0.01, Suspect: 3000 * time.Second, Fail: 4800 * time.Second}
	const f1 = "1 2 2.0001 2 2.0001 2 2.0001 2 4 5 3 3.0001 3.0005 3.00001"
	fast := FlatLine{Tolerance: 0.1, Suspect: 3 * time.Second, Fail: 5 * time.Second}
	type vector struct {
		f        FlatLine
		values   string
		interval time.Duration
		want     string
	}
	vectors := map[string]vector{
		"F1":                   {r, f1, 15 * time.Minute, "1 1 1 1 3 3 4 4 1 1 1 1 1 3"},
		"F2":                   {r, "1 null null 2 2.0001 2 2.0001 2 4 null 3 null null 3.00001", 15 * time.Minute, "1 9 9 1 3 3 4 4 1 9 1 9 9 3"},
		"F4":                   {FlatLine{Tolerance: 4, Suspect: 3 * time.Second, Fail: 6 * time.Second}, "1 1 1 1 1 6 5 4 3 2", time.Second, "1 1 1 3 3 1 1 1 3 3"},
		"tolerance 0 is off":   {FlatLine{Suspect: 3 * time.Second}, "5 5 5 5 5", time.Second, "2 2 2 2 2"},
		"equal to it moves":    {FlatLine{Tolerance: 1, Suspect: 3 * time.Second}, "5 6 5 6 5 6", time.Second, "1 1 1 1 1 1"},
		"only fail":            {FlatLine{Tolerance: 0.1, Fail: 3 * time.Second}, "5 5 5 5 5", time.Second, "1 1 1 4 4"},
		"0 where nothing runs": {FlatLine{Tolerance: 0.1, Suspect: 3 * time.Second, ExceptZero: true}, "0 0 0 0 0 7 7 7 7", time.Second, "1 1 1 1 1 1 1 1 3"},
		// Two values are what upstream asks for at the least, since one alone has a
		// range of 0; a site may ask for more.
		"one value among missing":  {fast, "5 null null null 5 null null null 5", time.Second, "1 9 9 9 1 9 9 9 1"},
		"two values among missing": {fast, "5 null null 5 null null 5", time.Second, "1 9 9 3 9 9 4"},
		"more are asked for":       {FlatLine{Tolerance: 0.1, Suspect: 3 * time.Second, Least: 3}, "5 null null 5 5 5 5", time.Second, "1 9 9 1 1 3 3"},
	}
	f3, f3want := []string{"5", "5", "5", "5", "5", "5"}, []string{"1", "1", "1", "3", "3", "4"}
	for n := range len(f3) + 1 {
		vectors["F3, first "+strconv.Itoa(n)] = vector{fast, strings.Join(f3[:n], " "), time.Second, strings.Join(f3want[:n], " ")}
	}
	for name, v := range vectors {
		all := sampled(t, v.values, v.interval)
		test := func(s []sample, i int) water.Flag { return flatLine(s, i, v.f, false) }
		if got := flagged(all, test); got != v.want {
			t.Errorf("%s: got %s, want %s", name, got, v.want)
		}
		if v.f.ExceptZero {
			continue
		}
		if got := flagged(negated(all), test); got != v.want {
			t.Errorf("%s, signs reversed: got %s, want %s", name, got, v.want)
		}
	}
}

// Upstream counts samples, so a night without a connection makes four samples of
// an hour look like a night of the same value.
func TestFlatLineDoesNotStretchOverAGap(t *testing.T) {
	all := sampled(t, "5 5 5 5 5 5 5 5", 15*time.Minute)
	for i := range all[3:] {
		all[3+i].at += int64(12 * time.Hour)
	}
	f := FlatLine{Tolerance: 0.1, Suspect: 45 * time.Minute}
	if got, want := flagged(all, func(s []sample, i int) water.Flag { return flatLine(s, i, f, false) }), "1 1 1 1 1 1 3 3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFlatLineOfACutSeries(t *testing.T) {
	f := FlatLine{Tolerance: 0.1, Suspect: time.Hour, Fail: 2 * time.Hour}
	for name, test := range map[string]struct{ values, want string }{
		"not all of the window is there": {"5 5 5", "2 2 2"},
		"it moved":                       {"5 6 5", "2 1 1"},
		"enough for the shorter window":  {"5 5 5 5 5 5 5", "2 2 2 2 3 3 3"},
	} {
		got := flagged(sampled(t, test.values, 15*time.Minute), func(s []sample, i int) water.Flag { return flatLine(s, i, f, true) })
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestAttenuated(t *testing.T) {
	const day = 24 * time.Hour
	byRange := Attenuated{Window: 2 * day, Statistic: Range, Suspect: 100, Fail: 10, Least: 2}
	for name, test := range map[string]struct {
		a            Attenuated
		values, want string
	}{
		"A1":                       {byRange, "1 2 3 100 1000", "2 4 4 3 1"},
		"A1, no least number":      {Attenuated{Window: 2 * day, Statistic: Range, Suspect: 100, Fail: 10}, "1 2 3 100 1000", "4 4 4 3 1"},
		"A2, range":                {Attenuated{Window: 2 * day, Statistic: Range, Suspect: 100, Fail: 50, Least: 2}, "1 null 10 100 1000", "2 9 2 3 1"},
		"A2, standard deviation":   {Attenuated{Window: 2 * day, Statistic: StandardDeviation, Suspect: 150, Fail: 40, Least: 2}, "1 null 10 100 1000", "2 9 2 3 1"},
		"equal moves enough":       {Attenuated{Window: 2 * day, Statistic: Range, Suspect: 5, Least: 2}, "0 5 9.99", "2 1 3"},
		"off":                      {Attenuated{Window: 2 * day, Statistic: Range}, "1 1 1", "2 2 2"},
		"the far end is not in it": {Attenuated{Window: 2 * day, Statistic: StandardDeviation, Suspect: 5, Least: 3}, "0 9 0 9", "2 2 2 2"},
		"many within a moment":     {Attenuated{Window: 10 * day, Statistic: Range, Suspect: 5, Least: 3}, "1 1 1 1 1 1 1", "2 2 2 2 2 3 3"},
		"few that move enough":     {Attenuated{Window: 2 * day, Statistic: Range, Suspect: 5, Least: 3}, "0 9 9 9", "2 1 2 2"},
	} {
		got := flagged(sampled(t, test.values, day), func(s []sample, i int) water.Flag { return attenuated(s, i, test.a) })
		if got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestGap(t *testing.T) {
	span := int64(150 * time.Minute)
	after := func(d time.Duration) int64 { return midnight.Add(d).UnixNano() }
	third, fourth, fifth := after(3*time.Hour+2*time.Second), after(3*time.Hour+3*time.Second), after(31*24*time.Hour+3*time.Second)
	for name, test := range map[string]struct {
		times []int64
		want  string
	}{
		"a month of silence": {[]int64{after(0), after(3*time.Hour + time.Second), third, fourth, fifth}, "4 4 1 1 4"},
		"the second missing": {[]int64{after(0), noTime, third, fourth, fifth}, "2 9 2 1 4"},
		"all missing":        {[]int64{noTime, noTime, noTime}, "9 9 9"},
		"exactly the span":   {[]int64{after(0), after(150 * time.Minute)}, "1 1"},
		"just over":          {[]int64{after(0), after(150*time.Minute + 1)}, "4 4"},
		"alone":              {[]int64{after(0)}, "2"},
	} {
		var all []sample
		for _, at := range test.times {
			all = append(all, sample{at: at})
		}
		if got := flagged(all, func(s []sample, i int) water.Flag { return gap(s, i, span) }); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

func TestReception(t *testing.T) {
	now, span := midnight.UnixNano(), int64(6*time.Hour)
	for name, test := range map[string]struct {
		at   int64
		want water.Flag
	}{
		"a month old":       {midnight.AddDate(0, -1, 0).UnixNano(), water.Bad},
		"seven minutes old": {midnight.Add(-7 * time.Minute).UnixNano(), water.Good},
		"exactly the span":  {midnight.Add(-6 * time.Hour).UnixNano(), water.Good},
		"from the future":   {midnight.AddDate(1, 0, 0).UnixNano(), water.Good},
		"no time":           {noTime, water.Missing},
	} {
		if got := reception(test.at, now, span); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// QARTOD gives an impossible date the flag 4. Here it is no observation at all:
// nobody knows when the water was sampled, and the message is a dead letter.
func TestImpossibleDate(t *testing.T) {
	for name, test := range map[string]struct {
		sampled time.Time
		ok      bool
	}{
		"the year 2088": {time.Date(2088, 1, 1, 0, 0, 0, 0, time.UTC), false},
		"1970":          {time.Unix(0, 0), false},
		"today":         {midnight, true},
	} {
		if err := CheckTime(test.sampled, midnight); (err == nil) != test.ok {
			t.Errorf("%s: %v, want ok %t", name, err, test.ok)
		}
	}
}

func TestLocation(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		latitude, longitude float64
		want                water.Flag
	}{
		{-7.0051, 110.4381, water.Good},
		{90, 180, water.Good},
		{-90, -180, water.Good},
		{90.0001, 110, water.Bad},
		{-7, 180.0001, water.Bad},
		{-7, -200, water.Bad},
		{nan, 110, water.Bad},
		{-7, nan, water.Bad},
		{nan, nan, water.Missing},
	} {
		if got := location(test.latitude, test.longitude); got != test.want {
			t.Errorf("%v, %v: got %v, want %v", test.latitude, test.longitude, got, test.want)
		}
	}
}

func TestSyntax(t *testing.T) {
	hex, fields := strings.Repeat("ab", 37), "1,2,3,4,5,6,7,8,9,10,11,12"
	for name, test := range map[string]struct {
		message string
		length  Length
		want    water.Flag
	}{
		"74 characters":            {hex, Length{Characters, 74}, water.Good},
		"74 characters, 73 wanted": {hex, Length{Characters, 73}, water.Bad},
		"37 bytes":                 {hex, Length{HexBytes, 37}, water.Good},
		"37 bytes, 36 wanted":      {hex, Length{HexBytes, 36}, water.Bad},
		"half a byte less":         {hex[:73], Length{HexBytes, 37}, water.Bad},
		"half a byte more":         {hex + "a", Length{HexBytes, 37}, water.Bad},
		"no hex":                   {strings.Repeat("zz", 37), Length{HexBytes, 37}, water.Bad},
		"12 fields":                {fields, Length{Fields, 12}, water.Good},
		"12 fields, 11 wanted":     {fields, Length{Fields, 11}, water.Bad},
	} {
		if got := Syntax(test.message, test.length); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
