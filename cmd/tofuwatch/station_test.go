package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tofuwatch/internal/access"
	"tofuwatch/internal/testenv"
)

// guarded is a site whose broker knows who it lets in.
type guarded struct {
	dir, file string
	testenv.Guarded
}

// newGuarded writes a site file, and gives two of its three stations credentials
// by the built command.
func newGuarded(t *testing.T, scheme string) guarded {
	t.Helper()
	dir := t.TempDir()
	g := guarded{dir: dir, file: filepath.Join(dir, "site.yaml")}
	g.Ingester, g.IngesterID = testenv.Login{Username: "tofuwatch", Password: "tofuwatch's own"}, "tofuwatch-semarang"
	writeFile(t, filepath.Join(dir, "mqtt.password"), g.Ingester.Password+"\n")
	writeFile(t, g.file, fmt.Sprintf(`site: semarang
data_dir: %q
mqtt: {broker: "%s://127.0.0.1:18830", client_id: tofuwatch-semarang, username: tofuwatch, password_file: mqtt.password}
influxdb: {url: "http://127.0.0.1:8086", bucket: water}
stations:
  - {id: ipal-01, name: "IPAL, outlet", river: bajak, kind: effluent, parameters: {cod: , ph: }}
  - {id: bajak-hulu, name: Bajak upstream, river: bajak, kind: river}
  - {id: bajak-hilir, name: Bajak downstream, river: bajak, kind: river}
`, filepath.Join(dir, "data"), scheme))
	g.Station, g.Other = g.add(t, "ipal-01"), g.add(t, "bajak-hilir")
	return g
}

// add gives a station credentials.
func (g guarded) add(t *testing.T, id string) testenv.Login {
	t.Helper()
	end := tofuwatch(t, "station", "add", id, "--config", g.file, "--json")
	if end.status != done {
		t.Fatalf("station add %s: status %d: %s", id, end.status, end.stderr)
	}
	var card struct{ Username, Password string }
	if err := json.Unmarshal([]byte(end.stdout), &card); err != nil {
		t.Fatal(err)
	}
	return testenv.Login(card)
}

// mosquitto starts a broker on rendered files.
func (g guarded) mosquitto(t *testing.T, args []string, options ...testenv.BrokerOption) *testenv.Broker {
	t.Helper()
	out := filepath.Join(g.dir, "mosquitto")
	if end := tofuwatch(t, append([]string{"render", "mosquitto", "--config", g.file, "--out", out}, args...)...); end.status != done {
		t.Fatalf("render mosquitto: status %d: %s", end.status, end.stderr)
	}
	return testenv.Mosquitto(t, append(options, testenv.WithConfigFile(filepath.Join(out, "mosquitto.conf")))...)
}

func TestMosquittoLetsEachDoOnlyWhatIsTheirs(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "tcp")
	g.URL = g.mosquitto(t, nil).URL
	for _, attempt := range testenv.Attempts() {
		t.Run(attempt.Name, func(t *testing.T) {
			if problem := attempt.Try(t, &g.Guarded); problem != "" {
				t.Error(problem)
			}
		})
	}
}

func TestMosquittoWithCertificates(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "ssl")
	out := filepath.Join(g.dir, "mosquitto")
	end := tofuwatch(t, "certificates", "--config", g.file, "--out", out, "--client", "tofuwatch,ipal-01,bajak-hilir")
	if end.status != done {
		t.Fatalf("certificates: status %d: %s", end.status, end.stderr)
	}
	file := func(name string) string { return filepath.Join(out, name) }
	ca, err := os.ReadFile(file(access.AuthorityFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for name, args := range map[string][]string{"passwords": nil, "client certificates": {"--client-certificates"}} {
		t.Run(name, func(t *testing.T) {
			broker := g.mosquitto(t, args, testenv.WithFilesOf(testenv.TLS{CAFile: file("ca.pem"), CertFile: file("tofuwatch.pem"), KeyFile: file("tofuwatch.key")}))
			g := g.Guarded // the attempts of one who has the station's certificate
			g.URL = broker.URL
			g.TLS = &tls.Config{RootCAs: roots}
			for _, attempt := range testenv.Attempts() {
				if args != nil && strings.HasPrefix(attempt.Name, "a stranger without") {
					t.Run("a stranger without a certificate", func(t *testing.T) {
						if problem := attempt.Try(t, &g); problem != "" {
							t.Error(problem)
						}
					})
				}
				if args == nil && slices.Contains([]string{"a station publishes its readings", "a station's name with a wrong password", "a station publishes another's readings"}, attempt.Name) {
					t.Run(attempt.Name, func(t *testing.T) {
						if problem := attempt.Try(t, &g); problem != "" {
							t.Error(problem)
						}
					})
				}
			}
		})
	}
}

func TestStationCredentials(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, "tcp")
	run := func(want int, args ...string) ending {
		t.Helper()
		end := tofuwatch(t, append(args, "--config", g.file)...)
		if end.status != want {
			t.Errorf("tofuwatch %v: got status %d, want %d: %s", args, end.status, want, end.stderr)
		}
		return end
	}
	if got, want := run(failed, "station", "add", "ipal-01").stderr, "tofuwatch: station ipal-01 has credentials; \"tofuwatch station rotate\" makes new ones\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	run(failed, "station", "rotate", "bajak-hulu")
	run(usage, "station", "add", "nobody")
	rotated := run(done, "station", "rotate", "ipal-01", "--host", "broker.example.org")
	for _, want := range []string{"broker.example.org", "tofu/ipal-01/readings", `{"time":"2026-11-23T07:00:00Z","cod":286.5,"ph":7.1}`} {
		if !strings.Contains(rotated.stdout, want) {
			t.Errorf("got %s, want %q in it", rotated.stdout, want)
		}
	}
	if strings.Contains(rotated.stdout, g.Station.Password) {
		t.Error("the new password is the old one")
	}
	list := run(done, "station", "list").stdout
	want := "STATION      CREDENTIALS  NAME\nipal-01      yes          IPAL, outlet\nbajak-hulu   no           Bajak upstream\nbajak-hilir  yes          Bajak downstream\n"
	if list != want {
		t.Errorf("got\n%swant\n%s", list, want)
	}
	run(done, "station", "revoke", "bajak-hilir")
	run(failed, "station", "revoke", "bajak-hilir")
	credentials, err := access.LoadCredentials(filepath.Join(g.dir, "data", access.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if credentials.Verify(g.Station.Username, g.Station.Password) || credentials.Verify(g.Other.Username, g.Other.Password) {
		t.Error("a password holds that was rotated or revoked")
	}
}
