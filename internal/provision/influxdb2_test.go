//go:build influxdb2

package provision_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest/influx"
	"tofuwatch/internal/provision"
	"tofuwatch/internal/testenv"
)

// Each token does what its holder has to, and is refused the rest.
func TestInfluxDB2TokensMayDoWhatTheyMust(t *testing.T) {
	db := testenv.NewInfluxDB2(t)
	address, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	o, d := influx.Options{URL: address, Org: "tofuwatch", Bucket: "water"}, dirs(t)
	setUp := func() map[string]string {
		t.Helper()
		if err := provision.InfluxDB(t.Context(), o, d); err != nil {
			t.Fatal(err)
		}
		return secrets(t, d)
	}
	first := setUp()
	if diff := cmp.Diff(first, setUp()); diff != "" {
		t.Errorf("the second time secrets changed (-first +second):\n%s", diff)
	}

	// try returns the answer's status; of InfluxQL, which says 200 to everybody, 403
	// for an error.
	try := func(token, method, path, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, db.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Token "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path, "/query") && resp.StatusCode == http.StatusOK && strings.Contains(string(answer), `"error"`) {
			return http.StatusForbidden
		}
		return resp.StatusCode
	}
	const (
		write   = "/api/v2/write?org=tofuwatch&bucket=water"
		read    = "/query?db=water&q=SHOW+MEASUREMENTS"
		buckets = "/api/v2/buckets"
	)
	admin, ingester, grafana := first["admin/influxdb.token.all"], first["ingester/influxdb.token"], first["grafana/influxdb.token"]
	var found struct{ Orgs []struct{ ID string } }
	db.Org, db.Token = o.Org, admin
	if err := json.Unmarshal([]byte(get(t, db, "/api/v2/orgs")), &found); err != nil || len(found.Orgs) != 1 {
		t.Fatalf("got %d organisations and error %v, want 1", len(found.Orgs), err)
	}
	org := found.Orgs[0].ID
	for _, c := range []struct {
		who, token, method, path, body string
		allowed                        bool
	}{
		{"nobody", "wrong", http.MethodPost, write, "m v=1", false},
		{"ingester", ingester, http.MethodPost, write, "water_quality,station=ipal-01 cod=1", true},
		{"ingester", ingester, http.MethodGet, read, "", true}, // drift is corrected from what is stored
		{"ingester", ingester, http.MethodPost, buckets, `{"name":"other","orgID":"` + org + `"}`, false},
		{"grafana", grafana, http.MethodGet, read, "", true},
		{"grafana", grafana, http.MethodPost, write, "m v=1", false},
		{"grafana", grafana, http.MethodPost, "/query?db=water&q=DROP+MEASUREMENT+water_quality", "", false},
		{"administrator", admin, http.MethodGet, buckets, "", true},
	} {
		got := try(c.token, c.method, c.path, c.body)
		refused := got == http.StatusUnauthorized || got == http.StatusForbidden
		if c.allowed && got/100 != 2 || !c.allowed && !refused {
			t.Errorf("%s: %s %s: got status %d, want allowed %t", c.who, c.method, c.path, got, c.allowed)
		}
	}

	// "check --live" writes a point and deletes it.
	o.Token = ingester
	if err := influx.Check(t.Context(), o); err != nil {
		t.Errorf("check with the ingester's token: %v", err)
	}

	// A token that was lost is made anew, and the lost one ends.
	o.Token = ""
	if err := os.Remove(d.Grafana + "/" + provision.InfluxDBToken); err != nil {
		t.Fatal(err)
	}
	if got := setUp()["grafana/influxdb.token"]; got == grafana {
		t.Error("got the lost token again, want another")
	}
	if got, want := try(grafana, http.MethodGet, read, ""), http.StatusUnauthorized; got != want {
		t.Errorf("with the lost token got status %d, want %d", got, want)
	}

	// Whoever has not its token is told so.
	d = dirs(t)
	if got, want := provision.InfluxDB(t.Context(), o, d), "all-access token"; got == nil || !strings.Contains(got.Error(), want) {
		t.Errorf("got error %v, want one with %q", got, want)
	}
}

// get returns what InfluxDB answers to whom db.Token says.
func get(t *testing.T, db *testenv.Database, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, db.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	db.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got status %s and error %v, want 200", path, resp.Status, err)
	}
	return string(answer)
}
