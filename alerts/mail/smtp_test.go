package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

// server returns the mail server as a site would name it, with a patience that
// a test has too.
func server(t *testing.T, m *testenv.MailServer, encryption string) Server {
	t.Helper()
	s := Server{Host: m.Host, Port: m.Port, TLS: encryption, From: "tofuwatch@example.org", Patience: 2 * time.Second}
	if m.TLS.CAFile != "" {
		pem, err := os.ReadFile(m.TLS.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		s.Trust = x509.NewCertPool()
		s.Trust.AppendCertsFromPEM(pem)
	}
	return s
}

var people = []string{"sri@example.org", "budi@example.org"}

func TestCheckSMTP(t *testing.T) {
	login := testenv.WithLogin("tofuwatch", "secret")
	for _, test := range []struct {
		name       string
		options    []testenv.MailOption
		encryption string
		change     func(*testenv.MailServer, *Server)
		want       []string // each in the error; nil: none
	}{
		{
			name: "STARTTLS and login", options: []testenv.MailOption{testenv.WithSTARTTLS(), login}, encryption: "starttls",
			change: func(_ *testenv.MailServer, s *Server) { s.Username, s.Password = "tofuwatch", "secret" },
		},
		{
			name: "implicit TLS and login", options: []testenv.MailOption{testenv.WithImplicitTLS(), login}, encryption: "implicit",
			change: func(_ *testenv.MailServer, s *Server) { s.Username, s.Password = "tofuwatch", "secret" },
		},
		{name: "no encryption on this machine", encryption: "none"},
		{
			name: "nothing listens", encryption: "none",
			change: func(_ *testenv.MailServer, s *Server) { s.Port = testenv.FreePort(t) },
			want:   []string{"connect to 127.0.0.1:", "connection refused; want host and port of a server that takes mail"},
		},
		{
			name: "implicit TLS where STARTTLS is wanted", options: []testenv.MailOption{testenv.WithSTARTTLS()}, encryption: "implicit",
			want: []string{"speak TLS from the start with 127.0.0.1:", "the server does not speak TLS from the start; want smtp.tls: starttls"},
		},
		{
			name: "STARTTLS where implicit TLS is wanted", options: []testenv.MailOption{testenv.WithImplicitTLS()}, encryption: "starttls",
			want: []string{"wait for the greeting of 127.0.0.1:", "none within 2s", "want smtp.tls: implicit, usually on port 465"},
		},
		{
			name: "STARTTLS where there is none", encryption: "starttls",
			want: []string{"encrypt: 127.0.0.1:", "offers no STARTTLS; want smtp.tls: implicit"},
		},
		{
			name: "a certificate by somebody unknown", options: []testenv.MailOption{testenv.WithSTARTTLS()}, encryption: "starttls",
			change: func(_ *testenv.MailServer, s *Server) { s.Trust = x509.NewCertPool() },
			want:   []string{"this machine does not know who signed its certificate"},
		},
		{
			name: "a wrong password", options: []testenv.MailOption{testenv.WithSTARTTLS(), login}, encryption: "starttls",
			change: func(_ *testenv.MailServer, s *Server) { s.Username, s.Password = "tofuwatch", "wrong" },
			want:   []string{"log in as tofuwatch: refused: 535", "want smtp.username and the password that belongs to it"},
		},
		{
			name: "a login where there is none", encryption: "none",
			change: func(_ *testenv.MailServer, s *Server) { s.Username, s.Password = "tofuwatch", "secret" },
			want:   []string{"log in as tofuwatch: 127.0.0.1:", "offers no login like this; want no smtp.username"},
		},
		{
			name: "no login where one is wanted", options: []testenv.MailOption{login}, encryption: "none",
			want: []string{"send as tofuwatch@example.org: refused: 530", "want smtp.username and smtp.password_file"},
		},
		{
			name: "a recipient who is refused", encryption: "none",
			change: func(m *testenv.MailServer, _ *Server) { m.Refuse("sri@example.org", true) },
			want:   []string{"send to sri@example.org: refused: 550"},
		},
		{
			name: "a server that stalls", encryption: "none",
			change: func(m *testenv.MailServer, _ *Server) { m.Stall(testenv.AtMail) },
			want:   []string{"send as tofuwatch@example.org: 127.0.0.1:", "does not answer within 2s"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := testenv.SMTP(t, test.options...)
			s := server(t, m, test.encryption)
			if test.change != nil {
				test.change(m, &s)
			}
			err := CheckSMTP(t.Context(), s, people)
			if (err != nil) != (test.want != nil) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want %q in it", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "budi") {
				t.Errorf("got error %q, want nothing about who is not refused", err)
			}
			if got := m.Mails(); len(got) != 0 {
				t.Errorf("got %d mails, want none: it was a check", len(got))
			}
		})
	}
}

