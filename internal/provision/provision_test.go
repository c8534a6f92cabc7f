package provision_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func dirs(t *testing.T) provision.Dirs {
	t.Helper()
	dir := t.TempDir()
	return provision.Dirs{Ingester: filepath.Join(dir, "ingester"), Grafana: filepath.Join(dir, "grafana"), Admin: filepath.Join(dir, "admin")}
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
