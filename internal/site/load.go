package site

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tofuwatch/ingest/payload"
	"tofuwatch/internal/water"
)

// What a site file may leave out. The one sentinel by default is -9999, which
// no parameter here can be; 7999, which some loggers send, can be a COD, so a
// station has to ask for it.
const (
	defaultTimeZone = "Asia/Jakarta"
	defaultDataDir  = "/var/lib/tofuwatch"
	defaultListen   = "127.0.0.1:9464"
	defaultInterval = 10 * time.Minute
	defaultSentinel = -9999
)

var defaultSource = Source{Topic: "tofu/{station}/readings", Format: "tofuwatch"}

// standards are the regulations that a station can be under.
var standards = []string{
	"id-permenlh-5-2014-tofu", "id-jateng-5-2012-tofu", "id-jatim-72-2013-tofu",
	"id-pp-22-2021-class-1", "id-pp-22-2021-class-2", "id-pp-22-2021-class-3", "id-pp-22-2021-class-4",
	"id-pp-82-2001-class-1", "id-pp-82-2001-class-2", "id-pp-82-2001-class-3", "id-pp-82-2001-class-4",
	"jp-uniform",
}

// secretVariables name what the environment calls the secrets of a site file.
var secretVariables = map[string]string{
	"mqtt.password_file":  "TOFUWATCH_MQTT_PASSWORD",
	"influxdb.token_file": "TOFUWATCH_INFLUXDB_TOKEN",
	"smtp.password_file":  "TOFUWATCH_SMTP_PASSWORD",
}

// Load reads and checks file. Its error is the [Faults] found, all of them, so
// that a file is mended in one go. A relative path in the file starts at the
// file's own folder. A secret that getenv knows is taken from there, and the
// file that the site file names for it is not read.
func Load(file string, getenv func(string) string) (*Site, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, Faults{{File: file, Msg: fmt.Sprintf("cannot be read: %v; want a site file", cause(err))}}
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, Faults{{File: file, Msg: fmt.Sprintf("its folder cannot be told: %v", err)}}
	}
	return parse(file, data, world{dir, getenv, readSmall})
}

// A world is what a site file refers to outside itself.
type world struct {
	dir      string // where relative paths start; absolute
	getenv   func(string) string
	readFile func(string) ([]byte, error)
}

// readSmall reads a file that holds a secret or a certificate.
func readSmall(file string) ([]byte, error) {
	const most = 1 << 20
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("has more than %d bytes", most)
	}
	return data, err
}

// cause returns err without the path that people see beside it anyway.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// parse is Load without the file system.
func parse(file string, data []byte, w world) (*Site, error) {
	c := &collector{file: file}
	root := document(data, c)
	if root.absent() {
		return nil, c.faults()
	}
	if root.node.Kind != yaml.MappingNode {
		root.fault("want keys and their values such as site: semarang, found %s", root.found())
		return nil, c.faults()
	}
	l := &loader{
		world:    w,
		stations: make(map[string]int),
		rivers:   make(map[string]bool),
		unsure:   make(map[string]bool),
	}
	s := l.site(root)
	if fs := c.faults(); fs != nil {
		return nil, fs
	}
	s.File = file
	return s, nil
}

// A loader turns the values of one site file into a Site. Each of its methods
// reads one part, tells what is wrong with it, and goes on.
type loader struct {
	world
	parameters *water.Parameters
	unsure     map[string]bool // names of parameters whose own entry has a fault
	stations   map[string]int  // line of each station's id
	rivers     map[string]bool
}

