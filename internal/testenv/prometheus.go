package testenv

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Monitoring is a program of the Prometheus project on a loopback port.
type Monitoring struct {
	Server
	URL  string // "http://127.0.0.1:20090"
	Data string // its data folder
}

// Alerting starts Prometheus and Alertmanager as "tofuwatch render" configures
// them for a site file, but for their ports.
func Alerting(t testing.TB, siteFile string) (prometheus, alertmanager *Monitoring) {
	t.Helper()
	dir := t.TempDir()
	ports := map[string]int{"alertmanager": FreePort(t), "prometheus": FreePort(t)}
	replacer := strings.NewReplacer(
		"127.0.0.1:9093", fmt.Sprintf("127.0.0.1:%d", ports["alertmanager"]),
		"127.0.0.1:9090", fmt.Sprintf("127.0.0.1:%d", ports["prometheus"]),
	)
	for program := range ports {
		if out, err := exec.CommandContext(t.Context(), Command(t), "render", program, "--config", siteFile, "--out", dir).CombinedOutput(); err != nil {
			t.Fatalf("tofuwatch render %s: %v\n%s", program, err, out)
		}
		config := filepath.Join(dir, program+".yml")
		text, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, []byte(replacer.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alertmanager = Alertmanager(t, filepath.Join(dir, "tofuwatch-alertmanager.service"), ports["alertmanager"])
	return Prometheus(t, filepath.Join(dir, "tofuwatch-prometheus.service"), ports["prometheus"]), alertmanager
}

// Finds returns the value of the first series that a query finds in Prometheus,
// as Prometheus writes it, and whether there is one.
func (m *Monitoring) Finds(promql string) (value string, found bool) {
	m.t.Helper()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if body := Get(m.t, m.URL+"/api/v1/query?query="+url.QueryEscape(promql)); body != "" {
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			m.t.Fatalf("query %s: %v: %s", promql, err, body)
		}
	}
	if len(answer.Data.Result) == 0 {
		return "", false
	}
	value, ok := answer.Data.Result[0].Value[1].(string)
	return value, ok
}

// Await waits up to three minutes until a query finds something in Prometheus.
func (m *Monitoring) Await(promql string) {
	m.t.Helper()
	Within(m.t, 3*time.Minute, func() error {
		if _, found := m.Finds(promql); !found {
			return fmt.Errorf("Prometheus finds no %s", promql)
		}
		return nil
	})
}

// Prometheus starts Debian's Prometheus as a systemd unit does that was rendered
// for it, on a port and with a data folder of its own.
func Prometheus(t testing.TB, unit string, port int) *Monitoring {
	t.Helper()
	data := t.TempDir()
	return monitoring(t, "prometheus", port, data, shipped(t, unit, map[string]string{
		"--storage.tsdb.path": data, "--web.listen-address": fmt.Sprintf("127.0.0.1:%d", port),
	}))
}

// Alertmanager starts the pinned Alertmanager as a systemd unit does that was
// rendered for it, on a port and with a data folder of its own.
func Alertmanager(t testing.TB, unit string, port int) *Monitoring {
	t.Helper()
	data := t.TempDir()
	return monitoring(t, "alertmanager", port, data, shipped(t, unit, map[string]string{
		"--storage.path": data, "--web.listen-address": fmt.Sprintf("127.0.0.1:%d", port),
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

func monitoring(t testing.TB, name string, port int, data string, args []string) *Monitoring {
	t.Helper()
	path := Program(t, name)
	m := &Monitoring{URL: fmt.Sprintf("http://127.0.0.1:%d", port), Data: data}
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
