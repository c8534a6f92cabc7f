package testenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Database is a running InfluxDB, 1.8 or 2.7.
type Database struct {
	*Server
	Addr string // "127.0.0.1:28086"
	URL  string // "http://127.0.0.1:28086"
	Org  string // on 2.7 who owns the buckets, on 1.8 ""
	// BackupAddr is where "influxd backup" and "influxd restore" connect, with
	// [WithBackups]; else "".
	BackupAddr string
	Token      string // on 1.8 "user:password" of the administrator with [WithAuth], else ""
}

// A DatabaseOption changes how [InfluxDB] starts the database.
type DatabaseOption func(*databaseOptions)

type databaseOptions struct {
	user, password string
	databases      []string
	flux           bool
	config         string
	backups        int // port
}

// WithAuth lets in only who has a password: at first the administrator user.
func WithAuth(user, password string) DatabaseOption {
	return func(o *databaseOptions) { o.user, o.password = user, password }
}

// WithDatabase creates the database called name.
func WithDatabase(name string) DatabaseOption {
	return func(o *databaseOptions) { o.databases = append(o.databases, name) }
}

// WithBackups has 1.8 serve "influxd backup" and "influxd restore".
func WithBackups() DatabaseOption {
	return func(o *databaseOptions) { o.backups = -1 }
}

// WithFlux turns Flux on. The server then takes three seconds to start.
func WithFlux() DatabaseOption {
	return func(o *databaseOptions) { o.flux = true }
}

// WithHTTPConfig adds lines to the [http] section of the configuration.
func WithHTTPConfig(lines ...string) DatabaseOption {
	return func(o *databaseOptions) { o.config += strings.Join(lines, "\n") + "\n" }
}

// InfluxDB starts InfluxDB 1.8.10. It is empty but for what the options create,
// and takes line protocol of the 1.x and the 2.x write API, and InfluxQL.
func InfluxDB(t testing.TB, options ...DatabaseOption) *Database {
	t.Helper()
	var o databaseOptions
	for _, option := range options {
		option(&o)
	}
	path := Program(t, "influxd")
	dir := t.TempDir()
	if o.backups != 0 {
		o.backups = FreePort(t)
	}
	d := startDatabase(t, func(addr string) *exec.Cmd {
		file := filepath.Join(dir, "influxdb.conf")
		if err := os.WriteFile(file, []byte(influxConfig(dir, addr, o)), 0o600); err != nil {
			t.Fatal(err)
		}
		return exec.Command(path, "run", "-config", file)
	})
	if o.backups != 0 {
		d.BackupAddr = fmt.Sprintf("127.0.0.1:%d", o.backups)
	}
	if o.user != "" {
		// The first administrator is the one thing that may be created by nobody.
		d.Exec(t, fmt.Sprintf("CREATE USER %s WITH PASSWORD %s WITH ALL PRIVILEGES", quoteName(o.user), quoteString(o.password)))
		d.Token = o.user + ":" + o.password
	}
	for _, name := range o.databases {
		d.CreateDatabase(name)
	}
	return d
}

// startDatabase starts what command returns for the address to listen on.
func startDatabase(t testing.TB, command func(addr string) *exec.Cmd) *Database {
	t.Helper()
	d := new(Database)
	listen(t, func(port int) (*Server, error) {
		d.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		d.URL = "http://" + d.Addr
		d.Server = &Server{
			t:       t,
			name:    "influxd",
			command: func() *exec.Cmd { return command(d.Addr) },
			answers: d.answers,
		}
		return d.Server, d.launch()
	})
	return d
}

