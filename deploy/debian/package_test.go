//go:build deb

// Package debian_test installs the Debian package on a clean Debian below a folder,
// and takes it through its life. "make test-deb" runs it, as root.
package debian_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tofuwatch/internal/testenv"
)

// readings is how many wait in the spool while the package is upgraded.
const readings = 2000

func TestPackageLivesThroughUpgradeAndRemoval(t *testing.T) {
	before, now := variable(t, "TOFUWATCH_DEB_BEFORE"), variable(t, "TOFUWATCH_DEB")
	m := newMachine(t)
	broker := testenv.Mosquitto(t, testenv.WithConfigFile("../mosquitto/mosquitto.conf")) // stock drops what is over 1,000
	database := testenv.InfluxDB(t, testenv.WithDatabase("water"))
	database.Kill() // so that readings stay in the spool

	// First installation: nothing runs, all is in its place, secrets are not for everybody.
	if out := m.dpkg("--install", before); !strings.Contains(out, "/usr/share/doc/tofuwatch/operate.md") {
		t.Errorf("got %q from the installation, want where to begin", out)
	}
	m.is("/etc/tofuwatch", 0o750, "root", "tofuwatch")
	m.is("/etc/tofuwatch/environment", 0o600, "root", "root")
	m.is("/var/lib/tofuwatch", 0o750, "tofuwatch", "tofuwatch")
	m.is("/usr/bin/tofuwatch", 0o755, "root", "root")
	m.is("/usr/lib/systemd/system/tofuwatch.service", 0o644, "root", "root")

	// The owner's files.
	port := testenv.FreePort(t)
	m.write("/etc/tofuwatch/site.yaml", fmt.Sprintf(`site: semarang
http: {listen: "127.0.0.1:%d"}
mqtt: {broker: "tcp://%s", client_id: tofuwatch-semarang}
influxdb: {url: "%s", bucket: water}
stations:
  - {id: ipal-01, name: "IPAL, outlet", river: bajak, kind: effluent}
`, port, broker.Addr, database.URL))
	const secret = "TOFUWATCH_SMTP_PASSWORD=the-owner's-own\n"
	m.write("/etc/tofuwatch/environment", secret)

	// It starts, as the unit starts it, and fills its spool.
	service := m.start(port)
	publish(t, broker.Addr, readings)
	holds := func(name string, want float64) {
		t.Helper()
		testenv.Eventually(t, func() error {
			got, err := metric(port, name)
			if err == nil && got != want {
				err = fmt.Errorf("%s: got %v, want %v", name, got, want)
			}
			return err
		})
	}
	holds("tofuwatch_readings_pending", readings)

	// The upgrade is done beside the running service, which then is started anew.
	m.dpkg("--install", now)
	holds("tofuwatch_readings_pending", readings)
	if got, want := service.Stop(), 0; got != want {
		t.Errorf("stop: got exit status %d, want %d:\n%s", got, want, service.Stderr())
	}
	if got := m.read("/etc/tofuwatch/environment"); got != secret {
		t.Errorf("after the upgrade got environment %q, want the owner's %q", got, secret)
	}
	service = m.start(port)
	holds("tofuwatch_readings_pending", readings)
	holds("tofuwatch_readings_received_total", readings)
	database.Start()
	holds("tofuwatch_readings_pending", 0)
	holds("tofuwatch_readings_stored_total", readings)
	rows := database.Query(t, "water", "SELECT COUNT(cod), SUM(cod) FROM water_quality")
	want := map[string]any{"count": float64(readings), "sum": float64(readings * (readings - 1) / 2)}
	if len(rows) != 1 || rows[0]["count"] != want["count"] || rows[0]["sum"] != want["sum"] {
		t.Errorf("got %v in InfluxDB, want %v", rows, want)
	}
	service.Stop()

	// Removal and purge take the programs, and leave what cannot be made again.
	m.dpkg("--remove", "tofuwatch")
	for _, gone := range []string{"/usr/bin/tofuwatch", "/usr/bin/tofuwatch-allinone", "/usr/lib/systemd/system/tofuwatch.service"} {
		if _, err := os.Lstat(m.path(gone)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the removal %s is still there (%v)", gone, err)
		}
	}
	if got := m.read("/etc/tofuwatch/environment"); got != secret {
		t.Errorf("after the removal got environment %q, want %q", got, secret)
	}
	kept := m.files("/var/lib/tofuwatch")
	if out := m.dpkg("--purge", "tofuwatch"); !strings.Contains(out, "tofuwatch: /var/lib/tofuwatch is kept") {
		t.Errorf("got %q from the purge, want what it keeps", out)
	}
	if got := m.files("/var/lib/tofuwatch"); got != kept || !strings.Contains(got, "latest.json") {
		t.Errorf("after the purge got files\n%s\nwant\n%s", got, kept)
	}
	if _, err := os.Lstat(m.path("/etc/tofuwatch/environment")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the purge the package's own environment is still there (%v)", err)
	}
	m.is("/etc/tofuwatch/site.yaml", 0o640, "root", "tofuwatch")

	// And it comes back to what it left.
	m.dpkg("--install", now)
	m.start(port)
	holds("tofuwatch_readings_stored_total", readings)
}

