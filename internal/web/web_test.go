package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tofuwatch/internal/web"
)

func TestErrorsQuoteNothingOfTheFile(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"not YAML":              {"basic_auth_users: {a: hunter2", "line 1: not what a web configuration has there"},
		"a list of users":       {"\nbasic_auth_users:\n  - hunter2\n", "line 3: not what a web configuration has there"},
		"an unknown key":        {"hunter2: 1\n", "line 1: not what a web configuration has there"},
		"a password":            {"basic_auth_users: {a: hunter2}\n", "a password in basic_auth_users is not hashed, or not by bcrypt"},
		"a long password":       {"basic_auth_users: {a: " + strings.Repeat("hunter2", 10) + "}\n", "a password in basic_auth_users is not hashed, or not by bcrypt"},
		"a key that is none":    {"tls_server_config: {cert: hunter2, key: hunter2}\n", "tls: failed to find any PEM data in certificate input"},
		"another kind of hash":  {"basic_auth_users: {a: $5$hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2hunter2}\n", "a password in basic_auth_users is not hashed, or not by bcrypt"},
		"a file that is absent": {"tls_server_config: {cert_file: none.pem, key_file: none.key}\n", "none.pem: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := web.Read(write(t, test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got error %v, want one with %q and nothing of the file", err, test.want)
			}
		})
	}
}

func TestUsersHaveTheirOwnPasswords(t *testing.T) {
	hash, err := web.Hash("hunter2")
	if err != nil {
		t.Fatal(err)
	}
	c, err := web.Read(write(t, "basic_auth_users: {prometheus: "+hash+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		username, password string
		want               bool
	}{{"prometheus", "hunter2", true}, {"prometheus", "hunter3", false}, {"prometheus", "", false}, {"", "hunter2", false}, {"admin", "hunter2", false}} {
		if got := c.Knows(test.username, test.password); got != test.want {
			t.Errorf("%q with %q: got known %t, want %t", test.username, test.password, got, test.want)
		}
	}
}

// A file that breaks while others ask does not fill the log.
func TestBrokenFileIsToldOnce(t *testing.T) {
	hash, err := web.Hash("hunter2")
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "basic_auth_users: {prometheus: "+hash+"}\n")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the metrics") })}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln, server, file, slog.New(slog.NewTextHandler(&log, nil))) }()
	ask := func() (status int, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("prometheus", "hunter2")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(data)
	}
	if status, body := ask(); status != http.StatusOK || body != "the metrics" {
		t.Errorf("got %d %q, want 200 and the metrics", status, body)
	}
	if err := os.WriteFile(file, []byte("basic_auth_users: [hunter2]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if status, body := ask(); status != http.StatusInternalServerError || strings.Contains(body, "hunter2") {
			t.Errorf("got %d %q, want 500 and nothing of the file", status, body)
		}
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := <-served, http.ErrServerClosed; !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "web configuration cannot be used, and nobody is let in") || strings.Contains(got, "hunter2") {
		t.Errorf("got log\n%swant one line, that the web configuration cannot be used, and nothing of it", got)
	}
}

// write returns the name of a web configuration with this text.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
