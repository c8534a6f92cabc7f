package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// storedIn returns how many readings InfluxDB holds.
func storedIn(t testing.TB, base string) int {
	t.Helper()
	q := url.Values{"db": {"water"}, "q": {"SELECT count(*) FROM water_quality"}}
	_, answer := request(t, "GET", base+"/query?"+q.Encode(), "", "")
	var parsed struct {
		Results []struct {
			Series []struct {
				Columns []string
				Values  [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(answer), &parsed); err != nil || len(parsed.Results) != 1 || len(parsed.Results[0].Series) != 1 {
		t.Fatalf("count: %v in %s", err, answer)
	}
	all := 0
	series := parsed.Results[0].Series[0]
	for i, column := range series.Columns {
		if strings.HasSuffix(column, "_qc") { // each reading has one
			all += int(series.Values[0][i].(float64))
		}
	}
	return all
}

var ledgerPattern = regexp.MustCompile(`received ([\d,]+) = stored ([\d,]+) \+ pending ([\d,]+) \+ dead-lettered ([\d,]+)`)

func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"demo", "--data", dir, "--ports", "auto", "--for", "7s"}, &stdout, &stderr); status != done {
		t.Fatalf("got status %d, want 0\n%s", status, stderr.String())
	}
	if stderr.Len() > 0 {
		t.Errorf("standard error: got %s, want nothing", stderr.String())
	}
	all := ledgerPattern.FindAllStringSubmatch(stdout.String(), -1)
	if all == nil {
		t.Fatalf("no ledger in\n%s", stdout.String())
	}
	var l [4]int
	for i, text := range all[len(all)-1][1:] {
		n, err := strconv.Atoi(strings.ReplaceAll(text, ",", ""))
		if err != nil {
			t.Fatal(err)
		}
		l[i] = n
	}
	received, stored, pending, deadLettered := l[0], l[1], l[2], l[3]
	if received == 0 || received != stored+pending+deadLettered || pending != 0 {
		t.Errorf("ledger: got %v, want received = stored, and some", l)
	}
	for _, want := range []string{"first stored after", "ipal-01", "tenggang-hilir", "µS/cm", "good", "tcp://127.0.0.1:"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("want %q in\n%s", want, stdout.String())
		}
	}
	if strings.Contains(stdout.String(), "\x1b") {
		t.Error("escape sequences, and no terminal")
	}

	base, stop := startInfluxDB(t, influxDBOptions{Dir: filepath.Join(dir, "data", "influxdb"), Bucket: "water"})
	if got := storedIn(t, base); got != stored {
		t.Errorf("InfluxDB: got %d readings, want %d", got, stored)
	}
	stop()

	t.Run("and up from there", func(t *testing.T) { testUp(t, filepath.Join(dir, "site.yaml"), stored) })

	t.Run("not faster in the same folder", func(t *testing.T) {
		var stderr bytes.Buffer
		if status := run(t.Context(), []string{"demo", "--data", dir, "--speed", "60"}, &stdout, &stderr); status != usage {
			t.Errorf("got status %d, want 2", status)
		}
		if want := "begins in the past"; !strings.Contains(stderr.String(), want) {
			t.Errorf("got %s, want %q in it", stderr.String(), want)
		}
	})
}

// A demo that is faster than the clock lives in the past, and so do its alerts.
func TestDemoOfASpillMailsTheEmergency(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var stdout, stderr bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"demo", "--data", dir, "--ports", "auto", "--scenario", "spill", "--speed", "120", "--for", "5m"}, &stdout, &stderr)
	}()
	// Warnings of other stations may come first, or meanwhile: what is asked is that
	// the emergency's two come, and are told on the screen.
	mails := func() []string {
		files, err := filepath.Glob(filepath.Join(dir, "mail", "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	await(t, "the mail of the emergency", func() (string, bool) {
		names := strings.Join(mails(), " ")
		return names, strings.Contains(names, "-agency-example-org-emergency-") && strings.Contains(names, "-tenggang-example-org-darurat-")
	})
	cancel()
	if status := <-ended; status != done {
		t.Errorf("got status %d, want 0\n%s", status, stderr.String())
	}
	for _, want := range []string{
		"alerts firing: EMERGENCY tenggang-hilir (", "mail for agency@example.org: EMERGENCY: ", "mail for tenggang@example.org: DARURAT: ",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("want %q in\n%s", want, stdout.String())
		}
	}
	for _, file := range mails() {
		if !strings.Contains(stdout.String(), file) {
			t.Errorf("want %q in\n%s", file, stdout.String())
		}
	}
}

