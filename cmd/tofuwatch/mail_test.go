package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"tofuwatch/alerts/mail"
	"tofuwatch/alerts/rules"
	"tofuwatch/internal/site"
	"tofuwatch/internal/testenv"
)

// mailSiteFile writes a site file with two recipients, whose mail goes to m.
func mailSiteFile(t *testing.T, m *testenv.MailServer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "site.yaml")
	writeFile(t, file, fmt.Sprintf(`site: semarang
mqtt: {broker: "tcp://127.0.0.1:1883", client_id: tofuwatch-semarang}
influxdb: {url: "http://127.0.0.1:8086", bucket: water}
stations:
  - {id: ipal-01, name: IPAL Bajak, river: bajak, kind: effluent, standard: id-permenlh-5-2014-tofu}
  - {id: bajak-1, name: Jembatan Bajak, river: bajak, kind: river, latitude: -7.0051, longitude: 110.4381}
recipients:
  - {name: Ibu Sri, email: sri@example.org, rivers: [bajak]}
  - {name: Operator, email: operator@example.org, language: en}
smtp: {host: 127.0.0.1, port: %d, tls: none, from: tofuwatch@example.org}
`, m.Port))
	return file
}

// execute runs one command and returns its standard output.
func execute(t *testing.T, cmd *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var stdout bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetOut(&stdout)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(t.Context())
	return stdout.String(), err
}

func TestMailTest(t *testing.T) {
	t.Parallel()
	m := testenv.SMTP(t)
	file := mailSiteFile(t, m)
	stdout, err := execute(t, mailCommand(), "test", "--config", file, "--to", "ibu sri")
	if err != nil {
		t.Fatal(err)
	}
	mails := m.Mails()
	if got, want := len(mails), len(mail.Samples("", "", time.Now())); got != want {
		t.Errorf("got %d mails, want %d: one of each", got, want)
	}
	var told strings.Builder
	for _, m := range mails {
		if m.To != "sri@example.org" || !strings.HasPrefix(m.Subject, "CONTOH: ") {
			t.Errorf("got mail %q to %s, want a sample in Indonesian to sri@example.org", m.Subject, m.To)
		}
		fmt.Fprintf(&told, "sent to sri@example.org: %s\n", m.Subject)
	}
	if diff := cmp.Diff(told.String(), stdout); diff != "" {
		t.Errorf("standard output (-want +got):\n%s", diff)
	}
	if !strings.Contains(stdout, "IPAL Bajak") || !strings.Contains(stdout, "Jembatan Bajak") {
		t.Errorf("got %q, want the site's own stations in it", stdout)
	}
}

func TestMailTestFaults(t *testing.T) {
	t.Parallel()
	m := testenv.SMTP(t)
	m.Refuse("operator@example.org", true)
	file := mailSiteFile(t, m)
	for to, want := range map[string]string{
		"Pak Budi": file + `: no recipient "Pak Budi"; have "Ibu Sri", "Operator"`,
		"Operator": "send to operator@example.org: refused: 550",
	} {
		if _, err := execute(t, mailCommand(), "test", "--config", file, "--to", to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("to %s: got error %v, want %q in it", to, err, want)
		}
	}
}

func TestCheckMail(t *testing.T) {
	t.Parallel()
	m := testenv.SMTP(t)
	s, err := site.Load(mailSiteFile(t, m), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if err := checkMail(t.Context(), s); err != nil {
		t.Errorf("got error %v, want none", err)
	}
	m.Refuse("sri@example.org", true)
	if err := checkMail(t.Context(), s); err == nil || !strings.Contains(err.Error(), "send to sri@example.org: refused: 550") {
		t.Errorf("got error %v, want one about sri@example.org", err)
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	file := mailSiteFile(t, testenv.SMTP(t))
	byName, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	var ruleFiles []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		ruleFiles = append(ruleFiles, filepath.Join("rules", name))
	}
	for program, want := range map[string][]string{
		"alertmanager": {"tofuwatch.tmpl", "alertmanager.yml", "tofuwatch-alertmanager.service"},
		"prometheus":   append(ruleFiles, "prometheus.yml", "tofuwatch-prometheus.service"),
		"mosquitto":    {"mosquitto.conf"},
	} {
		dir := filepath.Join(t.TempDir(), "new", program)
		stdout, err := execute(t, renderCommand(), program, "--config", file, "--out", dir)
		if err != nil {
			t.Errorf("%s: %v", program, err)
			continue
		}
		var lines strings.Builder
		for _, name := range want {
			path := filepath.Join(dir, name)
			fmt.Fprintln(&lines, path)
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				t.Errorf("%s: got %v, want a file with something in it", path, err)
			}
		}
		if diff := cmp.Diff(lines.String(), stdout); diff != "" {
			t.Errorf("%s: standard output (-want +got):\n%s", program, diff)
		}
	}
}
