package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// testScreen returns a screen that has seen two stations.
func testScreen(t testing.TB) (*screen, time.Time) {
	t.Helper()
	at := time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC)
	jakarta, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	return &screen{
		site: &site.Site{
			TimeZone: jakarta,
			HTTP:     site.HTTP{Listen: "127.0.0.1:9464"},
			MQTT:     site.MQTT{Broker: &url.URL{Scheme: "tcp", Host: "127.0.0.1:1883"}},
			InfluxDB: site.InfluxDB{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:8086"}, Bucket: "water"},
		},
		scenario: "spill",
		incident: func(time.Time) string { return ": dump at tenggang-hilir" },
		folder:   "tofuwatch-demo",
		clock:    func(now time.Time) time.Time { return now },
		began:    at,
		first:    1300 * time.Millisecond,
		trouble:  newTrouble(slog.DiscardHandler),
		alerts:   "127.0.0.1:9093",
		queries:  "127.0.0.1:9090",
		firing: func() []labels.Labels {
			return []labels.Labels{
				labels.FromStrings("alertname", "RiverOverLimit", "station", "tenggang-hilir", "parameter", "bod", "severity", "critical", "standing", "no"),
				labels.FromStrings("alertname", "RiverOverLimit", "station", "tenggang-hilir", "parameter", "bod", "severity", "warning", "standing", "yes"),
			}
		},
		last: snapshot{
			at:     at,
			ledger: ledger{received: 1234567, stored: 1234560, pending: 4, deadLettered: 3},
			rows: []row{
				{"ipal-01", "cod", "mg/L", 4206.4, water.Good, ago(2 * time.Second), 2 * time.Second},
				{"ipal-01", "ph", "", 7.1, water.Suspect, ago(90 * time.Second), 2 * time.Second},
				{"tenggang-hilir", "fecal_coliform", "MPN/100mL", 2.4e6, water.NotEvaluated, ago(3 * time.Hour), 0},
			},
		},
	}, at
}

func TestFrame(t *testing.T) {
	tests := []struct {
		name          string
		width, height int
		want          string
	}{
		{"80 columns", 80, 20, `
Tofuwatch demo
Scenario  spill: dump at tenggang-hilir
Time      Mon 23 Nov 07:30:00 WIB
MQTT      tcp://127.0.0.1:1883
InfluxDB  http://127.0.0.1:8086  water
Metrics   http://127.0.0.1:9464/metrics
Queries   http://127.0.0.1:9090  Prometheus
Alerts    http://127.0.0.1:9093  Alertmanager
Folder    tofuwatch-demo
Mail      none yet; will be in tofuwatch-demo/mail
Firing    EMERGENCY tenggang-hilir (bod); 1 warning
Readings  received 1,234,567 = stored 1,234,560 + pending 4 + dead-lettered 3
          0.0 readings/s, first stored after 1.3 s

STATION           PARAMETER            VALUE UNIT        AGE  FLAG
ipal-01           cod                   4206 mg/L         2s  good
                  ph                    7.10              1m  suspect
tenggang-hilir    fecal_coliform     2.4e+06 MPN/100mL    3h  not evaluated

Ctrl-C stops.`},
		{"40 columns", 40, 24, `
Tofuwatch demo
Scenario  spill: dump at tenggang-hilir
Time      Mon 23 Nov 07:30:00 WIB
MQTT      tcp://127.0.0.1:1883
InfluxDB  http://127.0.0.1:8086  water
Metrics   http://127.0.0.1:9464/metrics
Queries   http://127.0.0.1:9090  Promet…
Alerts    http://127.0.0.1:9093  Alertm…
Folder    tofuwatch-demo
Mail      none yet; will be in tofuwatc…
Firing    EMERGENCY tenggang-hilir (bod…
Received           1,234,567
= stored           1,234,560
+ pending                  4
+ dead-lettered            3
0.0 readings/s
first stored after 1.3 s

ipal-01
 cod            4206 mg/L   2s good
 ph             7.10        1m suspect
tenggang-hilir
 fecal_coli… 2.4e+06 MPN/…  3h not eval…
Ctrl-C stops.`},
		{"too low for all", 80, 17, `
Tofuwatch demo
Scenario  spill: dump at tenggang-hilir
Time      Mon 23 Nov 07:30:00 WIB
MQTT      tcp://127.0.0.1:1883
InfluxDB  http://127.0.0.1:8086  water
Metrics   http://127.0.0.1:9464/metrics
Queries   http://127.0.0.1:9090  Prometheus
Alerts    http://127.0.0.1:9093  Alertmanager
Folder    tofuwatch-demo
Mail      none yet; will be in tofuwatch-demo/mail
Firing    EMERGENCY tenggang-hilir (bod); 1 warning
Readings  received 1,234,567 = stored 1,234,560 + pending 4 + dead-lettered 3
          0.0 readings/s, first stored after 1.3 s

STATION           PARAMETER            VALUE UNIT        AGE  FLAG
ipal-01           cod                   4206 mg/L         2s  good
Page 1 of 3. Ctrl-C stops.`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, at := testScreen(t)
			got := strings.Join(s.frame(test.width, test.height, at), "\n")
			if diff := cmp.Diff(got, strings.TrimPrefix(test.want, "\n")); diff != "" {
				t.Errorf("frame (-got +want):\n%s", diff)
			}
		})
	}
}

