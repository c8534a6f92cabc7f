package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tofuwatch/deploy/mosquitto"
	"tofuwatch/internal/simulate"
)

// Options say what is run, and on what.
type Options struct {
	Dir       string // for data, logs and mail; it is made, and what is in it stays
	Tools     string // folder with influxd and alertmanager, as "make tools" leaves it
	Tofuwatch string // the command
	World     simulate.Options
	Skip      func(simulate.Message) bool // messages that are never sent; nil: none
	Grafana   string                      // the program; empty: none
	// GrafanaHome is the folder with its public and conf; empty: it knows itself.
	GrafanaHome string
	FreePorts   bool // any that are free, in place of the usual ones
	// Eager has alerts fire at once, where rules usually wait for minutes.
	Eager bool
	// EditSite changes the site file before anything reads it; nil: it stays.
	EditSite func(site string) string
	// Prepare is called when InfluxDB answers, before anything is published; nil:
	// nothing is to be done.
	Prepare func(ctx context.Context, s *Stack) error
}

// A Stack is a site that runs.
type Stack struct {
	Site         string // the site file
	Broker       string // URLs
	InfluxDB     string
	Prometheus   string
	Alertmanager string
	Ingester     string
	Grafana      string // empty if there is none
	Database     string // in InfluxDB
	MailDir      string // mails, as *.eml
	LogDir       string
	World        *simulate.World // it is publishing: only its stations may be asked for

	group *errgroup.Group
}

// Times of the start.
const (
	startWait = 3 * time.Minute // Grafana takes the longest, the first time
	stopWait  = 15 * time.Second
	pollEvery = 50 * time.Millisecond
)

// database is InfluxDB's.
const database = "water"

// Start starts everything and returns once it answers. It ends when ctx is done, or
// one of the programs does; Wait tells.
func Start(ctx context.Context, o Options, log *slog.Logger) (*Stack, error) {
	g, ctx := errgroup.WithContext(ctx)
	s := &Stack{
		Database: database, group: g,
		MailDir: filepath.Join(o.Dir, "mail"), LogDir: filepath.Join(o.Dir, "log"),
	}
	err := s.start(ctx, &o, log)
	if err != nil {
		g.Go(func() error { return err }) // ends the others
		return nil, errors.Join(err, onlyOther(s.Wait(), err))
	}
	return s, nil
}

func onlyOther(err, known error) error {
	if errors.Is(err, known) {
		return nil
	}
	return err
}

// Wait waits until the stack has ended, and says why, if nobody asked it to.
func (s *Stack) Wait() error { return s.group.Wait() }

func (s *Stack) start(ctx context.Context, o *Options, log *slog.Logger) error {
	for _, dir := range []string{o.Dir, s.MailDir, s.LogDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make folder: %w", err)
		}
	}
	p, err := newPorts(o.FreePorts)
	if err != nil {
		return err
	}
	s.Broker = fmt.Sprintf("tcp://127.0.0.1:%d", p.mqtt)
	s.InfluxDB, s.Prometheus, s.Alertmanager = address(p.influxdb), address(p.prometheus), address(p.alertmanager)
	s.Ingester = address(p.ingester)
	if s.World, err = simulate.New(o.World); err != nil {
		return err
	}
	if err := s.mailbox(ctx, p.smtp); err != nil {
		return err
	}
	if err := s.writeSite(o.Dir, p, o.EditSite); err != nil {
		return err
	}
	for _, what := range []string{"prometheus", "alertmanager"} {
		if err := s.render(ctx, o, what); err != nil {
			return err
		}
	}
	if err := s.adapt(o, p); err != nil {
		return err
	}
	programs, err := s.programs(o, p)
	if err != nil {
		return err
	}
	for _, program := range programs {
		if err := s.run(ctx, program); err != nil {
			return err
		}
	}
	// Counters have to be seen at 0, or what the past adds to them is no increase.
	if err := eventually(ctx, s.scraped); err != nil {
		return err
	}
	s.group.Go(func() error {
		_, err := simulate.Publish(ctx, s.World, simulate.PublishOptions{Broker: s.Broker, Speed: 1, Skip: o.Skip}, log)
		return err
	})
	return nil
}

