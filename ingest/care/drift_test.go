package care

import (
	"math"
	"testing"
	"time"

	"tofuwatch/internal/water"
)

var nan = math.NaN()

// found is what was read at a visit.
func found(reference, before, afterCleaning, afterCalibration float64) water.Check {
	return water.Check{Reference: reference, Before: before, AfterCleaning: afterCleaning, AfterCalibration: afterCalibration}
}

// near allows for what is lost in floating point.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// drifted is the drift of a sensor in ten days, worked out here by hand.
func drifted(t *testing.T, code string, first, second water.Check) Drift {
	t.Helper()
	p := parameter(t, code)
	d, ok := NewDrift(
		water.Visit{Parameter: p, Time: noon, Check: first},
		water.Visit{Parameter: p, Time: noon.AddDate(0, 0, 10), Check: second})
	if !ok {
		t.Fatalf("no criteria for %s", code)
	}
	return d
}

func TestCorrect(t *testing.T) {
	good := water.Check{Reference: 7, Before: nan, AfterCleaning: nan, AfterCalibration: 7}
	// The sensor is right after the first visit; each vector is a reading after
	// some of the ten days, and what it should have been.
	for name, test := range map[string]struct {
		parameter     string
		first, second water.Check
		day           float64
		reading, want float64
		flag          water.Flag
	}{
		// Fouling 7.50 - 7.20 = 0.30, drift 7.20 - 7.00 = 0.20: off by 0.50 in the end.
		"pH, at the first visit": {"ph", good, found(7, 7.5, 7.2, 7), 0, 7.3, 7.3, water.Good},
		"pH, half-way":           {"ph", good, found(7, 7.5, 7.2, 7), 5, 7.3, 7.05, water.Good},
		"pH, after nine days":    {"ph", good, found(7, 7.5, 7.2, 7), 9, 7.3, 6.85, water.Good},
		// Each way 0.15: nothing in sum, and past 0.2 in what went wrong.
		"fouling against drift": {"ph", good, found(7, 7, 7.15, 7), 5, 7.3, 7.3, water.Good},
		"not cleaned":           {"ph", good, found(7, 7.4, nan, 7), 5, 7.3, 7.1, water.Good},
		"not calibrated":        {"ph", good, found(nan, 7.4, 7, nan), 5, 7.3, 7.1, water.Good},
		"only seen afterwards":  {"ph", good, found(7, nan, nan, 7.4), 5, 7.3, 7.3, water.Good},
		// 0.2 is not past 0.2; exact in binary: 7.25 - 7.125 = 0.125.
		"within the criterion": {"ph", good, found(7.125, 7.25, nan, 7), 9, 7.3, 7.3, water.Good},
		// The first visit left it 0.1 off; in the end it is 0.5 off: 0.3 half-way.
		"off from the start": {"ph", found(7, 7.1, nan, nan), found(7, 7.5, nan, 7), 5, 7.3, 7.0, water.Good},
		// Off by 4 in the end: by 2 after five days, which is not past 2; then bad.
		"DO, just correctable": {"do", found(8, nan, nan, 8), found(8, 4, nan, 8), 5, 3, 5, water.Good},
		"DO, past correction":  {"do", found(8, nan, nan, 8), found(8, 4, nan, 8), 5.01, 3, 3, water.Bad},
		// Shows 1,250 for 1,413 before, and 1,300 clean: 50/1250 = 4 % and 113/1300 =
		// 8.692 % to be added; half of it half-way: 1000 × 1.0634615… .
		"EC": {"ec", found(1413, nan, nan, 1413), found(1413, 1250, 1300, 1413), 5, 1000, 1000 * (1 + (50.0/1250+113.0/1300)/2), water.Good},
		// 2 % is within 3 %.
		"EC within the criterion": {"ec", found(1000, nan, nan, 1000), found(1000, 1020, nan, 1000), 9, 500, 500, water.Good},
		// From 200 for 100 the half is to be taken off, more than 30 %: bad past day 6.
		"turbidity, correctable":     {"turbidity", found(100, nan, nan, 100), found(100, 200, nan, 100), 5, 80, 60, water.Good},
		"turbidity, past correction": {"turbidity", found(100, nan, nan, 100), found(100, 200, nan, 100), 7, 80, 80, water.Bad},
		"temperature":                {"temperature", found(25, nan, nan, 25), found(25, 24, nan, 25), 2.5, 20, 20.25, water.Good},
	} {
		t.Run(name, func(t *testing.T) {
			d := drifted(t, test.parameter, test.first, test.second)
			at := noon.Add(time.Duration(test.day * 24 * float64(time.Hour)))
			for _, flag := range []water.Flag{water.Good, water.NotEvaluated, water.Suspect, water.Bad} {
				want := flag
				if test.flag == water.Bad {
					want = water.Bad
				}
				if got, gotFlag := d.Correct(test.reading, flag, at); !near(got, test.want) || gotFlag != want {
					t.Errorf("Correct(%v, %v) = %v, %v, want %v, %v", test.reading, flag, got, gotFlag, test.want, want)
				}
			}
		})
	}
}

func TestNoCriteriaNoDrift(t *testing.T) {
	v := water.Visit{Parameter: parameter(t, "cod"), Time: noon}
	if d, ok := NewDrift(v, v); ok {
		t.Errorf("drift of cod is %+v, want none", d)
	}
}

func TestExplain(t *testing.T) {
	wib := time.FixedZone("WIB", 7*3600)
	good := found(7, nan, nan, 7)
	for want, d := range map[string]Drift{
		"since 2026-11-23 19:00 WIB its error grew to 0.30 by fouling and 0.20 by drift, past 0.20; its readings are corrected":                                   drifted(t, "ph", good, found(7, 7.5, 7.2, 7)),
		"since 2026-11-23 19:00 WIB its error grew to 0.07 by fouling and 0.05 by drift; up to 0.20 is left as it is":                                             drifted(t, "ph", good, found(7, 7.12, 7.05, 7)),
		"since 2026-11-23 19:00 WIB its error grew to 0.00 by fouling and -3.00 by drift; its readings are corrected, and flagged bad from where it is past 2.00": drifted(t, "ph", good, found(7, 4, nan, 7)),
		"since 2026-11-23 19:00 WIB its error grew to -4.0 % by fouling and -8.7 % by drift, past 3.0 %; its readings are corrected":                              drifted(t, "ec", found(1413, nan, nan, 1413), found(1413, 1250, 1300, 1413)),
	} {
		if got := d.Explain(wib); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
