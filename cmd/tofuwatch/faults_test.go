package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest/spool"
	"tofuwatch/internal/testenv"
)

// What is true of every test here: whatever fails under load, each published
// reading is in InfluxDB once. See network.settle.

const (
	loadCount = 12_000
	loadRate  = 2_000 // a second
)

func TestNothingLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault func(n *network)
	}{
		{"ingester killed", killIngester},
		{"ingester stopped", func(n *network) { n.stop(); n.ingest() }},
		{"InfluxDB killed", killInfluxDB},
		{"ingester and InfluxDB killed", killBoth},
		{"broker restarted", restartBroker},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
			n.ingest()
			load := n.publish(loadCount, loadRate)
			for _, at := range []int{2_000, 5_000, 8_000} {
				load.reached(at)
				tt.fault(n)
			}
			n.settle()
		})
	}
}

func killIngester(n *network) {
	n.ingester.Kill()
	n.ingest()
}

func killInfluxDB(n *network) {
	n.db.Kill()
	n.db.Start()
}

func killBoth(n *network) {
	n.ingester.Kill()
	n.db.Kill()
	n.ingest()
	n.db.Start()
}

func restartBroker(n *network) {
	n.broker.Stop()
	n.broker.Start()
	n.answers("/readyz", http.StatusOK)
}

// The longest that InfluxDB's own client tries is 180 s.
func TestNothingLostWhileInfluxDBIsAway(t *testing.T) {
	t.Parallel()
	const away, rate = 190, 50
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.ingest()
	load := n.publish((away+5)*rate, rate)
	load.reached(2 * rate)
	n.db.Kill()
	killed := time.Now()
	n.metricBecomes("tofuwatch_influxdb_up", 0)
	load.reached((away + 3) * rate)
	if got, want := time.Since(killed), away*time.Second; got < want {
		t.Errorf("InfluxDB was away for %v, want at least %v", got, want)
	}
	n.db.Start()
	n.settle()
}

func TestNothingLostWhileUnauthorized(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithAuth("admin", "admin"), testenv.WithDatabase("water")))
	n.addUser()
	n.ingest()
	load := n.publish(loadCount, loadRate)
	load.reached(2_000)
	n.metricBecomes("tofuwatch_influxdb_up", 1)
	n.setPassword("changed")
	n.metricBecomes("tofuwatch_influxdb_up", 0)
	load.reached(10_000)
	if got := n.ledger(); len(got.deadLettered) > 0 {
		t.Errorf("got dead letters %v for a wrong password, want none", got.deadLettered)
	}
	if want := "check the token"; !strings.Contains(n.ingester.Stderr(), want) {
		t.Errorf("log does not say %q:\n%s", want, n.ingester.Stderr())
	}
	n.setPassword(userPassword)
	if got := n.settle(); len(got.deadLettered) > 0 {
		t.Errorf("got dead letters %v, want none", got.deadLettered)
	}
}

const userPassword = "right"

// addUser gives the ingester a user of its own in a database that wants one.
func (n *network) addUser() {
	n.t.Helper()
	n.db.Exec(n.t, fmt.Sprintf("CREATE USER tofuwatch WITH PASSWORD '%s'", userPassword))
	n.db.Exec(n.t, fmt.Sprintf(`GRANT ALL ON %q TO tofuwatch`, n.database()))
	n.site.tokenFile = filepath.Join(filepath.Dir(n.file), "token")
	writeFile(n.t, n.site.tokenFile, "tofuwatch:"+userPassword+"\n")
	n.writeSite()
}

func (n *network) setPassword(password string) {
	n.t.Helper()
	n.db.Exec(n.t, fmt.Sprintf("SET PASSWORD FOR tofuwatch = '%s'", password))
}

// Of 1,000 points in one request InfluxDB can't take three: they are dead
// letters with its reasons, and the rest is stored.
func TestNothingLostBesideUnwritablePoints(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.db.Exec(t, `CREATE RETENTION POLICY "month" ON "water" DURATION 30d REPLICATION 1 DEFAULT`)
	n.site.bucket = "water/month"
	n.writeSite()
	// A field has one type in each shard, here a day.
	conflict := n.poison(10)
	n.ingest()
	n.db.Kill()
	load := n.publish(500, loadRate)
	load.reached(500)
	expired := time.Now().AddDate(0, 0, -40)
	n.sendAll("tofu/ipal-01/readings",
		fmt.Sprintf(`{"time":%d,"cod":1}`, conflict.UnixMilli()+1),
		fmt.Sprintf(`{"time":%d,"cod":2}`, conflict.UnixMilli()+2),
		fmt.Sprintf(`{"time":%d,"cod":3}`, expired.UnixMilli()))
	load = n.publish(497, loadRate)
	load.reached(497)
	testenv.Eventually(t, func() error {
		l, err := n.readLedger()
		if err == nil && l.pending != 1000 {
			err = fmt.Errorf("got %d readings pending, want 1000", l.pending)
		}
		return err
	})
	n.db.Start()
	got := n.settle()
	want := ledger{received: 1000, stored: 997, deadLettered: map[string]int{"refused": 3}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(ledger{})); diff != "" {
		t.Errorf("ledger differs (-want +got):\n%s", diff)
	}
	letters := n.letters()
	if len(letters) != 3 {
		t.Fatalf("got %d dead letters, want 3", len(letters))
	}
	for i, want := range []string{"field type conflict", "field type conflict", "beyond retention policy"} {
		if l := letters[i]; !strings.Contains(l.Detail, want) || l.Topic != "tofu/ipal-01/readings" || l.Readings != 1 {
			t.Errorf("got dead letter %+v, want one of 1 reading of tofu/ipal-01/readings about %q", l, want)
		}
	}
}

