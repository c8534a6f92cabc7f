package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tofuwatch/internal/testenv"
)

// TestMain runs more tests at once than there are processors: they wait for
// servers most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// A network is a station network for a test: a broker, a database, and the
// built command as the ingester between them, each a process of its own.
type network struct {
	t        testing.TB
	broker   *testenv.Broker
	db       *testenv.Database
	file     string // the site file
	site     siteFile
	ingester *testenv.Process
	args     []string // of "tofuwatch ingest"

	start  time.Time          // sample time of the first reading
	loads  []*load            // all that was published
	expect map[sample]float64 // what InfluxDB must have in the end
}

// A sample is where and when a value was measured. There is one value each.
type sample struct {
	station string
	milli   int64 // Unix
}

// siteFile is what differs between the site files of tests.
type siteFile struct {
	broker, listen, influx, bucket string
	http                           string // further keys of http, if any
	tokenFile, org, dataDir        string
	stations                       []string
	standard                       string // of every station, if any
	mail                           string // the keys recipients and smtp, if any
	tests                          string // of every cod, if not the defaults
}

const clientID = "tofuwatch-test"

func (s siteFile) write(t testing.TB, file string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "site: test\ndata_dir: %q\nhttp: {listen: %q%s}\n", s.dataDir, s.listen, s.http)
	fmt.Fprintf(&b, "mqtt: {broker: %q, client_id: %s}\n", s.broker, clientID)
	fmt.Fprintf(&b, "influxdb:\n  url: %q\n  bucket: %q\n", s.influx, s.bucket)
	if s.tokenFile != "" {
		fmt.Fprintf(&b, "  token_file: %q\n", s.tokenFile)
	}
	if s.org != "" {
		fmt.Fprintf(&b, "  org: %q\n", s.org)
	}
	if s.tests != "" {
		fmt.Fprintf(&b, "tests: {cod: %s}\n", s.tests)
	}
	b.WriteString("stations:\n")
	for _, id := range s.stations {
		standard := ""
		if s.standard != "" {
			standard = ", standard: " + s.standard
		}
		fmt.Fprintf(&b, "  - {id: %s, name: Station %s, river: bajak, kind: effluent, latitude: -6.99, longitude: 110.42%s}\n", id, id, standard)
	}
	b.WriteString(s.mail)
	writeFile(t, file, b.String())
}

func writeFile(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newNetwork returns a network in which nothing ingests yet. The database is
// called water.
func newNetwork(t testing.TB, broker *testenv.Broker, db *testenv.Database) *network {
	t.Helper()
	dir := t.TempDir()
	n := &network{
		t: t, broker: broker, db: db, file: filepath.Join(dir, "site.yaml"),
		site: siteFile{
			broker: broker.URL, influx: db.URL, bucket: "water",
			listen:   fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t)),
			dataDir:  filepath.Join(dir, "data"),
			stations: []string{"ipal-01", "ipal-02", "bajak-1", "bajak-2"},
		},
		start:  time.Now().Add(-time.Hour).Truncate(time.Second),
		expect: make(map[sample]float64),
	}
	n.writeSite()
	return n
}

func (n *network) writeSite() {
	n.t.Helper()
	n.site.write(n.t, n.file)
}

// shippedBroker is a Mosquitto with the configuration that deploy/ has: it keeps
// what it has acknowledged when it is restarted.
func shippedBroker(t testing.TB) *testenv.Broker {
	t.Helper()
	return testenv.Mosquitto(t, testenv.WithConfigFile("../../deploy/mosquitto/mosquitto.conf"))
}

// launch starts the ingester and waits until it answers, ready or not.
func (n *network) launch() {
	n.t.Helper()
	n.ingester = testenv.Start(n.t, exec.Command(testenv.Command(n.t), append([]string{"ingest", "--config", n.file}, n.args...)...))
	n.answers("/healthz", http.StatusOK)
}

// ingest starts the ingester and waits until it is ready: the broker keeps
// messages for it from then on.
func (n *network) ingest() {
	n.t.Helper()
	n.launch()
	n.answers("/readyz", http.StatusOK)
}

