package testenv

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// Monitoring is a program of the Prometheus project on a loopback port.
type Monitoring struct {
	Server
	URL string // "http://127.0.0.1:20090"
}

// Prometheus starts Debian's Prometheus as a systemd unit does that was rendered
// for it, on a port and with a data folder of its own.
func Prometheus(t testing.TB, unit string, port int) *Monitoring {
	t.Helper()
	return monitoring(t, "prometheus", port, shipped(t, unit, map[string]string{
		"--storage.tsdb.path": t.TempDir(), "--web.listen-address": fmt.Sprintf("127.0.0.1:%d", port),
	}))
}

// Alertmanager starts the pinned Alertmanager as a systemd unit does that was
// rendered for it, on a port and with a data folder of its own.
func Alertmanager(t testing.TB, unit string, port int) *Monitoring {
	t.Helper()
	return monitoring(t, "alertmanager", port, shipped(t, unit, map[string]string{
		"--storage.path": t.TempDir(), "--web.listen-address": fmt.Sprintf("127.0.0.1:%d", port),
	}))
}

// shipped returns the flags of a unit's ExecStart. Those that belong to a
// machine are replaced, and have to be there.
func shipped(t testing.TB, unit string, replaced map[string]string) []string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	_, start, found := strings.Cut(strings.ReplaceAll(string(text), "\\\n", " "), "\nExecStart=")
	if !found {
		t.Fatalf("%s: no ExecStart", unit)
	}
	start, _, _ = strings.Cut(start, "\n")
	args := []string{"--log.level=warn"}
	for _, flag := range strings.Fields(start)[1:] {
		name, _, _ := strings.Cut(flag, "=")
		if value, ok := replaced[name]; ok {
			flag = name + "=" + value
			delete(replaced, name)
		}
		args = append(args, flag)
	}
	if len(replaced) > 0 {
		t.Fatalf("%s: ExecStart lacks %v", unit, slices.Sorted(maps.Keys(replaced)))
	}
	return args
}

func monitoring(t testing.TB, name string, port int, args []string) *Monitoring {
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
