//go:build influxdb2

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

// What is tested against InfluxDB 1.8 holds for 2.7 too: it is killed, refuses
// points, refuses the token for a while, and has everything in the end.
func TestInfluxDB2LosesNothing(t *testing.T) {
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB2(t, "water"))
	n.site.org = n.db.Org
	n.site.tokenFile = filepath.Join(filepath.Dir(n.file), "token")
	writeFile(t, n.site.tokenFile, n.db.Token)
	n.writeSite()
	if check := tofuwatch(t, "check", "--live", "--config", n.file); check.status != done {
		t.Fatalf("check --live: got exit status %d, want %d:\n%s%s", check.status, done, check.stdout, check.stderr)
	}
	conflict := n.poison(10)

	writeFile(t, n.site.tokenFile, "wrong")
	n.ingest()
	n.publish(2000, loadRate).reached(2000)
	if got := n.metric("tofuwatch_influxdb_up"); got != 0 {
		t.Errorf("got tofuwatch_influxdb_up %v with a wrong token, want 0", got)
	}
	n.ingester.Kill()
	writeFile(t, n.site.tokenFile, n.db.Token)
	n.ingest()
	n.drained()

	n.db.Kill()
	load := n.publish(3000, loadRate)
	n.sendAll("tofu/ipal-01/readings", fmt.Sprintf(`{"time":%d,"cod":1}`, conflict.UnixMilli()+1))
	load.reached(3000)
	n.db.Start()

	got := n.settle()
	want := map[string]int{"refused": 1}
	if diff := cmp.Diff(want, got.deadLettered); diff != "" {
		t.Errorf("dead letters differ (-want +got):\n%s", diff)
	}
	if letters := n.letters(); len(letters) != 1 || !strings.Contains(letters[0].Detail, "field type conflict") {
		t.Errorf("got dead letters %+v, want one about a field type conflict", letters)
	}
}

// Reading back is InfluxQL here too.
func TestInfluxDB2CorrectsDrift(t *testing.T) {
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB2(t, "water"))
	n.site.org = n.db.Org
	n.site.tokenFile = filepath.Join(filepath.Dir(n.file), "token")
	writeFile(t, n.site.tokenFile, n.db.Token)
	n.writeSite()
	correctsDrift(n)
}