// poison makes a day, so many days ago, one in which InfluxDB can store no cod,
// and returns a moment of it: a field has one type in each shard.
func (n *network) poison(daysAgo int) time.Time {
	n.t.Helper()
	day := time.Now().AddDate(0, 0, -daysAgo).Truncate(24 * time.Hour).Add(12 * time.Hour)
	n.writePoint(fmt.Sprintf("water_quality,station=poison cod=true %d", day.UnixNano()))
	return day
}

// writePoint writes a point into the database, past the ingester.
func (n *network) writePoint(line string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.db.URL+"/write?db="+n.database(), strings.NewReader(line))
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
		n.t.Fatalf("write a point: got %s, want 204", resp.Status)
	}
}

// letters returns the dead letters as a program reads them.
func (n *network) letters() []spool.StoredLetter {
	n.t.Helper()
	list := tofuwatch(n.t, "deadletter", "list", "--all", "--json", "--config", n.file)
	if list.status != done {
		n.t.Fatalf("list dead letters: got exit status %d, want %d:\n%s", list.status, done, list.stderr)
	}
	var letters []spool.StoredLetter
	for line := range strings.Lines(list.stdout) {
		var l spool.StoredLetter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			n.t.Fatalf("read %q: %v", line, err)
		}
		letters = append(letters, l)
	}
	return letters
}

// A message that can't be used must not take the place of one that can: twice
// as many as the broker sends without an acknowledgement stop nothing.
func TestNothingLostBetweenGarbage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		broker   []testenv.BrokerOption
		inFlight int
	}{
		{"stock broker", nil, 20},
		{"100 in flight", []testenv.BrokerOption{testenv.WithConfig("max_inflight_messages 100")}, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, testenv.Mosquitto(t, tt.broker...), testenv.InfluxDB(t, testenv.WithDatabase("water")))
			n.ingest()
			n.publish(200, loadRate).reached(200)
			garbage := slices.Repeat([]string{"garbage"}, 2*tt.inFlight)
			n.sendAll("tofu/ipal-01/readings", garbage...)
			n.publish(200, loadRate).reached(200)
			got := n.settle()
			want := ledger{received: 400 + len(garbage), stored: 400, deadLettered: map[string]int{"malformed": len(garbage)}}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(ledger{})); diff != "" {
				t.Errorf("ledger differs (-want +got):\n%s", diff)
			}
		})
	}
}

// Everything at once, in an order that a seed decides: TOFUWATCH_SEED=… repeats
// it.
func TestNothingLostInCombinedFaults(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TOFUWATCH_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TOFUWATCH_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))

	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithAuth("admin", "admin"), testenv.WithDatabase("water")))
	n.addUser()
	n.site.dataDir = tmpfs(t, 64)
	n.writeSite()
	conflict := n.poison(10)
	n.ingest()

	const rate, seconds = 500, 60
	load := n.publish(rate*seconds, rate)
	var garbage, poison int
	faults := []struct {
		name string
		do   func()
	}{
		{"ingester killed", func() { killIngester(n) }},
		{"ingester stopped", func() { n.stop(); n.ingest() }},
		{"InfluxDB killed", func() { killInfluxDB(n) }},
		{"both killed", func() { killBoth(n) }},
		{"broker restarted", func() { restartBroker(n) }},
		{"broker restarted, ingester killed", func() {
			n.broker.Stop()
			n.ingester.Kill()
			n.broker.Start()
			n.ingest()
		}},
		{"wrong password", func() {
			n.setPassword("changed")
			load.reached(min(load.count, int(load.acked.Load())+rate))
			n.setPassword(userPassword)
		}},
		{"garbage", func() {
			n.sendAll("tofu/ipal-01/readings", slices.Repeat([]string{"garbage"}, 40)...)
			garbage += 40
		}},
		{"unwritable points", func() {
			for range 3 {
				poison++
				n.sendAll("tofu/bajak-1/readings", fmt.Sprintf(`{"time":%d,"cod":1}`, conflict.UnixMilli()+int64(poison)))
			}
		}},
		{"torn spool", func() {
			n.ingester.Kill()
			tear(t, n.site.dataDir, r.IntN(200)+1)
			n.ingest()
		}},
		{"full disk", func() {
			empty := fill(t, n.site.dataDir)
			n.answers("/readyz", http.StatusServiceUnavailable)
			load.reached(min(load.count, int(load.acked.Load())+rate))
			empty()
			n.answers("/readyz", http.StatusOK)
		}},
	}
	for left := r.Perm(len(faults)); int(load.acked.Load()) < load.count; {
		if len(left) == 0 { // each once, then each once more in another order
			left = r.Perm(len(faults))
		}
		fault := faults[left[0]]
		left = left[1:]
		t.Logf("after %d messages: %s", load.acked.Load(), fault.name)
		fault.do()
		load.reached(min(load.count, int(load.acked.Load())+r.IntN(2*rate)))
	}
	got := n.settle()
	// A message that comes twice, for its acknowledgement was lost, is two dead letters.
	if got := got.deadLettered["malformed"]; got < garbage {
		t.Errorf("got %d dead letters for %d messages of garbage, want at least as many", got, garbage)
	}
	if got := got.deadLettered["refused"]; got < poison {
		t.Errorf("got %d dead letters for %d points that InfluxDB refuses, want at least as many", got, poison)
	}
	if left := len(got.deadLettered); left > 2 {
		t.Errorf("got dead letters %v, want malformed and refused only", got.deadLettered)
	}
}
