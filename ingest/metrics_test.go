package ingest

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tofuwatch/internal/water"
)

func TestMetrics(t *testing.T) {
	p := newTestPipeline(spoolFunc(func(Outcome) error { return nil }), new(recorder), nil)
	health := SpoolHealth{Ledger: Ledger{DeadLettered: map[water.Reason]uint64{}}}
	influx, broker := false, false
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewMetrics(p, func() SpoolHealth { return health }, func() bool { return influx }, func() bool { return broker }))
	wantMetrics(t, registry, "testdata/metrics-at-start.txt")

	for _, m := range [][2]string{
		{"tofu/ipal-01/readings", `{"time":1795417200,"cod":1,"battery":3.7,"rssi":-70}`},
		{"tofu/ipal-01/readings", `{`},
		{"old/ipal-01/x", `{"time":1795417200,"cod":1}`},
		{"weather/1", `{}`},
		{"tofu/ipal-01/status", "online"},
	} {
		p.Handle(Message{Topic: m[0], Payload: []byte(m[1]), Received: received, Ack: func() {}})
	}
	influx, broker = true, true
	health = SpoolHealth{
		Ledger: Ledger{Received: 100, Stored: 60, Pending: 30, DeadLettered: map[water.Reason]uint64{water.Malformed: 7, water.Refused: 3}},
		Bytes:  4096, Oldest: received.Add(-1500 * time.Millisecond),
	}
	wantMetrics(t, registry, "testdata/metrics.txt")
}

// wantMetrics compares what registry exposes with a file, and lints it.
// UPDATE=1 writes the file anew.
func wantMetrics(t *testing.T, registry *prometheus.Registry, file string) {
	t.Helper()
	if os.Getenv("UPDATE") != "" {
		if err := prometheus.WriteToTextfile(file, registry); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if err := testutil.GatherAndCompare(registry, want); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
