package testenv_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

func TestMosquittoComesBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*testenv.Broker)
	}{
		{"after Stop", func(b *testenv.Broker) { b.Stop() }},
		{"after Kill", func(b *testenv.Broker) { b.Kill() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := testenv.Mosquitto(t)
			addr, pid := broker.Addr, broker.PID()
			connect(t, broker, "first").Disconnect(0)

			tt.end(broker)
			if conn, err := net.Dial("tcp", addr); err == nil {
				conn.Close()
				t.Errorf("%s still takes connections", addr)
			}

			broker.Start()
			connect(t, broker, "second")
			if broker.Addr != addr {
				t.Errorf("got address %s, want %s as before", broker.Addr, addr)
			}
			if broker.PID() == pid {
				t.Errorf("got process %d again, want a new one", pid)
			}
		})
	}
}

// shipped is the configuration that the README tells people to install.
const shipped = "../../deploy/mosquitto/mosquitto.conf"

// Stock and shipped differ in what a broker keeps for a client that is away.
func TestMosquittoQueue(t *testing.T) {
	const published = 5000
	for _, tt := range []struct {
		name    string
		options []testenv.BrokerOption
		restart bool
		want    int
	}{
		// 20 in flight count apart from the queue, but only for a client that is there.
		{"untuned", nil, false, 1000},
		{"untuned, on disk", []testenv.BrokerOption{testenv.WithPersistence()}, true, 1000},
		{"as shipped", []testenv.BrokerOption{testenv.WithConfigFile(shipped)}, false, published},
		{"as shipped, over a restart", []testenv.BrokerOption{testenv.WithConfigFile(shipped)}, true, published},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broker := testenv.Mosquitto(t, tt.options...)
			away := connect(t, broker, "away")
			wait(t, away.Subscribe("tofu/+/readings", 1, nil))
			away.Disconnect(250)

			logger := connect(t, broker, "logger")
			var last paho.Token
			for n := range published {
				last = logger.Publish("tofu/ipal-01/readings", 1, false, fmt.Sprint(n))
			}
			wait(t, last)
			logger.Disconnect(250)
			if tt.restart {
				broker.Stop()
				broker.Start()
			}

			var got atomic.Int64
			options := clientOptions(broker, "away")
			options.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
				if string(m.Payload()) != "end" {
					got.Add(1)
				}
			})
			back := connectWith(t, options)
			testenv.Eventually(t, func() error {
				if got := int(got.Load()); got < tt.want {
					return fmt.Errorf("got %d messages, want %d", got, tt.want)
				}
				return nil
			})
			// What comes after the queue comes last: nothing more is on its way.
			ended := make(chan struct{})
			back.AddRoute("end", func(paho.Client, paho.Message) { close(ended) })
			wait(t, back.Subscribe("end", 1, nil))
			wait(t, back.Publish("end", 1, false, "end"))
			select {
			case <-ended:
			case <-t.Context().Done():
			}
			if got := int(got.Load()); got != tt.want {
				t.Errorf("got %d messages of %d published, want %d", got, published, tt.want)
			}
		})
	}
}

func TestMosquittoTLS(t *testing.T) {
	broker := testenv.Mosquitto(t, testenv.WithTLS())
	if want := "ssl://" + broker.Addr; broker.URL != want {
		t.Fatalf("got URL %s, want %s", broker.URL, want)
	}
	config := clientTLS(t, broker.TLS)
	connectWith(t, clientOptions(broker, "with a certificate").SetTLSConfig(config))

	config = &tls.Config{RootCAs: config.RootCAs}
	if err := refused(t, clientOptions(broker, "without").SetTLSConfig(config)); err == nil {
		t.Error("a client without a certificate is let in")
	}
}

