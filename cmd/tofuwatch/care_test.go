package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
	"tofuwatch/internal/testenv"
)

// series returns the value of the one series of a metric that has these labels,
// written name=value, and whether there is one.
func (n *network) series(name string, labels ...string) (float64, bool) {
	n.t.Helper()
	families, err := n.metrics()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, m := range families[name].GetMetric() {
		has := make(map[string]bool)
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		all := true
		for _, l := range labels {
			all = all && has[l]
		}
		if all {
			return value(m), true
		}
	}
	return 0, false
}

// seriesBecomes waits until a series has a value.
func (n *network) seriesBecomes(want float64, name string, labels ...string) {
	n.t.Helper()
	testenv.Eventually(n.t, func() error {
		if got, ok := n.series(name, labels...); got != want || !ok {
			return fmt.Errorf("got %s%v %v, there %t; want %v", name, labels, got, ok, want)
		}
		return nil
	})
}

// sendRetained publishes a message that the broker keeps for whoever comes.
func (n *network) sendRetained(topic, payload string) {
	n.t.Helper()
	l := n.link("retained")
	testenv.Eventually(n.t, func() error {
		client := l.connected()
		if client == nil {
			return fmt.Errorf("no broker")
		}
		token := client.Publish(topic, 1, true, payload)
		if !token.WaitTimeout(5 * time.Second) {
			return fmt.Errorf("not acknowledged")
		}
		return token.Error()
	})
}

