package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tofuwatch/internal/testenv"
)

// A watch is a network whose alerts are mailed: with Prometheus, Alertmanager
// and a mail server, each a process of its own, and the shipped configuration
// but for the ports.
type watch struct {
	*network
	mail         *testenv.MailServer
	alertmanager *testenv.Monitoring
	prometheus   *testenv.Monitoring
}

const recipients = `recipients:
  - {name: Forum, email: forum@example.org, language: id, rivers: [bajak]}
  - {name: Operator, email: operator@example.org, language: en}
  - {name: Elsewhere, email: elsewhere@example.org, stations: [bajak-2]}
`

func newWatch(t *testing.T) *watch {
	t.Helper()
	w := &watch{
		network: newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water"))),
		mail:    testenv.SMTP(t),
	}
	w.site.standard = "[id-permenlh-5-2014-tofu, id-jateng-5-2012-tofu]"
	w.site.mail = recipients + fmt.Sprintf("smtp: {host: %s, port: %d, tls: none, from: tofuwatch@example.org}\n", w.mail.Host, w.mail.Port)
	w.writeSite()
	w.ingest()

	dir := filepath.Dir(w.file)
	port := testenv.FreePort(t)
	for _, program := range []string{"alertmanager", "prometheus"} {
		out := filepath.Join(dir, program)
		if got := tofuwatch(t, "render", program, "--config", w.file, "--out", out); got.status != done {
			t.Fatalf("render %s: got exit status %d, want %d:\n%s", program, got.status, done, got.stderr)
		}
	}
	config := filepath.Join(dir, "prometheus", "prometheus.yml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, config, strings.ReplaceAll(string(text), "127.0.0.1:9093", fmt.Sprintf("127.0.0.1:%d", port)))
	w.alertmanager = testenv.Alertmanager(t, filepath.Join(dir, "alertmanager", "alertmanager.yml"), port)
	w.prometheus = testenv.Prometheus(t, config, testenv.FreePort(t))
	// A scrape has to have seen the station, as it has anywhere but in a test.
	testenv.Eventually(t, func() error {
		if !strings.Contains(testenv.Get(t, w.prometheus.URL+"/api/v1/query?query=tofuwatch_limit"), "ipal-01") {
			return fmt.Errorf("no limits in Prometheus yet")
		}
		return nil
	})
	return w
}

// measure publishes a value measured now.
func (w *watch) measure(station string, cod float64) {
	w.t.Helper()
	w.sendAll("tofu/"+station+"/readings", fmt.Sprintf(`{"time":%d,"cod":%v}`, time.Now().UnixMilli(), cod))
}

// mailed waits for a mail to a recipient.
func (w *watch) mailed(to string) testenv.Mail {
	w.t.Helper()
	var mail testenv.Mail
	testenv.Eventually(w.t, func() error {
		mails := w.mail.To(to)
		if len(mails) == 0 {
			return fmt.Errorf("no mail to %s", to)
		}
		mail = mails[0]
		return nil
	})
	return mail
}

// An emergency is mailed once to those whom it concerns, soon. One refused
// address silences nobody else, shows in Prometheus, and is tried again.
func TestEmergencyIsMailedOnce(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	w.mail.Refuse("operator@example.org", true)
	w.measure("ipal-01", 4200)
	published := time.Now()
	mail := w.mailed("forum@example.org")
	t.Logf("from publishing to the mail: %.1f s", mail.Received.Sub(published).Seconds())
	for _, part := range []string{mail.Text, mail.HTML} {
		for _, want := range []string{"Station ipal-01", "4.200", "275", "Perda", "WIB", "openstreetmap.org"} {
			if !strings.Contains(part, want) {
				t.Errorf("got a mail without %q:\n%s", want, part)
			}
		}
	}
	if !strings.HasPrefix(mail.Subject, "DARURAT") {
		t.Errorf("got subject %q, want it to start with DARURAT", mail.Subject)
	}

	testenv.Eventually(t, func() error {
		if !strings.Contains(testenv.Get(t, w.prometheus.URL+`/api/v1/query?query=alertmanager_notification_requests_failed_total%7Bintegration%3D%22email%22%7D%3E0`), `"email"`) {
			return fmt.Errorf("the refusal does not show in Prometheus")
		}
		return nil
	})
	w.mail.Refuse("operator@example.org", false)
	w.mailed("operator@example.org") // it was tried again

	for _, to := range []string{"forum@example.org", "operator@example.org"} {
		mails := w.mail.To(to)
		if len(mails) != 1 {
			t.Errorf("got %d mails to %s, want 1: %q", len(mails), to, subjects(mails))
		}
	}
	if mails := w.mail.To("elsewhere@example.org"); len(mails) > 0 {
		t.Errorf("got mails %q to somebody whom this does not concern", subjects(mails))
	}
	w.stop()
}

func subjects(mails []testenv.Mail) []string {
	var subjects []string
	for _, m := range mails {
		subjects = append(subjects, m.Subject)
	}
	return subjects
}
