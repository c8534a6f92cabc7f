package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tofuwatch/internal/testenv"
)

// openNetwork is a network whose ingester listens on every address of the machine,
// as "tofuwatch web" has prepared it in the folder web.
func openNetwork(t *testing.T) (n *network, web string) {
	t.Helper()
	n = newNetwork(t, testenv.Mosquitto(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))
	web = filepath.Join(filepath.Dir(n.file), "web")
	made := tofuwatch(t, "web", "--out", web, "--host", "metrics.example.org")
	if made.status != done || made.stderr != "" {
		t.Fatalf("web: status %d: %s", made.status, made.stderr)
	}
	// What it prints is what belongs into the site file.
	_, lines, _ := strings.Cut(made.stdout, "  web_config_file:")
	_, port, _ := strings.Cut(n.site.listen, ":")
	n.site.listen = "0.0.0.0:" + port
	n.site.http = ", web_config_file: " + strings.ReplaceAll(strings.TrimSpace(lines), "\n  ", ", ")
	n.writeSite()
	return n, web
}

// ready waits until "tofuwatch ready" says so.
func (n *network) ready() {
	n.t.Helper()
	testenv.Within(n.t, 30*time.Second, func() error {
		if n.ingester.State() != nil {
			n.t.Fatalf("the ingester ended (%v):\n%s", n.ingester.State(), n.ingester.Stderr())
		}
		if end := tofuwatch(n.t, "ready", "--config", n.file); end.status != done {
			return errors.New(end.stderr)
		}
		return nil
	})
}

func TestOtherMachinesNeedTLSAndALogin(t *testing.T) {
	t.Parallel()
	n, web := openNetwork(t)
	if end := tofuwatch(t, "check", "--config", n.file); end.status != done {
		t.Fatalf("check: status %d: %s", end.status, end.stderr)
	}
	n.ingester = testenv.Start(t, exec.Command(testenv.Command(t), "ingest", "--config", n.file, "--verbose"))
	n.ready()
	if end := tofuwatch(t, "ready", "--alive", "--config", n.file); end.status != done {
		t.Errorf("ready --alive: status %d: %s", end.status, end.stderr)
	}

	pem, err := os.ReadFile(filepath.Join(web, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	password := strings.TrimSpace(readFile(t, filepath.Join(web, "http.password")))
	_, port, _ := strings.Cut(n.site.listen, ":")
	trusting := &tls.Config{RootCAs: roots, ServerName: "metrics.example.org"}
	for name, attempt := range map[string]struct {
		scheme, user, password string
		tls                    *tls.Config
		want                   int // status; 0: no answer
	}{
		"by the name it was made for": {"https", "prometheus", password, trusting, http.StatusOK},
		"from this machine":           {"https", "prometheus", password, &tls.Config{RootCAs: roots}, http.StatusOK},
		"unencrypted":                 {"http", "prometheus", password, nil, http.StatusBadRequest},
		"nobody":                      {"https", "", "", trusting, http.StatusUnauthorized},
		"with a wrong password":       {"https", "prometheus", "prometheus", trusting, http.StatusUnauthorized},
		"somebody else":               {"https", "admin", password, trusting, http.StatusUnauthorized},
		"by another name":             {"https", "prometheus", password, &tls.Config{RootCAs: roots, ServerName: "other.example.org"}, 0},
		"by one who trusts nobody":    {"https", "prometheus", password, &tls.Config{RootCAs: x509.NewCertPool()}, 0},
		"with TLS 1.1":                {"https", "prometheus", password, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0},
	} {
		for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: attempt.tls, DisableKeepAlives: true}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, attempt.scheme+"://127.0.0.1:"+port+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if attempt.user != "" {
				req.SetBasicAuth(attempt.user, attempt.password)
			}
			got := 0
			if resp, err := client.Do(req); err == nil {
				got = resp.StatusCode
				resp.Body.Close()
			}
			if got != attempt.want {
				t.Errorf("%s: GET %s: got status %d, want %d", name, path, got, attempt.want)
			}
		}
	}

	// Whoever breaks the file of a running ingester opens nothing.
	config := filepath.Join(web, "web.yml")
	whole := readFile(t, config)
	writeFile(t, config, "basic_auth_users: [hunter2]\n")
	end := tofuwatch(t, "ready", "--config", n.file)
	if end.status != usage || strings.Contains(end.stderr, "hunter2") {
		t.Errorf("ready: got status %d and %q, want 2, and not what is in the file", end.status, end.stderr)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting, DisableKeepAlives: true}}
	if resp, err := client.Get("https://127.0.0.1:" + port + "/metrics"); err == nil {
		resp.Body.Close()
		t.Errorf("with a broken file: got status %s, want no answer", resp.Status)
	}
	testenv.Eventually(t, func() error {
		if !strings.Contains(n.ingester.Stderr(), "web configuration cannot be used, and nobody is let in") || strings.Contains(n.ingester.Stderr(), "hunter2") {
			return fmt.Errorf("got log\n%swant that the file cannot be used, and nothing of it", n.ingester.Stderr())
		}
		return nil
	})
	writeFile(t, config, whole)
	n.ready()
	n.stop()
}