// While somebody works on sensors readings are stored, flagged, and nobody is told
// of them: through kills, and whatever the broker hands over again.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	const (
		readings    = "tofu/ipal-01/readings"
		maintenance = "tofu/ipal-01/maintenance"
		start       = `{"state":"start","by":"Sari","note":"cleaning \"all\""}`
	)
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.site.standard = "id-permenlh-5-2014-tofu" // COD: 300
	n.writeSite()
	n.ingest()

	sent := 0
	at := make(map[float64]time.Time) // when each COD was sampled
	cod := func(value float64, sampled time.Time) {
		t.Helper()
		at[value] = sampled.Truncate(time.Millisecond)
		n.sendAll(readings, fmt.Sprintf(`{"time":%d,"cod":%v}`, at[value].UnixMilli(), value))
		sent++
		testenv.Eventually(t, func() error {
			l, err := n.readLedger()
			if err == nil && l.received-l.deadLettered["bad_notice"] != sent {
				err = fmt.Errorf("got %+v, want %d readings", l, sent)
			}
			return err
		})
	}
	shows := func(value, exceedances float64) {
		t.Helper()
		n.seriesBecomes(value, "tofuwatch_reading", "station=ipal-01", "parameter=cod")
		n.seriesBecomes(exceedances, "tofuwatch_exceedances_total", "station=ipal-01", "parameter=cod", "bound=max", "method=sensor", "timing=live")
	}
	works := func(want float64) {
		t.Helper()
		n.seriesBecomes(want, "tofuwatch_maintenance", "station=ipal-01", "parameter=")
	}

	cod(1000, time.Now())
	shows(1000, 1)
	works(0)
	n.sendAll(maintenance, start)
	works(1)
	cod(5000, time.Now())
	during := at[5000]
	n.ingester.Kill()
	n.ingest()
	works(1)
	cod(5001, time.Now())
	shows(1000, 1)

	n.sendRetained(maintenance, start) // begins once more, for all the broker says
	n.sendAll(maintenance, `{"state":"end"}`)
	works(0)
	over := time.Now()
	cod(900, over.Add(time.Millisecond))
	shows(900, 2)
	cod(7000, during.Add(time.Millisecond)) // a logger that had no network
	shows(900, 2)
	if got, _ := n.series("tofuwatch_exceedances_total", "station=ipal-01", "method=sensor", "timing=late"); got != 0 {
		t.Errorf("got %v late exceedances, want 0", got)
	}

	// At each subscription the broker hands the retained message over again.
	n.ingester.Kill()
	n.ingest()
	testenv.Eventually(t, func() error {
		if got, _ := n.series("tofuwatch_messages_received_total", "source=tofu/{station}/maintenance"); got < 1 {
			return fmt.Errorf("the retained message has not come again")
		}
		return nil
	})
	works(0)

	// What can't be followed, and what InfluxDB can't take.
	n.sendAll(maintenance, `{"state":"start","sensors":["ph"]}`)
	past := time.Now().AddDate(0, 0, -20).Truncate(time.Second)
	n.writePoint(fmt.Sprintf(`maintenance,station=poison until="text" %d`, past.UnixNano()))
	n.sendAll("tofu/ipal-02/maintenance", fmt.Sprintf(`{"state":"start","time":%d,"note":"x_qc=1i y"}`, past.Unix()))
	testenv.Eventually(t, func() error {
		if letters := n.letters(); len(letters) < 2 {
			return fmt.Errorf("got dead letters %+v, want 2", letters)
		}
		return nil
	})
	for i, want := range []struct {
		reason, detail string
		readings       int
	}{{"bad_notice", `no key "sensors"; have state, parameters`, 1}, {"refused", "field type conflict", 0}} {
		if l := n.letters()[i]; string(l.Reason) != want.reason || !strings.Contains(l.Detail, want.detail) || l.Readings != want.readings {
			t.Errorf("got dead letter %+v, want %+v", l, want)
		}
	}

	l := n.drained()
	if diff := cmp.Diff(ledger{received: sent + 1, stored: sent, deadLettered: map[string]int{"bad_notice": 1}}, l, cmp.AllowUnexported(ledger{})); diff != "" {
		t.Errorf("ledger differs (-want +got):\n%s", diff)
	}
	flags := make(map[float64]float64)
	for _, row := range n.db.Query(t, "water", `SELECT cod, cod_qc FROM water_quality WHERE station = 'ipal-01'`) {
		flags[row["cod"].(float64)] = row["cod_qc"].(float64)
	}
	if diff := cmp.Diff(map[float64]float64{1000: 1, 5000: 4, 5001: 4, 900: 1, 7000: 4}, flags); diff != "" {
		t.Errorf("flags by COD differ (-want +got):\n%s", diff)
	}
	rows := n.db.Query(t, "water", `SELECT until, ended, planned, who, note FROM maintenance WHERE station = 'ipal-01'`)
	if len(rows) != 2 {
		t.Fatalf("got %d points of maintenance, want 2: %v", len(rows), rows)
	}
	for _, row := range rows {
		from, to := row["time"].(time.Time), time.UnixMilli(int64(row["until"].(float64)))
		if to.Before(from) || to.After(over) || row["ended"] != true || row["planned"] != false || row["who"] != "Sari" || row["note"] != `cleaning "all"` {
			t.Errorf("got maintenance %v, want Sari's, over before %v", row, over)
		}
	}
	n.stop()
	if left := n.left(); left > 0 {
		t.Errorf("%d messages are not acknowledged, want none", left)
	}
}

