package ingester

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"tofuwatch/ingest"
	"tofuwatch/ingest/quality"
	"tofuwatch/ingest/spool"
	"tofuwatch/internal/site"
	"tofuwatch/internal/testenv"
	"tofuwatch/internal/water"
)

// sampled is the time of every sample of these tests.
var sampled = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// A place is a data folder and the servers around it, of which there are
// several sites at different times.
type place struct {
	dir, broker, influx string
}

// newPlace is one without a broker or an InfluxDB that answers.
func newPlace(t *testing.T) place {
	t.Helper()
	return place{t.TempDir(), "tcp://127.0.0.1:1", "http://127.0.0.1:1"}
}

// site is a site with stations.
func (p place) site(t *testing.T, stations ...string) *site.Site {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "site: test\ndata_dir: %s\n", filepath.Join(p.dir, "data"))
	fmt.Fprintf(&text, "mqtt: {broker: %q, client_id: tofuwatch-test}\n", p.broker)
	fmt.Fprintf(&text, "influxdb: {url: %q, bucket: water}\nstations:\n", p.influx)
	for _, id := range stations {
		fmt.Fprintf(&text, "  - {id: %s, name: Station, river: bajak, kind: effluent}\n", id)
	}
	file := filepath.Join(p.dir, "site.yaml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(file, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var silent = slog.New(slog.DiscardHandler)

// opened is an ingester that neither connects nor drains.
func opened(t *testing.T, s *site.Site) *ingester {
	t.Helper()
	i, err := open(s, Options{}, silent)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// take gives an ingester a message as the broker would, and waits until it is
// on disk.
func (i *ingester) take(t *testing.T, topic, payload string) {
	t.Helper()
	acknowledged := make(chan bool, 1)
	i.pipeline.Handle(ingest.Message{
		Topic: topic, Payload: []byte(payload), Received: sampled.Add(time.Minute),
		Ack: func() { acknowledged <- true },
	})
	select {
	case <-acknowledged:
	case <-time.After(time.Minute):
		t.Fatalf("%s is not acknowledged after a minute", payload)
	}
}

// latest are the latest values, as a scrape shows them.
func (i *ingester) latest(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(i.exporter)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != "tofuwatch_reading" {
			continue
		}
		for _, m := range f.GetMetric() {
			var name []string
			for _, l := range m.GetLabel() {
				if l.GetName() == "station" || l.GetName() == "parameter" {
					name = append(name, l.GetValue())
				}
			}
			values[strings.Join(name, " ")] = m.GetGauge().GetValue()
		}
	}
	return values
}

func cod(minute int, value float64) string {
	return fmt.Sprintf(`{"time":%q,"cod":%v}`, sampled.Add(time.Duration(minute)*time.Second).Format(time.RFC3339), value)
}

// Whatever was saved before a kill, and wherever the writer was: the latest
// values are those of all that was acknowledged.
func TestKillKeepsTheLatestValues(t *testing.T) {
	const topic = "tofu/ipal-01/readings"
	want := map[string]float64{"cod ipal-01": 9, "ph ipal-01": 7}
	for name, between := range map[string]func(t *testing.T, i *ingester){
		"nothing was saved": func(*testing.T, *ingester) {},
		"saved half-way": func(t *testing.T, i *ingester) {
			if err := i.save(); err != nil {
				t.Error(err)
			}
		},
		"drained, and nothing saved": drain,
		"saved, and drained": func(t *testing.T, i *ingester) {
			if err := i.save(); err != nil {
				t.Error(err)
			}
			drain(t, i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPlace(t).site(t, "ipal-01")
			i := opened(t, s)
			i.take(t, topic, `{"time":"2026-11-23T07:00:00Z","ph":7}`)
			i.take(t, topic, cod(5, 8))
			between(t, i)
			i.take(t, topic, cod(9, 9))
			i.take(t, topic, cod(1, 1)) // late: an older sample
			i.take(t, topic, `{"time":"2026-11-23T07:00:30Z","cod":-5}`)
			if diff := cmp.Diff(i.latest(t), want); diff != "" {
				t.Fatalf("before the kill (-got +want):\n%s", diff)
			}
			if err := i.spool.Close(); err != nil { // and nothing more is saved
				t.Fatal(err)
			}
			for life := range 2 {
				i = opened(t, s)
				if diff := cmp.Diff(i.latest(t), want); diff != "" {
					t.Errorf("in life %d after the kill (-got +want):\n%s", life+1, diff)
				}
				if err := i.close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// stuck are what the tests say of a value that is the same all the time, one that
// arrives at a minute.
func (i *ingester) stuck(t *testing.T, minute int) water.Flag {
	t.Helper()
	at := sampled.Add(time.Duration(minute) * time.Minute)
	o, _ := i.judge.Judge(quality.Batch{
		Station: i.stations["ipal-01"], Method: water.Sensor, Received: at,
		Readings: []water.Reading{{Parameter: i.site.Parameters.Lookup([]byte("cod")), Value: 5, Time: at}},
	})
	return o[0].Tests.Flag(water.FlatLineTest)
}

// A sensor is stuck for three hours, in the middle of which we are: whatever was
// saved, and whether InfluxDB has all of it by now.
func TestKillInTheMiddleOfAStuckSensor(t *testing.T) {
	for name, between := range map[string]func(t *testing.T, i *ingester){
		"nothing was saved": func(*testing.T, *ingester) {},
		"drained, and only the latest values saved": func(t *testing.T, i *ingester) {
			drain(t, i)
			if err := i.save(); err != nil {
				t.Error(err)
			}
		},
		"all was saved, and drained": func(t *testing.T, i *ingester) {
			drain(t, i)
			if err := errors.Join(i.saveJudge(), i.save()); err != nil {
				t.Error(err)
			}
		},
		"what was saved is damaged": func(t *testing.T, i *ingester) {
			if err := errors.Join(i.saveJudge(), os.Truncate(i.judgeFile(), 40)); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPlace(t).site(t, "ipal-01")
			i := opened(t, s)
			take := func(from, to int) {
				for n := from; n < to; n += 10 { // the default interval
					at := sampled.Add(time.Duration(n) * time.Minute).Format(time.RFC3339)
					i.take(t, "tofu/ipal-01/readings", fmt.Sprintf(`{"time":%q,"cod":5,"bod":%d}`, at, n%7))
				}
			}
			// Readings ahead of their arrival are refused: these are of the hours before.
			take(-180, -100)
			between(t, i)
			take(-100, -20)
			if err := i.spool.Close(); err != nil { // and nothing more is saved
				t.Fatal(err)
			}
			for life := range 2 {
				i = opened(t, s)
				if got := i.stuck(t, -20+10*life); got != water.Suspect {
					t.Errorf("in life %d after the kill the flat line test says %s, want suspect", life+1, got)
				}
				if err := i.close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// drain takes all that is pending.
func drain(t *testing.T, i *ingester) {
	t.Helper()
	for i.spool.Health().Pending > 0 {
		b, err := i.spool.Next(t.Context(), 1000, 0)
		if err == nil {
			err = i.spool.Done(b, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedLatestValuesComeFromTheSpool(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	i := opened(t, s)
	i.take(t, "tofu/ipal-01/readings", cod(0, 5))
	if err := i.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.latestFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	i = opened(t, s)
	defer i.close()
	if diff := cmp.Diff(i.latest(t), map[string]float64{"cod ipal-01": 5}); diff != "" {
		t.Errorf("latest values (-got +want):\n%s", diff)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	full := errors.New("spool is full")
	for name, test := range map[string]struct {
		broker   bool
		writable error
		want     string
	}{
		"all well":  {true, nil, "200 ready\n"},
		"no broker": {false, nil, "503 the broker has not granted the subscriptions\n"},
		"no room":   {true, full, "503 spool is full\n"},
		"neither":   {false, full, "503 the broker has not granted the subscriptions\nspool is full\n"},
	} {
		h := handler(prometheus.NewRegistry(), func() bool { return test.broker }, func() error { return test.writable })
		for path, want := range map[string]string{"/readyz": test.want, "/healthz": "200 alive\n"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if got := fmt.Sprint(w.Code, " ", w.Body); got != want {
				t.Errorf("%s: %s answers %q, want %q", name, path, got, want)
			}
		}
	}
}

// database is an InfluxDB that takes all but the points in refuses.
type database struct {
	mu      sync.Mutex
	refuses string
	lines   map[string]bool
}

// ServeHTTP implements http.Handler.
func (d *database) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || d.refuses != "" && strings.Contains(string(body), d.refuses) {
		http.Error(w, "field type conflict", http.StatusBadRequest)
		return
	}
	for line := range strings.Lines(string(body)) {
		d.lines[strings.TrimSuffix(line, "\n")] = true
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *database) has(lines string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range d.lines {
		if strings.Contains(line, lines) {
			return nil
		}
	}
	return fmt.Errorf("InfluxDB has no %q, but %v", lines, d.lines)
}

// service runs an ingester and returns its address.
func service(t *testing.T, s *site.Site) (address string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, s, ln, Options{}, silent) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return "http://" + ln.Addr().String(), stop
}

// get returns the answer to a request, or an error unless it has status.
func get(address string, status int) (string, error) {
	response, err := http.Get(address)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != status {
		err = fmt.Errorf("%s answers %d %s; want %d", address, response.StatusCode, body, status)
	}
	return string(body), err
}

func TestReplayBesideARunningIngester(t *testing.T) {
	broker := testenv.Mosquitto(t)
	d := &database{refuses: "cod=13,", lines: make(map[string]bool)}
	influx := httptest.NewServer(d)
	defer influx.Close()
	p := place{t.TempDir(), broker.URL, influx.URL}
	s := p.site(t, "ipal-01")
	broker.Stop()
	address, stop := service(t, s)

	testenv.Eventually(t, func() error { _, err := get(address+"/healthz", http.StatusOK); return err })
	if got, err := get(address+"/readyz", http.StatusServiceUnavailable); err != nil || !strings.Contains(got, "the broker has not granted") {
		t.Errorf("without a broker /readyz answers %q, %v", got, err)
	}
	broker.Start()
	testenv.Eventually(t, func() error { _, err := get(address+"/readyz", http.StatusOK); return err })

	client := paho.NewClient(paho.NewClientOptions().AddBroker(broker.URL).SetClientID("logger"))
	await := func(token paho.Token) {
		t.Helper()
		if !token.WaitTimeout(time.Minute) || token.Error() != nil {
			t.Fatalf("no answer from the broker in a minute, or an error: %v", token.Error())
		}
	}
	await(client.Connect())
	defer client.Disconnect(0)
	await(client.Publish("tofu/ipal-01/readings", 1, false, cod(0, 13)))
	await(client.Publish("tofu/ipal-99/readings", 1, false, cod(0, 14)))
	ids := make(map[water.Reason]uint64)
	testenv.Eventually(t, func() error {
		letters, err := spool.ReadDeadLetters(s.DataDir)
		for _, l := range letters {
			ids[l.Reason] = l.ID
		}
		if len(ids) != 2 {
			return fmt.Errorf("dead letters %+v, %w; want those of 2 reasons", letters, err)
		}
		return nil
	})
	d.mu.Lock()
	d.refuses = ""
	d.mu.Unlock()
	got, err := Replay(t.Context(), s, []uint64{ids[water.Refused], ids[water.UnknownStation], 99}, silent)
	if err != nil {
		t.Fatal(err)
	}
	want := []ReplayResult{
		{ID: ids[water.Refused], Readings: 1},
		{ID: ids[water.UnknownStation], Problem: `no station "ipal-99"; add it to the site file, restart, and replay`},
		{ID: 99, Problem: "no such dead letter"},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("replayed (-got +want):\n%s", diff)
	}
	testenv.Eventually(t, func() error { return d.has(`cod=13,cod_qc_tests="41912221222",cod_qc=1i 1795417200000000000`) })
	testenv.Eventually(t, func() error {
		text, err := get(address+"/metrics", http.StatusOK)
		if err != nil {
			return err
		}
		for _, line := range []string{ // the replayed one has two ends
			"tofuwatch_readings_received_total 3\n", "tofuwatch_readings_stored_total 1\n", "tofuwatch_readings_pending 0\n",
			`tofuwatch_readings_deadlettered_total{reason="refused"} 1` + "\n", `tofuwatch_readings_deadlettered_total{reason="unknown_station"} 1` + "\n",
			"tofuwatch_broker_up 1\n", "tofuwatch_influxdb_up 1\n", `tofuwatch_messages_received_total{source="tofu/{station}/readings"} 2` + "\n",
		} {
			if !strings.Contains(text, line) {
				return fmt.Errorf("no line %q in\n%s", line, text)
			}
		}
		if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) != 0 {
			t.Errorf("metrics: %v, %v", problems, err)
		}
		return nil
	})
	if entries, err := os.ReadDir(replayFolder(s)); err != nil || len(entries) != 0 {
		t.Errorf("left behind in the folder of requests: %v, %v", entries, err)
	}
	stop()

	// After the restart the site has the station.
	address, _ = service(t, p.site(t, "ipal-01", "ipal-99"))
	testenv.Eventually(t, func() error { _, err := get(address+"/healthz", http.StatusOK); return err })
	got, err = Replay(t.Context(), s, []uint64{ids[water.UnknownStation]}, silent)
	if diff := cmp.Diff(got, []ReplayResult{{ID: ids[water.UnknownStation], Readings: 1}}); err != nil || diff != "" {
		t.Errorf("replayed after the restart: %v (-got +want):\n%s", err, diff)
	}
	testenv.Eventually(t, func() error {
		return d.has(`station=ipal-99 cod=14,cod_qc_tests="41912221222",cod_qc=1i 1795417200000000000`)
	})
}

func TestReplayWithoutAnIngester(t *testing.T) {
	p := newPlace(t)
	before := p.site(t, "ipal-01")
	i := opened(t, before)
	i.take(t, "tofu/ipal-02/readings", `[`+cod(0, 1)+`,`+cod(1, 2)+`,{"cod":3}]`) // 1
	i.take(t, "tofu/ipal-01/readings", `{`)                                       // 2
	i.take(t, "tofu/ipal-01/readings", `{"time":"2026-11-23T07:00:00Z","cod":1,"ph":"x","PH":"y","ec":"z"}`)
	if err := i.close(); err != nil {
		t.Fatal(err)
	}
	letters := func() []string {
		t.Helper()
		all, err := spool.ReadDeadLetters(before.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range all {
			got = append(got, fmt.Sprintf("%d %s %d replayed %t", l.ID, l.Reason, l.Readings, !l.Replayed.IsZero()))
		}
		return got
	}
	want := []string{
		"1 unknown_station 3 replayed false", "2 malformed 1 replayed false",
		"3 duplicate_key 2 replayed false", "4 bad_value 1 replayed false",
	}
	if diff := cmp.Diff(letters(), want); diff != "" {
		t.Fatalf("dead letters (-got +want):\n%s", diff)
	}

	after := p.site(t, "ipal-01", "ipal-02")
	for _, test := range []struct {
		ids  []uint64
		want []ReplayResult
	}{
		{[]uint64{1, 1, 2, 99}, []ReplayResult{
			{ID: 1, Readings: 2},
			{ID: 1, Problem: "was replayed already"},
			{ID: 2, Problem: problem(t, letterOf(t, before, 2))},
			{ID: 99, Problem: "no such dead letter"},
		}},
		{[]uint64{1}, []ReplayResult{{ID: 1, Problem: "was replayed already"}}},
		{nil, nil},
	} {
		got, err := Replay(t.Context(), after, test.ids, silent)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, test.want); diff != "" {
			t.Errorf("replay of %v (-got +want):\n%s", test.ids, diff)
		}
	}
	// What is wrong with a message besides becomes a dead letter, once.
	want[0] = "1 unknown_station 3 replayed true"
	want = append(want, "5 no_time 1 replayed false")
	if diff := cmp.Diff(letters(), want); diff != "" {
		t.Errorf("dead letters after the replay (-got +want):\n%s", diff)
	}
	i = opened(t, after)
	defer i.close()
	h := i.spool.Health()
	sum := h.Stored + h.Pending
	for _, n := range h.DeadLettered {
		sum += n
	}
	if h.Pending != 3 || h.Received != sum { // cod at ipal-01, and two of ipal-02
		t.Errorf("ledger %+v, want 3 pending and a balance", h.Ledger)
	}
	if got, want := i.latest(t)["cod ipal-02"], 2.0; got != want {
		t.Errorf("latest cod of ipal-02 is %v, want %v", got, want)
	}
}

// A letter of one reason is replayed once its fault is gone from the site file,
// here by a parameter of its own; that of another reason stays as it is.
func TestReplayDoesNotRepeatOtherLetters(t *testing.T) {
	p := newPlace(t)
	s := p.site(t, "ipal-01")
	i := opened(t, s)
	defer i.close()
	i.take(t, "tofu/ipal-01/readings", `{"time":"2026-11-23T07:00:00Z","cod":1,"ph":"x"}`)
	all, err := spool.ReadDeadLetters(s.DataDir)
	if err != nil || len(all) != 1 {
		t.Fatalf("dead letters %+v, %v; want 1", all, err)
	}
	other := all[0].DeadLetter // as if the same message had had another fault, too
	other.Reason = water.NoTime
	readings, err := i.replayOne(other, all)
	if readings != 1 || err != nil {
		t.Errorf("replayed %d readings, %v; want 1", readings, err)
	}
	if all, err = spool.ReadDeadLetters(s.DataDir); err != nil || len(all) != 1 {
		t.Errorf("dead letters %+v, %v; want the one there was", all, err)
	}
}

func letterOf(t *testing.T, s *site.Site, id uint64) spool.StoredLetter {
	t.Helper()
	all, err := spool.ReadDeadLetters(s.DataDir)
	if err != nil || uint64(len(all)) < id {
		t.Fatalf("dead letters %+v, %v; want %d", all, err, id)
	}
	return all[id-1]
}

// problem is what a letter says of itself.
func problem(t *testing.T, l spool.StoredLetter) string {
	t.Helper()
	if l.Detail == "" {
		t.Errorf("letter %d has no detail", l.ID)
	}
	return l.Detail
}

func TestReplayOfWhatCannotBe(t *testing.T) {
	i := opened(t, newPlace(t).site(t, "ipal-01"))
	defer i.close()
	for name, test := range map[string]struct {
		letter ingest.DeadLetter
		want   string
	}{
		"damaged":         {ingest.DeadLetter{Reason: water.Damaged, Payload: []byte("x")}, "nobody can say which of its bytes are right"},
		"too large":       {ingest.DeadLetter{Reason: water.TooLarge, Payload: []byte("{")}, "only its first 65536 bytes were kept"},
		"no point":        {ingest.DeadLetter{Reason: water.Refused, Payload: []byte("x\n")}, "read point"},
		"station is gone": {ingest.DeadLetter{Reason: water.Refused, Payload: []byte("water_quality,station=ipal-99 cod=1,cod_qc=1i 1795417200000000000\n")}, "no longer in the site file"},
	} {
		if n, err := i.replayOne(test.letter, nil); n != 0 || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %d readings, %v; want none and %q", name, n, err, test.want)
		}
	}
	if h := i.spool.Health(); h.Received != 0 {
		t.Errorf("ledger %+v, want an empty one", h.Ledger)
	}
}

func TestUnansweredReplayRequestIsTakenBack(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	i := opened(t, s) // holds the folder, and answers nobody
	defer i.close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := Replay(ctx, s, []uint64{1}, silent)
		ended <- err
	}()
	testenv.Eventually(t, func() error {
		requests, err := filepath.Glob(filepath.Join(replayFolder(s), requestPrefix+"*"))
		if len(requests) != 1 {
			return fmt.Errorf("requests %v, %w; want 1", requests, err)
		}
		return nil
	})
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "no answer from the ingester") {
		t.Errorf("Replay ended with %v", err)
	}
	if entries, err := os.ReadDir(replayFolder(s)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
