// Package systemd_test holds the shipped units, and those that "tofuwatch render"
// writes, against the programs that they start and against systemd's own judgement.
package systemd_test

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tofuwatch/alerts/alertmanager"
	"tofuwatch/alerts/mail"
	"tofuwatch/internal/site"
	"tofuwatch/internal/testenv"
)

// mostExposed is the score of "systemd-analyze security" that no unit may pass:
// 0 is a service that can do nothing, 10 one that can do everything.
const mostExposed = 2.5

func TestExecStartIsACommand(t *testing.T) {
	args := strings.Fields(setting(t, "tofuwatch.service", "ExecStart"))
	if got, want := args[0], "/usr/bin/tofuwatch"; got != want {
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
	for _, unit := range []string{"tofuwatch.service", "tofuwatch-allinone.service"} {
		if got, want := filepath.Join("/var/lib", setting(t, unit, "StateDirectory")), s.DataDir; got != want {
			t.Errorf("%s: got state directory %s, want %s", unit, got, want)
		}
	}
	tmpfiles, err := os.ReadFile("tmpfiles.conf")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(tmpfiles), "\nd "+s.DataDir+" 0750 tofuwatch tofuwatch - -\n"; !strings.Contains(got, want) {
		t.Errorf("got tmpfiles.conf %q, want a line %q", got, want)
	}
}

func TestUnitsAreWhatSystemdWants(t *testing.T) {
	for name, text := range units(t) {
		t.Run(name, func(t *testing.T) {
			// The programs are not installed here, so others stand in for them.
			dir := t.TempDir()
			file := filepath.Join(dir, name)
			stub := filepath.Join(dir, "program")
			program, _, _ := strings.Cut(value(t, name, text, "ExecStart"), " ")
			write(t, file, strings.ReplaceAll(text, "ExecStart="+program, "ExecStart="+stub), 0o644)
			write(t, stub, "#!/bin/sh\n", 0o755)
			out, err := analyze(t, "verify", "--man=no", file).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("systemd-analyze verify: %v, and it says\n%s\nwant nothing", err, out)
			}
		})
	}
}

func TestUnitsMayDoLittle(t *testing.T) {
	for name, text := range units(t) {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			write(t, file, text, 0o644)
			out, err := analyze(t, "security", "--offline=true", "--json=short", file).Output()
			if err != nil {
				t.Fatalf("systemd-analyze security: %v", err)
			}
			var checks []struct {
				Name     string  `json:"name"`
				Exposure *string `json:"exposure"`
			}
			if err := json.Unmarshal(out, &checks); err != nil || len(checks) < 50 {
				t.Fatalf("got %d checks and error %v, want about 80", len(checks), err)
			}
			verdict, err := analyze(t, "security", "--offline=true", "--no-pager", file).Output()
			if err != nil {
				t.Fatal(err)
			}
			_, after, ok := strings.Cut(string(verdict), "Overall exposure level for "+name+": ")
			score := math.NaN()
			if ok {
				score, _ = strconv.ParseFloat(strings.Fields(after)[0], 64)
			}
			t.Logf("exposure %v", score)
			if math.IsNaN(score) || score > mostExposed {
				t.Errorf("got exposure %v, want at most %v", score, mostExposed)
				for _, c := range checks {
					if c.Exposure != nil && *c.Exposure != "" {
						t.Logf("%s costs %s", c.Name, *c.Exposure)
					}
				}
			}
		})
	}
}

// units returns all units by name.
func units(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range []string{"tofuwatch.service", "tofuwatch-allinone.service"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	in := alertmanager.Input{
		Site:       mail.Site{Name: "semarang", TimeZone: time.UTC},
		Recipients: []alertmanager.Recipient{{Name: "Forum", Email: "forum@example.org", Language: "id", Severity: "warning"}},
		SMTP:       alertmanager.SMTP{Host: "mail.example.org", Port: 587, TLS: "starttls", From: "tofuwatch@example.org"},
		Ingester:   "127.0.0.1:9464",
		Dir:        "/etc/tofuwatch/rendered",
	}
	for _, render := range []func(alertmanager.Input) ([]alertmanager.File, error){alertmanager.Prometheus, alertmanager.Alertmanager} {
		files, err := render(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if filepath.Ext(f.Name) == ".service" {
				all[f.Name] = string(f.Data)
			}
		}
	}
	if got, want := len(all), 4; got != want {
		t.Fatalf("got %d units, want %d", got, want)
	}
	return all
}

// analyze returns a call of systemd-analyze, which needs no systemd that runs.
func analyze(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.Command(testenv.Program(t, "systemd-analyze"), args...)
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// setting returns the value of key in a shipped unit, where it stands once.
func setting(t *testing.T, unit, key string) string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	return value(t, unit, string(text), key)
}

// value returns the value of key in the text of a unit, where it stands once.
func value(t *testing.T, unit, text, key string) string {
	t.Helper()
	var values []string
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok && k == key {
			values = append(values, v)
		}
	}
	if len(values) != 1 {
		t.Fatalf("%s: got %d lines %s=, want 1", unit, len(values), key)
	}
	return values[0]
}
