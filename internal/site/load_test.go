package site

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"

	"tofuwatch/ingest/payload"
	"tofuwatch/ingest/quality"
	"tofuwatch/internal/estimate"
	"tofuwatch/internal/water"
)

// noEnv is an environment in which nothing is set.
func noEnv(string) string { return "" }

// loaded returns the site in file, which must have no fault.
func loaded(t *testing.T, file string, getenv func(string) string) *Site {
	t.Helper()
	s, err := Load(file, getenv)
	if err != nil {
		t.Fatalf("Load(%q):\n%v", file, err)
	}
	return s
}

// parsed returns the site in the YAML text, or its faults. There are no files
// around it.
func parsed(text string, getenv func(string) string) (*Site, error) {
	return parse("site.yaml", []byte(text), world{"/etc/tofuwatch", getenv, func(string) ([]byte, error) {
		return nil, os.ErrNotExist
	}})
}

const least = `
site: semarang
mqtt: {broker: "tcp://127.0.0.1", client_id: tofuwatch-semarang}
influxdb: {url: "http://127.0.0.1:8086", bucket: water}
stations:
  - {id: ipal-01, name: "IPAL, outlet", river: bajak, kind: effluent}
`

// files returns the names that match pattern; none is a mistake of the test.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no file matches %q (%v)", pattern, err)
	}
	return names
}

func TestLoadGoodFiles(t *testing.T) {
	for _, file := range files(t, "testdata/ok/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := loaded(t, file, noEnv)
			if s.File != file {
				t.Errorf("File = %q, want %q", s.File, file)
			}
		})
	}
}

// The messages are for people, so each is in a file to be read. UPDATE=1
// writes them anew.
func TestLoadBadFiles(t *testing.T) {
	t.Chdir("testdata/bad")
	sites := files(t, "*.yaml")
	for _, file := range sites {
		name := strings.TrimSuffix(file, ".yaml")
		t.Run(name, func(t *testing.T) {
			_, err := Load(file, noEnv)
			if err == nil {
				t.Fatal("no fault found")
			}
			got := err.Error() + "\n"
			if strings.Contains(got, "hunter2") {
				t.Errorf("a password is told:\n%s", got)
			}
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(name+".err", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".err")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, string(want)); diff != "" {
				t.Errorf("faults (-got +want; UPDATE=1 rewrites):\n%s", diff)
			}
		})
	}
	for _, golden := range files(t, "*.err") {
		if !slices.Contains(sites, strings.TrimSuffix(golden, ".err")+".yaml") {
			t.Errorf("%s belongs to no site file", golden)
		}
	}
}

