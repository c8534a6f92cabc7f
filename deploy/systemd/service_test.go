// Package systemd_test holds the shipped unit against the program it starts.
package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tofuwatch/internal/site"
	"tofuwatch/internal/testenv"
)

func TestExecStartIsACommand(t *testing.T) {
	args := strings.Fields(setting(t, "ExecStart"))
	if got, want := filepath.Base(args[0]), "tofuwatch"; got != want {
		t.Fatalf("got program %s, want %s", got, want)
	}
	// With a site file that is not there it must get as far as missing it.
	file := filepath.Join(t.TempDir(), "site.yaml")
	args[len(args)-1] = file
	p := testenv.Start(t, exec.Command(testenv.Command(t), args[1:]...))
	if got, want := p.Wait(), 2; got != want {
		t.Errorf("got exit status %d, want %d", got, want)
	}
	if got := p.Stderr(); !strings.HasPrefix(got, file+": ") {
		t.Errorf("got message %q, want one about %s", got, file)
	}
}

func TestStateDirectoryIsTheDefaultDataDir(t *testing.T) {
	s, err := site.Load("../../internal/site/testdata/ok/least.yaml", func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := filepath.Join("/var/lib", setting(t, "StateDirectory")), s.DataDir; got != want {
		t.Errorf("got state directory %s, want %s", got, want)
	}
}

// setting returns the value of key in the unit, where it stands once.
func setting(t *testing.T, key string) string {
	t.Helper()
	unit, err := os.ReadFile("tofuwatch.service")
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(string(unit)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == key {
			values = append(values, v)
		}
	}
	if len(values) != 1 {
		t.Fatalf("got %d lines %s=, want 1", len(values), key)
	}
	return values[0]
}