// answers waits for an answer of the ingester. It has long enough to connect
// again on its own, and not long enough to notice by its next ping that it should.
func (n *network) answers(path string, status int) {
	n.t.Helper()
	testenv.Within(n.t, 30*time.Second, func() error {
		if n.ingester.State() != nil {
			n.t.Fatalf("the ingester ended (%v):\n%s", n.ingester.State(), n.ingester.Stderr())
		}
		resp, err := http.Get("http://" + n.site.listen + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != status {
			return fmt.Errorf("GET %s: got %s, want %d", path, resp.Status, status)
		}
		return nil
	})
}

// stop ends the ingester in good order.
func (n *network) stop() {
	n.t.Helper()
	if got := n.ingester.Stop(); got != done {
		n.t.Errorf("got exit status %d of an ingester that was asked to end, want %d:\n%s", got, done, n.ingester.Stderr())
	}
}

// metrics scrapes the ingester.
func (n *network) metrics() (map[string]*dto.MetricFamily, error) {
	resp, err := http.Get("http://" + n.site.listen + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(resp.Body)
}

// metric returns the sum over all labels of a metric that must exist.
func (n *network) metric(name string) float64 {
	n.t.Helper()
	families, err := n.metrics()
	if err != nil {
		n.t.Fatal(err)
	}
	family := families[name]
	if family == nil {
		n.t.Fatalf("no metric %s", name)
	}
	sum := 0.0
	for _, m := range family.Metric {
		sum += value(m)
	}
	return sum
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return m.Untyped.GetValue()
}

// metricBecomes waits until a metric has a value.
func (n *network) metricBecomes(name string, want float64) {
	n.t.Helper()
	testenv.Eventually(n.t, func() error {
		families, err := n.metrics()
		if err != nil {
			return err
		}
		if families[name] == nil { // some come with the first answer of InfluxDB
			return fmt.Errorf("no metric %s, want %v", name, want)
		}
		if got := n.metric(name); got != want {
			return fmt.Errorf("got %s %v, want %v", name, got, want)
		}
		return nil
	})
}

// A ledger is what the metrics say became of readings.
type ledger struct {
	received, stored, pending int
	deadLettered              map[string]int // by reason; those with none are left out
}

// readLedger returns the ledger of one scrape. It must balance in each.
func (n *network) readLedger() (ledger, error) {
	families, err := n.metrics()
	if err != nil {
		return ledger{}, err
	}
	l := ledger{deadLettered: make(map[string]int)}
	for name, into := range map[string]*int{
		"tofuwatch_readings_received_total": &l.received,
		"tofuwatch_readings_stored_total":   &l.stored,
		"tofuwatch_readings_pending":        &l.pending,
	} {
		family := families[name]
		if family == nil || len(family.Metric) != 1 {
			return ledger{}, fmt.Errorf("got metric %s %v, want one", name, family)
		}
		*into = int(value(family.Metric[0]))
	}
	sum := l.stored + l.pending
	for _, m := range families["tofuwatch_readings_deadlettered_total"].GetMetric() {
		if v := int(value(m)); v > 0 {
			l.deadLettered[m.Label[0].GetValue()] = v
			sum += v
		}
	}
	if l.received != sum {
		n.t.Errorf("ledger does not balance: %d received, %d stored + %d pending + dead-lettered %v", l.received, l.stored, l.pending, l.deadLettered)
	}
	return l, nil
}

// ledger returns the ledger as of now.
func (n *network) ledger() ledger {
	n.t.Helper()
	l, err := n.readLedger()
	if err != nil {
		n.t.Fatal(err)
	}
	return l
}

// drained waits until nothing is pending, and returns the ledger then.
func (n *network) drained() ledger {
	n.t.Helper()
	var l ledger
	testenv.Within(n.t, 2*time.Minute, func() (err error) {
		if l, err = n.readLedger(); err == nil && l.pending > 0 {
			err = fmt.Errorf("%d readings pending", l.pending)
		}
		return err
	})
	return l
}

// A load is readings on their way to the broker.
type load struct {
	t     testing.TB
	count int
	acked atomic.Int64
	done  chan struct{}
}

// inFlight bounds how many messages of a load are sent and not acknowledged.
const inFlight = 500

// publish starts to send readings, each in a message and at a time of its own,
// so many a second. It sends what the broker does not acknowledge again, and
// ends when all is acknowledged.
func (n *network) publish(count, rate int) *load {
	n.t.Helper()
	first := len(n.expect)
	type message struct{ topic, payload string }
	messages := make([]message, count)
	for i := range messages {
		number := first + i
		s := sample{n.site.stations[number%len(n.site.stations)], n.start.UnixMilli() + int64(number)}
		n.expect[s] = float64(number)
		messages[i] = message{"tofu/" + s.station + "/readings", fmt.Sprintf(`{"time":%d,"cod":%d}`, s.milli, number)}
	}
	l := &load{t: n.t, count: count, done: make(chan struct{})}
	n.loads = append(n.loads, l)
	link := n.link(fmt.Sprintf("loggers-%d", len(n.loads)))
	ended := n.t.Context().Done()
	window := make(chan struct{}, inFlight)
	var sending sync.WaitGroup
	go func() {
		defer close(l.done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		most := max(1, rate/10) // what a slow machine may catch up at once
		for sent, due, last := 0, 0.0, time.Now(); sent < count; {
			select {
			case <-tick.C:
			case <-ended:
				return
			}
			due = min(due+time.Since(last).Seconds()*float64(rate), float64(most))
			last = time.Now()
			for ; due >= 1 && sent < count; due, sent = due-1, sent+1 {
				window <- struct{}{}
				m := messages[sent]
				sending.Go(func() {
					defer func() { <-window }()
					if link.send(m.topic, m.payload, ended) {
						l.acked.Add(1)
					}
				})
			}
		}
		sending.Wait()
	}()
	return l
}

// send publishes until the broker acknowledges, or ended.
func (l *link) send(topic, payload string, ended <-chan struct{}) bool {
	for {
		var acked <-chan struct{}
		var token paho.Token
		again := time.After(100 * time.Millisecond)
		if client := l.connected(); client != nil {
			token = client.Publish(topic, 1, false, payload)
			acked, again = token.Done(), time.After(15*time.Second)
		}
		select {
		case <-acked:
			if token.Error() == nil {
				return true
			}
		case <-again:
		case <-ended:
			return false
		}
	}
}

// A link is a connection to a broker that is made anew when it was lost. Paho's
// own way to do that changes messages which it is sending.
type link struct {
	broker, id string

	mu     sync.Mutex
	client paho.Client
}

// link returns a link that ends with the test.
func (n *network) link(id string) *link {
	n.t.Helper()
	l := &link{broker: n.broker.URL, id: id}
	n.t.Cleanup(l.close)
	return l
}

// connected returns a client that is connected, or nil if there is no broker.
func (l *link) connected() paho.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil && l.client.IsConnectionOpen() {
		return l.client
	}
	options := paho.NewClientOptions().AddBroker(l.broker).SetClientID(l.id).SetAutoReconnect(false).
		SetWriteTimeout(time.Second) // Publish hangs that long on a connection that is being lost
	client := paho.NewClient(options)
	if token := client.Connect(); !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		return nil
	}
	l.client = client
	return client
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		l.client.Disconnect(100)
	}
}