func TestEveryFaultOfTenIsTold(t *testing.T) {
	_, err := Load("testdata/bad/ten-faults.yaml", noEnv)
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("error is a %T, want Faults", err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, fmt.Sprintf("%d %s", f.Line, f.Path))
	}
	want := []string{
		"2 time_zone", "4 mqtt.broker", "5 mqtt.clientid", "6 mqtt.password", "7 influxdb.bucket",
		"12 stations[0].kind", "13 stations[0].latitude", "15 stations[0].interval", "17 stations[0].parameters.amonia.range",
		"19 recipients[0].email",
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("faults (-got +want):\n%s", diff)
	}
	if _, ok := errors.AsType[Fault](err); !ok {
		t.Error("errors.As finds no Fault in the error")
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	_, err := Load("testdata/none.yaml", noEnv)
	want := "testdata/none.yaml: cannot be read: no such file or directory; want a site file"
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

// bySaying compares sites by what they say.
var bySaying = cmp.Options{
	cmp.Transformer("name", func(l *time.Location) string { return l.String() }),
	cmp.Transformer("text", func(u *url.URL) string { return u.String() }),
	cmp.Transformer("code", func(p *water.Parameter) string { return p.Code }),
	cmpopts.IgnoreFields(Site{}, "Parameters"),
	cmpopts.IgnoreFields(payload.Settings{}, "Parameters"),
	cmpopts.EquateNaNs(),
}

func TestEveryKey(t *testing.T) {
	s := loaded(t, "testdata/ok/full.yaml", noEnv)
	dir, err := filepath.Abs("testdata/ok")
	if err != nil {
		t.Fatal(err)
	}
	code := func(name string) *water.Parameter {
		p := s.Parameters.Lookup([]byte(name))
		if p == nil {
			t.Fatalf("no parameter %q", name)
		}
		return p
	}
	zone, err := time.LoadLocation("Asia/Makassar")
	if err != nil {
		t.Fatal(err)
	}
	jayapura, err := time.LoadLocation("Asia/Jayapura")
	if err != nil {
		t.Fatal(err)
	}
	want := &Site{
		File:     "testdata/ok/full.yaml",
		Name:     "semarang",
		TimeZone: zone,
		DataDir:  filepath.Join(dir, "data"),
		HTTP: HTTP{
			Listen: "0.0.0.0:9000", WebConfigFile: filepath.Join(dir, "web.yml"), Encrypted: true,
			Username: "prometheus", Password: "http-secret-of-the-test",
			TLS: &TLS{CAFile: filepath.Join(dir, "ca.pem")},
		},
		MQTT: MQTT{
			Broker:   &url.URL{Scheme: "ssl", Host: "broker.example.org:8883"},
			ClientID: "tofuwatch-semarang",
			Username: "tofuwatch",
			Password: "mqtt-secret-of-the-test",
			TLS: &TLS{
				CAFile:   filepath.Join(dir, "ca.pem"),
				CertFile: filepath.Join(dir, "client.pem"),
				KeyFile:  filepath.Join(dir, "client.key"),
			},
			Sources: []Source{
				{Topic: "tofu/{station}/readings", Format: "tofuwatch"},
				{Topic: "plants/+/{station}/#", Format: "tofuwatch"},
				{
					Topic: "application/+/device/+/event/up", Format: "chirpstack",
					TimeZone: time.UTC, Arrival: true, Frames: "decentlab-pheht",
					Payload: payload.Settings{
						Fields: map[string]payload.Field{
							"ph_value": {Parameter: code("ph")},
							"q":        {Parameter: code("flow"), Unit: "L/s", UnitGiven: true},
						},
						Units:  map[string]water.Unit{"ec": "mS/cm"},
						Ignore: []string{"rssi"}, DecimalComma: true, Local: true,
					},
				},
				{
					Topic: "vendor/data", Format: "mapping", Station: "bajak-bridge",
					Payload: payload.Settings{
						Units: map[string]water.Unit{"level": "mm"},
						Mapping: &payload.Mapping{
							Samples: "data", Device: []payload.Path{"$.uid", "serial"},
							Time: []payload.Path{"date", "hour"}, TimeFormat: "2/1/2006 15:4:5",
							Values: []payload.PathValues{
								{Parameter: code("ph"), Path: "v.ph"},
								{Parameter: code("flow"), Path: "v.q", Unit: "L/s", UnitGiven: true},
								{Parameter: code("level"), Path: "v.h", Unit: "mm", UnitGiven: true},
							},
						},
					},
				},
			},
		},
		InfluxDB: InfluxDB{
			URL:    &url.URL{Scheme: "https", Host: "influxdb.example.org:8086"},
			Org:    "tofuwatch",
			Bucket: "water/one_year",
			Token:  "influxdb-secret-of-the-test",
			TLS:    &TLS{CAFile: filepath.Join(dir, "ca.pem")},
		},
		Stations: []Station{
			{
				Station: &water.Station{
					ID: "ipal-01", Name: "Shared treatment plant, outlet", River: "bajak", Kind: water.Effluent,
					Latitude: -7.0051, Longitude: 110.4381, Sentinels: []float64{-9999, 7999},
					Instruments: map[string]water.Instrument{
						"ph":       {Parameter: code("ph"), Min: 0, Max: 14, Interval: 2 * time.Minute},
						"cod":      {Parameter: code("cod"), Min: 0, Max: 20000, Interval: 2 * time.Minute},
						"flow":     {Parameter: code("flow"), Min: 0, Max: 1000000, Interval: 10 * time.Minute},
						"salinity": {Parameter: code("salinity"), Min: 0, Max: 42, Interval: 2 * time.Minute},
					},
				},
				Standards: []string{"id-permenlh-5-2014-tofu"},
				Limits: map[string]Limit{
					"cod":         {Max: new(250.0)},
					"temperature": {Min: new(20.0), Max: new(45.5), Override: true, Reason: "agreed with the agency"},
				},
				Estimates: []*estimate.Model{{
					ID: "ipal-01-bod-2026-11", Parameter: "bod", Station: "ipal-01", Kind: water.Effluent,
					From:      time.Date(2026, 11, 1, 0, 0, 0, 0, zone),
					To:        time.Date(2027, 11, 1, 0, 0, 0, 0, zone),
					Inputs:    []estimate.Input{{Parameter: "cod", Low: 88, High: 640, Exponent: 0.97}},
					Intercept: -0.8, Covariance: [][]float64{{0.09, -0.015}, {-0.015, 0.0026}}, ResidualSD: 0.17, Quantile: 2.02,
					Origin: estimate.Origin{
						At: time.Date(2026, 11, 1, 9, 12, 0, 0, zone), Pairs: 41,
						First: time.Date(2026, 1, 5, 2, 0, 0, 0, time.UTC), Last: time.Date(2026, 10, 26, 2, 0, 0, 0, time.UTC),
						COD: water.Sensor, R2: 0.84, SHA256: "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
					},
				}},
				Maintenance: []water.Maintenance{
					{
						From: time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC), To: time.Date(2026, 11, 23, 1, 30, 0, 0, time.UTC),
						Parameters: []*water.Parameter{code("do"), code("temperature")}, Planned: true, Note: "new cable",
					},
					{From: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 12, 1, 16, 0, 0, 0, time.UTC), Planned: true},
				},
			},
			{
				Station: &water.Station{
					ID: "bajak-bridge", Name: "Jembatan Bajak", River: "bajak", Kind: water.River,
					Latitude: math.NaN(), Longitude: math.NaN(), Instruments: map[string]water.Instrument{},
				},
				Logger: Logger{
					Devices: []string{"0004A30B001C0530", "bajak-logger"}, TimeZone: jayapura, Arrival: true,
					Frames: "decentlab-optod", Units: map[string]water.Unit{"flow": "L/s"},
				},
				Standards: []string{"id-pp-22-2021-class-2", "id-jateng-5-2012-tofu"},
			},
		},
		Recipients: []Recipient{
			{
				Name: "Forum Sungai Bajak", Email: "forum@example.org", Language: "en",
				Rivers: []string{"bajak"}, Stations: []string{"ipal-01"}, Severity: "critical",
			},
			{Name: "Dinas Lingkungan Hidup", Email: "dlh@example.org", Language: "id", Severity: "warning"},
		},
		SMTP: &SMTP{
			Host: "mail.example.org", Port: 2465, TLS: "implicit", From: "tofuwatch@example.org",
			Username: "mailer", Password: "smtp-secret-of-the-test",
		},
		LongestMaintenance: 6 * time.Hour,
	}
	for _, f := range []File{
		{"http.password", true},
		{"ca.pem", false},
		{"web.yml", true},
		{"client.pem", false},
		{"client.key", true},
		{"influxdb.token", true},
		{"ca.pem", false},
		{"models/ipal-01-bod-2026-11.yaml", false},
		{"mqtt.password", true},
		{"ca.pem", false},
		{"client.pem", false},
		{"client.key", true},
		{"smtp.password", true},
	} {
		path, err := filepath.Abs(filepath.Join("testdata/ok", f.Path))
		if err != nil {
			t.Fatal(err)
		}
		want.Files = append(want.Files, File{path, f.Secret})
	}
	for i := range want.Stations[0].Maintenance {
		want.Stations[0].Maintenance[i].Station = want.Stations[0].Station
	}
	if diff := cmp.Diff(s, want, bySaying); diff != "" {
		t.Errorf("site (-got +want):\n%s", diff)
	}

	salinity := &water.Parameter{
		Code: "salinity", Aliases: []string{"salinitas", "sal"}, Name: "salinity", Unit: "g/L",
		Min: 0, Max: 42, Source: "the probe's manual, 2019",
	}
	if diff := cmp.Diff(*code("Sal"), *salinity); diff != "" {
		t.Errorf("own parameter (-got +want):\n%s", diff)
	}
	if st, ok := s.Station("bajak-bridge"); !ok || st.Name != "Jembatan Bajak" {
		t.Errorf(`Station("bajak-bridge") = %v, %v`, st.Station, ok)
	}
	if st, ok := s.Station("none"); ok || st.Station != nil {
		t.Errorf(`Station("none") = %v, %v, want none`, st.Station, ok)
	}
}

