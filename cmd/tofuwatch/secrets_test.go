package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"tofuwatch/internal/testenv"
)

// mark is in every secret of a secretive site, and in nothing else.
const mark = "hunter2"

// A secretive is a site whose every secret has the mark, and whose servers all
// want a login.
type secretive struct {
	t                   *testing.T
	dir, file           string
	broker, influx, web string // as the site file has them
	mailPort            int
}

// secrets are the site's, by the file that has them.
func secrets() map[string]string {
	return map[string]string{
		"mqtt.password": mark + "-mqtt/=?", "influxdb.token": "tofuwatch:" + mark + "-influxdb",
		"smtp.password": mark + "-smtp%20", "web/http.password": mark + "-http-that-is-long",
	}
}

// newSecretive prepares a site whose servers are at these addresses.
func newSecretive(t *testing.T, broker, influx string, mailPort int) *secretive {
	t.Helper()
	dir := t.TempDir()
	s := &secretive{
		t: t, dir: dir, file: filepath.Join(dir, "site.yaml"), broker: broker, influx: influx,
		mailPort: mailPort, web: fmt.Sprintf("0.0.0.0:%d", testenv.FreePort(t)),
	}
	if err := os.Mkdir(filepath.Join(dir, "web"), 0o750); err != nil {
		t.Fatal(err)
	}
	for name, secret := range secrets() {
		writeFile(t, filepath.Join(dir, name), secret+"\n")
	}
	s.runs(done, "web", "--out", filepath.Join(dir, "web"), "--host", "metrics.example.org")
	s.write()
	return s
}

func (s *secretive) write() {
	writeFile(s.t, s.file, fmt.Sprintf(`site: semarang
data_dir: data
http: {listen: %q, web_config_file: web/web.yml, username: prometheus, password_file: web/http.password, tls: {ca_file: web/ca.pem}}
mqtt: {broker: %q, client_id: tofuwatch-semarang, username: tofuwatch, password_file: mqtt.password}
influxdb: {url: %q, org: tofuwatch, bucket: water, token_file: influxdb.token}
stations:
  - {id: ipal-01, name: "IPAL, outlet", river: bajak, kind: effluent, standard: id-permenlh-5-2014-tofu}
recipients:
  - {name: Operator, email: operator@example.org, language: en}
smtp: {host: 127.0.0.1, port: %d, tls: none, from: tofuwatch@example.org, username: mailer, password_file: smtp.password}
`, s.web, s.broker, s.influx, s.mailPort))
}

// shows fails the test if a text has a secret, or a login as HTTP and SMTP send it.
func (s *secretive) shows(what, text string) {
	s.t.Helper()
	logins := []string{mark, url.QueryEscape(mark)}
	for _, login := range []string{"prometheus:" + mark, "tofuwatch:" + mark, "\x00mailer\x00" + mark, mark} {
		// The last three bytes may be encoded together with what follows.
		logins = append(logins, base64.StdEncoding.EncodeToString([]byte(login[:len(login)/3*3])))
	}
	for _, login := range logins {
		if at := strings.Index(text, login); at >= 0 {
			s.t.Errorf("%s shows a secret:\n…%s…", what, text[max(0, at-200):min(len(text), at+100)])
		}
	}
}

// runs runs the command to its end, which has to be as wanted. Nothing of it may
// show a secret.
func (s *secretive) runs(status int, args ...string) {
	s.t.Helper()
	end := tofuwatch(s.t, args...)
	if end.status != status {
		s.t.Errorf("%v: got status %d, want %d:\n%s%s", args, end.status, status, end.stdout, end.stderr)
	}
	s.shows(strings.Join(args, " "), end.stdout+end.stderr)
}

