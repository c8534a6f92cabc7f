package access_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tofuwatch/ingest"
	"tofuwatch/internal/access"
	"tofuwatch/internal/testenv"
)

func TestRules(t *testing.T) {
	r := access.Rules{
		Ingester: "tofuwatch", Stations: []string{"ipal-01", "bajak-hilir"},
		Sources: []ingest.Source{{Topic: "tofu/{station}/readings"}, {Topic: "v2/{station}/+"}},
	}
	for _, test := range []struct {
		username, topic string
		publish, read   bool
	}{
		{"ipal-01", "tofu/ipal-01/readings", true, false},
		{"ipal-01", "tofu/ipal-01/status", true, false},
		{"ipal-01", "tofu/ipal-01/maintenance", true, false},
		{"ipal-01", "tofu/bajak-hilir/maintenance", false, false},
		{"tofuwatch", "tofu/+/status", false, true},
		{"tofuwatch", "tofu/+/maintenance", false, true},
		{"ipal-01", "v2/ipal-01/ph", true, false},
		{"ipal-01", "v2/ipal-01/ph/raw", false, false},
		{"ipal-01", "tofu/bajak-hilir/readings", false, false},
		{"ipal-01", "tofu//readings", false, false},
		{"ipal-01", "#", false, false},
		{"tofuwatch", "tofu/ipal-01/readings", false, false},
		{"tofuwatch", "tofu/+/readings", false, true},
		{"tofuwatch", "v2/+/+", false, true},
		{"tofuwatch", "#", false, false},
		{"tofuwatch", "$share/x/tofu/+/readings", false, false},
		{"", "tofu//readings", false, false},
		{"nobody", "tofu/nobody/readings", false, false},
	} {
		if got := r.MayPublish(test.username, test.topic); got != test.publish {
			t.Errorf("%q publishes %s: got %v, want %v", test.username, test.topic, got, test.publish)
		}
		if got := r.MayRead(test.username, test.topic); got != test.read {
			t.Errorf("%q reads %s: got %v, want %v", test.username, test.topic, got, test.read)
		}
	}
}

func TestCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data", access.FileName)
	password := access.NewPassword()
	if err := access.ChangeCredentials(file, func(c *access.Credentials) error { return c.Set("ipal-01", password) }); err != nil {
		t.Fatal(err)
	}
	c, err := access.LoadCredentials(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		username, password string
		want               bool
	}{
		{"ipal-01", password, true},
		{"ipal-01", password + "x", false},
		{"ipal-01", "", false},
		{"ipal-02", password, false},
		{"", "", false},
	} {
		if got := c.Verify(test.username, test.password); got != test.want {
			t.Errorf("Verify(%q, %q): got %v, want %v", test.username, test.password, got, test.want)
		}
	}
	if strings.Contains(string(c.Bytes()), password) {
		t.Error("the file has the password itself")
	}
}

// What mosquitto_passwd writes is read, so that a site may keep its passwords.
func TestCredentialsOfMosquitto(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command(testenv.Program(t, "mosquitto_passwd"), "-b", "-c", file, "ipal-01", "rahasia").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := access.LoadCredentials(file)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Verify("ipal-01", "rahasia") || c.Verify("ipal-01", "rahasia2") {
		t.Error("a password of mosquitto_passwd is not told from another")
	}
}

func TestLoadCredentialsTellsTheLine(t *testing.T) {
	for name, line := range map[string]string{
		"no hash":         "ipal-02",
		"another scheme":  "ipal-02:$6$AAAA$AAAA",
		"no rounds":       "ipal-02:$7$x$AAAA$AAAA",
		"too many rounds": "ipal-02:$7$99999999$AAAA$AAAA",
		"no base 64":      "ipal-02:$7$101$AAAA$%",
		"no key":          "ipal-02:$7$101$AAAA$",
		"no username":     ":$7$101$AAAA$AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), access.FileName)
			if err := os.WriteFile(file, []byte("ipal-01:$7$101$AAAA$AAAA\n"+line+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := access.LoadCredentials(file)
			if err == nil || !strings.HasPrefix(err.Error(), file+":2: ") || strings.Contains(err.Error(), "AAAA") {
				t.Errorf("got error %v, want one about line 2 without the hash", err)
			}
		})
	}
}

func FuzzLoadCredentials(f *testing.F) {
	f.Add([]byte("ipal-01:$7$101$AAAA$AAAA\n"))
	f.Add([]byte("a:b:c\n\n$7$"))
	file := filepath.Join(f.TempDir(), access.FileName)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := access.LoadCredentials(file)
		if err != nil {
			return
		}
		if err := os.WriteFile(file, c.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := access.LoadCredentials(file); err != nil {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}

func TestAuthority(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	open := func() *access.Authority {
		t.Helper()
		a, err := access.OpenAuthority(dir, "semarang", clock)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	renew := func(hosts ...string) bool {
		t.Helper()
		_, renewed, err := open().RenewServer(dir, hosts)
		if err != nil {
			t.Fatal(err)
		}
		return renewed
	}
	for _, step := range []struct {
		what  string
		after time.Duration
		hosts []string
		want  bool
	}{
		{"the first", 0, []string{"broker.example.org", "192.0.2.7"}, true},
		{"still good", 0, []string{"broker.example.org", "192.0.2.7"}, false},
		{"one of its names", time.Hour, []string{"broker.example.org"}, false},
		{"another name", time.Hour, []string{"mqtt.example.org"}, true},
		{"close to its end", 5*365*24*time.Hour - access.RenewBefore + 48*time.Hour, []string{"mqtt.example.org"}, true},
	} {
		now = now.Add(step.after)
		if got := renew(step.hosts...); got != step.want {
			t.Errorf("%s: got renewed %v, want %v", step.what, got, step.want)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, access.ServerFile), filepath.Join(dir, access.ServerKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, access.AuthorityFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "mqtt.example.org", Roots: roots, CurrentTime: now}); err != nil {
		t.Errorf("got error %v, want a certificate that loggers accept", err)
	}
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := access.OpenAuthority(dir, "semarang", clock); err == nil {
		t.Error("got no error, want one: the authority's key is elsewhere, and another authority would shut all loggers out")
	}
}
