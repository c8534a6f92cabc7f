package testenv

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// InfluxDB2 starts InfluxDB 2.7.12, set up with the organisation "tofuwatch", a
// token that may do everything, and buckets. Queries are InfluxQL here too, and
// find a bucket under the name of a database.
//
// The program takes long to build, so tests with it stand behind the build tag
// influxdb2; "make test-influxdb2" runs them.
func InfluxDB2(t testing.TB, bucket string, more ...string) *Database {
	t.Helper()
	d := NewInfluxDB2(t)
	d.Org, d.Token = "tofuwatch", "token-for-tests"
	d.post("/api/v2/setup", map[string]string{
		"username": "admin", "password": "password-for-tests", "org": d.Org, "bucket": bucket, "token": d.Token,
	})
	for _, name := range more {
		d.createBucket(name)
	}
	return d
}

// NewInfluxDB2 starts InfluxDB 2.7.12 as it is after its installation: it waits to
// be set up.
func NewInfluxDB2(t testing.TB) *Database {
	t.Helper()
	path := Program(t, "influxd2")
	dir := t.TempDir()
	return startDatabase(t, func(addr string) *exec.Cmd {
		return exec.Command(path, "run",
			"--http-bind-address", addr,
			"--bolt-path", filepath.Join(dir, "influxd.bolt"),
			"--sqlite-path", filepath.Join(dir, "influxd.sqlite"),
			"--engine-path", filepath.Join(dir, "engine"),
			"--reporting-disabled",
			"--log-level", "warn",
		)
	})
}

// createBucket creates a bucket that keeps its points for ever.
func (d *Database) createBucket(name string) {
	d.t.Helper()
	var found struct{ Orgs []struct{ ID string } }
	d.call(http.MethodGet, "/api/v2/orgs?org="+d.Org, nil, &found)
	if len(found.Orgs) != 1 {
		d.t.Fatalf("find organisation %s: got %d, want 1", d.Org, len(found.Orgs))
	}
	d.post("/api/v2/buckets", map[string]string{"orgID": found.Orgs[0].ID, "name": name})
}

// post sends body to the API of 2.x.
func (d *Database) post(path string, body any) {
	d.t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.call(http.MethodPost, path, encoded, nil)
}

// call calls the API of 2.x and decodes its answer into answer, unless that is nil.
func (d *Database) call(method, path string, body []byte, answer any) {
	d.t.Helper()
	req, err := http.NewRequest(method, d.URL+path, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	d.Authorize(req)
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("got status %s: %s", resp.Status, text)
	}
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
}
