package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

// Each kind of message that can't be used, through a broker with neighbours
// that can: which reason it gets, and what a technician reads about it.
func TestBadInput(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, testenv.Mosquitto(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	n.subscribeSession("plant/#") // a topic that left the site file
	n.ingest()

	now := time.Now()
	const when = `"time":"2026-11-23T07:00:00Z"`
	const readings = "tofu/ipal-01/readings"
	samples := func(count int) string {
		var b strings.Builder
		b.WriteByte('[')
		for i := range count {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"time":%d,"ec":%d}`, 1e9+i, i)
		}
		b.WriteByte(']')
		return b.String()
	}
	cases := []struct {
		name, topic, payload string
		stored               int
		lost                 map[string]int // readings that become dead letters, by reason
	}{
		{"not JSON", readings, `hello`, 0, map[string]int{"malformed": 1}},
		{"nothing", readings, ``, 0, map[string]int{"malformed": 1}},
		{"no text", readings, "\xff\x00\x1b[2J", 0, map[string]int{"malformed": 1}},
		{"cut off", readings, `{` + when + `,"ph":6.`, 0, map[string]int{"malformed": 1}},
		{"too large", readings, `{` + when + `,"ph":7` + strings.Repeat(" ", 1<<20) + `}`, 0, map[string]int{"too_large": 1}},
		{"too deep", readings, `{` + when + `,"ph":6.9,"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 0, map[string]int{"too_deep": 1}},
		{"unknown station", "tofu/ipal-99/readings", `{` + when + `,"ph":6.9,"cod":300}`, 0, map[string]int{"unknown_station": 2}},
		{"unknown topic", "plant/ipal-01", `{` + when + `,"ph":6.9}`, 0, map[string]int{"unknown_topic": 1}},
		{"no time", readings, `{"ph":6.9,"bod":100}`, 0, map[string]int{"no_time": 2}},
		{"future", readings, fmt.Sprintf(`{"time":%d,"ph":6.9}`, now.Add(time.Hour).Unix()), 0, map[string]int{"bad_time": 1}},
		{"1970", readings, `{"time":86400,"ph":6.9}`, 0, map[string]int{"bad_time": 1}},
		{"time of no kind", readings, `{"time":"yesterday","ph":6.9}`, 0, map[string]int{"bad_time": 1}},
		{"wrong type", readings, `{` + when + `,"tss":true,"ph":6.9}`, 1, map[string]int{"bad_value": 1}},
		{"NaN", readings, `{` + when + `,"ph":NaN}`, 0, map[string]int{"malformed": 1}},
		{`"NaN"`, readings, `{` + when + `,"tss":"NaN"}`, 1, nil}, // no value: stored as such
		{"duplicate keys", readings, `{` + when + `,"do":6,"DO":7,"temperature":29}`, 1, map[string]int{"duplicate_key": 2}},
		{"no parameter", readings, `{` + when + `,"battery":3.7}`, 0, map[string]int{"no_reading": 1}},
		{"terminal escapes", readings, "{\"\x1b]0;pwned\x07\x1b[2J\": 1", 0, map[string]int{"malformed": 1}},
		{"terminal escapes in keys", readings, `{` + when + `,"\u001b[31mred":1}`, 0, map[string]int{"no_reading": 1}},
		{"many samples", readings, samples(10_000), 10_000, nil},
		{"too many samples", readings, samples(10_001), 0, map[string]int{"too_many": 1}},
	}
	for _, tt := range cases {
		before := n.drained()
		want := ledger{before.received + tt.stored + 2, before.stored + tt.stored + 2, 0, maps.Clone(before.deadLettered)}
		for reason, readings := range tt.lost {
			want.received += readings
			want.deadLettered[reason] += readings
		}
		n.publish(1, loadRate).reached(1)
		n.sendAll(tt.topic, tt.payload)
		n.publish(1, loadRate).reached(1)
		var got ledger
		testenv.Eventually(t, func() (err error) {
			if got, err = n.readLedger(); err == nil && (got.pending > 0 || got.received < want.received) {
				err = fmt.Errorf("%s: got ledger %+v, want %+v", tt.name, got, want)
			}
			return err
		})
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(ledger{})); diff != "" {
			t.Errorf("%s: ledger differs (-want +got):\n%s", tt.name, diff)
		}
	}
	// A value that is missing is stored as that, not as 0.
	rows := n.db.Query(t, "water", `SELECT tss, tss_qc FROM water_quality WHERE time = '2026-11-23T07:00:00Z' AND station = 'ipal-01'`)
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	if diff := cmp.Diff([]testenv.Row{{"time": at, "tss": nil, "tss_qc": 9.0}}, rows); diff != "" {
		t.Errorf("row differs (-want +got):\n%s", diff)
	}
	n.settle()

	// What a technician sees of it.
	list := tofuwatch(t, "deadletter", "list", "--config", n.file)
	if list.status != done || list.stderr != "" {
		t.Fatalf("got exit status %d, want %d:\n%s", list.status, done, list.stderr)
	}
	golden(t, "deadletters.txt", normal(list.stdout))

	letters := n.letters()
	id := 0
	for _, tt := range cases {
		if len(tt.lost) == 0 {
			continue
		}
		if id++; id > len(letters) {
			t.Fatalf("got %d dead letters, want more", len(letters))
		}
		l := letters[id-1]
		if l.ID != uint64(id) || l.Topic != tt.topic || tt.lost[string(l.Reason)] != l.Readings {
			t.Errorf("%s: got dead letter %d of %s: %s, %d readings; want %d of %s: %v", tt.name, l.ID, l.Topic, l.Reason, l.Readings, id, tt.topic, tt.lost)
		}
		want := tt.payload
		if tt.name == "too large" {
			want = want[:64<<10]
		}
		raw := tofuwatch(t, "deadletter", "show", fmt.Sprint(id), "--raw", "--config", n.file)
		if raw.status != done || raw.stdout != want || raw.stderr != "" {
			t.Errorf("%s: got %d bytes, status %d and %q, want the %d bytes that were sent", tt.name, len(raw.stdout), raw.status, raw.stderr, len(want))
		}
		show := tofuwatch(t, "deadletter", "show", fmt.Sprint(id), "--config", n.file)
		if show.status != done || !regexp.MustCompile(`^[\n\PC]*$`).MatchString(show.stdout) {
			t.Errorf("%s: got status %d and unprintable output %q", tt.name, show.status, show.stdout)
		}
		if strings.HasPrefix(tt.name, "terminal escapes") {
			golden(t, "show-"+strings.ReplaceAll(tt.name, " ", "-")+".txt", normal(show.stdout))
		}
		asJSON := tofuwatch(t, "deadletter", "show", fmt.Sprint(id), "--json", "--config", n.file)
		if asJSON.status != done || !json.Valid([]byte(asJSON.stdout)) {
			t.Errorf("%s: got status %d and %q, want JSON", tt.name, asJSON.status, asJSON.stdout)
		}
	}
	if id != len(letters) {
		t.Errorf("got %d dead letters, want %d", len(letters), id)
	}

	// One reason only.
	list = tofuwatch(t, "deadletter", "list", "--reason", "bad_time", "--config", n.file)
	if got, want := strings.Count(list.stdout, "\n"), 1+3; got != want {
		t.Errorf("got %d lines for one reason, want %d:\n%s", got, want, list.stdout)
	}
}

// subscribeSession adds a filter to the session of the ingester, as an earlier
// site file would have left it.
func (n *network) subscribeSession(filter string) {
	n.t.Helper()
	client := paho.NewClient(paho.NewClientOptions().AddBroker(n.broker.URL).SetClientID(clientID).SetCleanSession(false))
	for _, token := range []func() paho.Token{
		client.Connect,
		func() paho.Token { return client.Subscribe(filter, 1, nil) },
	} {
		if token := token(); !token.WaitTimeout(time.Minute) || token.Error() != nil {
			n.t.Fatalf("subscribe to %q: %v", filter, token.Error())
		}
	}
	client.Disconnect(100)
}

// normal replaces the times in a text.
func normal(text string) string {
	text = regexp.MustCompile(`20(2[6-9]|[3-9]\d)-\d\d-\d\d \d\d:\d\d:\d\d WIB`).ReplaceAllString(text, "2026-11-23 14:00:00 WIB")
	return regexp.MustCompile(`20(2[6-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(text, "2026-11-23T07:00:00Z")
}

// golden compares with a file in testdata; UPDATE=1 rewrites it.
func golden(t testing.TB, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// The way of a technician: a station is missing in the site file, it is added,
// the ingester is started again, the letters are sent through again.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		running bool // the ingester is, while letters are replayed
	}{
		{"beside the ingester", true},
		{"without the ingester", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, testenv.Mosquitto(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
			n.ingest()
			replay := func(want ending, args ...string) {
				t.Helper()
				got := tofuwatch(t, append([]string{"deadletter", "replay", "--config", n.file}, args...)...)
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(ending{})); diff != "" {
					t.Errorf("replay %v differs (-want +got):\n%s", args, diff)
				}
			}
			replay(ending{stderr: "No dead letters.\n"}, "--all")

			sampled := time.Now().Add(-30 * time.Minute).Truncate(time.Second).UTC()
			n.sendAll("tofu/bajak-9/readings",
				fmt.Sprintf(`{"time":%d,"cod":41,"ph":7.1}`, sampled.Unix()),
				fmt.Sprintf(`[{"time":%d,"cod":42,"ph":7.2},{"time":%d,"cod":43,"ph":7.3}]`, sampled.Unix()+60, sampled.Unix()+120),
				`nonsense`)
			n.publish(10, loadRate).reached(10)
			testenv.Eventually(t, func() error {
				l, err := n.readLedger()
				if err == nil && !maps.Equal(l.deadLettered, map[string]int{"unknown_station": 7}) {
					err = fmt.Errorf("got ledger %+v, want 7 readings of an unknown station", l)
				}
				return err
			})

			const unknown = `no station "bajak-9"; add it to the site file, restart, and replay`
			replay(ending{failed, "1: not replayed: " + unknown + "\n", "tofuwatch: 1 of 1 dead letter not replayed\n"}, "1")
			n.site.stations = append(n.site.stations, "bajak-9")
			n.writeSite()
			// The ingester that runs still has the old file.
			replay(ending{failed, "1: not replayed: " + unknown + "\n", "tofuwatch: 1 of 1 dead letter not replayed\n"}, "1")
			n.stop()
			if tt.running {
				n.ingest()
			}
			if list := tofuwatch(t, "deadletter", "list", "--config", n.file); strings.Count(list.stdout, "\n") != 1+3 {
				t.Errorf("got list\n%s\nwant three letters", list.stdout)
			}

			replay(ending{done, "1: 2 readings on the way to InfluxDB\n", ""}, "1")
			got := tofuwatch(t, "deadletter", "replay", "--config", n.file, "--reason", "unknown_station")
			for _, want := range []string{"2: 4 readings on the way to InfluxDB\n", "3: not replayed: not JSON: "} {
				if !strings.Contains(got.stdout, want) || got.status != failed {
					t.Errorf("got status %d and %q, want %d and %q", got.status, got.stdout, failed, want)
				}
			}
			replay(ending{failed, "1: not replayed: was replayed already\n99: not replayed: no such dead letter\n", "tofuwatch: 2 of 2 dead letters not replayed\n"}, "1", "99")

			if !tt.running {
				n.ingest()
			}
			for i := range 3 {
				n.expect[sample{"bajak-9", sampled.UnixMilli() + int64(i)*60_000}] = float64(41 + i)
			}
			n.settle()
			if rows := n.db.Query(t, "water", `SELECT ph FROM water_quality WHERE station = 'bajak-9'`); len(rows) != 3 || rows[2]["ph"] != 7.3 {
				t.Errorf("got %v, want ph 7.1, 7.2, 7.3", rows)
			}
			replayed := 0
			for _, l := range n.letters() {
				if !l.Replayed.IsZero() {
					replayed++
				}
			}
			if replayed != 2 {
				t.Errorf("got %d letters replayed, want 2", replayed)
			}
			if list := tofuwatch(t, "deadletter", "list", "--config", n.file); strings.Count(list.stdout, "\n") != 1+1 {
				t.Errorf("got list\n%s\nwant the letter that can't be used", list.stdout)
			}
		})
	}
}