// A real Prometheus scrapes by what is rendered for it.
func TestPrometheusLogsIn(t *testing.T) {
	t.Parallel()
	n, _ := openNetwork(t)
	n.ingester = testenv.Start(t, exec.Command(testenv.Command(t), "ingest", "--config", n.file))
	n.ready()
	out := filepath.Join(filepath.Dir(n.file), "prometheus")
	if end := tofuwatch(t, "render", "prometheus", "--config", n.file, "--out", out); end.status != done {
		t.Fatalf("render prometheus: status %d: %s", end.status, end.stderr)
	}
	config := filepath.Join(out, "prometheus.yml")
	if output, err := exec.Command(testenv.Program(t, "promtool"), "check", "config", config).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, output)
	}
	if got, want := mode(t, filepath.Join(out, "ingester.password")), fs.FileMode(0o640); got != want {
		t.Errorf("ingester.password: got mode %v, want %v", got, want)
	}
	p := testenv.Prometheus(t, filepath.Join(out, "tofuwatch-prometheus.service"), testenv.FreePort(t))
	p.Await(`up{job="tofuwatch"} == 1`)
	n.stop()
}

// What is good stays, and what a person wrote into the configuration with it.
func TestWebIsMadeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority, out := filepath.Join(dir, "authority"), filepath.Join(dir, "web")
	files := make(map[string]string)
	web := func(hosts string) {
		t.Helper()
		if end := tofuwatch(t, "web", "--authority", authority, "--out", out, "--host", hosts); end.status != done {
			t.Fatalf("web: status %d: %s", end.status, end.stderr)
		}
		clear(files)
		for name, want := range map[string]fs.FileMode{"ca.pem": 0o644, "web.pem": 0o644, "web.key": 0o640, "web.yml": 0o640, "http.password": 0o640} {
			files[name] = readFile(t, filepath.Join(out, name))
			if got := mode(t, filepath.Join(out, name)); got != want {
				t.Errorf("%s: got mode %v, want %v", name, got, want)
			}
		}
	}
	web("a.example.org")
	writeFile(t, filepath.Join(out, "web.yml"), files["web.yml"]+"  # the agency's own Prometheus:\n")
	if err := os.Chmod(filepath.Join(out, "web.yml"), 0o640); err != nil {
		t.Fatal(err)
	}
	first := files["web.pem"]
	kept := map[string]string{"http.password": files["http.password"], "ca.pem": files["ca.pem"], "web.yml": files["web.yml"] + "  # the agency's own Prometheus:\n"}
	web("a.example.org")
	if files["web.pem"] != first {
		t.Error("the certificate is another, want the same while it is good")
	}
	web("b.example.org")
	if files["web.pem"] == first {
		t.Error("the certificate is the same, want one for the other host")
	}
	for name, want := range kept {
		if files[name] != want {
			t.Errorf("%s changed, want it as it was", name)
		}
	}
	if _, err := os.Stat(filepath.Join(out, "ca.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the authority's key is with the ingester's files (%v)", err)
	}
}

func mode(t *testing.T, file string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
