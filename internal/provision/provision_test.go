package provision_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/provision"
)

func TestPasswordsAreMadeOnce(t *testing.T) {
	d := dirs(t)
	if err := provision.Passwords(d); err != nil {
		t.Fatal(err)
	}
	first := secrets(t, d)
	if len(first) != 2 || len(first["ingester/mqtt.password"]) != 26 || len(first["grafana/admin.password"]) != 26 || first["ingester/mqtt.password"] == first["grafana/admin.password"] {
		t.Errorf("got %d secrets, want two different ones of 26 letters and digits: mqtt.password, admin.password", len(first))
	}
	if err := provision.Passwords(d); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, secrets(t, d)); diff != "" {
		t.Errorf("the second time secrets changed (-first +second):\n%s", diff)
	}
}

func TestEmptySecretIsNoSecret(t *testing.T) {
	d := dirs(t)
	if err := os.MkdirAll(d.Ingester, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Ingester, provision.MQTTPassword), []byte("\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if got, want := provision.Passwords(d), "mqtt.password is empty"; got == nil || !strings.Contains(got.Error(), want) {
		t.Errorf("got error %v, want one with %q", got, want)
	}
}

func TestBrokerHasACertificateThatTheIngesterTrusts(t *testing.T) {
	d, hosts := dirs(t), []string{"mosquitto", "broker.example.org", "192.0.2.7"}
	for range 2 { // the second time nothing changes
		if err := provision.Passwords(d); err != nil {
			t.Fatal(err)
		}
		if err := provision.Certificates(d, "semarang", hosts, time.Now); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(d.Broker, "server.pem"), filepath.Join(d.Broker, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(d.Ingester, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, host := range hosts {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("as %s: %v", host, err)
		}
	}
	if _, err := os.Stat(filepath.Join(d.Broker, "ca.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the broker has the authority's key (%v)", err)
	}
	info, err := os.Stat(filepath.Join(d.Broker, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.FileMode(0o640); got != want {
		t.Errorf("server.key: got mode %v, want %v", got, want)
	}
}

func dirs(t *testing.T) provision.Dirs {
	t.Helper()
	dir := t.TempDir()
	return provision.Dirs{Ingester: filepath.Join(dir, "ingester"), Grafana: filepath.Join(dir, "grafana"), Broker: filepath.Join(dir, "broker"), Admin: filepath.Join(dir, "admin")}
}

// secrets returns all secrets by file, and fails the test if others may read one.
func secrets(t *testing.T, d provision.Dirs) map[string]string {
	t.Helper()
	all := make(map[string]string)
	root := filepath.Dir(d.Ingester)
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if got, want := info.Mode(), fs.FileMode(0o640); got != want {
			t.Errorf("%s: got mode %v, want %v", path, got, want)
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		all[name] = strings.TrimSpace(string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