// testUp runs a site on which a demo has run before.
func testUp(t *testing.T, file string, want int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	influx := regexp.MustCompile(`http://127[0-9.:]+`).FindString(string(text))
	metrics := regexp.MustCompile(`listen: "([0-9.:]+)"`).FindStringSubmatch(string(text))
	if influx == "" || metrics == nil {
		t.Fatalf("no addresses in\n%s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		ended <- run(ctx, []string{"up", "--config", file, "--prometheus-listen", "127.0.0.1:0", "--alertmanager-listen", "127.0.0.1:0"}, new(bytes.Buffer), &stderr)
	}()
	defer func() {
		cancel()
		if status := <-ended; status != done {
			t.Errorf("got status %d, want 0\n%s", status, stderr.String())
		}
	}()
	await(t, "readiness", func() (string, bool) {
		response, err := http.Get("http://" + metrics[1] + "/readyz")
		if err != nil {
			return err.Error(), false
		}
		response.Body.Close()
		return response.Status, response.StatusCode == http.StatusOK
	})
	if got := storedIn(t, influx); got != want {
		t.Errorf("InfluxDB: got %d readings, want %d", got, want)
	}
}

// writeSite writes a site file with these addresses and returns its name.
func writeSite(t testing.TB, mqtt, influx, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.yaml")
	text := fmt.Sprintf(`site: test
data_dir: data
http: {listen: 127.0.0.1:0}
mqtt: {broker: %q, client_id: tofuwatch-test}
influxdb: {url: %q, bucket: water%s}
stations:
  - {id: ipal-01, name: Outlet, river: bajak, kind: effluent, parameters: {ph: {}}}
`, mqtt, influx, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUpNamesEveryPortThatIsTaken(t *testing.T) {
	mqtt, influx, prometheus, alertmanager := listenLoopback(t), listenLoopback(t), listenLoopback(t), listenLoopback(t)
	defer mqtt.Close()
	defer influx.Close()
	defer prometheus.Close()
	defer alertmanager.Close()
	file := writeSite(t, "tcp://"+mqtt.Addr().String(), "http://"+influx.Addr().String(), "")
	var stdout, stderr bytes.Buffer
	args := []string{"up", "--config", file, "--prometheus-listen", prometheus.Addr().String(), "--alertmanager-listen", alertmanager.Addr().String()}
	if status := run(t.Context(), args, &stdout, &stderr); status != failed {
		t.Errorf("got status %d, want 1", status)
	}
	want := fmt.Sprintf(`tofuwatch-allinone: cannot listen on
  %s, for the MQTT broker (mqtt.broker): address already in use
  %s, for InfluxDB (influxdb.url): address already in use
  %s, for Prometheus (--prometheus-listen): address already in use
  %s, for Alertmanager (--alertmanager-listen): address already in use
Stop what listens there, or give other addresses in %s or by these flags
`, mqtt.Addr(), influx.Addr(), prometheus.Addr(), alertmanager.Addr(), file)
	if got := stderr.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(file), "data")); !os.IsNotExist(err) {
		t.Errorf("data folder: got %v, want that nothing was made", err)
	}
}

func TestUpRefusesWhatItCannotServe(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("a-token-of-2.x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, mqtt, influx, more string
		want                     []string
	}{
		{"encrypted", "ssl://127.0.0.1:8883", "https://127.0.0.1:8086", "", []string{"mqtt.broker: the broker of this program speaks tcp, not ssl", "influxdb.url: the InfluxDB of this program speaks http, not https"}},
		{"open to all", "tcp://0.0.0.0:1883", "http://192.168.1.7:8086", "", []string{"mqtt.username: required", "influxdb.url: the InfluxDB of this program does not encrypt"}},
		{"a token of InfluxDB 2", "tcp://127.0.0.1:1883", "http://127.0.0.1:8086", ", token_file: " + secret, []string{"influxdb.token_file: want user:password"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := run(t.Context(), []string{"up", "--config", writeSite(t, test.mqtt, test.influx, test.more)}, &stdout, &stderr)
			if status != usage {
				t.Errorf("got status %d, want 2", status)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("got\n%swant %q in it", stderr.String(), want)
				}
			}
		})
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"no command", nil, "which command?"},
		{"no such flag", []string{"demo", "--fast"}, "--fast"},
		{"no such scenario", []string{"demo", "--scenario", "flood"}, "normal, spill, plant-upset, sensor-faults"},
		{"several at once", []string{"demo", "--speed", "0", "--ports", "any"}, "--ports any: default or auto"},
		{"open to all", []string{"up", "--config", writeSite(t, "tcp://127.0.0.1:1883", "http://127.0.0.1:8086", ""), "--alertmanager-listen", "0.0.0.0:9093"}, "--alertmanager-listen 0.0.0.0:9093: want an address of this machine only"},
		{"no site file", []string{"up"}, "--config site.yaml"},
		{"site file that is not there", []string{"up", "--config", "nowhere.yaml"}, "nowhere.yaml"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(t.Context(), test.args, &stdout, &stderr); got != usage {
				t.Errorf("got status %d, want 2", got)
			}
			if !strings.Contains(stderr.String(), test.want) {
				t.Errorf("got %s, want %q in it", stderr.String(), test.want)
			}
		})
	}
}

func TestListenOnFreePorts(t *testing.T) {
	on, err := listen(anyAddresses)
	if err != nil {
		t.Fatal(err)
	}
	defer on.close()
	for _, ln := range []net.Listener{on.mqtt, on.influxDB, on.http, on.prometheus, on.alertmanager} {
		if ln.Addr().(*net.TCPAddr).Port == 0 {
			t.Error("got no port")
		}
	}
}
