package alertmanager

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/alerts/mail"
	"tofuwatch/internal/testenv"
)

// samplesNow returns the samples by name, of alerts that begin now: Alertmanager
// lets the first of a group wait for others only as long as it is young.
func samplesNow() map[string]mail.Data {
	samples := make(map[string]mail.Data)
	begins := time.Now().Truncate(time.Second).Add(time.Second)
	for _, s := range mail.Samples("ipal-01", "bajak-hilir", begins.Add(time.Minute)) {
		samples[s.Name] = s.Data
	}
	return samples
}

// later is an end that no test sees.
func later() time.Time { return time.Now().Add(time.Hour) }

// ended is an end that has passed, or will have in a second.
func ended(as mail.Alerts) time.Time { return as[0].StartsAt }

// start starts Alertmanager with the configuration and the unit of in.
func start(t *testing.T, in Input) *testenv.Monitoring {
	t.Helper()
	render(t, in)
	return testenv.Alertmanager(t, filepath.Join(in.Dir, "tofuwatch-alertmanager.service"), testenv.FreePort(t))
}

// post tells Alertmanager of alerts, as Prometheus does. They fire until ends.
func post(t *testing.T, url string, alerts mail.Alerts, ends time.Time) {
	t.Helper()
	type posted struct {
		mail.Alert
		EndsAt time.Time `json:"endsAt"`
	}
	var all []posted
	for _, a := range alerts {
		all = append(all, posted{a, ends})
	}
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(resp.Body)
		t.Fatalf("post alerts: got %s: %s", resp.Status, answer)
	}
}

// quick is an input whose waits a test has, and whose digest comes now: it is
// noon in its time zone, or nearly.
func quick(t *testing.T, server *testenv.MailServer) Input {
	t.Helper()
	in := input(t, t.TempDir())
	zone, err := time.LoadLocation(fmt.Sprintf("Etc/GMT%+d", time.Now().UTC().Hour()-12)) // the sign is as POSIX has it
	if err != nil {
		t.Fatal(err)
	}
	in.TimeZone = zone
	in.SMTP = SMTP{Host: server.Host, Port: server.Port, TLS: "none", From: "tofuwatch@example.org"}
	in.Times = Times{
		Scrape: time.Second, Evaluation: time.Second,
		EmergencyWait: time.Second, EmergencyInterval: time.Second, WarningWait: time.Second, WarningInterval: time.Second,
		SensorWait: time.Second, SensorInterval: time.Second, KeptWait: time.Second, KeptInterval: time.Second,
		SystemWait: time.Second, SystemInterval: time.Second,
		DigestAt: 10 * time.Hour, DigestInterval: 4 * time.Hour,
		RepeatDaily: time.Hour, RepeatWeekly: time.Hour, Retention: 24 * time.Hour,
	}
	return in
}

// Alertmanager sends what the renderer says, to each in their language, and
// nothing when an alert ends.
func TestDelivery(t *testing.T) {
	server := testenv.SMTP(t)
	server.Refuse("budi@example.org", true) // and nobody else waits for that
	in := quick(t, server)
	url := start(t, in).URL
	renderer, err := mail.NewRenderer(in.Site)
	if err != nil {
		t.Fatal(err)
	}
	everybody := []mailTo{{"sri@example.org", "id"}, {"operator@example.org", "en"}, {"admin@example.org", "en"}}
	warned := []mailTo{{"sri@example.org", "id"}, {"admin@example.org", "en"}}
	for _, step := range []struct {
		sample string
		to     []mailTo
	}{
		{"sudden-change", warned}, // on the river, where the operator has no station
		{"treatment-upset", everybody},
		{"sensor-silent", warned},
		{"ingester-down", everybody}, // last, since it is no news of sensors
	} {
		data := samplesNow()[step.sample]
		post(t, url, data.Alerts, later())
		for _, to := range step.to {
			want, err := renderer.Message(to.language, data)
			if err != nil {
				t.Fatal(err)
			}
			var got mail.Message
			testenv.Eventually(t, func() error {
				for _, m := range server.To(to.address) {
					if m.Subject == want.Subject {
						got = mail.Message{Subject: m.Subject, Text: m.Text, HTML: m.HTML}
						return nil
					}
				}
				return fmt.Errorf("%s: no mail %q; have %q", to.address, want.Subject, subjects(server.To(to.address)))
			})
			// The alerts of a mail come in Alertmanager's own order, and quoted
			// printable drops nothing but the last end of line.
			if diff := cmp.Diff(lines(want.Text), lines(got.Text)); diff != "" {
				t.Errorf("%s to %s, lines in order (-want +got):\n%s", step.sample, to.address, diff)
			}
			if diff := cmp.Diff(lines(want.HTML), lines(got.HTML)); diff != "" {
				t.Errorf("%s to %s, HTML lines in order (-want +got):\n%s", step.sample, to.address, diff)
			}
		}
		post(t, url, data.Alerts, ended(data.Alerts))
	}

	// One more alert: once its mail is there, mail of an end would be too.
	post(t, url, samplesNow()["mail-failing"].Alerts, later())
	testenv.Eventually(t, func() error {
		if got := len(server.To("admin@example.org")); got < 5 {
			return fmt.Errorf("admin@example.org: got %d mails, want 5", got)
		}
		return nil
	})
	for address, want := range map[string]int{"sri@example.org": 4, "operator@example.org": 2, "admin@example.org": 5, "budi@example.org": 0} {
		if got := server.To(address); len(got) != want {
			t.Errorf("%s: got mails %q, want %d", address, subjects(got), want)
		}
	}
}