// ports are where everything listens.
type ports struct{ mqtt, influxdb, prometheus, alertmanager, ingester, grafana, smtp int }

// newPorts returns the usual ports, or free ones.
func newPorts(free bool) (ports, error) {
	p := ports{1883, 8086, 9090, 9093, 9464, 3000, 0}
	all := []*int{&p.mqtt, &p.influxdb, &p.prometheus, &p.alertmanager, &p.ingester, &p.grafana, &p.smtp}
	var listeners []net.Listener // all open at once, or one would be found twice
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	for _, port := range all {
		if free {
			*port = 0
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
		if err != nil {
			return p, fmt.Errorf("%w; stop what listens there, or use free ports", err)
		}
		listeners = append(listeners, l)
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

func address(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// writeSite writes the site file.
func (s *Stack) writeSite(dir string, p ports, edit func(string) string) error {
	s.Site = filepath.Join(dir, "site.yaml")
	text := simulate.SiteFile(s.World, simulate.SiteOptions{
		DataDir: "data", Listen: fmt.Sprintf("127.0.0.1:%d", p.ingester), Broker: s.Broker, InfluxDB: s.InfluxDB, Bucket: database,
	})
	text = fmt.Appendf(text, `
recipients:
  - {name: Forum Sungai, email: forum@example.org, language: id, severity: warning}
  - {name: Operator, email: operator@example.org, language: en, severity: critical}
smtp: {host: 127.0.0.1, port: %d, tls: none, from: tofuwatch@example.org}
`, p.smtp)
	if edit != nil {
		text = []byte(edit(string(text)))
	}
	if err := os.WriteFile(s.Site, text, 0o600); err != nil {
		return fmt.Errorf("write site file: %w", err)
	}
	return nil
}

// render has the command write the configuration of a program.
func (s *Stack) render(ctx context.Context, o *Options, what string, more ...string) error {
	args := append([]string{"render", what, "--config", s.Site, "--out", filepath.Join(o.Dir, what)}, more...)
	if out, err := exec.CommandContext(ctx, o.Tofuwatch, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("render %s: %w: %s", what, err, out)
	}
	return nil
}

var waits = regexp.MustCompile(`(?m)^ +for: .*\n`)

// adapt changes what is rendered for the usual ports and for people's patience.
func (s *Stack) adapt(o *Options, p ports) error {
	return edit(filepath.Join(o.Dir, "prometheus"), func(text string) string {
		if o.Eager {
			text = waits.ReplaceAllString(text, "")
		}
		return strings.ReplaceAll(text, "127.0.0.1:9093", fmt.Sprintf("127.0.0.1:%d", p.alertmanager))
	})
}

// edit changes every YAML file below dir.
func edit(dir string, change func(text string) string) error {
	return filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yml" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(name, []byte(change(string(text))), 0o644)
	})
}

// A program is one of the stack.
type program struct {
	name string
	args []string
	env  []string
	// answers is asked with GET until its status is below 300; empty: whether
	// something listens at port is enough.
	answers string
	port    int
	then    func(context.Context) error // once it answers; nil: nothing
}

// programs returns what is run, in the order in which it starts.
func (s *Stack) programs(o *Options, p ports) ([]program, error) {
	broker, err := s.mosquittoConfig(o.Dir)
	if err != nil {
		return nil, err
	}
	influxConfig := filepath.Join(o.Dir, "influxdb.conf")
	if err := os.WriteFile(influxConfig, fmt.Appendf(nil, `reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = %[1]q
[data]
dir = %[2]q
wal-dir = %[3]q
query-log-enabled = false
[http]
bind-address = "127.0.0.1:%[4]d"
log-enabled = false
[monitor]
store-enabled = false
[logging]
level = "warn"
`, filepath.Join(o.Dir, "influxdb", "meta"), filepath.Join(o.Dir, "influxdb", "data"), filepath.Join(o.Dir, "influxdb", "wal"), p.influxdb), 0o644); err != nil {
		return nil, fmt.Errorf("write configuration of InfluxDB: %w", err)
	}
	config := func(name string) string { return filepath.Join(o.Dir, name, name+".yml") }
	all := []program{
		{name: "mosquitto", args: []string{"mosquitto", "-c", broker}, port: p.mqtt},
		{
			name: "influxdb", args: []string{filepath.Join(o.Tools, "influxd"), "run", "-config", influxConfig}, answers: s.InfluxDB + "/ping",
			then: func(ctx context.Context) error {
				// It answers pings before it can do anything else.
				if err := eventually(ctx, s.createDatabase); err != nil || o.Prepare == nil {
					return err
				}
				return o.Prepare(ctx, s)
			},
		},
		{name: "alertmanager", args: []string{
			filepath.Join(o.Tools, "alertmanager"), "--config.file", config("alertmanager"), "--storage.path", filepath.Join(o.Dir, "alertmanager", "data"),
			"--data.retention=240h", "--cluster.listen-address=", "--log.level=warn", "--web.listen-address", strings.TrimPrefix(s.Alertmanager, "http://"),
		}, answers: s.Alertmanager + "/-/ready"},
		{name: "prometheus", args: []string{
			"prometheus", "--config.file", config("prometheus"), "--storage.tsdb.path", filepath.Join(o.Dir, "prometheus", "data"),
			"--storage.tsdb.retention.time=400d", "--log.level=warn", "--web.listen-address", strings.TrimPrefix(s.Prometheus, "http://"),
		}, answers: s.Prometheus + "/-/ready"},
		{name: "ingester", args: []string{o.Tofuwatch, "ingest", "--config", s.Site}, answers: s.Ingester + "/readyz"},
	}
	if o.Grafana != "" {
		s.Grafana = address(p.grafana)
		grafana, err := s.grafana(o, p)
		if err != nil {
			return nil, err
		}
		all = append(all, grafana)
	}
	return all, nil
}

// mosquittoConfig writes the broker's configuration and returns its file.
func (s *Stack) mosquittoConfig(dir string) (string, error) {
	broker, err := url.Parse(s.Broker)
	if err != nil {
		return "", err
	}
	text, err := mosquitto.Config(mosquitto.Options{Broker: broker, Dir: dir})
	if err != nil {
		return "", err
	}
	data := filepath.Join(dir, "mosquitto")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	text = strings.Replace(text, "/var/lib/mosquitto/", data+"/", 1)
	if os.Getuid() == 0 {
		text += "\nuser root\n" // or it could not write there
	}
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return "", fmt.Errorf("write configuration of Mosquitto: %w", err)
	}
	return file, nil
}

func (s *Stack) createDatabase(ctx context.Context) error {
	form := url.Values{"q": {"CREATE DATABASE " + database}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.InfluxDB+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode >= 300 || strings.Contains(string(answer), `"error"`)) {
		err = fmt.Errorf("%s: %s", response.Status, answer)
	}
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// grafana renders the dashboards and returns the program that shows them.
func (s *Stack) grafana(o *Options, p ports) (program, error) {
	dir := filepath.Join(o.Dir, "dashboards")
	if err := s.render(context.Background(), o, "dashboards", "--prometheus", s.Prometheus, "--alertmanager", s.Alertmanager); err != nil {
		return program{}, err
	}
	plugins := filepath.Join(dir, "plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return program{}, fmt.Errorf("make folder: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "grafana.env"))
	if err != nil {
		return program{}, fmt.Errorf("read environment of Grafana: %w", err)
	}
	env := []string{
		"GF_SERVER_HTTP_ADDR=127.0.0.1", "GF_SERVER_HTTP_PORT=" + strconv.Itoa(p.grafana),
		"GF_PATHS_DATA=" + filepath.Join(dir, "data"), "GF_PATHS_LOGS=" + filepath.Join(dir, "log"), "GF_PATHS_PLUGINS=" + plugins,
		"GF_AUTH_ANONYMOUS_ENABLED=true", "GF_LOG_MODE=console", "GF_LOG_LEVEL=warn",
		"TOFUWATCH_GRAFANA_INFLUXDB_USER=", "TOFUWATCH_GRAFANA_INFLUXDB_PASSWORD=",
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			env = append(env, line)
		}
	}
	args := []string{o.Grafana}
	if filepath.Base(o.Grafana) != "grafana-server" {
		args = append(args, "server")
	}
	if o.GrafanaHome != "" {
		args = append(args, "--homepath", o.GrafanaHome)
	}
	return program{name: "grafana", args: args, env: env, answers: s.Grafana + "/api/health"}, nil
}