// influxConfig returns the configuration file. What it leaves out keeps the
// default of InfluxDB.
func influxConfig(dir, addr string, o databaseOptions) string {
	return fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:%d" # backups
[meta]
dir = %q
[data]
dir = %q
wal-dir = %q
query-log-enabled = false
[http]
bind-address = %q
auth-enabled = %t
flux-enabled = %t
log-enabled = false
%s[monitor]
store-enabled = false
[logging]
level = "warn"
suppress-logo = true
`, o.backups, filepath.Join(dir, "meta"), filepath.Join(dir, "data"), filepath.Join(dir, "wal"), addr, o.user != "", o.flux, o.config)
}

// answers asks whether the server is up.
func (d *Database) answers() error {
	client := &http.Client{Timeout: time.Second}
	resp, err := client.Get(d.URL + "/ping")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("ping %s: got status %s, want 204", d.URL, resp.Status)
	}
	return nil
}

// CreateDatabase creates the database called name, unless it exists. On 2.7 it
// is a bucket, and must not exist.
func (d *Database) CreateDatabase(name string) {
	d.t.Helper()
	if d.Org != "" {
		d.createBucket(name)
		return
	}
	d.Exec(d.t, "CREATE DATABASE "+quoteName(name))
}

// Exec executes InfluxQL statements that return nothing.
func (d *Database) Exec(t testing.TB, influxql string) {
	t.Helper()
	d.Query(t, "", influxql)
}

// Authorize lets req in as the administrator.
func (d *Database) Authorize(req *http.Request) {
	user, password, ok := strings.Cut(d.Token, ":")
	switch {
	case d.Org != "":
		req.Header.Set("Authorization", "Token "+d.Token)
	case ok:
		req.SetBasicAuth(user, password)
	}
}

// A Row is one row of a query's result: its columns, and the tags it is
// grouped by, by name. A time is a [time.Time] in UTC, a number a float64, no
// value nil.
type Row map[string]any

// Query returns the rows that InfluxQL selects in the database called db.
func (d *Database) Query(t testing.TB, db, influxql string) []Row {
	t.Helper()
	rows, err := d.Rows(db, influxql)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Rows is [Database.Query] for when the server may be down: it returns the
// error, and does not fail the test.
func (d *Database) Rows(db, influxql string) ([]Row, error) {
	form := url.Values{"db": {db}, "q": {influxql}, "epoch": {"ns"}}
	req, err := http.NewRequest(http.MethodPost, d.URL+"/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	d.Authorize(req)
	client := &http.Client{Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", influxql, err)
	}
	defer resp.Body.Close()
	rows, err := decodeRows(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("query %q: %s: %w", influxql, resp.Status, err)
	}
	return rows, nil
}

// decodeRows reads InfluxDB's answer to a query:
//
//	{"results":[{"series":[{"name":"water_quality","tags":{"station":"ipal-01"},
//	 "columns":["time","ph"],"values":[[1795417200000000000,6.9]]}]}]}
func decodeRows(r io.Reader) ([]Row, error) {
	var answer struct {
		Error   string
		Message string // the same, on 2.7
		Results []struct {
			Error  string
			Series []struct {
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	dec := json.NewDecoder(r)
	dec.UseNumber() // nanoseconds do not fit into a float64
	if err := dec.Decode(&answer); err != nil {
		return nil, err
	}
	if msg := answer.Error + answer.Message; msg != "" {
		return nil, errors.New(msg)
	}
	var rows []Row
	for _, result := range answer.Results {
		if result.Error != "" {
			return nil, errors.New(result.Error)
		}
		for _, series := range result.Series {
			for _, values := range series.Values {
				row := make(Row, len(series.Tags)+len(values))
				for tag, value := range series.Tags {
					row[tag] = value
				}
				for i, value := range values {
					v, err := columnValue(series.Columns[i], value)
					if err != nil {
						return nil, err
					}
					row[series.Columns[i]] = v
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// columnValue converts what JSON has no type for.
func columnValue(column string, value any) (any, error) {
	number, ok := value.(json.Number)
	switch {
	case !ok:
		return value, nil
	case column == "time":
		ns, err := number.Int64()
		return time.Unix(0, ns).UTC(), err
	}
	return number.Float64()
}

// quoteName quotes an InfluxQL identifier.
func quoteName(s string) string { return `"` + escaper.Replace(s) + `"` }

// quoteString quotes an InfluxQL string.
func quoteString(s string) string { return `'` + escaper.Replace(s) + `'` }

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`, "\n", `\n`)