type mailTo struct{ address, language string }

func subjects(mails []testenv.Mail) []string {
	var all []string
	for _, m := range mails {
		all = append(all, m.Subject)
	}
	return all
}

// lines returns the lines that are not empty, sorted.
func lines(s string) []string {
	return slices.Sorted(slices.Values(slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })))
}

// The digest is one mail for all that is past its limit as always; outside its
// hours there is none.
func TestDigest(t *testing.T) {
	for name, inside := range map[string]bool{"in its hours": true, "outside them": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testenv.SMTP(t)
			in := quick(t, server)
			if !inside {
				in.Times.DigestAt, in.Times.DigestInterval = 2*time.Hour, time.Minute
			}
			url := start(t, in).URL
			post(t, url, samplesNow()["daily-digest"].Alerts, later())
			if inside {
				testenv.Eventually(t, func() error {
					if got := len(server.To("sri@example.org")); got != 1 {
						return fmt.Errorf("got %d mails, want 1", got)
					}
					return nil
				})
			}
			// What is told a second after the digest was due comes after it.
			post(t, url, samplesNow()["ingester-down"].Alerts, later())
			var got []testenv.Mail
			testenv.Eventually(t, func() error {
				got = server.To("sri@example.org")
				if n := len(got); n == 0 || !strings.HasPrefix(got[n-1].Subject, "Tidak ada data") {
					return fmt.Errorf("got mails %q, want one that nobody watches", subjects(got))
				}
				return nil
			})
			want := []string{"Ringkasan harian: 4 nilai di luar batas", "Tidak ada data: pemantauan berhenti"}
			if !inside {
				want = want[1:]
			}
			if diff := cmp.Diff(want, subjects(got)); diff != "" {
				t.Errorf("subjects (-want +got):\n%s", diff)
			}
		})
	}
}

// With the intervals as they are shipped, mail comes within half a minute of what
// the rule waits: a scrape and an evaluation of which this knows only that they are
// due, and what Alertmanager takes. That a warning's rule waits ten minutes, and no
// more, is in alerts/rules/limits_test.yml.
func TestWarningIsMailedSoon(t *testing.T) {
	t.Parallel()
	server := testenv.SMTP(t)
	in := quick(t, server)
	in.Times = DefaultTimes()
	url := start(t, in).URL
	alerts := samplesNow()["effluent-over-limit"].Alerts
	begun := time.Now()
	post(t, url, alerts, later())
	var mails []testenv.Mail
	testenv.Eventually(t, func() error {
		if mails = server.To("sri@example.org"); len(mails) == 0 {
			return errors.New("no mail yet")
		}
		return nil
	})
	took := mails[0].Received.Sub(begun) + in.Times.Scrape + in.Times.Evaluation
	t.Logf("from a reading that a warning's rule has waited for to the mail: at most %.1f s", took.Seconds())
	if took > 30*time.Second {
		t.Errorf("got the mail after %v, want it within 30 s", took)
	}
}