// run starts a program and waits until it answers. It is ended with ctx; that it
// ends before is an error of the stack.
func (s *Stack) run(ctx context.Context, p program) error {
	path, err := find(p.args[0])
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.LogDir, p.name+".log"))
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, p.args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWait
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us; we end the others
	if err := cmd.Start(); err != nil {
		log.Close()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	s.group.Go(func() error {
		defer log.Close()
		defer close(ended)
		err := cmd.Wait()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("%s ended: %w; see %s", p.name, cmp.Or(err, errors.New("without an error")), log.Name())
	})
	if err := eventually(ctx, func(ctx context.Context) error {
		select {
		case <-ended:
			return errEnded
		default:
			return p.ready(ctx)
		}
	}); err != nil {
		return fmt.Errorf("%s does not answer: %w; see %s", p.name, err, log.Name())
	}
	if p.then != nil {
		return p.then(ctx)
	}
	return nil
}

var errEnded = errors.New("it ended")

// eventually calls f until it returns nil, or something ended, or it took too long.
func eventually(ctx context.Context, f func(context.Context) error) error {
	for deadline := time.Now().Add(startWait); ; {
		err := f(ctx)
		if err == nil || errors.Is(err, errEnded) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// find looks for a program also where Debian hides it from ordinary users.
func find(name string) (string, error) {
	for _, file := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/usr/local/sbin", name)} {
		if path, err := exec.LookPath(file); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no program %s; \"make stack\" installs or builds it", name)
}

func (p program) ready(ctx context.Context) error {
	if p.answers == "" {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", p.port), time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	_, err := get(ctx, p.answers)
	return err
}

// scraped asks whether Prometheus has seen the ingester and Alertmanager.
func (s *Stack) scraped(ctx context.Context) error {
	answer, err := get(ctx, s.Prometheus+"/api/v1/query?query="+url.QueryEscape("sum(up) == 2"))
	if err == nil && !strings.Contains(answer, `"value"`) {
		err = errors.New("the others are not scraped yet")
	}
	return err
}

// get returns what an address answers.
func get(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s says %s", address, response.Status)
	}
	return string(text), err
}

// Settled reports, by an error, what is still to be done with the past that was
// published: readings on their way to InfluxDB, or hours and days not made yet.
func (s *Stack) Settled(ctx context.Context) error {
	text, err := get(ctx, s.Ingester+"/metrics")
	if err != nil {
		return err
	}
	newest := 0.0
	for line := range strings.Lines(text) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, err := strconv.ParseFloat(number, 64)
		switch {
		case err != nil:
		case name == "tofuwatch_readings_pending" && value > 0:
			return fmt.Errorf("%.0f readings are not in InfluxDB yet", value)
		case name == "tofuwatch_summaries_pending" && value > float64(4*len(s.World.Stations())): // the present makes some all the time
			return fmt.Errorf("%.0f hours, days and months are not made yet", value)
		case strings.HasPrefix(name, "tofuwatch_reading_timestamp_seconds{"):
			newest = max(newest, value)
		}
	}
	if behind := time.Since(time.UnixMilli(int64(newest * 1000))); behind > 10*time.Minute {
		return fmt.Errorf("the newest reading is of %s ago", behind.Round(time.Minute))
	}
	return nil
}
