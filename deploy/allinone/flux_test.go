//go:build !race

// The race detector also checks pointers, and Arrow's assembly, which Flux uses,
// makes one that it takes for a bad one: the process ends. So Flux is tested by
// "go test" without -race.

package main

import (
	"net/http"
	"strings"
	"testing"
)

func TestFlux(t *testing.T) {
	o := influxDBOptions{Dir: t.TempDir(), Bucket: "water/year", Token: "tofuwatch:rahasia"}
	base, _ := startInfluxDB(t, o)
	if status, answer := request(t, "POST", base+"/api/v2/write?bucket=water%2Fyear", o.Token, "water_quality ph=6.9\n"); status != http.StatusNoContent {
		t.Fatalf("write: got %d %s, want 204", status, answer)
	}
	const query = `from(bucket: "water/year") |> range(start: -1h) |> filter(fn: (r) => r._field == "ph")`
	if status, got := request(t, "POST", base+"/api/v2/query", o.Token, query); status != http.StatusOK || !strings.Contains(got, "6.9") {
		t.Errorf("got %d %s, want 200 and 6.9 in it", status, got)
	}
	if status, _ := request(t, "POST", base+"/api/v2/query", "tofuwatch:wrong", query); status != http.StatusUnauthorized {
		t.Errorf("with a wrong token: got %d, want 401", status)
	}
}