func TestDefaults(t *testing.T) {
	s, err := parsed(least, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	want := &Site{
		File:     "site.yaml",
		Name:     "semarang",
		TimeZone: zone,
		DataDir:  "/var/lib/tofuwatch",
		HTTP:     HTTP{Listen: "127.0.0.1:9464"},
		MQTT: MQTT{
			Broker:   &url.URL{Scheme: "tcp", Host: "127.0.0.1:1883"},
			ClientID: "tofuwatch-semarang",
			Sources:  []Source{{Topic: "tofu/{station}/readings", Format: "tofuwatch"}},
		},
		InfluxDB: InfluxDB{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:8086"}, Bucket: "water"},
		Stations: []Station{{Station: &water.Station{
			ID: "ipal-01", Name: "IPAL, outlet", River: "bajak", Kind: water.Effluent,
			Latitude: math.NaN(), Longitude: math.NaN(), Sentinels: []float64{-9999}, Instruments: map[string]water.Instrument{},
		}}},
	}
	if diff := cmp.Diff(s, want, bySaying); diff != "" {
		t.Errorf("site (-got +want):\n%s", diff)
	}
}

func TestDefaultPorts(t *testing.T) {
	for broker, want := range map[string]string{
		"tcp://127.0.0.1":       "tcp://127.0.0.1:1883",
		"tcp://127.0.0.1/":      "tcp://127.0.0.1:1883",
		"ssl://a.example":       "ssl://a.example:8883",
		"ssl://a.example:8884":  "ssl://a.example:8884",
		"ws://a.example/mqtt":   "ws://a.example:80/mqtt",
		"wss://a.example/mqtt":  "wss://a.example:443/mqtt",
		"tcp://[::1]":           "tcp://[::1]:1883",
		"TCP://mosquitto_local": "tcp://mosquitto_local:1883",
	} {
		s, err := parsed(strings.Replace(least, "tcp://127.0.0.1", broker, 1), noEnv)
		if err != nil {
			t.Errorf("%s: %v", broker, err)
			continue
		}
		if got := s.MQTT.Broker.String(); got != want {
			t.Errorf("%s is %s, want %s", broker, got, want)
		}
	}
	for mode, want := range map[string]int{"starttls": 587, "implicit": 465, "none": 25} {
		s, err := parsed(least+"smtp: {host: 127.0.0.1, from: a@example.org, tls: "+mode+"}", noEnv)
		if err != nil {
			t.Errorf("%s: %v", mode, err)
			continue
		}
		if got := s.SMTP.Port; got != want {
			t.Errorf("port with tls: %s is %d, want %d", mode, got, want)
		}
	}
}

func TestSharedInstruments(t *testing.T) {
	s := loaded(t, "testdata/ok/anchors.yaml", noEnv)
	for _, st := range s.Stations {
		want := map[string]time.Duration{"ph": 10 * time.Minute, "ec": 5 * time.Minute}
		got := make(map[string]time.Duration)
		for code, i := range st.Instruments {
			got[code] = i.Interval
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("intervals at %s (-got +want):\n%s", st.ID, diff)
		}
	}
}

// env is an environment in which all secrets are set.
func env(name string) string {
	return map[string]string{
		"TOFUWATCH_MQTT_PASSWORD":  "mqtt-secret-of-the-environment",
		"TOFUWATCH_INFLUXDB_TOKEN": "influxdb-secret-of-the-environment\n",
		"TOFUWATCH_SMTP_PASSWORD":  "smtp-secret-of-the-environment",
	}[name]
}

func TestEnvironmentWins(t *testing.T) {
	s := loaded(t, "testdata/ok/full.yaml", env)
	got := []string{string(s.MQTT.Password), string(s.InfluxDB.Token), string(s.SMTP.Password)}
	want := []string{"mqtt-secret-of-the-environment", "influxdb-secret-of-the-environment", "smtp-secret-of-the-environment"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("secrets (-got +want):\n%s", diff)
	}
}

func TestEnvironmentSpares(t *testing.T) {
	const text = `
site: semarang
mqtt: {broker: "tcp://127.0.0.1", client_id: a, username: me, password_file: /nonexistent/password}
influxdb: {url: "http://127.0.0.1:8086", bucket: water}
stations: [{id: a, name: a, river: a, kind: river}]
smtp: {host: mail.example.org, from: a@example.org, username: me}
`
	s, err := parsed(text, env)
	if err != nil {
		t.Fatalf("a file is wanted though the environment has the secret:\n%v", err)
	}
	if got, want := string(s.MQTT.Password), "mqtt-secret-of-the-environment"; got != want {
		t.Errorf("password = %q, want %q", got, want)
	}
	if got, want := string(s.SMTP.Password), "smtp-secret-of-the-environment"; got != want {
		t.Errorf("password = %q, want %q", got, want)
	}
}

func TestEnvironmentHasFaults(t *testing.T) {
	for name, test := range map[string]struct{ variable, value, want string }{
		"password without a username": {
			"TOFUWATCH_MQTT_PASSWORD", "x",
			"site.yaml:3: mqtt.username: required, since there is a password",
		},
		"two lines": {
			"TOFUWATCH_INFLUXDB_TOKEN", "one\ntwo",
			"site.yaml:4: influxdb.token_file: the environment's TOFUWATCH_INFLUXDB_TOKEN has more than one line; want the token and nothing else in it",
		},
		"a line break alone": {
			"TOFUWATCH_INFLUXDB_TOKEN", "\n",
			"site.yaml:4: influxdb.token_file: the environment's TOFUWATCH_INFLUXDB_TOKEN is empty; want the token in it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parsed(least, func(name string) string {
				if name == test.variable {
					return test.value
				}
				return ""
			})
			if err == nil || err.Error() != test.want {
				t.Errorf("error = %v, want %s", err, test.want)
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	s := loaded(t, "testdata/ok/full.yaml", noEnv)
	s.Stations = s.Stations[:1] // JSON has no NaN for a place that is not known
	secrets := []string{string(s.MQTT.Password), string(s.InfluxDB.Token), string(s.SMTP.Password)}
	shown := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		shown[verb] = fmt.Sprintf(verb, *s) + fmt.Sprintf(verb, *s.SMTP) + fmt.Sprintf(verb, s.MQTT.Password)
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	shown["JSON"] = string(asJSON)
	asYAML, err := yaml.Marshal([]any{s.MQTT, s.InfluxDB, s.SMTP})
	if err != nil {
		t.Fatal(err)
	}
	shown["YAML"] = string(asYAML)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("site", "site", s, "password", s.MQTT.Password, "smtp", *s.SMTP)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("site", "site", s, "password", s.MQTT.Password, "smtp", *s.SMTP)
	shown["log"] = log.String()

	for how, text := range shown {
		for _, secret := range secrets {
			if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s shows %q:\n%s", how, secret, text)
			}
		}
		if !strings.Contains(text, "(secret)") {
			t.Errorf("%s shows no (secret) in its place:\n%s", how, text)
		}
	}
	if got, want := s.MQTT.Password.GoString()+s.MQTT.Password.String(), "(secret)(secret)"; got != want {
		t.Errorf("GoString and String are %q, want %q", got, want)
	}
}

func TestTLSConfig(t *testing.T) {
	s := loaded(t, "testdata/ok/full.yaml", noEnv)
	c, err := s.MQTT.TLS.Config()
	if err != nil {
		t.Fatal(err)
	}
	if c.RootCAs == nil || len(c.Certificates) != 1 || c.MinVersion != tls.VersionTLS12 {
		t.Errorf("Config has authorities %v, %d certificates, version %x at least; want authorities, 1, %x",
			c.RootCAs != nil, len(c.Certificates), c.MinVersion, tls.VersionTLS12)
	}
	c, err = (*TLS)(nil).Config()
	if err != nil {
		t.Fatal(err)
	}
	if c.RootCAs != nil || len(c.Certificates) != 0 || c.MinVersion != tls.VersionTLS12 {
		t.Errorf("Config of nil has authorities %v, %d certificates, version %x at least; want the machine's, 0, %x",
			c.RootCAs != nil, len(c.Certificates), c.MinVersion, tls.VersionTLS12)
	}
	for name, gone := range map[string]TLS{
		"authority":   {CAFile: "testdata/none.pem"},
		"no PEM":      {CAFile: "testdata/ok/mqtt.password"},
		"certificate": {CertFile: "testdata/none.pem", KeyFile: "testdata/ok/client.key"},
	} {
		if _, err := gone.Config(); err == nil {
			t.Errorf("%s: no error for a file that cannot be used", name)
		}
	}
}

func TestFilter(t *testing.T) {
	for topic, want := range map[string]string{
		"tofu/{station}/readings": "tofu/+/readings",
		"{station}":               "+",
		"plants/+/{station}/#":    "plants/+/+/#",
	} {
		if got := (Source{Topic: topic}).Filter(); got != want {
			t.Errorf("filter of %s is %s, want %s", topic, got, want)
		}
	}
}

func TestExampleIsValidAndComplete(t *testing.T) {
	const file = "../../deploy/site.example.yaml"
	s := loaded(t, file, noEnv)
	if len(s.Stations) < 2 || len(s.Recipients) < 2 || s.SMTP == nil {
		t.Errorf("%d stations, %d recipients, smtp %v; want an example of each", len(s.Stations), len(s.Recipients), s.SMTP)
	}
	// With the comments opened up, the file shows every key that there is.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys(t, "testdata/ok/full.yaml") {
		if !strings.Contains(string(text), key+":") {
			t.Errorf("%s does not show the key %q", file, key)
		}
	}
}

// keys returns the keys of the mappings in a YAML file, but for the codes of
// parameters.
func keys(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	codes, err := water.NewParameters(water.Parameter{Code: "salinity", Aliases: []string{"sal"}, Unit: "g/L", Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && codes.Lookup([]byte(c.Value)) == nil {
				found = append(found, c.Value)
			}
			walk(c)
		}
	}
	walk(&root)
	slices.Sort(found)
	return slices.Compact(found)
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/ok/*.yaml", "testdata/bad/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("no file matches %q (%v)", pattern, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parsed(string(data), noEnv)
		faults, ok := errors.AsType[Faults](err)
		switch {
		case err == nil && (s == nil || len(s.Stations) == 0 || s.TimeZone == nil || s.MQTT.Broker == nil || s.InfluxDB.URL == nil):
			t.Fatalf("no fault, and a site that cannot be used: %+v", s)
		case err != nil && (s != nil || !ok || len(faults) == 0):
			t.Fatalf("error %v is a %T beside %v, want Faults and no site", err, err, s)
		case err != nil && strings.Count(err.Error(), "\n") != len(faults)-1:
			t.Fatalf("%d faults on other than a line each:\n%v", len(faults), err)
		case !slices.IsSortedFunc(faults, func(a, b Fault) int { return a.Line - b.Line }):
			t.Fatalf("faults are out of order:\n%v", err)
		}
		for _, f := range faults {
			if f.Line < 1 || f.Msg == "" {
				t.Fatalf("fault without a line or a message: %+v", f)
			}
		}
	})
}

func TestSettingsAreJoined(t *testing.T) {
	s := loaded(t, "testdata/ok/tests.yaml", noEnv)
	st := s.Stations[0].Station
	of := func(code string) quality.Settings { return s.Settings(st, s.Parameters.Lookup([]byte(code))) }
	cod, ph, temperature, bod := of("cod"), of("ph"), of("temperature"), of("bod")

	if got, want := cod.Spike, (quality.Spike{}); got != want { // off here, whatever the site says
		t.Errorf("spike of cod is %+v, want none", got)
	}
	if low, high, ok := cod.GrossRange.Suspect.Bounds(); low != 1 || high != 15000 || !ok {
		t.Errorf("suspect span of cod is [%v, %v] %t, want the site's [1, 15000]", low, high, ok)
	}
	if low, high, ok := cod.GrossRange.Fail.Bounds(); low != 0 || high != 20000 || !ok {
		t.Errorf("fail span of cod is [%v, %v] %t, want the instrument's [0, 20000]", low, high, ok)
	}
	if got, want := cod.RateOfChange, (quality.RateOfChange{Suspect: 1}); got != want {
		t.Errorf("rate of change of cod is %+v, want 60 a minute, %+v", got, want)
	}
	if got, want := cod.FlatLine, (quality.FlatLine{Tolerance: 0.1, Suspect: 30 * time.Minute, Least: 8, ExceptZero: true}); got != want {
		t.Errorf("flat line of cod is %+v, want %+v", got, want)
	}
	if got, want := cod.Attenuated, (quality.Attenuated{Window: 4 * time.Hour, Statistic: quality.StandardDeviation, Suspect: 1, Fail: 0.1, Least: 60}); got != want {
		t.Errorf("attenuated signal of cod is %+v, want %+v", got, want)
	}
	if !cod.Alone || bod.Alone {
		t.Errorf("comparisons are switched off for cod %t and bod %t, want cod alone", cod.Alone, bod.Alone)
	}
	if got, want := cod.Timing, (quality.Timing{Gap: time.Hour, Reception: 12 * time.Hour}); got != want {
		t.Errorf("timing of cod is %+v, want %+v", got, want)
	}
	if got, want := ph.Spike, (quality.Spike{Method: quality.Average, Suspect: 0.5}); got != want {
		t.Errorf("spike of ph is %+v, want %+v", got, want)
	}
	if got := ph.FlatLine; got != (quality.FlatLine{}) {
		t.Errorf("flat line of ph is %+v, want none", got)
	}
	if len(temperature.Climatology) != 0 {
		t.Errorf("climatology of temperature is %+v, want none", temperature.Climatology)
	}
	elsewhere := s.Settings(&water.Station{ID: "bajak-01"}, s.Parameters.Lookup([]byte("temperature")))
	if got := len(elsewhere.Climatology); got != 2 {
		t.Errorf("%d seasons of temperature elsewhere, want the site's 2", got)
	}
	p := s.Parameters.Lookup([]byte("bod"))
	if diff := cmp.Diff(bod, quality.Defaults(p, quality.NewSpan(p.Min, p.Max), defaultInterval), cmp.AllowUnexported(quality.Span{})); diff != "" {
		t.Errorf("settings of bod (-got +want the defaults):\n%s", diff)
	}
}
