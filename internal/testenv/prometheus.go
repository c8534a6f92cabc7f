package testenv

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"
)

// Monitoring is a program of the Prometheus project on a loopback port.
type Monitoring struct {
	Server
	URL string // "http://127.0.0.1:20090"
}

// Prometheus starts Debian's Prometheus with a configuration file, on a port of
// its own.
func Prometheus(t testing.TB, config string, port int) *Monitoring {
	t.Helper()
	return monitoring(t, "prometheus", port,
		"--config.file", config, "--storage.tsdb.path", t.TempDir(), "--log.level", "warn",
		"--web.listen-address", fmt.Sprintf("127.0.0.1:%d", port))
}

// Alertmanager starts the pinned Alertmanager with a configuration file, on a
// port of its own.
func Alertmanager(t testing.TB, config string, port int) *Monitoring {
	t.Helper()
	return monitoring(t, "alertmanager", port,
		"--config.file", config, "--storage.path", t.TempDir(), "--data.retention", "240h", "--log.level", "warn",
		"--cluster.listen-address", "", "--web.listen-address", fmt.Sprintf("127.0.0.1:%d", port))
}

func monitoring(t testing.TB, name string, port int, args ...string) *Monitoring {
	t.Helper()
	path := Program(t, name)
	m := &Monitoring{URL: fmt.Sprintf("http://127.0.0.1:%d", port)}
	m.Server = Server{
		t: t, name: name,
		command: func() *exec.Cmd { return exec.Command(path, args...) },
		answers: func() error {
			client := &http.Client{Timeout: time.Second}
			resp, err := client.Get(m.URL + "/-/ready")
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s is not ready: got status %s", name, resp.Status)
			}
			return nil
		},
	}
	if err := m.launch(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	return m
}

// Get returns what a server answers, whatever its status; nothing if it does not.
func Get(t testing.TB, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}
