package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

// store writes points to the database, past the ingester.
func (n *network) store(lines ...string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.db.URL+"/write?db="+n.database(), strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		n.t.Fatal(err)
	}
	n.db.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		n.t.Fatalf("write points: got %s, want 204", resp.Status)
	}
}

// point is a value at ipal-01.
func point(method, code string, value float64, at time.Time) string {
	return fmt.Sprintf("water_quality,kind=effluent,method=%s,river=bajak,station=ipal-01 %s=%v,%s_qc=1i %d", method, code, value, code, at.UnixNano())
}

// A relation is fitted from what InfluxDB holds, estimates come in beside the COD
// that they are made of, and the laboratory's next result scores them.
func TestEstimatedBOD(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.site.standard = "id-permenlh-5-2014-tofu"
	n.writeSite()

	// A year of weekly samples: BOD about half of COD.
	random := rand.New(rand.NewPCG(3, 4))
	var history []string
	for week := range 50 {
		at := n.start.AddDate(0, 0, -7*(week+2))
		cod := math.Round(300 * math.Exp(0.5*random.NormFloat64()))
		history = append(history, point("sensor", "cod", cod, at.Add(-4*time.Minute)),
			point("lab", "bod", math.Round(cod/2*math.Exp(0.12*random.NormFloat64())), at))
	}
	n.store(history...)
	models := filepath.Join(filepath.Dir(n.file), "models")
	file := filepath.Join(models, "ipal-01-bod-now.yaml")
	fit := tofuwatch(t, "fit", "bod", "--config", n.file, "--station", "ipal-01", "--out", file,
		"--valid-from", n.start.Add(-24*time.Hour).Format(time.RFC3339))
	if fit.status != done || fit.stderr != "" {
		t.Fatalf("fit: got exit status %d, want %d:\n%s%s", fit.status, done, fit.stdout, fit.stderr)
	}
	for _, want := range []string{"Pairs            50, sampled ", "COD of the sensor\n", "model_file: \"models/ipal-01-bod-now.yaml\""} {
		if !strings.Contains(fit.stdout, want) {
			t.Errorf("the report lacks %q:\n%s", want, fit.stdout)
		}
	}
	if again := tofuwatch(t, "fit", "bod", "--config", n.file, "--station", "ipal-01", "--out", file); again.status != usage || !strings.Contains(again.stderr, "exists") {
		t.Errorf("fitting into the same file: got exit status %d, want %d:\n%s", again.status, usage, again.stderr)
	}

	// The ingester with the model: of five readings two give an estimate.
	text, err := os.ReadFile(n.file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, n.file, strings.Replace(string(text), "{id: ipal-01,", "{id: ipal-01, estimates: [{parameter: bod, model_file: models/ipal-01-bod-now.yaml}],", 1))
	n.ingest()
	n.metricBecomes("tofuwatch_estimate_compared_total", 0)
	second := n.start.Add(time.Minute)
	n.sendAll("tofu/ipal-01/readings",
		fmt.Sprintf(`{"time":%d,"cod":310,"bod":177}`, n.start.Unix()),
		fmt.Sprintf(`[{"time":%d,"cod":400,"ph":7},{"time":%d,"cod":9000}]`, second.Unix(), second.Unix()+60))
	n.metricBecomes("tofuwatch_readings_stored_total", 7)
	l := n.drained()
	if l.received != 7 || len(l.deadLettered) > 0 {
		t.Errorf("got %d readings received and dead letters %v, want 5 sent and 2 estimates, and none", l.received, l.deadLettered)
	}

	rows := n.db.Query(t, "water", `SELECT bod, bod_low, bod_high, bod_model, bod_qc FROM water_quality WHERE method = 'estimate'`)
	if len(rows) != 2 {
		t.Fatalf("got estimates %v, want 2", rows)
	}
	for i, want := range []struct {
		at  time.Time
		cod float64
	}{{n.start, 310}, {second, 400}} {
		row := rows[i]
		value, low, high := row["bod"].(float64), row["bod_low"].(float64), row["bod_high"].(float64)
		if !row["time"].(time.Time).Equal(want.at) || row["bod_model"] != "ipal-01-bod-now" || row["bod_qc"] != 1.0 {
			t.Errorf("got estimate %v, want one of %v by ipal-01-bod-now, with flag 1", row, want.at)
		}
		if math.Abs(value/(want.cod/2)-1) > 0.1 || low > 0.9*value || low < 0.6*value || high < 1.1*value || high > 1.6*value {
			t.Errorf("got estimate %v (%v to %v) from COD %v, want about half of it, and an interval about that", value, low, high, want.cod)
		}
	}
	measured := n.db.Query(t, "water", fmt.Sprintf(`SELECT bod FROM water_quality WHERE method = 'sensor' AND time = %d`, n.start.UnixNano()))
	if len(measured) != 1 || measured[0]["bod"] != 177.0 {
		t.Errorf("got measured BOD %v, want 177", measured)
	}

	// An estimate is shown as one, and exceeds no limit; the measured BOD does.
	families, err := n.metrics()
	if err != nil {
		t.Fatal(err)
	}
	labels := func(family string) map[string]int {
		found := make(map[string]int)
		for _, m := range families[family].GetMetric() {
			key := ""
			for _, l := range m.Label {
				if l.GetName() == "method" || l.GetName() == "parameter" {
					key += l.GetValue() + " "
				}
			}
			found[strings.TrimSpace(key)] += int(value(m))
		}
		return found
	}
	if got := labels("tofuwatch_reading_flag"); got["estimate bod"] != 1 || got["sensor bod"] != 1 {
		t.Errorf("got flags of the latest values %v, want those of an estimated and a measured BOD", got)
	}
	exceeded := labels("tofuwatch_exceedances_total")
	if _, ok := exceeded["estimate bod"]; ok || exceeded["sensor bod"] != 1 {
		t.Errorf("got exceedances %v, want one of the measured BOD and no counter for estimates", exceeded)
	}

	// The laboratory's result comes, and is compared by the next start.
	result := math.Round(rows[1]["bod"].(float64) / 2)
	n.store(point("lab", "bod", result, second.Add(30*time.Second)))
	n.stop()
	n.launch()
	n.metricBecomes("tofuwatch_estimate_compared_total", 1)
	if got, want := n.metric("tofuwatch_estimate_error_ratio"), rows[0]["bod"].(float64)/result; math.Abs(got/want-1) > 1e-9 {
		t.Errorf("got error ratio %v, want %v: that of the lower of two estimates", got, want)
	}
	if got := n.metric("tofuwatch_estimate_outside_interval_total"); got != 1 {
		t.Errorf("got %v results outside of the interval, want 1", got)
	}
	score := tofuwatch(t, "fit", "bod", "--score", "--config", n.file, "--station", "ipal-01")
	want := fmt.Sprintf("%+.0f%%  outside\n\nipal-01: 1 result compared, 1 outside", 100*(rows[0]["bod"].(float64)/result-1))
	if score.status != done || !strings.Contains(score.stdout, want) {
		t.Errorf("score: got exit status %d, want %d, and %q:\n%s%s", score.status, done, want, score.stdout, score.stderr)
	}
	n.stop()
	if diff := cmp.Diff(n.left(), 0); diff != "" {
		t.Errorf("messages left (-got +want):\n%s", diff)
	}
}