// everything runs every command on the site that talks to a server, or that could
// tell of it, with the status that those have which log in somewhere.
func (s *secretive) everything(live int) {
	s.t.Helper()
	s.runs(done, "check", "--config", s.file)
	s.runs(live, "ready", "--config", s.file) // first: at this broker "check --live" takes the ingester's place for a moment
	s.runs(live, "check", "--live", "--config", s.file)
	s.runs(live, "check", "--live", "--json", "--config", s.file)
	s.runs(live, "mail", "test", "--to", "Operator", "--config", s.file)
	s.runs(failed, "fit", "bod", "--station", "ipal-01", "--score", "--config", s.file)
	s.runs(done, "deadletter", "list", "--config", s.file)
	s.runs(done, "station", "list", "--config", s.file)
}

// ingest starts the ingester, which logs as much as it can, until its log has all
// of these texts.
func (s *secretive) ingest(until ...string) *testenv.Process {
	s.t.Helper()
	p := testenv.Start(s.t, exec.Command(testenv.Command(s.t), "ingest", "--verbose", "--config", s.file))
	testenv.Eventually(s.t, func() error {
		if p.State() != nil {
			s.t.Fatalf("the ingester ended (%v):\n%s", p.State(), p.Stderr())
		}
		for _, text := range until {
			if !strings.Contains(p.Stderr(), text) {
				return fmt.Errorf("the log has no %q:\n%s", text, p.Stderr())
			}
		}
		return nil
	})
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
	if err != nil {
		s.t.Error(err)
	}
	s.shows("the process's arguments", string(arguments))
	return p
}

// ends stops the ingester and looks at its log.
func (s *secretive) ends(p *testenv.Process) {
	s.t.Helper()
	if got := p.Stop(); got != done {
		s.t.Errorf("got exit status %d of the ingester, want %d", got, done)
	}
	s.shows("the log", p.Stdout()+p.Stderr())
}

// scrape returns the ingester's metrics.
func (s *secretive) scrape() string {
	s.t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.dir, "web", "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://127.0.0.1"+s.web[strings.LastIndexByte(s.web, ':'):]+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("prometheus", secrets()["web/http.password"])
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		s.t.Errorf("GET /metrics: got %s, want 200", resp.Status)
	}
	return string(body)
}

// keepsClosed fails the test if a file below dir has a secret and is not one of
// these, or is open to everybody. All of them have to be there.
func (s *secretive) keepsClosed(dir string, files ...string) {
	s.t.Helper()
	missing := make(map[string]bool)
	for _, file := range files {
		missing[file] = true
	}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if !missing[name] {
			s.shows(path, string(data))
			return nil
		}
		delete(missing, name)
		if got := mode(s.t, path); !strings.Contains(string(data), mark) || got&^0o640 != 0 {
			s.t.Errorf("%s: got mode %v, want at most 0640, and the secret in it", path, got)
		}
		return nil
	})
	if err != nil || len(missing) > 0 {
		s.t.Errorf("%s: got error %v, and without %v", dir, err, missing)
	}
}