func (l *loader) site(v value) *Site {
	root := v.section("site", "time_zone", "data_dir", "http", "mqtt", "influxdb", "parameters", "stations", "recipients", "smtp")
	s := &Site{
		DataDir: defaultDataDir,
		HTTP:    HTTP{Listen: defaultListen},
	}
	text(root.key("site").required("a name for all of this, for example semarang"), &s.Name, "text", printable)
	if !text(root.key("time_zone"), &s.TimeZone, "text", timeZone) {
		s.TimeZone, _ = timeZone(defaultTimeZone) // in time/tzdata
	}
	text(root.key("data_dir"), &s.DataDir, "a path", l.path)
	text(root.key("http").section("listen").key("listen"), &s.HTTP.Listen, "an address such as 127.0.0.1:9464", listen)
	s.MQTT = l.mqtt(root.key("mqtt").required("with broker and client_id"))
	s.InfluxDB = l.influxDB(root.key("influxdb").required("with url and bucket"))
	s.Parameters = l.ownParameters(root.key("parameters"))
	s.Stations = l.allStations(root.key("stations").required("a list of at least one, with id, name, river and kind"))
	s.Recipients = l.allRecipients(root.key("recipients"))
	s.SMTP = l.smtp(root.key("smtp"))
	return s
}

// path returns the absolute path that s, written in the site file, means.
func (l *loader) path(s string) (string, error) {
	if s == "" || strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%s is no path; want one like %s", quote(s), defaultDataDir)
	}
	if filepath.IsAbs(s) {
		return filepath.Clean(s), nil
	}
	return filepath.Join(l.dir, s), nil
}

// file returns the path of a file that v names, and what is in it. Want says
// what should be.
func (l *loader) file(v value, want string) (path string, data []byte, ok bool) {
	if !text(v, &path, "a path", l.path) {
		return "", nil, false
	}
	data, err := l.readFile(path)
	if err != nil {
		hint := ""
		if written := v.node.Value; !filepath.IsAbs(written) {
			hint = ", in the folder of the site file"
		}
		v.fault("cannot read %s: %v; want a file with %s%s", quote(v.node.Value), cause(err), want, hint)
		return "", nil, false
	}
	return path, data, true
}

// secret reads the secret whose file v names, or which the environment holds.
func (l *loader) secret(v value, want string) Secret {
	variable := secretVariables[v.path]
	found := l.getenv(variable)
	from := "the environment's " + variable
	if found == "" {
		_, data, ok := l.file(v, want)
		if !ok {
			return ""
		}
		found, from = string(data), quote(v.node.Value)
	}
	found = strings.TrimRight(found, "\r\n")
	switch {
	case found == "":
		v.fault("%s is empty; want %s in it", from, want)
	case strings.ContainsAny(found, "\r\n\x00"):
		v.fault("%s has more than one line; want %s and nothing else in it", from, want)
	}
	return Secret(found)
}

// login reads a user and the password that goes with it.
func (l *loader) login(s section) (username string, password Secret) {
	user := s.key("username")
	text(user, &username, "text", printable)
	password = l.secret(s.key("password_file"), "the password")
	if password != "" && user.absent() {
		user.fault("required, since there is a password")
	}
	return username, password
}

func (l *loader) mqtt(v value) MQTT {
	m := MQTT{Sources: []Source{defaultSource}}
	s := v.section("broker", "client_id", "username", "password_file", "tls", "sources")
	text(s.key("broker").required("for example tcp://127.0.0.1:1883"), &m.Broker, "a URL such as tcp://127.0.0.1:1883", broker)
	text(s.key("client_id").required("for example tofuwatch-semarang, and never to be changed: the broker keeps messages under this name"), &m.ClientID, "text", clientID)
	m.Username, m.Password = l.login(s)
	if t := s.key("tls"); t.given() {
		m.TLS = l.tls(t)
	}
	if list := s.key("sources"); !list.absent() {
		m.Sources = l.sources(list)
	}
	return m
}

