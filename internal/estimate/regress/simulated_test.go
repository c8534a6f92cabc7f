package regress

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tofuwatch/internal/estimate"
	"tofuwatch/internal/simulate"
	"tofuwatch/internal/water"
)

// simulated returns pairs of the simulated plant's outlet, one a day at nine in
// the morning: what its COD sensor says, with the faults that it has, and a BOD
// that the laboratory tells to 10 %.
func simulated(t *testing.T, s simulate.Scenario, days int) estimate.Pairs {
	t.Helper()
	const sampledAt = 2 // UTC
	w, err := simulate.New(simulate.Options{Scenario: s, Seed: 1, Start: first, Interval: time.Hour, Incident: first.AddDate(0, 0, days/2)})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(5, 6))
	pairs := estimate.Pairs{COD: water.Sensor}
	for m := w.Next(); m.Time.Before(first.AddDate(0, 0, days)); m = w.Next() {
		if m.Station != "ipal-01" || m.Retained || m.Time.Hour() != sampledAt {
			continue
		}
		var sample struct{ BOD, COD float64 }
		if err := json.Unmarshal(m.Payload, &sample); err != nil || sample.COD <= 0 || sample.COD > 7000 || sample.BOD <= 0 {
			continue // several at once, no value, or a sentinel: quality flags keep them out
		}
		pairs.Usable = append(pairs.Usable, estimate.Pair{
			Time: m.Time, Kind: water.Effluent, COD: sample.COD, BOD: sample.BOD * math.Exp(0.1*random.NormFloat64()), Turbidity: math.NaN(),
		})
	}
	return pairs
}

// On ordinary days the simulated plant's outlet says nothing of how BOD follows
// COD: its basins even out what the workshops do. An upset does.
func TestSimulatedPlant(t *testing.T) {
	for _, test := range []struct {
		scenario simulate.Scenario
		refused  string // in the first refusal; "" if there is none
	}{
		{simulate.Normal, "too narrow a range"},
		{simulate.PlantUpset, ""},
	} {
		t.Run(string(test.scenario), func(t *testing.T) {
			t.Parallel()
			fit, err := Run(simulated(t, test.scenario, 40), options())
			if fit != nil {
				if err := fit.Report(t.Output(), wib); err != nil {
					t.Error(err)
				}
			}
			if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.HasPrefix(err.Error(), test.refused)) {
				t.Errorf("error %v, want one of %q", err, test.refused)
			}
		})
	}
}
