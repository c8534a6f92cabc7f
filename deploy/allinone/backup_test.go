package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// A snapshot of a database that is written to is a database with what was stored
// before, in all its shards.
func TestInfluxDBSnapshot(t *testing.T) {
	dir := t.TempDir()
	o := influxDBOptions{Dir: filepath.Join(dir, "data", "influxdb"), Bucket: "water"}
	ln := listenLoopback(t)
	db, err := newInfluxDB(ln, o, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- db.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-db.Ready()
	write := func(first int) {
		t.Helper()
		var lines strings.Builder
		for n := first; n < first+100; n++ { // some weeks apart: a shard each
			fmt.Fprintf(&lines, "water_quality,station=ipal-01 ph=6.9 %d\n", n*14*86400*1_000_000_000)
		}
		if status, answer := request(t, "POST", "http://"+ln.Addr().String()+"/api/v2/write?bucket=water", "", lines.String()); status != 204 {
			t.Fatalf("write: got %d %s, want 204", status, answer)
		}
	}
	write(0)
	copied := filepath.Join(dir, "data", "snapshot", "influxdb")
	if err := db.Snapshot(copied); err != nil {
		t.Fatal(err)
	}
	write(100) // is not in it

	base, _ := startInfluxDB(t, influxDBOptions{Dir: copied, Bucket: "water"})
	if got, want := phCount(t, base, "", "water"), `["1970-01-01T00:00:00Z",100]`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
}