// sendAll publishes messages, one after the other and without a pace.
func (n *network) sendAll(topic string, payloads ...string) {
	n.t.Helper()
	l := n.link("one")
	defer l.close()
	for _, p := range payloads {
		if !l.send(topic, p, n.t.Context().Done()) {
			n.t.Fatal("the test ended before the broker acknowledged a message")
		}
	}
}

// reached waits until the broker has acknowledged so many messages of l.
func (l *load) reached(count int) {
	l.t.Helper()
	testenv.Within(l.t, 5*time.Minute, func() error {
		if got := int(l.acked.Load()); got < count {
			return fmt.Errorf("got %d messages acknowledged by the broker, want %d of %d", got, count, l.count)
		}
		return nil
	})
}

// settle waits until everything published has arrived, and fails the test
// unless InfluxDB holds every reading once and none besides, the ledger
// balances, and the broker has nothing left. It ends the ingester, and returns
// the last ledger.
func (n *network) settle() ledger {
	n.t.Helper()
	for _, l := range n.loads {
		l.reached(l.count)
	}
	testenv.Within(n.t, 2*time.Minute, func() error {
		rows, err := n.db.Rows(n.database(), `SELECT count(cod) FROM water_quality`)
		if err != nil {
			return err
		}
		got := 0
		if len(rows) == 1 {
			got = int(rows[0]["count"].(float64))
		}
		if got < len(n.expect) {
			return fmt.Errorf("got %d readings in InfluxDB, want %d", got, len(n.expect))
		}
		return nil
	})
	l := n.drained()
	n.compare()
	if l.stored < len(n.expect) {
		n.t.Errorf("got %d readings stored in the ledger, want at least %d", l.stored, len(n.expect))
	}
	n.stop()
	if left := n.left(); left > 0 {
		n.t.Errorf("%d messages are not acknowledged, want none", left)
	}
	return l
}