func TestAllInOneStarts(t *testing.T) {
	m := newMachine(t)
	m.dpkg("--install", variable(t, "TOFUWATCH_DEB"))
	mqtt, influx, http := testenv.FreePort(t), testenv.FreePort(t), testenv.FreePort(t)
	m.write("/etc/tofuwatch/site.yaml", fmt.Sprintf(`site: semarang
http: {listen: "127.0.0.1:%d"}
mqtt: {broker: "tcp://127.0.0.1:%d", client_id: tofuwatch-semarang}
influxdb: {url: "http://127.0.0.1:%d", bucket: water}
stations:
  - {id: ipal-01, name: "IPAL, outlet", river: bajak, kind: effluent}
`, http, mqtt, influx))
	m.start(http, "tofuwatch-allinone")
	publish(t, fmt.Sprintf("127.0.0.1:%d", mqtt), 10)
	testenv.Eventually(t, func() error {
		got, err := metric(http, "tofuwatch_readings_stored_total")
		if err == nil && got != 10 {
			err = fmt.Errorf("got %v readings stored, want 10", got)
		}
		return err
	})
}

// A machine is a clean Debian 12 below a folder, without an init that runs.
type machine struct {
	t   *testing.T
	dir string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("run as root: debootstrap and chroot want it")
	}
	// What debootstrap made is kept: it fetches a hundred packages.
	clean, err := filepath.Abs("../../build/debian-12")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(clean); errors.Is(err, fs.ErrNotExist) {
		unfinished := clean + ".unfinished"
		if err := os.RemoveAll(unfinished); err != nil {
			t.Fatal(err)
		}
		run(t, "debootstrap", "--variant=minbase", "bookworm", unfinished)
		if err := os.Rename(unfinished, clean); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{t, filepath.Join(t.TempDir(), "debian")}
	run(t, "cp", "--archive", "--reflink=auto", clean, m.dir)
	return m
}

// dpkg runs dpkg there and returns what it says.
func (m *machine) dpkg(action, what string) string {
	m.t.Helper()
	if filepath.IsAbs(what) {
		inside := filepath.Join("/tmp", filepath.Base(what))
		run(m.t, "cp", what, m.path(inside))
		what = inside
	}
	return run(m.t, "chroot", m.dir, "dpkg", action, what)
}

// start runs the service as its unit does, until it is ready. Its port is that of
// http.listen.
func (m *machine) start(port int, unit ...string) *testenv.Process {
	m.t.Helper()
	name := "tofuwatch"
	if len(unit) > 0 {
		name = unit[0]
	}
	var command []string
	for line := range strings.Lines(m.read("/usr/lib/systemd/system/" + name + ".service")) {
		if line, ok := strings.CutPrefix(line, "ExecStart="); ok {
			command = strings.Fields(line)
		}
	}
	p := testenv.Start(m.t, exec.Command("chroot", append([]string{"--userspec=tofuwatch:tofuwatch", m.dir}, command...)...))
	testenv.Eventually(m.t, func() error {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/readyz", port))
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.Stderr())
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("got status %s, want 200", resp.Status)
		}
		return nil
	})
	return p
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) read(name string) string {
	m.t.Helper()
	data, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(data)
}

// write writes a file that is for root, and for the service to read.
func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(m.path(name), []byte(text), 0o640); err != nil {
		m.t.Fatal(err)
	}
	run(m.t, "chroot", m.dir, "chown", "root:tofuwatch", name)
}

// is fails the test unless a file has this mode and these owners.
func (m *machine) is(name string, mode fs.FileMode, user, group string) {
	m.t.Helper()
	got := strings.TrimSpace(run(m.t, "chroot", m.dir, "stat", "--format=%a %U %G", name))
	if want := fmt.Sprintf("%o %s %s", mode, user, group); got != want {
		m.t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

// files lists the files below a folder with their sizes and owners.
func (m *machine) files(name string) string {
	m.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(m.path(name), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("no owner")
		}
		fmt.Fprintln(&b, info.Mode(), owner.Uid, info.Size(), strings.TrimPrefix(path, m.dir))
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return b.String()
}

// run runs a command to its end and returns what it says.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run %q", name, "make test-deb")
	}
	return value
}

// publish publishes n readings of cod, 0 to n-1, and waits until the broker has them.
func publish(t *testing.T, addr string, n int) {
	t.Helper()
	options := paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("logger")
	client := paho.NewClient(options)
	wait := func(token paho.Token) {
		t.Helper()
		if !token.WaitTimeout(time.Minute) || token.Error() != nil {
			t.Fatalf("publish: %v", token.Error())
		}
	}
	wait(client.Connect())
	defer client.Disconnect(250)
	first := time.Now().Add(-time.Duration(n) * time.Second).Unix()
	tokens := make([]paho.Token, n)
	for i := range tokens {
		tokens[i] = client.Publish("tofu/ipal-01/readings", 1, false, fmt.Sprintf(`{"time":%d,"cod":%d}`, first+int64(i), i))
	}
	for _, token := range tokens {
		wait(token)
	}
}

// metric returns the sum of a metric over its labels.
func metric(port int, name string) (float64, error) {
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sum, nil
}
