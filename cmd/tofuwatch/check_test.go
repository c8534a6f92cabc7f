package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"tofuwatch/internal/testenv"
)

// What check --live says of servers that are right and wrong. Afterwards none
// of them has a trace of it.
func TestCheckLive(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		broker func(testing.TB) []string // lines of its configuration; nil: none
		change func(n *network)
		want   []string // in the lines for site file, broker and InfluxDB; "" is ok
	}{
		{
			name:   "all right",
			change: func(*network) {},
			want:   []string{"", "", ""},
		},
		{
			name:   "broker down",
			change: func(n *network) { n.broker.Stop() },
			want:   []string{"", "is the broker running", ""},
		},
		{
			name:   "InfluxDB down",
			change: func(n *network) { n.db.Stop() },
			want:   []string{"", "", "is InfluxDB running"},
		},
		{
			name:   "both down",
			change: func(n *network) { n.db.Stop(); n.broker.Stop() },
			want:   []string{"", "is the broker running", "is InfluxDB running"},
		},
		{
			name:   "no such database",
			change: func(n *network) { n.site.bucket = "wine"; n.writeSite() },
			want:   []string{"", "", "CREATE DATABASE"},
		},
		{
			name:   "wrong token",
			change: func(n *network) { writeFile(n.t, n.site.tokenFile, "tofuwatch:guessed") },
			want:   []string{"", "", "check the token"},
		},
		{
			name:   "subscription refused",
			broker: noSubscriptions,
			change: func(*network) {},
			want:   []string{"", "the broker refuses it", ""},
		},
		{
			name:   "not let in",
			broker: func(testing.TB) []string { return []string{"allow_anonymous false"} },
			change: func(*network) {},
			want:   []string{"", "check mqtt.username and its password", ""},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var config []string
			if tt.broker != nil {
				config = tt.broker(t)
			}
			n := newNetwork(t, testenv.Mosquitto(t, testenv.WithConfig(config...)), testenv.InfluxDB(t, testenv.WithAuth("admin", "admin"), testenv.WithDatabase("water")))
			n.addUser()
			tt.change(n)
			status := done
			for _, fault := range tt.want {
				if fault != "" {
					status = failed
				}
			}

			got := tofuwatch(t, "check", "--live", "--config", n.file)
			lines := strings.SplitAfter(strings.TrimSuffix(got.stdout, "\n"), "\n")
			if got.status != status || got.stderr != "" || len(lines) != len(tt.want) {
				t.Fatalf("got status %d, want %d with %d lines:\n%s\n%s", got.status, status, len(tt.want), got.stdout, got.stderr)
			}
			for i, fault := range tt.want {
				switch {
				case fault == "" && !strings.Contains(lines[i], ": ok: "):
					t.Errorf("got %q, want ok", lines[i])
				case fault != "" && (!strings.Contains(lines[i], ": FAILED: ") || !strings.Contains(lines[i], fault)):
					t.Errorf("got %q, want it FAILED, with %q", lines[i], fault)
				}
			}

			asJSON := tofuwatch(t, "check", "--live", "--json", "--config", n.file)
			if asJSON.status != status || strings.Count(asJSON.stdout, "\n") != len(tt.want) {
				t.Errorf("got status %d and %q, want %d and %d lines", asJSON.status, asJSON.stdout, status, len(tt.want))
			}
			for i, line := range strings.Split(strings.TrimSuffix(asJSON.stdout, "\n"), "\n") {
				var result struct {
					Check, Fault string
					OK           bool
				}
				if err := json.Unmarshal([]byte(line), &result); err != nil {
					t.Errorf("read %q: %v", line, err)
				}
				if result.Check == "" || result.OK != (tt.want[i] == "") || !strings.Contains(result.Fault, tt.want[i]) {
					t.Errorf("got %s, want ok %v and a fault with %q", line, tt.want[i] == "", tt.want[i])
				}
			}

			if _, err := os.Stat(n.site.dataDir); err == nil {
				t.Errorf("there is a data folder, want none")
			}
			if listens(n.broker.Addr) && tt.name != "not let in" {
				for _, id := range []string{clientID, clientID + "-check"} {
					n.hasNoSession(id)
				}
			}
			if listens(n.db.Addr) {
				if rows := n.db.Query(t, "water", "SELECT * FROM /.*/"); len(rows) > 0 {
					t.Errorf("got points %v in InfluxDB, want none", rows)
				}
				testenv.Within(t, 5*time.Second, func() error {
					if rows := n.db.Query(t, "water", "SHOW SERIES"); len(rows) > 0 {
						return fmt.Errorf("got series %v in InfluxDB, want none", rows)
					}
					return nil
				})
			}
		})
	}
}

// hasNoSession fails the test if the broker keeps a session for a client.
func (n *network) hasNoSession(id string) {
	n.t.Helper()
	client := paho.NewClient(paho.NewClientOptions().AddBroker(n.broker.URL).SetClientID(id).SetCleanSession(false))
	token := client.Connect()
	if !token.WaitTimeout(time.Minute) || token.Error() != nil {
		n.t.Fatal(token.Error())
	}
	defer client.Disconnect(100)
	if token.(*paho.ConnectToken).SessionPresent() {
		n.t.Errorf("the broker has a session of %s, want none", id)
	}
}

// noSubscriptions are lines of Mosquitto's configuration that let everybody in
// and nobody subscribe. An ACL file does not do that: it grants a subscription
// and then delivers nothing.
func noSubscriptions(t testing.TB) []string {
	t.Helper()
	plugins, err := filepath.Glob("/usr/lib/*/mosquitto_dynamic_security.so")
	if err != nil {
		t.Fatal(err)
	}
	if len(plugins) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("Mosquitto lacks its plugin for dynamic security: install Debian's package mosquitto")
		}
		t.Skip("Mosquitto lacks its plugin for dynamic security: install Debian's package mosquitto")
	}
	file := filepath.Join(t.TempDir(), "security.json")
	writeFile(t, file, `{"defaultACLAccess": {"publishClientSend": true, "publishClientReceive": true, "subscribe": false, "unsubscribe": true}}`)
	return []string{"plugin " + plugins[0], "plugin_opt_config_file " + file}
}

// listens reports whether somebody does at an address.
func listens(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