func TestInfluxDBComesBack(t *testing.T) {
	sampled := time.Date(2026, 11, 23, 7, 0, 0, 123456789, time.UTC)
	for _, tt := range []struct {
		name string
		end  func(*testenv.Database)
	}{
		{"after Stop", func(d *testenv.Database) { d.Stop() }},
		{"after Kill", func(d *testenv.Database) { d.Kill() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := testenv.InfluxDB(t, testenv.WithDatabase("water"))
			url := db.URL
			write(t, db, "/write?db=water", fmt.Sprintf(`water_quality,station=ipal-01,kind=effluent ph=6.9,ph_qc=1i,cod=300,cod_censor="<" %d`, sampled.UnixNano()))

			tt.end(db)
			if rows, err := db.Rows("water", "SELECT * FROM water_quality"); err == nil {
				t.Errorf("got %v from a database that is down, want an error", rows)
			}

			db.Start()
			if db.URL != url {
				t.Errorf("got URL %s, want %s as before", db.URL, url)
			}
			got := db.Query(t, "water", "SELECT ph, ph_qc, cod, cod_censor, turbidity FROM water_quality GROUP BY station")
			want := []testenv.Row{{
				"time": sampled, "station": "ipal-01", "ph": 6.9, "ph_qc": 1.0, "cod": 300.0, "cod_censor": "<", "turbidity": nil,
			}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInfluxDBWithAuth(t *testing.T) {
	db := testenv.InfluxDB(t, testenv.WithAuth("admin", `it's "secret"`), testenv.WithDatabase("water"))
	if want := `admin:it's "secret"`; db.Token != want {
		t.Errorf("got token %s, want %s", db.Token, want)
	}
	write(t, db, "/write?db=water", "water_quality,station=ipal-01 ph=6.9 1")
	if got := db.Query(t, "water", "SELECT ph FROM water_quality"); len(got) != 1 {
		t.Errorf("got %d rows, want 1", len(got))
	}

	// Queries of a statement that is wrong fail, whatever the HTTP status.
	if _, err := db.Rows("water", "SELECT"); err == nil || !strings.Contains(err.Error(), "error parsing query") {
		t.Errorf("got error %v, want one about parsing", err)
	}
	db.Token = "admin:wrong"
	if _, err := db.Rows("water", "SELECT ph FROM water_quality"); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("got error %v, want one about 401", err)
	}
}

func TestProcess(t *testing.T) {
	p := testenv.Start(t, exec.Command("sh", "-c", "echo result; echo message >&2; exit 3"))
	if got, want := p.Wait(), 3; got != want {
		t.Errorf("got exit status %d, want %d", got, want)
	}
	if got, want := p.Stdout(), "result\n"; got != want {
		t.Errorf("got standard output %q, want %q", got, want)
	}
	if got, want := p.Stderr(), "message\n"; got != want {
		t.Errorf("got standard error %q, want %q", got, want)
	}
	p.Kill() // ended before: nothing to do

	p = testenv.Start(t, exec.Command("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"))
	testenv.Eventually(t, func() error {
		if p.Stdout() == "" {
			return errors.New("not ready")
		}
		return nil
	})
	if state := p.State(); state != nil {
		t.Errorf("got state %v of a process that runs, want nil", state)
	}
	if got, want := p.Stop(), 5; got != want {
		t.Errorf("got exit status %d, want %d", got, want)
	}

	p = testenv.Start(t, exec.Command("sleep", "60"))
	p.Kill()
	if got, want := p.Wait(), -1; got != want {
		t.Errorf("got exit status %d of a killed process, want %d", got, want)
	}
}

func TestFreePort(t *testing.T) {
	seen := make(map[int]bool)
	for range 50 {
		port := testenv.FreePort(t)
		if seen[port] {
			t.Errorf("port %d came twice", port)
		}
		seen[port] = true
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

func TestEventuallyGivesUp(t *testing.T) {
	looks := 0
	spy := &spy{TB: t}
	testenv.Within(spy, 50*time.Millisecond, func() error {
		looks++
		return fmt.Errorf("look %d", looks)
	})
	if want := fmt.Sprintf("look %d", looks); !strings.HasSuffix(spy.failure, want) {
		t.Errorf("got failure %q, want it to end with %q", spy.failure, want)
	}
	if looks < 2 {
		t.Errorf("got %d look, want several", looks)
	}
}

func TestMissingProgram(t *testing.T) {
	t.Setenv("TOFUWATCH_TOOLS", t.TempDir())
	for _, tt := range []struct{ name, ci, skipped, failure string }{
		{"on a machine", "", `influxd is missing: run "make tools"`, ""},
		{"in CI", "true", "", `influxd is missing: run "make tools"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CI", tt.ci)
			spy := &spy{TB: t}
			testenv.Program(spy, "influxd")
			if spy.skipped != tt.skipped {
				t.Errorf("got skipped with %q, want %q", spy.skipped, tt.skipped)
			}
			if spy.failure != tt.failure {
				t.Errorf("got failed with %q, want %q", spy.failure, tt.failure)
			}
		})
	}
}

// spy notes how a test would have ended, and goes on.
type spy struct {
	testing.TB
	skipped, failure string
}

func (s *spy) Skipf(format string, args ...any) {
	if s.failure == "" {
		s.skipped = fmt.Sprintf(format, args...)
	}
}
func (s *spy) Fatalf(format string, args ...any) { s.failure = fmt.Sprintf(format, args...) }

// connect returns a connected client with a persistent session.
func connect(t *testing.T, b *testenv.Broker, id string) paho.Client {
	t.Helper()
	return connectWith(t, clientOptions(b, id))
}

func clientOptions(b *testenv.Broker, id string) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker(b.URL).SetClientID(id).SetCleanSession(false).SetConnectTimeout(10 * time.Second)
}

func connectWith(t *testing.T, options *paho.ClientOptions) paho.Client {
	t.Helper()
	client := paho.NewClient(options)
	wait(t, client.Connect())
	t.Cleanup(func() { client.Disconnect(0) })
	return client
}

// refused tries to connect, once, and returns why the broker said no.
func refused(t *testing.T, options *paho.ClientOptions) error {
	t.Helper()
	client := paho.NewClient(options.SetConnectRetry(false))
	t.Cleanup(func() { client.Disconnect(0) })
	token := client.Connect()
	token.Wait()
	return token.Error()
}

func clientTLS(t *testing.T, files testenv.TLS) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(files.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	cert, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}
}

func wait(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(60 * time.Second) {
		t.Fatal("got no answer from the broker")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// write writes a line through the API at path.
func write(t *testing.T, db *testenv.Database, path, line string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, db.URL+path, strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	db.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("write: got status %s, want 204", resp.Status)
	}
}
