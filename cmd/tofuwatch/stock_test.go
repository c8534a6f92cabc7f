package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

// Mosquitto untuned has 20 messages in flight and queues 1,000: who
// acknowledges late loses the rest.
func TestStockMosquitto(t *testing.T) {
	t.Parallel()
	takesAll(t, 10_000, 200)
}

// The queue lasts half a second here: not beside other tests, with which the
// machine might stand still for that long.
func TestStockMosquittoFast(t *testing.T) {
	takesAll(t, 10_000, 2_000)
}

// takesAll publishes count messages, so many a second, through servers in which
// nothing is tuned.
func takesAll(t *testing.T, count, rate int) {
	n := newNetwork(t, testenv.Mosquitto(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.ingest()
	start := time.Now()
	n.publish(count, rate).reached(count)
	t.Logf("published %d messages at %.0f a second", count, float64(count)/time.Since(start).Seconds())
	got := n.settle()
	// Nothing failed, so that nothing came twice either.
	want := ledger{received: count, stored: count, deadLettered: map[string]int{}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ledger{})); diff != "" {
		t.Errorf("ledger differs (-want +got):\n%s", diff)
	}
}
