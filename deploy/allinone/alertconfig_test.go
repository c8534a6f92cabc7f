package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/site"
)

// loadSite loads a site file with these recipients and mail server.
func loadSite(t testing.TB, more string) *site.Site {
	t.Helper()
	file := writeSite(t, "tcp://127.0.0.1:1883", "http://127.0.0.1:8086", "")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, more...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(file, func(name string) string {
		return map[string]string{"TOFUWATCH_SMTP_PASSWORD": "secret"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAlertmanagerConfig(t *testing.T) {
	s := loadSite(t, `recipients:
  - {name: Forum, email: forum@example.org, language: id, rivers: [bajak], severity: warning}
smtp: {host: mail.example.org, port: 587, tls: starttls, from: tofuwatch@example.org, username: tofuwatch}
`)
	dir := t.TempDir()
	c, err := alertmanagerConfig(s, s.SMTP, dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range c.Receivers {
		names = append(names, r.Name)
	}
	if diff := cmp.Diff(names, []string{"nobody", "Forum"}); diff != "" {
		t.Fatalf("receivers (-got +want):\n%s", diff)
	}
	mail := c.Receivers[1].EmailConfigs[0]
	if got := mail.To + " by " + mail.Smarthost.String(); got != "forum@example.org by mail.example.org:587" {
		t.Errorf("mail: got %s", got)
	}
	if !*mail.RequireTLS || mail.AuthPasswordFile != filepath.Join(dir, "smtp.password") {
		t.Errorf("mail: got TLS %v, password file %s, want both", *mail.RequireTLS, mail.AuthPasswordFile)
	}
	if got := time.Duration(*c.Route.Routes[0].Routes[0].GroupWait); got != time.Second {
		t.Errorf("an emergency: got a wait of %s, want 1s", got)
	}
	if len(c.TimeIntervals) == 0 {
		t.Error("got no time for the digest")
	}
}

func TestAlertmanagerConfigWithoutRecipients(t *testing.T) {
	s := loadSite(t, "")
	c, err := alertmanagerConfig(s, &site.SMTP{Host: "127.0.0.1", Port: 1025, TLS: "none", From: "tofuwatch@localhost"}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Route.Receiver; got != "nobody" || len(c.Route.Routes) > 0 || len(c.Receivers[0].EmailConfigs) > 0 {
		t.Errorf("got route %+v to %+v, want that nobody is told", c.Route, c.Receivers)
	}
}