// Whatever the terminal, a frame fills it and no line is longer than it is wide.
func TestFrameFitsEveryTerminal(t *testing.T) {
	s, at := testScreen(t)
	s.trouble.last.Store(new(string))
	for width := 1; width < 120; width++ {
		for height := 1; height < 40; height++ {
			lines := s.frame(width, height, at)
			if got := len(lines); got > max(height, 2) {
				t.Errorf("%d by %d: got %d lines", width, height, got)
			}
			for _, line := range lines {
				if got := utf8.RuneCountInString(line); got > width {
					t.Errorf("%d by %d: got a line of %d columns: %q", width, height, got, line)
				}
			}
		}
	}
}

func TestColour(t *testing.T) {
	s, at := testScreen(t)
	s.colour = true
	frame := strings.Join(s.frame(80, 24, at), "\n")
	for _, want := range []string{"\x1b[1mTofuwatch demo\x1b[0m", "\x1b[33m  suspect\x1b[0m", "\x1b[33m  1m\x1b[0m"} {
		if !strings.Contains(frame, want) {
			t.Errorf("want %q in\n%s", want, frame)
		}
	}
}

func TestTake(t *testing.T) {
	parameters, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	s := &site.Site{Parameters: parameters, Stations: []site.Station{{Station: &water.Station{ID: "ipal-01"}}}}
	registry := prometheus.NewRegistry()
	gauge := func(name string, value float64, labels prometheus.Labels) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, ConstLabels: labels})
		registry.MustRegister(g)
		g.Set(value)
	}
	for _, method := range []string{"lab", "sensor"} {
		value := map[string]float64{"lab": 99, "sensor": 7.1}[method]
		gauge("tofuwatch_reading", value, prometheus.Labels{"station": "ipal-01", "parameter": "ph", "unit": "", "method": method})
		gauge("tofuwatch_reading_timestamp_seconds", 1700000000.5, prometheus.Labels{"station": "ipal-01", "parameter": "ph", "method": method})
		gauge("tofuwatch_reading_flag", 3, prometheus.Labels{"station": "ipal-01", "parameter": "ph", "method": method})
	}
	gauge("tofuwatch_expected_interval_seconds", 120, prometheus.Labels{"station": "ipal-01", "parameter": "ph"})
	gauge("tofuwatch_expected_interval_seconds", 120, prometheus.Labels{"station": "ipal-01", "parameter": "cod"}) // never came
	gauge("tofuwatch_readings_received_total", 10, nil)
	gauge("tofuwatch_readings_stored_total", 6, nil)
	gauge("tofuwatch_readings_pending", 1, nil)
	gauge("tofuwatch_readings_deadlettered_total", 2, prometheus.Labels{"reason": "malformed"})
	gauge("tofuwatch_readings_deadlettered_total", 1, prometheus.Labels{"reason": "bad_time"})

	now := time.Unix(1700000001, 0)
	got, err := take(registry, s, now)
	if err != nil {
		t.Fatal(err)
	}
	want := snapshot{
		at:     now,
		rows:   []row{{"ipal-01", "ph", "", 7.1, water.Suspect, time.UnixMilli(1700000000500), 2 * time.Minute}},
		ledger: ledger{10, 6, 1, 3},
	}
	if diff := cmp.Diff(got, want, cmp.AllowUnexported(snapshot{}, row{}, ledger{})); diff != "" {
		t.Errorf("snapshot (-got +want):\n%s", diff)
	}
}

func TestTroubleRemembersTheLastWarning(t *testing.T) {
	var file bytes.Buffer
	tr := newTrouble(slog.NewTextHandler(&file, nil))
	log := slog.New(tr).With("component", "influx")
	log.Info("subscribed")
	if text, ok := tr.latest(); ok {
		t.Errorf("got %q after an information, want nothing", text)
	}
	log.Warn("write failed", "err", errors.New("refused"))
	text, ok := tr.latest()
	if want := "write failed err=refused"; !ok || !strings.HasSuffix(text, want) {
		t.Errorf("got %q, want it to end in %q", text, want)
	}
	if got := strings.Count(file.String(), "\n"); got != 2 {
		t.Errorf("got %d lines in the log, want 2", got)
	}
}

func TestFigureAndAge(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", -3.14159: "-3.14", 99.999: "100.00", 150.25: "150.2", 4206.4: "4206", 2.4e6: "2.4e+06"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v): got %s, want %s", v, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Hour: "0s", 59 * time.Second: "59s", time.Minute: "1m", 47 * time.Hour: "47h", 72 * time.Hour: "3d"} {
		if got := age(d); got != want {
			t.Errorf("age(%v): got %s, want %s", d, got, want)
		}
	}
}

func TestSummary(t *testing.T) {
	alert := func(severity, standing, station, parameter string) labels.Labels {
		return labels.FromStrings("alertname", "Any", "severity", severity, "standing", standing, "station", station, "parameter", parameter)
	}
	tests := []struct {
		name   string
		firing []labels.Labels
		want   string
	}{
		{"quiet", nil, "none"},
		{"a warning", []labels.Labels{alert("warning", "yes", "bajak-hilir", "bod")}, "1 warning"},
		{"of the system", []labels.Labels{labels.FromStrings("alertname", "IngesterDown", "severity", "critical")}, "EMERGENCY IngesterDown"},
		{"an emergency by two alerts, and what joined it", []labels.Labels{
			alert("critical", "no", "tenggang-hilir", "cod"), alert("critical", "no", "tenggang-hilir", "bod"), alert("critical", "no", "tenggang-hilir", "bod"),
			alert("critical", "yes", "tenggang-hilir", "do"), alert("warning", "no", "bkt-hilir", "bod"),
		}, "EMERGENCY tenggang-hilir (bod, cod); 2 warnings"},
		{"over", []labels.Labels{alert("info", "no", "tenggang-hilir", "bod"), alert("info", "yes", "bkt-hilir", "bod")}, "all-clear tenggang-hilir"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := summary(test.firing); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
