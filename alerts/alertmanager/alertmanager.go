// Package alertmanager writes the configuration of Prometheus and Alertmanager
// for a site: who is told of what, how soon and how often.
//
//	Input --Alertmanager--> alertmanager.yml, tofuwatch.tmpl, a systemd unit
//	      --Prometheus----> prometheus.yml, rules/*.yml, a systemd unit
//
// Both are meant for the stock programs, Alertmanager 0.28 and Prometheus 2.42
// or later. The reasons for every interval stand beside it in the files.
package alertmanager

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/google/renameio/v2"

	"tofuwatch/alerts/mail"
	"tofuwatch/alerts/rules"
)

// An Input is what is known of a site.
type Input struct {
	mail.Site
	Recipients []Recipient // in the order of the site file
	SMTP       SMTP
	Ingester   string // host:port of the ingester's /metrics
	// Entry is how the ingester wants to be asked; zero: anybody may, unencrypted.
	Entry Entry
	// Alertmanager is host:port at which Prometheus reaches it; empty: its usual
	// port on this machine.
	Alertmanager string
	Dir          string // where the files will be; absolute
	Times        Times  // zero: DefaultTimes

	// Witness is a URL that answers every POST with 200. It is told whatever is
	// mailed, so that mail which the server never answers shows. Empty: none.
	Witness string
}

// PrometheusWitness is a Witness: the Prometheus of the unit that Prometheus
// returns, asked for the number one.
const PrometheusWitness = "http://127.0.0.1:9090/api/v1/query?query=1"

// A Recipient is somebody who is told by e-mail. One with neither Rivers nor
// Stations is told of all, and of the monitoring itself.
type Recipient struct {
	Name     string // unique
	Email    string
	Language string // one of mail.Languages
	Rivers   []string
	Stations []string
	Severity string // the least that is told: warning or critical
}

// SMTP is the server that takes the mail.
type SMTP struct {
	Host     string
	Port     int
	TLS      string // starttls, implicit or none
	From     string // without a display name
	Username string // empty: no login
	Password string // given if Username is
}

// An Entry is what Prometheus needs to be let in by a web configuration.
type Entry struct {
	Encrypted        bool
	CA               []byte // PEM, who signed the certificate; nil: whom the machine trusts
	Certificate, Key []byte // PEM, Prometheus' own; nil: none
	Username         string // empty: no login
	Password         string // given if Username is
}

// Times are how soon and how often people are told. Every wait is counted from
// when Alertmanager hears of the first alert of a group.
type Times struct {
	Scrape, Evaluation time.Duration

	EmergencyWait, EmergencyInterval time.Duration
	WarningWait, WarningInterval     time.Duration
	SensorWait, SensorInterval       time.Duration
	KeptWait, KeptInterval           time.Duration
	SystemWait, SystemInterval       time.Duration

	DigestAt       time.Duration // since midnight in the site's time zone; whole minutes
	DigestInterval time.Duration // the digest comes within this of DigestAt; whole minutes

	RepeatDaily, RepeatWeekly time.Duration
	Retention                 time.Duration // how long Alertmanager knows what it has told
}

// DefaultTimes are those of separate programs: from a reading to the mail it takes
// a scrape, an evaluation, one of the waits and whatever the rule waits, and all but
// the last stays below half a minute. One that does all in one process
// may scrape, evaluate and wait less; the rest has reasons that stay.
func DefaultTimes() Times {
	return Times{
		Scrape: 5 * time.Second, Evaluation: 5 * time.Second,
		EmergencyWait: 8 * time.Second, EmergencyInterval: 30 * time.Minute,
		WarningWait: 15 * time.Second, WarningInterval: 4 * time.Hour,
		SensorWait: 15 * time.Second, SensorInterval: 30 * time.Minute,
		KeptWait: 15 * time.Second, KeptInterval: 5 * time.Minute,
		SystemWait: 15 * time.Second, SystemInterval: time.Hour,
		DigestAt: 7 * time.Hour, DigestInterval: 15 * time.Minute,
		RepeatDaily: 24 * time.Hour, RepeatWeekly: 7 * 24 * time.Hour, Retention: 10 * 24 * time.Hour,
	}
}

