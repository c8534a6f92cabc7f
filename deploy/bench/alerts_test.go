//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"tofuwatch/internal/testenv"
)

// wantMail is how long after a reading an emergency is mailed, at most.
const wantMail = 30 * time.Second

// TestBenchMail measures from publishing an emergency until the mail server has
// the mail of it, with every program apart and the configuration as shipped. Each
// round is another station, and begins when the one before is done: at a random
// moment between two scrapes.
func TestBenchMail(t *testing.T) {
	const (
		rounds = 3
		cod    = 500 // of this seed is 250 mg/L, twelve times the limit below
	)
	broker := testenv.Mosquitto(t, testenv.WithConfigFile("../mosquitto/mosquitto.conf"))
	db := testenv.InfluxDB(t, testenv.WithDatabase(database))
	server := testenv.SMTP(t)
	dir := t.TempDir()
	site := new(strings.Builder)
	fmt.Fprintf(site, `site: bench
data_dir: data
http: {listen: "127.0.0.1:%d"}
mqtt: {broker: %q, client_id: %s}
influxdb: {url: %q, bucket: %s}
recipients: [{name: Everybody, email: everybody@example.org, language: en}]
smtp: {host: %s, port: %d, tls: none, from: tofuwatch@example.org}
stations:
`, testenv.FreePort(t), broker.URL, clientID, db.URL, database, server.Host, server.Port)
	for i := range rounds + 1 {
		fmt.Fprintf(site, "- {id: %s, name: Outlet %d, river: bajak, kind: effluent, limits: {cod: {max: 20}}}\n", station(i), i)
	}
	file := write(t, dir, "site.yaml", site.String())
	ours := tofuwatch
	ours.command = func(*testing.T, string, *testenv.Broker, *testenv.Database) *exec.Cmd {
		return exec.Command(testenv.Command(t), "ingest", "--config", file)
	}
	ours.start(t, broker, db)
	prometheus, _ := testenv.Alerting(t, file)
	prometheus.Await(fmt.Sprintf("tofuwatch_limit{station=%q}", station(rounds)))

	publisher := connect(t, broker.Addr)
	var took []time.Duration
	for i := range rounds {
		published := time.Now()
		if err := publisher.publish(message(uint16(i+1), station(i+1), published, cod), 1); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, func() error {
			if got := len(server.Mails()); got != i+1 {
				return fmt.Errorf("got %d mails, want %d", got, i+1)
			}
			return nil
		})
		took = append(took, server.Mails()[i].Received.Sub(published))
	}
	m := slices.Sorted(slices.Values(took))[rounds/2]
	var all []string
	for _, d := range took {
		all = append(all, fmt.Sprintf("%.1f s", d.Seconds()))
	}
	fmt.Fprintf(os.Stdout, "\nFrom publishing an emergency to the mail in the SMTP server; Mosquitto, InfluxDB, Prometheus and Alertmanager apart, as shipped.\nOn %s.\n\n"+
		"| | median | all %d |\n|---|--:|--:|\n| outside engines | %.1f s (want ≤ %.0f s: %s) | %s |\n",
		machine(t), rounds, m.Seconds(), wantMail.Seconds(), verdict(m <= wantMail), strings.Join(all, ", "))
}
