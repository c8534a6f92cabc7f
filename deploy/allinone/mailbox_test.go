package main

import (
	"context"
	"net/smtp"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// startMailbox runs a mailbox until the test ends and returns it, and what came.
func startMailbox(t testing.TB, dir string) (*mailbox, <-chan letter) {
	t.Helper()
	m, err := newMailbox(listenLoopback(t), dir, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	came := make(chan letter, 10)
	m.came = func(l letter) { came <- l }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("mailbox: %v", err)
		}
	})
	return m, came
}

const warningMail = "From: tofuwatch@localhost\r\nTo: forum@example.org\r\nSubject: =?utf-8?q?Peringatan:_BOD_1,8=C3=97_batas?=\r\n\r\n..Isi\r\n"

func TestMailboxKeepsMail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	m, came := startMailbox(t, dir)
	for range 2 {
		if err := smtp.SendMail(m.ln.Addr().String(), nil, "tofuwatch@localhost", []string{"Forum.Bajak@example.org"}, []byte(warningMail)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		l := <-came
		if l.to != "Forum.Bajak@example.org" || l.subject != "Peringatan: BOD 1,8× batas" {
			t.Errorf("got %+v, want its recipient and subject as people read them", l)
		}
		name := regexp.MustCompile(`^\d{8}T\d{6}\.\d{9}Z-forum-bajak-example-org-peringatan-bod-1-8-batas\.eml$`)
		if !name.MatchString(filepath.Base(l.file)) {
			t.Errorf("file: got %s, want %s", l.file, name)
		}
		text, err := os.ReadFile(l.file)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(text); got != warningMail {
			t.Errorf("got %q, want %q", got, warningMail)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("got %v, %v, want two files", files, err)
	}
}

func TestMailboxAcceptsNothingThatItCannotKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	m, came := startMailbox(t, dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	err := smtp.SendMail(m.ln.Addr().String(), nil, "tofuwatch@localhost", []string{"forum@example.org"}, []byte(warningMail))
	if err == nil || !strings.HasPrefix(err.Error(), "451") {
		t.Errorf("without a folder: got %v, want 451, on which the sender tries again", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err = smtp.SendMail(m.ln.Addr().String(), nil, "tofuwatch@localhost", []string{"forum@example.org"}, []byte("no header"))
	if err == nil || !strings.HasPrefix(err.Error(), "554") {
		t.Errorf("what is no mail: got %v, want 554", err)
	}
	if len(came) > 0 {
		t.Errorf("got %+v, want nothing", <-came)
	}
}

func TestSlug(t *testing.T) {
	for text, want := range map[string]string{
		"DARURAT: BOD 164× batas di Kali Tenggang": "darurat-bod-164-batas-di-kali-tenggang",
		"../../etc/passwd":                         "etc-passwd",
		"":                                         "",
		strings.Repeat("ab ", 40):                  strings.TrimSuffix(strings.Repeat("ab-", 20), "-"),
	} {
		if got := slug(text); got != want {
			t.Errorf("slug(%q): got %q, want %q", text, got, want)
		}
	}
}