// Work that the site file plans needs no message, and ends by itself.
func TestPlannedMaintenance(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	now := time.Now().Truncate(time.Second)
	n.site.standard = fmt.Sprintf("id-permenlh-5-2014-tofu, parameters: {ph: {}, cod: {}}, maintenance: [{from: %s, to: %s, parameters: [ph], reason: new cable}]",
		now.Add(-time.Hour).Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339))
	n.writeSite()
	n.ingest()
	n.seriesBecomes(1, "tofuwatch_maintenance", "station=ipal-01", "parameter=ph")
	n.seriesBecomes(0, "tofuwatch_maintenance", "station=ipal-01", "parameter=cod")
	n.seriesBecomes(float64(now.Add(time.Hour).Unix()), "tofuwatch_maintenance_end_timestamp_seconds", "station=ipal-01", "parameter=ph")
	n.sendAll("tofu/ipal-01/readings", fmt.Sprintf(`{"time":%d,"ph":4,"cod":400}`, now.Unix()))
	n.seriesBecomes(1, "tofuwatch_exceedances_total", "station=ipal-01", "parameter=cod", "bound=max", "method=sensor", "timing=live")
	n.seriesBecomes(0, "tofuwatch_exceedances_total", "station=ipal-01", "parameter=ph", "bound=min", "method=sensor", "timing=live")
	if got, ok := n.series("tofuwatch_reading", "parameter=ph"); ok {
		t.Errorf("got a latest pH of %v, want none", got)
	}
	n.drained()
	testenv.Eventually(t, func() error {
		rows := n.db.Query(t, "water", `SELECT note, planned FROM maintenance GROUP BY station, scope`)
		want := testenv.Row{"time": now.Add(-time.Hour).UTC(), "station": "bajak-1", "scope": "ph", "note": "new cable", "planned": true}
		if len(rows) != len(n.site.stations) || !cmp.Equal(rows[0], want) {
			return fmt.Errorf("got maintenance %v, want %d like %v", rows, len(n.site.stations), want)
		}
		return nil
	})
}