func (l *loader) tls(v value) *TLS {
	s := v.section("ca_file", "cert_file", "key_file")
	t := new(TLS)
	var ca, cert, key []byte
	var ok bool
	if t.CAFile, ca, ok = l.file(s.key("ca_file"), "certificates in PEM"); ok {
		if _, err := authorities(ca); err != nil {
			s.key("ca_file").fault("%s %v", quote(s.key("ca_file").node.Value), err)
		}
	}
	if s.key("cert_file").absent() != s.key("key_file").absent() {
		s.key("cert_file").required("since there is a key_file")
		s.key("key_file").required("since there is a cert_file")
	}
	t.CertFile, cert, ok = l.file(s.key("cert_file"), "a certificate in PEM")
	var ok2 bool
	t.KeyFile, key, ok2 = l.file(s.key("key_file"), "a key in PEM")
	if ok && ok2 {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			s.key("cert_file").fault("cannot be used with key_file: %s; want a certificate and its own key, both in PEM", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	return t
}

func (l *loader) sources(v value) []Source {
	formats := oneOf("format", slices.Sorted(maps.Keys(payload.Formats))...)
	items := v.items()
	if v.node.Kind == yaml.SequenceNode && len(items) == 0 {
		v.fault("is empty; want at least one source, or leave the key out for %s", defaultSource.Topic)
	}
	sources := make([]Source, 0, len(items))
	filters := make(map[string]string) // path of the source that has it
	for _, item := range items {
		s := item.section("topic", "format")
		source := Source{Format: defaultSource.Format}
		at := s.key("topic").required("for example " + defaultSource.Topic)
		if text(at, &source.Topic, "text", topic) {
			if first, twice := filters[source.Filter()]; twice {
				at.fault("has the same messages as %s; want each topic once", first)
			} else {
				filters[source.Filter()] = at.path
			}
		}
		text(s.key("format"), &source.Format, "text", formats)
		sources = append(sources, source)
	}
	return sources
}

func (l *loader) influxDB(v value) InfluxDB {
	var i InfluxDB
	s := v.section("url", "org", "bucket", "token_file")
	text(s.key("url").required("for example http://127.0.0.1:8086"), &i.URL, "a URL such as http://127.0.0.1:8086", database)
	text(s.key("org"), &i.Org, "text", printable)
	text(s.key("bucket").required("for example water; on InfluxDB 1.8 the database"), &i.Bucket, "text", printable)
	i.Token = l.secret(s.key("token_file"), "the token")
	return i
}

// ownParameters reads the site's own parameters and returns all there are.
func (l *loader) ownParameters(v value) *water.Parameters {
	var own []water.Parameter
	l.parameters, _ = water.NewParameters() // the built-in ones agree with each other
	if v.absent() {
		return l.parameters
	}
	for _, item := range v.items() {
		s := item.section("code", "aliases", "name", "unit", "range", "source")
		var p water.Parameter
		code := s.key("code").required("the parameter's name in payloads, for example salinity")
		unit := s.key("unit").required("for example mg/L")
		ok := text(code, &p.Code, "text", asWritten)
		for _, a := range s.key("aliases").items() {
			var alias string
			ok = text(a, &alias, "text", asWritten) && ok
			p.Aliases = append(p.Aliases, alias)
		}
		ok = text(s.key("name").required("in words, for example salinity"), &p.Name, "text", printable) && ok
		ok = text(unit, (*string)(&p.Unit), "text", asWritten) && ok
		ok = s.key("range").required("[lowest, highest] that is physically possible").span(&p.Min, &p.Max) && ok
		text(s.key("source"), &p.Source, "text", printable)

		var all *water.Parameters
		if ok {
			var err error
			if all, err = water.NewParameters(append(slices.Clone(own), p)...); err != nil {
				ok = false
				at := code
				if !p.Unit.Known() {
					at = unit
				}
				at.fault("%s", strings.TrimPrefix(err.Error(), fmt.Sprintf("parameter %q: ", p.Code)))
			}
		}
		if !ok {
			for _, name := range append(p.Aliases, p.Code) {
				l.unsure[strings.ToLower(name)] = true
			}
			continue
		}
		own, l.parameters = append(own, p), all
	}
	return l.parameters
}

// asWritten takes every text: water.NewParameters says what is wrong with it.
func asWritten(s string) (string, error) { return s, nil }

// parameter returns the parameter that a key names, or nil. A key that may be
// one of the site's own, had that no fault, is not told of.
func (l *loader) parameter(e entry) *water.Parameter {
	p := l.parameters.Lookup([]byte(e.key))
	if p == nil && !l.unsure[strings.ToLower(e.key)] {
		codes := make([]string, 0, len(l.parameters.All()))
		for _, p := range l.parameters.All() {
			codes = append(codes, p.Code)
		}
		e.fault("no parameter %s; %s", quote(e.key), have(e.key, codes))
	}
	return p
}

// byParameter calls read for each key of v, which are codes or aliases of
// parameters, each parameter once.
func (l *loader) byParameter(v value, read func(entry, *water.Parameter)) {
	first := make(map[string]entry)
	for _, e := range v.entries() {
		p := l.parameter(e)
		if p == nil {
			continue
		}
		if other, twice := first[p.Code]; twice {
			e.fault("is %s, which line %d has as %s; remove one", p.Code, other.line, other.key)
			continue
		}
		first[p.Code] = e
		read(e, p)
	}
}

func (l *loader) allStations(v value) []Station {
	items := v.items()
	if !v.absent() && v.node.Kind == yaml.SequenceNode && len(items) == 0 {
		v.fault("is empty; want at least one station, with id, name, river and kind")
	}
	stations := make([]Station, 0, len(items))
	for _, item := range items {
		stations = append(stations, l.station(item))
	}
	return stations
}

func (l *loader) station(v value) Station {
	s := v.section("id", "name", "river", "kind", "latitude", "longitude", "standard", "interval", "sentinels", "parameters", "limits")
	st := Station{Station: &water.Station{Sentinels: []float64{defaultSentinel}}}

	if id := s.key("id").required("for example ipal-01"); text(id, &st.ID, "text", identifier("ipal-01")) {
		if first, twice := l.stations[st.ID]; twice {
			id.fault("%s is the station in line %d; want another id", quote(st.ID), first)
		} else {
			l.stations[st.ID] = id.line
		}
	}
	text(s.key("name").required("what people call the place"), &st.Name, "text", printable)
	if text(s.key("river").required("the id of the river it lies on or drains to, for example bajak"), &st.River, "text", identifier("bajak")) {
		l.rivers[st.River] = true
	}
	var kinds []string
	for _, k := range water.Kinds() {
		kinds = append(kinds, string(k))
	}
	text(s.key("kind").required("have "+strings.Join(kinds, ", ")), (*string)(&st.Kind), "text", oneOf("kind", kinds...))
	st.Latitude, st.Longitude = position(s)
	st.Standards = texts(s.key("standard").itemsOrOne(), oneOf("standard", standards...))

	interval := defaultInterval
	text(s.key("interval"), &interval, "a duration such as 2m", duration)
	if list := s.key("sentinels"); !list.absent() {
		st.Sentinels = nil
		for _, item := range list.items() {
			var f float64
			if item.number(&f) {
				st.Sentinels = append(st.Sentinels, f)
			}
		}
	}
	st.Instruments = l.instruments(s.key("parameters"), interval)
	st.Limits = l.limits(s.key("limits"))
	return st
}

// position returns where a station lies: both NaN if its section does not say.
func position(s section) (latitude, longitude float64) {
	latitude, longitude = math.NaN(), math.NaN()
	lat, lon := s.key("latitude"), s.key("longitude")
	switch {
	case lat.absent() && !lon.absent():
		lat.fault("required, since there is a longitude; for example -7.0051")
	case lon.absent() && !lat.absent():
		lon.fault("required, since there is a latitude; for example 110.4381")
	}
	lat.numberWithin(&latitude, -90, 90)
	lon.numberWithin(&longitude, -180, 180)
	return latitude, longitude
}

// texts reads each of items with parse. None may stand there twice.
func texts(items []value, parse func(string) (string, error)) []string {
	var got []string
	for _, item := range items {
		var s string
		switch {
		case !text(item, &s, "text", parse):
		case slices.Contains(got, s):
			item.fault("%s is given twice; remove one", quote(s))
		default:
			got = append(got, s)
		}
	}
	return got
}

// instruments reads what a station is expected to report. "ph:" is "ph: {}".
func (l *loader) instruments(v value, interval time.Duration) map[string]water.Instrument {
	instruments := make(map[string]water.Instrument)
	l.byParameter(v, func(e entry, p *water.Parameter) {
		i := water.Instrument{Parameter: p, Min: p.Min, Max: p.Max, Interval: interval}
		if !isNull(e.node) {
			s := e.section("range", "interval")
			s.key("range").span(&i.Min, &i.Max)
			text(s.key("interval"), &i.Interval, "a duration such as 2m", duration)
		}
		instruments[p.Code] = i
	})
	return instruments
}

func (l *loader) limits(v value) map[string]Limit {
	var limits map[string]Limit
	l.byParameter(v, func(e entry, p *water.Parameter) {
		s := e.section("min", "max", "override", "reason")
		var limit Limit
		if s.key("min").absent() && s.key("max").absent() {
			s.fault("has no bound; want min, max or both, for example {max: 250}")
		}
		var low, high float64
		if s.key("min").number(&low) {
			limit.Min = &low
		}
		if s.key("max").number(&high) {
			limit.Max = &high
		}
		if limit.Min != nil && limit.Max != nil && low > high {
			s.key("min").fault("%v is above max, %v; want it below", low, high)
		}
		s.key("override").boolean(&limit.Override)
		text(s.key("reason"), &limit.Reason, "text", printable)
		if limit.Override && s.key("reason").absent() {
			s.key("reason").fault("required with override: people are told why the limit may be laxer than the law's")
		}
		if limits == nil {
			limits = make(map[string]Limit)
		}
		limits[p.Code] = limit
	})
	return limits
}

// known is oneOf, but where nothing is known: that is a fault of its own.
func known(what string, list []string) func(string) (string, error) {
	if len(list) == 0 {
		return asWritten
	}
	return oneOf(what, list...)
}

func (l *loader) allRecipients(v value) []Recipient {
	ids := slices.Sorted(maps.Keys(l.stations))
	rivers := slices.Sorted(maps.Keys(l.rivers))
	lines := make(map[string]int) // of each recipient's name
	var recipients []Recipient
	for _, item := range v.items() {
		s := item.section("name", "email", "language", "rivers", "stations", "severity")
		r := Recipient{Language: "id", Severity: "warning"}
		if name := s.key("name").required("the person or group, for example Forum Sungai Bajak"); text(name, &r.Name, "text", printable) {
			if first, twice := lines[r.Name]; twice {
				name.fault("%s is the recipient in line %d; want another name", quote(r.Name), first)
			} else {
				lines[r.Name] = name.line
			}
		}
		text(s.key("email").required("for example forum@example.org"), &r.Email, "text", email)
		text(s.key("language"), &r.Language, "text", oneOf("language", "id", "en"))
		r.Rivers = texts(s.key("rivers").items(), known("river", rivers))
		r.Stations = texts(s.key("stations").items(), known("station", ids))
		text(s.key("severity"), &r.Severity, "text", oneOf("severity", "warning", "critical"))
		recipients = append(recipients, r)
	}
	return recipients
}

func (l *loader) smtp(v value) *SMTP {
	if v.absent() {
		return nil
	}
	s := v.section("host", "port", "tls", "from", "username", "password_file")
	m := &SMTP{TLS: "starttls"}
	hostGiven := text(s.key("host").required("for example mail.example.org"), &m.Host, "text", host)
	tlsGiven := text(s.key("tls"), &m.TLS, "text", oneOf("tls", "starttls", "implicit", "none"))
	if hostGiven && tlsGiven && m.TLS == "none" && !isLoopback(m.Host) {
		s.key("tls").fault("none is for a server on this machine (localhost, 127.0.0.1, ::1), and %s is not; want starttls or implicit", quote(m.Host))
	}
	m.Port = map[string]int{"starttls": 587, "implicit": 465, "none": 25}[m.TLS]
	if number := float64(0); s.key("port").numberWithin(&number, 1, 65535) {
		if m.Port = int(number); float64(m.Port) != number {
			s.key("port").fault("%v is no port; want a whole number", number)
		}
	}
	text(s.key("from").required("for example tofuwatch@example.org"), &m.From, "text", email)
	m.Username, m.Password = l.login(s)
	if file := s.key("password_file"); m.Username != "" && m.Password == "" && file.absent() {
		file.fault("required with username, or set %s", secretVariables[file.path])
	}
	return m
}