// A File is one file of a configuration.
type File struct {
	Name string // relative to Input.Dir
	Data []byte
	Mode fs.FileMode
}

//go:embed alertmanager.yml.tmpl
var alertmanagerTemplate string

//go:embed alertmanager.service.tmpl
var alertmanagerUnit string

//go:embed prometheus.yml.tmpl
var prometheusTemplate string

//go:embed prometheus.service.tmpl
var prometheusUnit string

// Alertmanager returns Alertmanager's files. Its error says what of the site
// Alertmanager cannot do.
func Alertmanager(in Input) ([]File, error) {
	c, err := newConfig(in)
	if err != nil {
		return nil, err
	}
	templates, err := mail.Templates(in.Site)
	if err != nil {
		return nil, err
	}
	files := []File{{"tofuwatch.tmpl", templates, 0o644}}
	if in.SMTP.Username != "" {
		files = append(files, File{smtpPasswordFile, []byte(in.SMTP.Password + "\n"), secretMode})
	}
	return c.fill(files, "alertmanager.yml", alertmanagerTemplate, "tofuwatch-alertmanager.service", alertmanagerUnit)
}

// Prometheus returns Prometheus' files.
func Prometheus(in Input) ([]File, error) {
	c := &config{Input: in}
	c.defaults()
	byName, err := rules.Files()
	if err != nil {
		return nil, err
	}
	var files []File
	for name, data := range byName {
		files = append(files, File{filepath.Join("rules", name), data, 0o644})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	for _, f := range []File{
		{ingesterCAFile, c.Entry.CA, 0o644},
		{ingesterCertFile, c.Entry.Certificate, 0o644},
		{ingesterKeyFile, c.Entry.Key, secretMode},
	} {
		if f.Data != nil {
			files = append(files, f)
		}
	}
	if c.Entry.Username != "" {
		files = append(files, File{ingesterPasswordFile, []byte(c.Entry.Password + "\n"), secretMode})
	}
	return c.fill(files, "prometheus.yml", prometheusTemplate, "tofuwatch-prometheus.service", prometheusUnit)
}

// Write writes files into dir, each all at once. What else is there stays.
func Write(dir string, files []File) error {
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
		if err := renameio.WriteFile(path, f.Data, f.Mode, renameio.IgnoreUmask()); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// Files with a secret, which the programs read that they are rendered for.
const (
	smtpPasswordFile     = "smtp.password"
	ingesterPasswordFile = "ingester.password"
	ingesterKeyFile      = "ingester.key"
)

// Files without.
const (
	ingesterCAFile   = "ingester-ca.pem"
	ingesterCertFile = "ingester.pem"
)

// secretMode lets the writer's group read: Alertmanager's where it is a user of
// its own, and as a rule nobody.
const secretMode = 0o640

// A config fills in the templates.
type config struct{ Input }

func (c *config) defaults() {
	if c.Times == (Times{}) {
		c.Times = DefaultTimes()
	}
}

func newConfig(in Input) (*config, error) {
	c := &config{in}
	c.defaults()
	switch {
	case len(c.Recipients) == 0:
		return nil, errors.New("recipients: there is none; want at least one who is told")
	case c.SMTP.Host == "":
		return nil, errors.New("smtp: missing; want the server that takes the mail")
	// Alertmanager has no setting for it: the port alone decides.
	case c.SMTP.TLS == "implicit" && c.SMTP.Port != 465:
		return nil, fmt.Errorf("smtp.tls: Alertmanager speaks implicit TLS on port 465 only, not on %d; want port 465, or tls: starttls", c.SMTP.Port)
	case c.SMTP.TLS != "implicit" && c.SMTP.Port == 465:
		return nil, errors.New("smtp.tls: Alertmanager speaks implicit TLS on port 465 always; want tls: implicit, or another port")
	}
	t := c.Times
	if t.Retention <= max(t.RepeatDaily, t.RepeatWeekly) {
		return nil, fmt.Errorf("retention %v is not above the longest repeat %v: what lasts would be told again too soon", t.Retention, max(t.RepeatDaily, t.RepeatWeekly))
	}
	return c, nil
}

// fill adds two filled in templates to files.
func (c *config) fill(files []File, namesAndTemplates ...string) ([]File, error) {
	for i := 0; i < len(namesAndTemplates); i += 2 {
		name := namesAndTemplates[i]
		t, err := template.New(name).Delims("[[", "]]").Funcs(template.FuncMap{"quote": quote, "duration": duration}).Parse(namesAndTemplates[i+1])
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, c); err != nil {
			return nil, err
		}
		files = append(files, File{name, b.Bytes(), 0o644})
	}
	return files, nil
}

// quote writes s as YAML does in double quotes.
func quote(s string) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return strings.TrimSpace(b.String()), err
}

