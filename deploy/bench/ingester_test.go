//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tofuwatch/internal/testenv"
)

// Names that both ingesters are configured with.
const (
	clientID = "bench"
	database = "water"
)

// An ingester is a program that takes readings from a broker to InfluxDB.
type ingester struct {
	name        string
	measurement string // where its points are
	// command returns the program, configured to keep its files in dir.
	command func(t *testing.T, dir string, broker *testenv.Broker, db *testenv.Database) *exec.Cmd
}

// tofuwatch is ours. Nothing in its site file is about speed.
var tofuwatch = ingester{
	name:        "tofuwatch",
	measurement: "water_quality",
	command: func(t *testing.T, dir string, broker *testenv.Broker, db *testenv.Database) *exec.Cmd {
		site := new(strings.Builder)
		fmt.Fprintf(site, `site: bench
data_dir: data
http: {listen: "127.0.0.1:%d"}
mqtt: {broker: %q, client_id: %s}
influxdb: {url: %q, bucket: %s}
stations:
`, testenv.FreePort(t), broker.URL, clientID, db.URL, database)
		for i := range stations {
			fmt.Fprintf(site, "- {id: %s, name: Outlet %d, river: bajak, kind: effluent}\n", station(i), i)
		}
		return exec.Command(testenv.Command(t), "ingest", "--config", write(t, dir, "site.yaml", site.String()))
	},
}

// A tuning is lines of Telegraf's configuration, by section.
type tuning struct{ agent, input, output string }

// telegraf returns Telegraf. What the tuning leaves out has Telegraf's default.
func telegraf(tuned tuning) ingester {
	return ingester{
		name:        "Telegraf",
		measurement: "mqtt_consumer",
		command: func(t *testing.T, dir string, broker *testenv.Broker, db *testenv.Database) *exec.Cmd {
			file := write(t, dir, "telegraf.conf", fmt.Sprintf(`[agent]
%s
[[inputs.mqtt_consumer]]
servers = [%q]
topics = ["tofu/+/readings"]
qos = 1
persistent_session = true
client_id = %q
data_format = "json"
json_time_key = "time"
json_time_format = "2006-01-02T15:04:05Z07:00"
%s
[[outputs.influxdb_v2]]
urls = [%q]
bucket = %q
%s
`, tuned.agent, broker.URL, clientID, tuned.input, db.URL, database, tuned.output))
			return exec.Command(testenv.Program(t, "telegraf"), "--config", file)
		},
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// start starts the ingester and waits until a message went all the way.
func (i ingester) start(t *testing.T, broker *testenv.Broker, db *testenv.Database) *testenv.Process {
	t.Helper()
	p := testenv.Start(t, i.command(t, t.TempDir(), broker, db))
	// It is published again and again: a broker keeps nothing for a client that
	// never subscribed.
	const again = 250 * time.Millisecond
	var (
		publisher = connect(t, broker.Addr)
		packet    = message(1, station(0), time.Now().AddDate(0, 0, -1), 0)
		last      time.Time
	)
	defer publisher.conn.Close()
	testenv.Eventually(t, func() error {
		alive(t, p)
		if time.Since(last) >= again {
			last = time.Now()
			if err := publisher.publish(packet, 1); err != nil {
				t.Fatal(err)
			}
		}
		n, err := i.stored(db, time.Time{})
		if err == nil && n == 0 {
			err = fmt.Errorf("%s has stored nothing yet", i.name)
		}
		return err
	})
	return p
}

// stored counts the messages, each of which has a pH, that a query finds in
// InfluxDB from a sample time on.
func (i ingester) stored(db *testenv.Database, from time.Time) (int, error) {
	query := "SELECT count(ph) FROM " + i.measurement
	if !from.IsZero() {
		query += fmt.Sprintf(" WHERE time >= %d", from.UnixNano())
	}
	rows, err := db.Rows(database, query)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return int(rows[0]["count"].(float64)), nil
}

// alive fails the test if the ingester ended.
func alive(t *testing.T, p *testenv.Process) {
	t.Helper()
	if state := p.State(); state != nil {
		t.Fatalf("the ingester ended: %v", state)
	}
}
