package alertmanager

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tofuwatch/internal/testenv"
)

// told is who is told of the sample "sudden-change", which is an emergency.
var told = []string{"sri@example.org", "budi@example.org", "admin@example.org"}

// counts are Alertmanager's own counters of one kind of notification.
type counts struct {
	begun, tried, failed int // tried and failed count every attempt, once it is over
}

// counted returns what Alertmanager has counted for an integration.
func counted(t *testing.T, url, integration string) counts {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(testenv.Get(t, url+"/metrics")))
	if err != nil {
		t.Fatal(err)
	}
	count := func(name string) int {
		family := families["alertmanager_"+name]
		i := slices.IndexFunc(family.GetMetric(), func(m *dto.Metric) bool { return m.Label[0].GetValue() == integration })
		if i < 0 {
			t.Fatalf("no metric alertmanager_%s of %s", name, integration)
		}
		return int(family.Metric[i].Counter.GetValue())
	}
	return counts{count("notifications_total"), count("notification_requests_total"), count("notification_requests_failed_total")}
}

// mailedOnce waits for a mail to each of told, and fails the test if one of
// them has two.
func mailedOnce(t *testing.T, server *testenv.MailServer) {
	t.Helper()
	testenv.Eventually(t, func() error {
		for _, to := range told {
			if len(server.To(to)) == 0 {
				return fmt.Errorf("no mail to %s; have %q", to, subjects(server.Mails()))
			}
		}
		return nil
	})
	if got := server.Mails(); len(got) != len(told) {
		t.Errorf("got %d mails, want one to each of %d: %q", len(got), len(told), subjects(got))
	}
}

// witness returns a server that answers every POST with 200, and what counts them.
func witness(t *testing.T) (url string, told *atomic.Int64) {
	t.Helper()
	told = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			told.Add(1)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	t.Cleanup(server.Close)
	return server.URL, told
}

// A mail that is refused is tried again, and counted for MailFailing. Nobody
// else waits for it, and none comes twice.
func TestMailServerThatRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault func(s *testenv.MailServer, fails bool)
		first []string // who gets theirs meanwhile
	}{
		"everything, at its end": {func(s *testenv.MailServer, fails bool) { s.FailAfterData(fails) }, nil},
		"one recipient":          {func(s *testenv.MailServer, fails bool) { s.Refuse(told[1], fails) }, []string{told[0], told[2]}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testenv.SMTP(t)
			test.fault(server, true)
			url := start(t, quick(t, server)).URL
			post(t, url, samplesNow()["sudden-change"].Alerts, later())
			testenv.Eventually(t, func() error {
				for _, to := range test.first {
					if len(server.To(to)) == 0 {
						return fmt.Errorf("no mail to %s", to)
					}
				}
				// MailFailing wants three in a quarter of an hour.
				if got := counted(t, url, "email"); got.failed < 3 {
					return fmt.Errorf("got %+v, want at least 3 failed", got)
				}
				return nil
			})
			if got := server.Mails(); len(got) != len(test.first) {
				t.Errorf("got mails %q while it refuses, want %d", subjects(got), len(test.first))
			}
			test.fault(server, false)
			mailedOnce(t, server)
		})
	}
}

// A mail server that takes connections and says nothing has Alertmanager wait
// without end: it counts nothing, and marks nothing as sent. What it was told
// beside shows that. Once either of the two is started again, all comes once.
func TestMailServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at      testenv.Moment
		restart bool // Alertmanager; else the mail server
	}{
		"at its greeting":                           {testenv.AtGreeting, false},
		"to the sender's address":                   {testenv.AtMail, false},
		"after the mail":                            {testenv.AfterData, false},
		"after the mail, until Alertmanager is new": {testenv.AfterData, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := testenv.SMTP(t)
			server.Stall(test.at)
			in := quick(t, server)
			var witnessed *atomic.Int64
			in.Witness, witnessed = witness(t)
			a := start(t, in)
			alerts := samplesNow()["sudden-change"].Alerts
			post(t, a.URL, alerts, later())
			// system_test.yml has MailFailing made from this.
			testenv.Eventually(t, func() error {
				want := counts{begun: len(told), tried: len(told)}
				if got := counted(t, a.URL, "webhook"); got != want || witnessed.Load() != int64(len(told)) {
					return fmt.Errorf("got %+v of the witness, who saw %d, want %+v", got, witnessed.Load(), want)
				}
				want = counts{begun: len(told)}
				if got := counted(t, a.URL, "email"); got != want {
					return fmt.Errorf("got %+v of mail while nobody answers, want %+v", got, want)
				}
				return nil
			})
			if test.restart {
				a.Stop()
				server.Stall(testenv.Never)
				a.Start()
				post(t, a.URL, alerts, later())
			} else {
				server.Stall(testenv.Never)
			}
			mailedOnce(t, server)
			if got := witnessed.Load(); got != int64(len(told)) {
				t.Errorf("got the witness told %d times, want %d", got, len(told))
			}
		})
	}
}

// Encrypted by STARTTLS, with a login. An authority of one's own is one that the
// machine has to know.
func TestMailOverSTARTTLS(t *testing.T) {
	server := testenv.SMTP(t, testenv.WithSTARTTLS(), testenv.WithLogin("tofuwatch", "secret"))
	in := quick(t, server)
	in.SMTP.TLS, in.SMTP.Username, in.SMTP.Password = "starttls", "tofuwatch", "secret"
	alerts := samplesNow()["sudden-change"].Alerts

	stranger := start(t, in)
	post(t, stranger.URL, alerts, later())
	testenv.Eventually(t, func() error {
		if got := counted(t, stranger.URL, "email"); got.failed < 3 {
			return fmt.Errorf("got %+v with a certificate by somebody unknown, want failures", got)
		}
		return nil
	})
	stranger.Stop()
	if got := server.Mails(); len(got) > 0 {
		t.Errorf("got mails %q through a certificate by somebody unknown, want none", subjects(got))
	}

	t.Setenv("SSL_CERT_FILE", server.TLS.CAFile)
	post(t, start(t, in).URL, alerts, later())
	mailedOnce(t, server)
}

// Alertmanager 0.28 encrypts from the first byte on port 465, and on no other.
func TestMailOverImplicitTLS(t *testing.T) {
	if !testenv.Loopback(t, "127.0.0.1:465") {
		return // and was run where it may
	}
	server := testenv.SMTP(t, testenv.WithPort(465), testenv.WithImplicitTLS(), testenv.WithLogin("tofuwatch", "secret"))
	in := quick(t, server)
	in.SMTP.TLS, in.SMTP.Username, in.SMTP.Password = "implicit", "tofuwatch", "secret"
	t.Setenv("SSL_CERT_FILE", server.TLS.CAFile)
	post(t, start(t, in).URL, samplesNow()["sudden-change"].Alerts, later())
	mailedOnce(t, server)
}
