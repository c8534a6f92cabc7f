//go:build soak

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"tofuwatch/internal/testenv"
)

// TestSoak runs for half an hour, or for as long as SOAK_FOR says. The broker is
// restarted each minute, and InfluxDB is away for one minute in seven. Nothing
// may be lost, and what the ingester takes of the machine must not grow.
func TestSoak(t *testing.T) {
	const (
		rate        = 200 // messages a second
		sampleEvery = 10 * time.Second
		warmUp      = 3    // minutes that are not judged
		mostGrowth  = 1.20 // from the first third to the last
	)
	length := 30 * time.Minute
	if s := os.Getenv("SOAK_FOR"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.ingest()
	load := n.publish(int(length.Seconds())*rate, rate)

	// The least of each minute: what is left after the garbage collector ran.
	var goroutines, memory []float64
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	start, away := time.Now(), false
	for int(load.acked.Load()) < load.count {
		<-tick.C
		minute := int(time.Since(start) / time.Minute)
		if minute > int(length/time.Minute)+5 {
			t.Errorf("published %d messages in %v, want %d in %v", load.acked.Load(), time.Since(start), load.count, length)
			break
		}
		now := n.metric("go_goroutines")
		bytes := n.metric("process_resident_memory_bytes")
		if minute < len(goroutines) {
			goroutines[minute] = min(goroutines[minute], now)
			memory[minute] = min(memory[minute], bytes)
			continue
		}
		goroutines, memory = append(goroutines, now), append(memory, bytes)
		if minute == 0 {
			continue
		}
		if away {
			n.db.Start()
		}
		if away = minute%7 == 0; away {
			n.db.Stop()
		}
		restartBroker(n)
	}
	if away {
		n.db.Start()
	}
	n.settle()

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "minute\tgoroutines\tMiB\t")
	for i := range goroutines {
		fmt.Fprintf(w, "%d\t%.0f\t%.1f\t\n", i, goroutines[i], memory[i]/(1<<20))
	}
	w.Flush()
	t.Logf("%d messages in %v\n%s", load.count, time.Since(start).Round(time.Second), &table)

	for _, tt := range []struct {
		name   string
		values []float64
	}{
		{"goroutines", goroutines},
		{"bytes of memory", memory},
	} {
		judged := tt.values[min(warmUp, len(tt.values)):]
		third := len(judged) / 3
		if third < 2 {
			t.Logf("%d minutes are too few to judge by", len(tt.values))
			return
		}
		first, last := median(judged[:third]), median(judged[len(judged)-third:])
		t.Logf("%s: %.0f in the first third, %.0f in the last", tt.name, first, last)
		if last > mostGrowth*first {
			t.Errorf("%s grew from %.0f to %.0f, want at most %.2f times as many", tt.name, first, last, mostGrowth)
		}
	}
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
