package site

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tofuwatch/alerts/standards"
	"tofuwatch/ingest/payload"
	"tofuwatch/ingest/quality"
	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
	"tofuwatch/internal/web"
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
	defaultTopic    = "tofu/{station}/readings"
	defaultFormat   = "tofuwatch"
)

// secretVariables name what the environment calls the secrets of a site file.
var secretVariables = map[string]string{
	"mqtt.password_file":  "TOFUWATCH_MQTT_PASSWORD",
	"influxdb.token_file": "TOFUWATCH_INFLUXDB_TOKEN",
	"smtp.password_file":  "TOFUWATCH_SMTP_PASSWORD",
	"http.password_file":  "TOFUWATCH_HTTP_PASSWORD",
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
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// parse is Load without the file system.
func parse(file string, data []byte, w world) (*Site, error) {
	d := strict.Parse(file, data, strict.Options{
		Want:    "site, mqtt, influxdb and stations",
		Example: "site: semarang",
		Unknown: misplacedSecret,
	})
	if d.Root().Absent() {
		return nil, d.Faults()
	}
	l := &loader{
		world:    w,
		stations: make(map[string]int),
		devices:  make(map[string]strict.Value),
		rivers:   make(map[string]bool),
		unsure:   make(map[string]bool),
	}
	s := l.site(d.Root())
	if fs := d.Faults(); fs != nil {
		return nil, fs
	}
	s.File = file
	return s, nil
}

// misplacedSecret tells where a secret belongs that stands in the site file.
func misplacedSecret(path string, have []string) string {
	path += "_file"
	file := path[strings.LastIndexByte(path, '.')+1:]
	if variable := secretVariables[path]; variable == "" || !slices.Contains(have, file) {
		return ""
	}
	return fmt.Sprintf("a secret does not belong into this file: write it into one of its own and name that with %s, or set %s", file, secretVariables[path])
}

// A loader turns the values of one site file into a Site. Each of its methods
// reads one part, tells what is wrong with it, and goes on.
type loader struct {
	world
	zone       *time.Location
	parameters *water.Parameters
	unsure     map[string]bool         // names of parameters whose own entry has a fault
	stations   map[string]int          // line of each station's id
	devices    map[string]strict.Value // of each station's logger, by what it is called in lower case
	rivers     map[string]bool
	files      []File
	inlets     []strict.Value     // what is named as the inlet of a plant
	written    map[string]written // the site's own tests, by parameter code
	framed     bool               // a station says what its binary frames are
	arrives    bool               // a station takes the time of a message's arrival
}

func (l *loader) site(v strict.Value) *Site {
	root := v.Section("site", "time_zone", "data_dir", "http", "mqtt", "influxdb", "parameters", "tests", "maintenance", "stations", "imports", "recipients", "smtp")
	s := &Site{DataDir: defaultDataDir}
	strict.Text(root.Key("site").Required("a name for all of this, for example semarang"), &s.Name, "text", strict.Printable)
	if !strict.Text(root.Key("time_zone"), &s.TimeZone, "text", timeZone) {
		s.TimeZone, _ = timeZone(defaultTimeZone) // in time/tzdata
	}
	l.zone = s.TimeZone
	strict.Text(root.Key("data_dir"), &s.DataDir, "a path", l.path)
	s.HTTP = l.http(root.Key("http"))
	mqtt := root.Key("mqtt").Required("with broker and client_id")
	s.InfluxDB = l.influxDB(root.Key("influxdb").Required("with url and bucket"))
	s.Parameters = l.ownParameters(root.Key("parameters"))
	s.Tests = l.siteTests(root.Key("tests"))
	strict.Text(root.Key("maintenance").Section("longest").Key("longest"), &s.LongestMaintenance, "a duration such as 4h", duration)
	s.Stations = l.allStations(root.Key("stations").Required("a list of at least one, with id, name, river and kind"))
	l.fitSiteTests(s.Stations)
	s.Imports = l.allImports(root.Key("imports"))
	s.MQTT = l.mqtt(mqtt) // its sources name parameters and stations
	s.Recipients = l.allRecipients(root.Key("recipients"))
	s.SMTP = l.smtp(root.Key("smtp"))
	s.Files = l.files
	return s
}

// path returns the absolute path that s, written in the site file, means.
func (l *loader) path(s string) (string, error) {
	if s == "" || strings.ContainsRune(s, 0) {
		return "", fmt.Errorf("%s is no path; want one like %s", strict.Quote(s), defaultDataDir)
	}
	if filepath.IsAbs(s) {
		return filepath.Clean(s), nil
	}
	return filepath.Join(l.dir, s), nil
}

// file returns the path of a file that v names, and what is in it. Want says
// what should be.
func (l *loader) file(v strict.Value, want string) (path string, data []byte, ok bool) {
	path, data, ok = l.read(v, want)
	if ok {
		l.files = append(l.files, File{Path: path})
	}
	return path, data, ok
}

// secretFile is file for one that nobody else may see.
func (l *loader) secretFile(v strict.Value, want string) (path string, data []byte, ok bool) {
	path, data, ok = l.read(v, want)
	if ok {
		l.files = append(l.files, File{Path: path, Secret: true})
	}
	return path, data, ok
}

func (l *loader) read(v strict.Value, want string) (path string, data []byte, ok bool) {
	if !strict.Text(v, &path, "a path", l.path) {
		return "", nil, false
	}
	data, err := l.readFile(path)
	if err != nil {
		hint := ""
		if written := v.Written(); !filepath.IsAbs(written) {
			hint = ", in the folder of the site file"
		}
		v.Fault("cannot read %s: %v; want a file with %s%s", strict.Quote(v.Written()), cause(err), want, hint)
		return "", nil, false
	}
	return path, data, true
}

// secret reads the secret whose file v names, or which the environment holds.
func (l *loader) secret(v strict.Value, want string) Secret {
	variable := secretVariables[v.Path()]
	found := l.getenv(variable)
	from := "the environment's " + variable
	if found == "" {
		_, data, ok := l.secretFile(v, want)
		if !ok {
			return ""
		}
		found, from = string(data), strict.Quote(v.Written())
	}
	found = strings.TrimRight(found, "\r\n")
	switch {
	case found == "":
		v.Fault("%s is empty; want %s in it", from, want)
	case strings.ContainsAny(found, "\r\n\x00"):
		v.Fault("%s has more than one line; want %s and nothing else in it", from, want)
	}
	return Secret(found)
}

// login reads a user and the password that goes with it.
func (l *loader) login(s strict.Section) (username string, password Secret) {
	user := s.Key("username")
	strict.Text(user, &username, "text", strict.Printable)
	password = l.secret(s.Key("password_file"), "the password")
	if password != "" && user.Absent() {
		user.Fault("required, since there is a password")
	}
	return username, password
}

// http reads where the ingester answers. What other machines reach has TLS and
// a login.
func (l *loader) http(v strict.Value) HTTP {
	h := HTTP{Listen: defaultListen}
	s := v.Section("listen", "web_config_file", "username", "password_file", "tls")
	at, file := s.Key("listen"), s.Key("web_config_file")
	strict.Text(at, &h.Listen, "an address such as 127.0.0.1:9464", listen)
	h.Username, h.Password = l.login(s)
	if t := s.Key("tls"); t.Given() {
		h.TLS = l.tls(t)
	}
	host, _, _ := net.SplitHostPort(h.Listen)
	open := !isLoopback(host)
	if file.Absent() {
		switch {
		case h.Username != "" || h.TLS != nil:
			file.Fault("required, since there is a login or tls: without one nobody is asked who they are")
		case open:
			at.Fault("%s is open to other machines, and anybody could read what is there; want 127.0.0.1:9464, or a web_config_file with TLS and a login, which \"tofuwatch web\" makes", strict.Quote(at.Written()))
		}
		return h
	}
	path, _, ok := l.secretFile(file, "a web configuration, which \"tofuwatch web\" makes")
	if !ok {
		return h
	}
	c, err := web.Read(path)
	if err != nil {
		file.Fault("%s cannot be used: %v; \"tofuwatch web\" makes one that can", strict.Quote(file.Written()), err)
		return h
	}
	h.WebConfigFile, h.Encrypted = path, c.Encrypted
	for _, f := range []File{{Path: c.CertFile}, {Path: c.KeyFile, Secret: true}} {
		if f.Path != "" {
			l.files = append(l.files, f)
		}
	}
	if err := c.Guarded(); open && err != nil {
		file.Fault("%s %v, since %s is open to other machines", strict.Quote(file.Written()), err, h.Listen)
	}
	switch {
	case !c.Passwords():
	case h.Username == "":
		s.Key("username").Required("with password_file: Prometheus logs in by them where web_config_file has basic_auth_users")
	case h.Password != "" && !c.Knows(h.Username, string(h.Password)):
		s.Key("username").Fault("%s cannot log in with this password; want a user of basic_auth_users in %s, and the user's password", strict.Quote(h.Username), strict.Quote(file.Written()))
	}
	if c.Certificates && (h.TLS == nil || h.TLS.CertFile == "") {
		s.Key("tls").Fault("has no cert_file; want a client's certificate there and its key: web_config_file lets nobody in without")
	}
	return h
}

func (l *loader) mqtt(v strict.Value) MQTT {
	m := MQTT{Sources: []Source{{Topic: defaultTopic, Format: defaultFormat, Payload: payload.Settings{Parameters: l.parameters}}}}
	s := v.Section("broker", "client_id", "username", "password_file", "tls", "sources")
	strict.Text(s.Key("broker").Required("for example tcp://127.0.0.1:1883"), &m.Broker, "a URL such as tcp://127.0.0.1:1883", broker)
	strict.Text(s.Key("client_id").Required("for example tofuwatch-semarang, and never to be changed: the broker keeps messages under this name"), &m.ClientID, "text", clientID)
	m.Username, m.Password = l.login(s)
	if t := s.Key("tls"); t.Given() {
		m.TLS = l.tls(t)
	}
	if list := s.Key("sources"); !list.Absent() {
		m.Sources = l.sources(list)
	}
	return m
}

func (l *loader) tls(v strict.Value) *TLS {
	s := v.Section("ca_file", "cert_file", "key_file")
	t := new(TLS)
	var ca, cert, key []byte
	var ok bool
	if t.CAFile, ca, ok = l.file(s.Key("ca_file"), "certificates in PEM"); ok {
		if _, err := authorities(ca); err != nil {
			s.Key("ca_file").Fault("%s %v", strict.Quote(s.Key("ca_file").Written()), err)
		}
	}
	if s.Key("cert_file").Absent() != s.Key("key_file").Absent() {
		s.Key("cert_file").Required("since there is a key_file")
		s.Key("key_file").Required("since there is a cert_file")
	}
	t.CertFile, cert, ok = l.file(s.Key("cert_file"), "a certificate in PEM")
	var ok2 bool
	t.KeyFile, key, ok2 = l.secretFile(s.Key("key_file"), "a key in PEM")
	if ok && ok2 {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			s.Key("cert_file").Fault("cannot be used with key_file: %s; want a certificate and its own key, both in PEM", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	return t
}

func (l *loader) influxDB(v strict.Value) InfluxDB {
	var i InfluxDB
	s := v.Section("url", "org", "bucket", "token_file", "tls")
	strict.Text(s.Key("url").Required("for example http://127.0.0.1:8086"), &i.URL, "a URL such as http://127.0.0.1:8086", database)
	strict.Text(s.Key("org"), &i.Org, "text", strict.Printable)
	strict.Text(s.Key("bucket").Required("for example water; on InfluxDB 1.8 the database"), &i.Bucket, "text", strict.Printable)
	i.Token = l.secret(s.Key("token_file"), "the token")
	if t := s.Key("tls"); t.Given() {
		i.TLS = l.tls(t)
	}
	return i
}

// ownParameters reads the site's own parameters and returns all there are.
func (l *loader) ownParameters(v strict.Value) *water.Parameters {
	var own []water.Parameter
	l.parameters, _ = water.NewParameters() // the built-in ones agree with each other
	if v.Absent() {
		return l.parameters
	}
	for _, item := range v.Items() {
		s := item.Section("code", "aliases", "name", "unit", "range", "source")
		var p water.Parameter
		code := s.Key("code").Required("the parameter's name in payloads, for example salinity")
		unit := s.Key("unit").Required("for example mg/L")
		ok := strict.Text(code, &p.Code, "text", strict.AsWritten)
		for _, a := range s.Key("aliases").Items() {
			var alias string
			ok = strict.Text(a, &alias, "text", strict.AsWritten) && ok
			p.Aliases = append(p.Aliases, alias)
		}
		ok = strict.Text(s.Key("name").Required("in words, for example salinity"), &p.Name, "text", strict.Printable) && ok
		ok = strict.Text(unit, (*string)(&p.Unit), "text", strict.AsWritten) && ok
		ok = s.Key("range").Required("[lowest, highest] that is physically possible").Span(&p.Min, &p.Max) && ok
		strict.Text(s.Key("source"), &p.Source, "text", strict.Printable)

		var all *water.Parameters
		if ok {
			var err error
			if all, err = water.NewParameters(append(slices.Clone(own), p)...); err != nil {
				ok = false
				at := code
				if !p.Unit.Known() {
					at = unit
				}
				at.Fault("%s", strings.TrimPrefix(err.Error(), fmt.Sprintf("parameter %q: ", p.Code)))
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

// parameter returns the parameter that a key names, or nil. A key that may be
// one of the site's own, had that no fault, is not told of.
func (l *loader) parameter(e strict.Entry) *water.Parameter {
	p := l.parameters.Lookup([]byte(e.Name))
	if p == nil && !l.unsure[strings.ToLower(e.Name)] {
		e.Fault("no parameter %s; %s", strict.Quote(e.Name), strict.Have(e.Name, l.codes()))
	}
	return p
}

// byParameter calls read for each key of v, which are codes or aliases of
// parameters, each parameter once.
func (l *loader) byParameter(v strict.Value, read func(strict.Entry, *water.Parameter)) {
	first := make(map[string]strict.Entry)
	for _, e := range v.Entries() {
		p := l.parameter(e)
		if p == nil {
			continue
		}
		if other, twice := first[p.Code]; twice {
			e.Fault("is %s, which line %d has as %s; remove one", p.Code, other.Line(), other.Name)
			continue
		}
		first[p.Code] = e
		read(e, p)
	}
}

func (l *loader) allStations(v strict.Value) []Station {
	items := v.Items()
	if v.IsList() && len(items) == 0 {
		v.Fault("is empty; want at least one station, with id, name, river and kind")
	}
	stations := make([]Station, 0, len(items))
	for _, item := range items {
		stations = append(stations, l.station(item))
	}
	for _, inlet := range l.inlets {
		i := slices.IndexFunc(stations, func(s Station) bool { return s.ID == inlet.Written() })
		if i < 0 || stations[i].Kind != water.Influent {
			inlet.Fault("%s is no station of kind influent; want the one at the inlet of the plant", strict.Quote(inlet.Written()))
		}
	}
	l.devicesAreNoStations(stations)
	return stations
}

// treatment reads which plant a station is the outlet of.
func (l *loader) treatment(v strict.Value, kind water.Kind) *Treatment {
	if v.Absent() {
		return nil
	}
	if kind != water.Effluent {
		v.Fault("only at the outlet of a plant, a station of kind effluent")
	}
	t := new(Treatment)
	s := v.Section("influent", "retention")
	inlet := s.Key("influent").Required("the id of the station at the inlet, for example ipal-01-in")
	if strict.Text(inlet, &t.Influent, "text", identifier("ipal-01-in")) {
		l.inlets = append(l.inlets, inlet)
	}
	strict.Text(s.Key("retention"), &t.Retention, "a duration such as 30h", duration)
	return t
}

func (l *loader) station(v strict.Value) Station {
	s := v.Section("id", "name", "river", "kind", "latitude", "longitude", "standard", "interval", "sentinels", "parameters", "limits", "treatment", "estimates", "maintenance",
		"device", "time", "time_zone", "units", "frames")
	st := Station{Station: &water.Station{Sentinels: []float64{defaultSentinel}}}

	if id := s.Key("id").Required("for example ipal-01"); strict.Text(id, &st.ID, "text", identifier("ipal-01")) {
		if first, twice := l.stations[st.ID]; twice {
			id.Fault("%s is the station in line %d; want another id", strict.Quote(st.ID), first)
		} else {
			l.stations[st.ID] = id.Line()
		}
	}
	strict.Text(s.Key("name").Required("what people call the place"), &st.Name, "text", strict.Printable)
	if strict.Text(s.Key("river").Required("the id of the river it lies on or drains to, for example bajak"), &st.River, "text", identifier("bajak")) {
		l.rivers[st.River] = true
	}
	var kinds []string
	for _, k := range water.Kinds() {
		kinds = append(kinds, string(k))
	}
	strict.Text(s.Key("kind").Required("have "+strings.Join(kinds, ", ")), (*string)(&st.Kind), "text", strict.OneOf("kind", kinds...))
	st.Latitude, st.Longitude = position(s)
	st.Standards = strict.Texts(s.Key("standard").ItemsOrOne(), strict.OneOf("standard", standards.Names()...))

	interval := defaultInterval
	strict.Text(s.Key("interval"), &interval, "a duration such as 2m", duration)
	if list := s.Key("sentinels"); !list.Absent() {
		st.Sentinels = nil
		for _, item := range list.Items() {
			var f float64
			if item.Number(&f) {
				st.Sentinels = append(st.Sentinels, f)
			}
		}
	}
	st.Instruments, st.Tests = l.instruments(s.Key("parameters"), interval)
	st.Limits = l.limits(s.Key("limits"), st.Standards)
	st.Treatment = l.treatment(s.Key("treatment"), st.Kind)
	st.Estimates = l.estimates(s.Key("estimates"), st.Station)
	st.Maintenance = l.maintenance(s.Key("maintenance"), st.Station)
	st.Logger = l.logger(s)
	return st
}

// position returns where a station lies: both NaN if its section does not say.
func position(s strict.Section) (latitude, longitude float64) {
	latitude, longitude = math.NaN(), math.NaN()
	lat, lon := s.Key("latitude"), s.Key("longitude")
	switch {
	case lat.Absent() && !lon.Absent():
		lat.Fault("required, since there is a longitude; for example -7.0051")
	case lon.Absent() && !lat.Absent():
		lon.Fault("required, since there is a latitude; for example 110.4381")
	}
	lat.NumberWithin(&latitude, -90, 90)
	lon.NumberWithin(&longitude, -180, 180)
	return latitude, longitude
}

// instruments reads what a station is expected to report. "ph:" is "ph: {}".
func (l *loader) instruments(v strict.Value, interval time.Duration) (map[string]water.Instrument, map[string]quality.Overrides) {
	instruments := make(map[string]water.Instrument)
	var tests map[string]quality.Overrides
	l.byParameter(v, func(e strict.Entry, p *water.Parameter) {
		i := water.Instrument{Parameter: p, Min: p.Min, Max: p.Max, Interval: interval}
		if !e.Null() {
			s := e.Section("range", "interval", "tests")
			s.Key("range").Span(&i.Min, &i.Max)
			strict.Text(s.Key("interval"), &i.Interval, "a duration such as 2m", duration)
			if at := s.Key("tests"); at.Given() {
				if tests == nil {
					tests = make(map[string]quality.Overrides)
				}
				var w written
				tests[p.Code], w = readTests(at)
				w.fit(sensor{low: i.Min, high: i.Max, interval: i.Interval}, quality.Overrides{})
			}
		}
		instruments[p.Code] = i
	})
	return instruments, tests
}

// limits reads a station's own limits. They may be laxer than the law, which is
// that of these standards, only by override.
func (l *loader) limits(v strict.Value, standards []string) map[string]Limit {
	var limits map[string]Limit
	law := standing(standards)
	l.byParameter(v, func(e strict.Entry, p *water.Parameter) {
		s := e.Section("min", "max", "override", "reason")
		var limit Limit
		if s.Key("min").Absent() && s.Key("max").Absent() {
			s.Fault("has no bound; want min, max or both, for example {max: 250}")
		}
		var low, high float64
		if s.Key("min").Number(&low) {
			limit.Min = &low
		}
		if s.Key("max").Number(&high) {
			limit.Max = &high
		}
		if limit.Min != nil && limit.Max != nil && low > high {
			s.Key("min").Fault("%v is above max, %v; want it below", low, high)
		}
		override := s.Key("override")
		if override.Bool(&limit.Override) && !limit.Override || override.Absent() {
			for _, own := range limit.water(p) {
				l.noLaxer(s.Key(string(own.Bound)), own, law)
			}
		}
		strict.Text(s.Key("reason"), &limit.Reason, "text", strict.Printable)
		if limit.Override && s.Key("reason").Absent() {
			s.Key("reason").Fault("required with override: people are told why the limit may be laxer than the law's")
		}
		if limits == nil {
			limits = make(map[string]Limit)
		}
		limits[p.Code] = limit
	})
	return limits
}

// known is strict.OneOf, but where nothing is known: that is a fault of its own.
func known(what string, list []string) func(string) (string, error) {
	if len(list) == 0 {
		return strict.AsWritten
	}
	return strict.OneOf(what, list...)
}

func (l *loader) allRecipients(v strict.Value) []Recipient {
	ids := slices.Sorted(maps.Keys(l.stations))
	rivers := slices.Sorted(maps.Keys(l.rivers))
	lines := make(map[string]int) // of each recipient's name
	var recipients []Recipient
	for _, item := range v.Items() {
		s := item.Section("name", "email", "language", "rivers", "stations", "severity")
		r := Recipient{Language: "id", Severity: "warning"}
		if name := s.Key("name").Required("the person or group, for example Forum Sungai Bajak"); strict.Text(name, &r.Name, "text", strict.Printable) {
			if first, twice := lines[r.Name]; twice {
				name.Fault("%s is the recipient in line %d; want another name", strict.Quote(r.Name), first)
			} else {
				lines[r.Name] = name.Line()
			}
		}
		strict.Text(s.Key("email").Required("for example forum@example.org"), &r.Email, "text", email)
		strict.Text(s.Key("language"), &r.Language, "text", strict.OneOf("language", "id", "en"))
		r.Rivers = strict.Texts(s.Key("rivers").Items(), known("river", rivers))
		r.Stations = strict.Texts(s.Key("stations").Items(), known("station", ids))
		strict.Text(s.Key("severity"), &r.Severity, "text", strict.OneOf("severity", "warning", "critical"))
		recipients = append(recipients, r)
	}
	return recipients
}

func (l *loader) smtp(v strict.Value) *SMTP {
	if v.Absent() {
		return nil
	}
	s := v.Section("host", "port", "tls", "from", "username", "password_file")
	m := &SMTP{TLS: "starttls"}
	hostGiven := strict.Text(s.Key("host").Required("for example mail.example.org"), &m.Host, "text", host)
	tlsGiven := strict.Text(s.Key("tls"), &m.TLS, "text", strict.OneOf("tls", "starttls", "implicit", "none"))
	if hostGiven && tlsGiven && m.TLS == "none" && !isLoopback(m.Host) {
		s.Key("tls").Fault("none is for a server on this machine (localhost, 127.0.0.1, ::1), and %s is not; want starttls or implicit", strict.Quote(m.Host))
	}
	m.Port = map[string]int{"starttls": 587, "implicit": 465, "none": 25}[m.TLS]
	if number := float64(0); s.Key("port").NumberWithin(&number, 1, 65535) {
		if m.Port = int(number); float64(m.Port) != number {
			s.Key("port").Fault("%v is no port; want a whole number", number)
		}
	}
	strict.Text(s.Key("from").Required("for example tofuwatch@example.org"), &m.From, "text", email)
	m.Username, m.Password = l.login(s)
	if file := s.Key("password_file"); m.Username != "" && m.Password == "" && file.Absent() {
		file.Fault("required with username, or set %s", secretVariables[file.Path()])
	}
	return m
}