func TestDriftIsCorrected(t *testing.T) {
	t.Parallel()
	correctsDrift(newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water"))))
}

// correctsDrift publishes readings of a sensor that goes wrong, has two visits
// noted, with the ingester and InfluxDB killed in between, and wants the corrected
// readings in InfluxDB.
func correctsDrift(n *network) {
	t := n.t
	t.Helper()
	// More readings than are corrected at once, ten seconds apart.
	const count, bad, missing, late = 2500, 100, 200, 300
	first := time.Now().Add(-8 * time.Hour).Truncate(time.Second)
	last := first.Add(count * 10 * time.Second)
	sampled := func(i int) time.Time { return first.Add(time.Duration(i) * 10 * time.Second) }
	n.ingest()
	n.sendAll("tofu/ipal-01/maintenance", fmt.Sprintf(
		`{"state":"calibration","parameter":"ph","reference":7.00,"before":7.3,"after_calibration":7.00,"time":%d}`, first.Unix()))

	type sent struct {
		Time int64 `json:"time"`
		PH   any   `json:"ph"`
		COD  int   `json:"cod"`
	}
	var all []sent
	for i := range count + 1 { // the last one is after the second visit began
		ph := any(7.3)
		switch i {
		case bad:
			ph = 15
		case missing:
			ph = nil
		case late:
			continue
		}
		all = append(all, sent{sampled(i).Unix(), ph, i})
	}
	for len(all) > 0 {
		piece, err := json.Marshal(all[:min(1000, len(all))])
		if err != nil {
			t.Fatal(err)
		}
		n.sendAll("tofu/ipal-01/readings", string(piece))
		all = all[min(1000, len(all)):]
	}
	testenv.Eventually(t, func() error {
		l, err := n.readLedger()
		if err == nil && (l.received != 2*count || l.pending > 0) {
			err = fmt.Errorf("got %+v, want %d stored", l, 2*count)
		}
		return err
	})

	n.db.Kill()
	note := tofuwatch(t, "calibrate", "--config", n.file, "--station", "ipal-01", "--parameter", "pH", "--time", last.Format(time.RFC3339),
		"--reference", "7.00", "--before", "7.50", "--after-cleaning", "7.20", "--after", "7.00", "--by", "Sari")
	want := "its error grew to 0.30 by fouling and 0.20 by drift, past 0.20; its readings are corrected\n"
	if note.status != done || !strings.HasPrefix(note.stdout, "pH at ipal-01: noted; since ") || !strings.HasSuffix(note.stdout, want) {
		t.Errorf("calibrate: got status %d, %q, %q; want %d and %q", note.status, note.stdout, note.stderr, done, want)
	}
	n.seriesBecomes(1, "tofuwatch_drift_corrections_due")
	n.ingester.Kill()
	n.ingest()
	n.seriesBecomes(1, "tofuwatch_drift_corrections_due")
	n.db.Start()
	n.seriesBecomes(0, "tofuwatch_drift_corrections_due")
	corrected := func(readings int) map[int64][2]float64 {
		t.Helper()
		got := make(map[int64][2]float64)
		testenv.Eventually(t, func() error {
			rows, err := n.db.Rows(n.database(), `SELECT ph, ph_qc FROM water_quality WHERE method = 'corrected' AND station = 'ipal-01'`)
			if err != nil || len(rows) < readings {
				return fmt.Errorf("got %d corrected readings, error %w; want %d", len(rows), err, readings)
			}
			for _, row := range rows {
				got[row["time"].(time.Time).Unix()] = [2]float64{row["ph"].(float64), row["ph_qc"].(float64)}
			}
			return nil
		})
		return got
	}
	corrected(count - 2) // without the missing and the late one

	// A logger that had no network.
	n.sendAll("tofu/ipal-01/readings", fmt.Sprintf(`{"time":%d,"ph":7.3}`, sampled(late).Unix()))
	got := corrected(count - 1)
	if len(got) != count-1 {
		t.Errorf("got %d corrected readings, want %d: none of the visit itself and later", len(got), count-1)
	}
	for i := range count {
		value, flag := 7.3, 1.0
		switch i {
		case missing:
			continue
		case bad:
			value, flag = 15, 4
		}
		value -= 0.5 * float64(i) / count // 0.3 of fouling and 0.2 of drift, growing evenly
		if g := got[sampled(i).Unix()]; math.Abs(g[0]-value) > 1e-9 || g[1] != flag {
			t.Fatalf("reading %d: got corrected %v with flag %v, want %v with %v", i, g[0], g[1], value, flag)
		}
	}

	l := n.drained()
	if raw := 2*count + 1; l.stored < raw+count-1 || len(l.deadLettered) > 0 {
		t.Errorf("got ledger %+v, want the %d readings, and their corrected ones, stored", l, raw)
	}
	rows := n.db.Query(t, n.database(), `SELECT count(ph), sum(ph) FROM water_quality WHERE method = 'sensor'`)
	if sum := 7.3*(count-1) + 15; rows[0]["count"].(float64) != count || math.Abs(rows[0]["sum"].(float64)-sum) > 1e-6 {
		t.Errorf("got what the sensor sent %v, want %d readings that sum up to %v, as they were", rows, count, sum)
	}
	rows = n.db.Query(t, n.database(), `SELECT reference, before, after_cleaning, after_calibration, who FROM calibration WHERE parameter = 'ph'`)
	wantRow := testenv.Row{"time": last.UTC(), "reference": 7.0, "before": 7.5, "after_cleaning": 7.2, "after_calibration": 7.0, "who": "Sari"}
	if len(rows) != 2 || !cmp.Equal(rows[1], wantRow) {
		t.Errorf("got calibrations %v, want two, the second %v", rows, wantRow)
	}
	for _, metric := range []string{"tofuwatch_reading", "tofuwatch_exceedances_total", "tofuwatch_observations_total"} {
		if v, ok := n.series(metric, "method=corrected"); ok {
			t.Errorf("got %s %v of corrected readings, want none", metric, v)
		}
	}
}

// What the ingester subscribes to it may read, where the broker asks who it is.
func TestIngesterMayReadWhatItSubscribesTo(t *testing.T) {
	t.Parallel()
	s, err := site.Load("../../deploy/site.example.yaml", func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	rules := accessRules(s)
	for _, filter := range ingester.MQTTOptions(s, nil).Filters {
		if !rules.MayRead(s.MQTT.Username, filter) {
			t.Errorf("the ingester may not read %s", filter)
		}
	}
}
