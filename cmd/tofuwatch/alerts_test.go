package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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

	w.prometheus, w.alertmanager = testenv.Alerting(t, w.file)
	// A scrape has to have seen the station, as it has anywhere but in a test.
	w.prometheus.Await(`tofuwatch_limit{station="ipal-01"}`)
	return w
}

// measure publishes a value measured now.
func (w *watch) measure(station string, cod float64) {
	w.t.Helper()
	w.sendAll("tofu/"+station+"/readings", fmt.Sprintf(`{"time":%d,"cod":%v}`, time.Now().UnixMilli(), cod))
}

// emergencies returns the mails to a recipient that tell of an emergency.
func (w *watch) emergencies(to string) []testenv.Mail {
	return slices.DeleteFunc(w.mail.To(to), func(m testenv.Mail) bool {
		return !strings.HasPrefix(m.Subject, "DARURAT") && !strings.HasPrefix(m.Subject, "EMERGENCY")
	})
}

// mailed waits for the nth mail to a recipient that tells of an emergency.
func (w *watch) mailed(to string, n int) testenv.Mail {
	w.t.Helper()
	var mail testenv.Mail
	testenv.Within(w.t, 3*time.Minute, func() error {
		mails := w.emergencies(to)
		if len(mails) < n {
			return fmt.Errorf("got %d mails of emergencies to %s, want %d; have %q", len(mails), to, n, subjects(w.mail.To(to)))
		}
		mail = mails[n-1]
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
	mail := w.mailed("forum@example.org", 1)
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

	// Somebody whom mail reaches is told that it does not reach everybody.
	w.prometheus.Await(`ALERTS{alertname="MailFailing", alertstate="firing", reason=""}`)
	w.mail.Refuse("operator@example.org", false)
	w.mailed("operator@example.org", 1) // it was tried again

	for _, to := range []string{"forum@example.org", "operator@example.org"} {
		if mails := w.emergencies(to); len(mails) != 1 {
			t.Errorf("got %d mails of emergencies to %s, want 1: %q", len(mails), to, subjects(mails))
		}
	}
	if mails := w.mail.To("elsewhere@example.org"); len(mails) > 0 {
		t.Errorf("got mails %q to somebody whom this does not concern", subjects(mails))
	}
	w.stop()
}

// Any of them may die in the middle of an emergency, and is started again: the
// emergency is not told a second time, and not as over. Who could not be told
// before is told then.
func TestEmergencyOutlivesItsEngines(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		ingester func(*testenv.Process)
		engine   func(*testenv.Monitoring)
	}{
		"killed":  {(*testenv.Process).Kill, func(m *testenv.Monitoring) { m.Kill() }},
		"stopped": {func(p *testenv.Process) { p.Stop() }, func(m *testenv.Monitoring) { m.Stop() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(t)
			w.mail.Refuse("operator@example.org", true)
			w.measure("ipal-01", 4200)
			w.mailed("forum@example.org", 1)
			// Nine and a half times the limit raises no emergency, and ends none: from
			// here it goes on only as long as Prometheus remembers it.
			w.measure("ipal-01", 2600)
			w.prometheus.Await(`tofuwatch_reading{station="ipal-01"} == 2600`)
			const firing = `ALERTS{alertname="EffluentOverLimit", alertstate="firing", severity="critical", station="ipal-01"}`

			end.ingester(w.ingester)
			w.ingest()
			w.prometheus.Await(`tofuwatch_reading{station="ipal-01"} == 2600`)
			w.prometheus.Await(firing)

			// What was told is on disk once it was saved: after a kill all older is.
			w.saved()
			end.engine(w.alertmanager)
			w.alertmanager.Start()

			end.engine(w.prometheus)
			w.prometheus.Start()
			// What Prometheus sends in its first seconds is lost, since it has not found
			// Alertmanager yet; it sends again after a minute.
			testenv.Within(t, 2*time.Minute, func() error {
				if body := testenv.Get(t, w.alertmanager.URL+"/api/v2/alerts"); !strings.Contains(body, "ipal-01") {
					return fmt.Errorf("Alertmanager does not know the emergency again: %s", body)
				}
				return nil
			})
			w.prometheus.Await(firing)

			w.mail.Refuse("operator@example.org", false)
			accepted := time.Now()
			mail := w.mailed("operator@example.org", 1)
			t.Logf("from when the address was accepted to its mail: %.1f s", mail.Received.Sub(accepted).Seconds())

			// What else there was to tell came before the news of another station.
			w.measure("ipal-02", 4200)
			w.mailed("forum@example.org", 2)
			w.mailed("operator@example.org", 2)
			for to, want := range map[string][]string{"forum@example.org": {"ipal-01", "ipal-02"}, "operator@example.org": {"ipal-01", "ipal-02"}} {
				mails := w.emergencies(to)
				if len(mails) != len(want) {
					t.Errorf("got mails %q of emergencies to %s, want one of each of %q", subjects(mails), to, want)
					continue
				}
				for i, m := range mails {
					if !strings.Contains(m.Text, want[i]) {
						t.Errorf("got mail %d to %s without %s:\n%s", i+1, to, want[i], m.Text)
					}
				}
			}
			const over = `count_over_time(ALERTS{alertname=~"LimitKeptAgain|EmergencyOver"}[1h])`
			if value, found := w.prometheus.Finds(over); found {
				t.Errorf("got an all-clear in %s evaluations, want none", value)
			}
			if value, found := w.prometheus.Finds(firing); !found {
				t.Errorf("got %s of %s, want it firing", value, firing)
			}
		})
	}
}

// Prometheus remembers what fired over an outage of nearly half an hour: one of
// its default flags would have it forget after five minutes.
func TestEmergencyOutlivesALongOutage(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	w.measure("ipal-01", 2600) // which raises none, and ends none
	w.prometheus.Await(`tofuwatch_reading{station="ipal-01"} == 2600`)
	w.prometheus.Stop()
	if mails := w.mail.Mails(); len(mails) > 0 {
		t.Fatalf("got mails %q before there was an emergency", subjects(mails))
	}

	// What Prometheus would have written until 27 minutes ago.
	var history strings.Builder
	history.WriteString("# TYPE ALERTS gauge\n")
	for at := time.Now().Add(-29 * time.Minute); time.Since(at) > 27*time.Minute; at = at.Add(5 * time.Second) {
		fmt.Fprintf(&history, `ALERTS{alertname="EffluentOverLimit",alertstate="firing",bound="max",kind="effluent",parameter="cod",river="bajak",severity="critical",standing="no",station="ipal-01",unit="mg/L"} 1 %d`+"\n", at.Unix())
	}
	history.WriteString("# EOF\n")
	file := filepath.Join(t.TempDir(), "history")
	writeFile(t, file, history.String())
	if out, err := exec.CommandContext(t.Context(), testenv.Program(t, "promtool"), "tsdb", "create-blocks-from", "openmetrics", file, w.prometheus.Data).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
	w.prometheus.Start()
	w.prometheus.Await(`last_over_time(ALERTS{alertname="EffluentOverLimit", alertstate="firing", severity="critical", station="ipal-01"}[30s])`)
}

// saved waits until Alertmanager has saved all that it has told until now.
func (w *watch) saved() {
	w.t.Helper()
	saves := func() int {
		for line := range strings.Lines(testenv.Get(w.t, w.alertmanager.URL+"/metrics")) {
			if value, ok := strings.CutPrefix(line, "alertmanager_nflog_maintenance_total "); ok {
				n, err := strconv.Atoi(strings.TrimSpace(value))
				if err != nil {
					w.t.Fatal(err)
				}
				return n
			}
		}
		w.t.Fatal("Alertmanager does not say how often it saved")
		return 0
	}
	before := saves()
	testenv.Eventually(w.t, func() error {
		// The next one may have begun before.
		if got := saves() - before; got < 2 {
			return fmt.Errorf("got %d saves, want 2", got)
		}
		return nil
	})
}

// A mail server that takes mail and never says so shows in Prometheus, since it
// cannot show in mail.
func TestStalledMailServerShows(t *testing.T) {
	t.Parallel()
	w := newWatch(t)
	w.mail.Stall(testenv.AfterData)
	w.measure("ipal-01", 4200)
	published := time.Now()
	w.prometheus.Await(`ALERTS{alertname="MailFailing", alertstate="firing", reason="unanswered"}`)
	t.Logf("from publishing to MailFailing: %.0f s", time.Since(published).Seconds())
	if got := w.mail.Mails(); len(got) > 0 {
		t.Errorf("got mails %q, want none", subjects(got))
	}
	w.mail.Stall(testenv.Never)
	for _, to := range []string{"forum@example.org", "operator@example.org"} {
		w.mailed(to, 1)
	}
}

func subjects(mails []testenv.Mail) []string {
	var subjects []string
	for _, m := range mails {
		subjects = append(subjects, m.Subject)
	}
	return subjects
}