func TestCheckSMTPEndsWithItsContext(t *testing.T) {
	m := testenv.SMTP(t)
	m.Stall(testenv.AtMail)
	s := server(t, m, "none")
	s.Patience = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := CheckSMTP(ctx, s, people); err == nil {
		t.Error("got no error from a server that stalls")
	}
}

func TestSend(t *testing.T) {
	want := Message{Subject: "DARURAT: COD 14× batas di IPAL Bajak", Text: "Tidak ada data — ini BUKAN tanda aman.\n", HTML: "<p>µS/cm</p>\n"}
	m := testenv.SMTP(t, testenv.WithSTARTTLS(), testenv.WithLogin("tofuwatch", "secret"))
	s := server(t, m, "starttls")
	s.Username, s.Password = "tofuwatch", "secret"
	if err := Send(t.Context(), s, "sri@example.org", "id", want); err != nil {
		t.Fatal(err)
	}
	mails := m.Mails()
	if len(mails) != 1 {
		t.Fatalf("got %d mails, want 1", len(mails))
	}
	got := mails[0]
	if diff := cmp.Diff(want, Message{got.Subject, got.Text, got.HTML}); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{
		"From": "Tofuwatch <tofuwatch@example.org>", "To": "sri@example.org",
		"Auto-Submitted": "auto-generated", "Content-Language": "id",
	} {
		if got := got.Header.Get(key); got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	if got.From != "tofuwatch@example.org" || got.To != "sri@example.org" {
		t.Errorf("got envelope from %q to %q, want from tofuwatch@example.org to sri@example.org", got.From, got.To)
	}
	if _, err := got.Header.Date(); err != nil {
		t.Errorf("got date %q: %v", got.Header.Get("Date"), err)
	}
}

func TestSendTellsOfMailRefusedAtItsEnd(t *testing.T) {
	m := testenv.SMTP(t)
	m.FailAfterData(true)
	err := Send(t.Context(), server(t, m, "none"), "sri@example.org", "id", Message{"s", "t", "h"})
	if err == nil || !strings.Contains(err.Error(), "take the mail: refused for now: 451") {
		t.Errorf("got error %v, want one that says that the mail was refused", err)
	}
	if got := m.Mails(); len(got) != 0 {
		t.Errorf("got %d mails, want none", len(got))
	}
}

func TestLoginAuth(t *testing.T) {
	a := &loginAuth{"tofuwatch", "secret"}
	for question, want := range map[string]string{"Username:": "tofuwatch", "User Name\x00": "tofuwatch", "Password:": "secret"} {
		got, err := a.Next([]byte(question), true)
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", question, got, err, want)
		}
	}
	if _, err := a.Next([]byte("Favourite colour?"), true); err == nil {
		t.Error("got an answer to a question that is none of a login's")
	}
}

func TestEncodeIsAMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		raw, err := encode("tofuwatch@example.org", "sri@example.org", "id", Message{"Peringatan: µ", strings.Repeat("x", 2000), "<p>"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if len(line) > 998 {
				t.Errorf("got a line of %d bytes, want 998 at the most (RFC 5322, 2.1.1)", len(line))
			}
			if !strings.HasSuffix(line, "\n") || strings.ContainsFunc(line, func(r rune) bool { return r > 126 }) {
				t.Errorf("got line %q, want ASCII", line)
			}
		}
	})
}

func TestCertificateFaultsInWords(t *testing.T) {
	s := Server{Host: "mail.example.org", Port: 465}
	for _, test := range []struct {
		err  error
		want string
	}{
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"smtp.example.org"}}, Host: "mail.example.org"}, "want as smtp.host the name that is in its certificate"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, "want a certificate that is valid today"},
		{context.DeadlineExceeded, "the server does not answer"},
		{errors.New("no common cipher"), "want a server that speaks TLS 1.2 or later"},
	} {
		if got := s.tlsFault("encrypt", test.err, "").Error(); !strings.Contains(got, test.want) {
			t.Errorf("%v: got %q, want %q in it", test.err, got, test.want)
		}
	}
}