// Where all goes well, nothing but the two files that others read has a secret.
func TestSecretsAreShownNowhere(t *testing.T) {
	t.Parallel()
	db := testenv.InfluxDB(t, testenv.WithAuth("tofuwatch", mark+"-influxdb"), testenv.WithDatabase("water"))
	mail := testenv.SMTP(t, testenv.WithLogin("mailer", secrets()["smtp.password"]))
	s := newSecretive(t, "tcp://127.0.0.1:1883", db.URL, mail.Port)

	// The logger's password is shown once, which is what the command is for.
	added := tofuwatch(t, "station", "add", "ipal-01", "--config", s.file)
	if added.status != done {
		t.Fatalf("station add: status %d: %s", added.status, added.stderr)
	}
	s.shows("station add", added.stdout+added.stderr)
	_, rest, _ := strings.Cut(added.stdout, "\nPassword")
	logger := strings.Fields(rest)[0]

	out := filepath.Join(s.dir, "rendered")
	for _, program := range []string{"mosquitto", "prometheus", "alertmanager", "dashboards"} {
		s.runs(done, "render", program, "--config", s.file, "--out", filepath.Join(out, program))
	}
	s.keepsClosed(out, "alertmanager/smtp.password", "prometheus/ingester.password")

	s.broker = testenv.Mosquitto(t, testenv.WithConfigFile(filepath.Join(out, "mosquitto", "mosquitto.conf"))).URL
	s.write()
	p := s.ingest("msg=subscribed")
	client := paho.NewClient(paho.NewClientOptions().AddBroker(s.broker).SetClientID("ipal-01").SetUsername("ipal-01").SetPassword(logger).SetConnectTimeout(10 * time.Second))
	published := func(token paho.Token) {
		t.Helper()
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("publish: %v", token.Error())
		}
	}
	published(client.Connect())
	defer client.Disconnect(0)
	payload := fmt.Sprintf(`{"time":%d,"ph":6.9,"cod":"?"}`, time.Now().Unix())
	for _, text := range []string{payload, "{"} {
		published(client.Publish("tofu/ipal-01/readings", 1, false, text))
	}
	var metrics string
	testenv.Eventually(t, func() error {
		metrics = s.scrape()
		if !strings.Contains(metrics, "tofuwatch_readings_stored_total 1") && !strings.Contains(metrics, "tofuwatch_readings_stored_total{") {
			return fmt.Errorf("nothing was stored yet:\n%s", metrics)
		}
		return nil
	})
	s.shows("/metrics", metrics)
	s.everything(done)
	s.runs(done, "deadletter", "show", "1", "--config", s.file)
	s.runs(failed, "deadletter", "replay", "--all", "--config", s.file)
	message := tofuwatchOn(t, []byte(payload), "decode", "--config", s.file, "--topic", "tofu/ipal-01/readings")
	s.shows("decode", message.stdout+message.stderr)
	archive := filepath.Join(s.dir, "site.tar.zst")
	s.runs(done, "backup", "--config", s.file, "--out", archive)
	s.ends(p)
	s.keepsClosed(filepath.Join(s.dir, "data"))
}

// What goes wrong is told without the secret that went wrong.
func TestSecretsAreNotInWhatAFailureTells(t *testing.T) {
	t.Parallel()
	t.Run("wrong passwords", func(t *testing.T) {
		t.Parallel()
		db := testenv.InfluxDB(t, testenv.WithAuth("tofuwatch", "another"), testenv.WithDatabase("water"))
		mail := testenv.SMTP(t, testenv.WithLogin("mailer", "another"))
		s := newSecretive(t, "tcp://127.0.0.1:1883", db.URL, mail.Port)
		out := filepath.Join(s.dir, "mosquitto")
		writeFile(t, filepath.Join(s.dir, "mqtt.password"), "another\n")
		s.runs(done, "render", "mosquitto", "--config", s.file, "--out", out)
		writeFile(t, filepath.Join(s.dir, "mqtt.password"), secrets()["mqtt.password"]+"\n")
		s.broker = testenv.Mosquitto(t, testenv.WithConfigFile(filepath.Join(out, "mosquitto.conf"))).URL
		s.write()
		p := s.ingest("component=mqtt")
		s.shows("/metrics", s.scrape())
		s.everything(failed)
		s.ends(p)
	})
	t.Run("dead servers", func(t *testing.T) {
		t.Parallel()
		closed := testenv.FreePort(t)
		s := newSecretive(t, fmt.Sprintf("tcp://127.0.0.1:%d", closed), fmt.Sprintf("http://127.0.0.1:%d", closed), closed)
		p := s.ingest("component=mqtt")
		s.everything(failed)
		s.ends(p)
	})
	t.Run("a bad site file", func(t *testing.T) {
		t.Parallel()
		s := newSecretive(t, "tcp://tofuwatch:"+mark+"@127.0.0.1:1883", "http://tofuwatch:"+mark+"@127.0.0.1:8086", 25)
		for name, secret := range secrets() {
			writeFile(t, filepath.Join(s.dir, name), secret+"\n"+secret+"\n")
		}
		for _, command := range []string{"check", "ingest", "ready"} {
			s.runs(usage, command, "--config", s.file)
		}
	})
}