func (n *network) database() string {
	database, _, _ := strings.Cut(n.site.bucket, "/")
	return database
}

// compare fails the test unless InfluxDB holds what is expected.
func (n *network) compare() {
	n.t.Helper()
	got := make(map[sample]float64)
	for _, row := range n.db.Query(n.t, n.database(), `SELECT cod FROM water_quality GROUP BY station`) {
		s := sample{row["station"].(string), row["time"].(time.Time).UnixMilli()}
		if _, twice := got[s]; twice {
			n.t.Errorf("%v is in InfluxDB twice", s)
		}
		got[s] = row["cod"].(float64)
	}
	if maps.Equal(got, n.expect) {
		return
	}
	var faults []string
	for s, want := range n.expect {
		if v, ok := got[s]; !ok {
			faults = append(faults, fmt.Sprintf("reading %v of %v is lost", want, s))
		} else if v != want {
			faults = append(faults, fmt.Sprintf("got %v of %v, want %v", v, s, want))
		}
	}
	for s, v := range got {
		if _, ok := n.expect[s]; !ok {
			faults = append(faults, fmt.Sprintf("reading %v of %v was never published", v, s))
		}
	}
	slices.Sort(faults)
	n.t.Errorf("%d faults among %d readings published and %d in InfluxDB:\n%s",
		len(faults), len(n.expect), len(got), strings.Join(faults[:min(20, len(faults))], "\n"))
}

// left returns how many messages the broker keeps for the ingester, which must
// have ended. It takes them away.
func (n *network) left() int {
	n.t.Helper()
	var left atomic.Int64
	ended := make(chan struct{})
	options := paho.NewClientOptions().AddBroker(n.broker.URL).SetClientID(clientID).SetCleanSession(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			if m.Topic() != "end" {
				left.Add(1)
				return
			}
			close(ended)
		})
	client := paho.NewClient(options)
	// What the broker keeps comes before anything new.
	for _, token := range []func() paho.Token{
		client.Connect,
		func() paho.Token { return client.Subscribe("end", 1, nil) },
		func() paho.Token { return client.Publish("end", 1, false, "end") },
	} {
		if token := token(); !token.WaitTimeout(time.Minute) || token.Error() != nil {
			n.t.Fatalf("ask the broker what is left: %v", token.Error())
		}
	}
	defer client.Disconnect(100)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		n.t.Fatal("the broker does not deliver")
	}
	return int(left.Load())
}

// An ending is what a command left behind.
type ending struct {
	status         int
	stdout, stderr string
}

// tofuwatch runs the built command until it ends.
func tofuwatch(t testing.TB, args ...string) ending {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), testenv.Command(t), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("run tofuwatch %v: %v", args, err)
	}
	return ending{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// tmpfs returns a folder that is a small disk of its own. It is mounted where
// only a process that holds it sees it, so it needs no root and leaves nothing.
func tmpfs(t testing.TB, mebibytes int) string {
	t.Helper()
	dir := t.TempDir()
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-rm"
	}
	stdin, hold, err := os.Pipe() // the holder ends with us, whatever ends us
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); hold.Close() })
	cmd := exec.Command("unshare", flags, "sh", "-c",
		fmt.Sprintf(`mount -t tmpfs -o size=%dm tmpfs "$0" && echo ready && exec cat`, mebibytes), dir)
	cmd.Stdin = stdin
	holder := testenv.Start(t, cmd)
	testenv.Eventually(t, func() error {
		switch {
		case holder.Stdout() != "":
		case holder.State() == nil:
			return errors.New("not mounted yet")
		case os.Getenv("CI") != "":
			t.Fatalf("this machine lets nobody mount a tmpfs: %s", holder.Stderr())
		default:
			t.Skipf("this machine lets nobody mount a tmpfs: %s", holder.Stderr())
		}
		return nil
	})
	return fmt.Sprintf("/proc/%d/root%s", holder.PID(), dir)
}

// fill leaves no room on the disk that dir is on, until what it returns is called.
func fill(t testing.TB, dir string) (empty func()) {
	t.Helper()
	file := filepath.Join(dir, "ballast")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	return func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