// duration writes d as Prometheus does: 90s, 30m, 24h.
func duration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d%time.Second == 0:
		return strconv.Itoa(int(d/time.Second)) + "s"
	}
	return strconv.Itoa(int(d/time.Millisecond)) + "ms"
}

// Smarthost is the mail server's address.
func (c *config) Smarthost() string {
	return net.JoinHostPort(c.SMTP.Host, strconv.Itoa(c.SMTP.Port))
}

// Hello is what the mail server is greeted with: the domain that mail comes
// from, since many refuse "localhost".
func (c *config) Hello() string {
	return c.SMTP.From[strings.LastIndexByte(c.SMTP.From, '@')+1:]
}

// StartTLS reports whether the conversation has to turn to TLS. On port 465 it
// is encrypted before, and must not.
func (c *config) StartTLS() bool { return c.SMTP.TLS == "starttls" }

// PasswordFile is where the mail password is.
func (c *config) PasswordFile() string { return filepath.Join(c.Dir, smtpPasswordFile) }

// AlertmanagerTarget is where Prometheus reaches Alertmanager.
func (c *config) AlertmanagerTarget() string { return cmp.Or(c.Alertmanager, "127.0.0.1:9093") }

// Path returns the path of a file of the configuration.
func (c *config) Path(name string) string { return filepath.Join(c.Dir, name) }

// Target is the ingester's address for a scrape.
func (c *config) Target() string { return Reachable(c.Ingester) }

// Reachable returns the address at which this machine reaches what listens on
// listen, both host:port.
func Reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens everywhere, and here is enough
	}
	return net.JoinHostPort(host, port)
}

// StationMatcher matches the alerts of a recipient's stations, those of its
// rivers included: not every alert knows its river. It is empty if there is none.
func (c *config) StationMatcher(r Recipient) string {
	if r.all() {
		return `station=~".+"`
	}
	var ids []string
	for _, s := range c.Stations {
		if slices.Contains(r.Rivers, s.River) || slices.Contains(r.Stations, s.ID) {
			ids = append(ids, s.ID)
		}
	}
	if ids == nil {
		return ""
	}
	return `station=~"` + strings.Join(ids, "|") + `"`
}

func (r Recipient) all() bool { return len(r.Rivers)+len(r.Stations) == 0 }

// Warned reports whether a recipient is told of warnings.
func (c *config) Warned(r Recipient) bool { return r.Severity == "warning" }

// Operates reports whether a recipient is told of the monitoring itself. Those
// who are told of all are; if nobody is, everybody has to be.
func (c *config) Operates(r Recipient) bool {
	return r.all() || !slices.ContainsFunc(c.Recipients, Recipient.all)
}

// DigestStart and DigestEnd are when the digest may come. That is a minute
// longer than the interval of its group, so that exactly one or, in the overlap,
// two looks fall into it, of which the second has nothing to add.
func (c *config) DigestStart() string { return clock(c.Times.DigestAt) }

// DigestEnd is the end of what DigestStart starts.
func (c *config) DigestEnd() string {
	return clock(c.Times.DigestAt + c.Times.DigestInterval + time.Minute)
}

// DigestRepeat is shorter than a day by more than the time in which the digest
// may come, or one that comes earlier than the day before would be left out.
func (c *config) DigestRepeat() time.Duration { return 20 * time.Hour }

// Zone is the name of the site's time zone.
func (c *config) Zone() string { return c.TimeZone.String() }

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}
