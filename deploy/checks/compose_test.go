package checks_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"tofuwatch/internal/provision"
	"tofuwatch/internal/testenv"
)

// services returns the compose file's services as Compose understands them, with
// an environment that is env.example and nothing else.
func services(t *testing.T) types.Services {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"},
		cli.WithWorkingDirectory("../compose"),
		cli.WithEnvFiles("../compose/env.example"),
		cli.WithDotEnv,
		cli.WithProfiles([]string{"page"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(project.Services), 12; got != want {
		t.Errorf("got %d services, want %d", got, want)
	}
	return project.Services
}

// once reports whether a service ends by itself.
func once(s types.ServiceConfig) bool {
	return s.Name == "provision" || strings.HasPrefix(s.Name, "render-")
}

func TestContainersMayDoLittle(t *testing.T) {
	pinned := regexp.MustCompile(`:v?\d+\.\d+\.\d+$`)
	for name, s := range services(t) {
		if !pinned.MatchString(s.Image) {
			t.Errorf("%s: got image %s, want one with a whole version", name, s.Image)
		}
		if uid, _, _ := strings.Cut(s.User, ":"); uid == "" || uid == "0" || uid == "root" {
			t.Errorf("%s: got user %q, want an ordinary one", name, s.User)
		}
		if !s.ReadOnly {
			t.Errorf("%s: its root file system can be written", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s: got cap_drop %v, security_opt %v and privileged %t, want ALL, no-new-privileges:true and false", name, s.CapDrop, s.SecurityOpt, s.Privileged)
		}
		if len(s.CapAdd) > 0 && name != "caddy" {
			t.Errorf("%s: got capabilities %v, want none", name, s.CapAdd)
		}
		if !once(s) && (s.HealthCheck == nil || s.Restart != "unless-stopped") {
			t.Errorf("%s: got health check %v and restart %q, want one, and unless-stopped", name, s.HealthCheck, s.Restart)
		}
		for variable, value := range s.Environment {
			if regexp.MustCompile(`PASSWORD|TOKEN|SECRET`).MatchString(variable) && !strings.HasSuffix(variable, "__FILE") {
				t.Errorf("%s: %s=%v: a secret has no place in the environment of a container", name, variable, value)
			}
		}
		for _, port := range s.Ports {
			if !slices.Contains([]string{"mosquitto", "caddy"}, name) && port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to other machines", name, port.Published)
			}
		}
	}
}

// Secrets reach those who need them and nobody else.
func TestSecretsAreMountedWhereTheyAreNeeded(t *testing.T) {
	want := map[string][]string{
		"admin-secrets":   {"provision"},
		"grafana-secrets": {"grafana", "provision"},
		"secrets":         {"provision", "render-alertmanager", "render-dashboards", "render-mosquitto", "render-prometheus", "tofuwatch"},
		"broker":          {"mosquitto", "provision", "render-mosquitto"},
	}
	got := make(map[string][]string)
	for name, s := range services(t) {
		for _, v := range s.Volumes {
			if want[v.Source] == nil {
				continue
			}
			got[v.Source] = append(got[v.Source], name)
			if writes := name == "provision" || name == "render-mosquitto" && v.Source == "broker"; !v.ReadOnly != writes {
				t.Errorf("%s: %s is read-only %t, want %t", name, v.Source, v.ReadOnly, !writes)
			}
		}
	}
	for volume := range want {
		slices.Sort(got[volume])
		if !slices.Equal(got[volume], want[volume]) {
			t.Errorf("%s: got mounted by %v, want %v", volume, got[volume], want[volume])
		}
	}
}

// Every command of our image is one that our program has, with these flags.
func TestCommandsExist(t *testing.T) {
	tofuwatch, n := testenv.Command(t), 0
	for name, s := range services(t) {
		if !strings.HasPrefix(s.Image, "tofuwatch:") {
			continue
		}
		n++
		commands := [][]string{s.Command}
		if s.HealthCheck != nil {
			commands = append(commands, s.HealthCheck.Test[2:]) // without CMD and the program
		}
		for _, args := range commands {
			var verbs, flags []string
			for _, arg := range args {
				if flag, _, ok := strings.Cut(arg, "="); ok {
					flags = append(flags, flag)
					continue
				}
				verbs = append(verbs, arg)
			}
			help, err := exec.Command(tofuwatch, append(verbs, "--help")...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %v\n%s", name, verbs, err, help)
			}
			if usage := "tofuwatch " + strings.Join(verbs, " ") + " "; !strings.Contains(string(help), usage) {
				t.Errorf("%s: there is no command %q", name, strings.TrimSpace(usage))
			}
			for _, flag := range flags {
				if !strings.Contains(string(help), flag+" ") {
					t.Errorf("%s: %v has no %s", name, verbs, flag)
				}
			}
		}
	}
	if got, want := n, 6; got != want {
		t.Errorf("got %d services of our image, want %d", got, want)
	}
}

// What is rendered for containers is accepted by the programs, and these run with
// the flags that the rendered units have.
func TestRenderedForContainers(t *testing.T) {
	tofuwatch, dir := testenv.Command(t), t.TempDir()
	site := filepath.Join(dir, "site.yaml")
	text := strings.ReplaceAll(read(t, "../compose/site/site.yaml"), "/secrets/ingester", dir)
	write(t, site, text)
	for _, secret := range []string{"mqtt.password", "influxdb.token"} {
		write(t, filepath.Join(dir, secret), "secret\n")
	}
	if _, err := provision.Web(dir, filepath.Join(dir, "authority"), "semarang", []string{"tofuwatch"}, time.Now); err != nil {
		t.Fatal(err)
	}
	succeeds(t, tofuwatch, "check", "--config", site)

	all := services(t)
	// run runs a service's command, on the site file and into a folder of this test.
	run := func(service string) string {
		t.Helper()
		out := filepath.Join(dir, service)
		args := slices.Clone(all[service].Command)
		for i, arg := range args {
			switch {
			case strings.HasPrefix(arg, "--config="):
				args[i] = "--config=" + site
			case strings.HasPrefix(arg, "--out="):
				args[i] = "--out=" + out
			}
		}
		succeeds(t, tofuwatch, args...)
		return out
	}

	prometheus := run("render-prometheus")
	succeeds(t, testenv.Program(t, "promtool"), "check", "config", filepath.Join(prometheus, "prometheus.yml"))
	config := read(t, filepath.Join(prometheus, "prometheus.yml"))
	for _, target := range []string{`"tofuwatch:9464"`, `"alertmanager:9093"`} {
		if !strings.Contains(config, target) {
			t.Errorf("prometheus.yml has no target %s", target)
		}
	}
	sameFlags(t, all["prometheus"].Command, read(t, filepath.Join(prometheus, "tofuwatch-prometheus.service")))

	alertmanager := run("render-alertmanager")
	succeeds(t, testenv.Program(t, "amtool"), "check-config", filepath.Join(alertmanager, "alertmanager.yml"))
	sameFlags(t, all["alertmanager"].Command, read(t, filepath.Join(alertmanager, "tofuwatch-alertmanager.service")))

	mosquitto := run("render-mosquitto")
	files := testenv.NewTLS(t)
	write(t, filepath.Join(mosquitto, "ca.pem"), read(t, files.CAFile))
	write(t, filepath.Join(mosquitto, "server.pem"), read(t, files.ServerCertFile))
	write(t, filepath.Join(mosquitto, "server.key"), read(t, files.ServerKeyFile))
	conf := filepath.Join(mosquitto, "mosquitto.conf")
	if got, want := read(t, conf), "\npersistence_location /mosquitto/data/\n"; !strings.Contains(got, want) {
		t.Errorf("mosquitto.conf has no line %q", want)
	}
	testenv.Mosquitto(t, testenv.WithConfigFile(conf), testenv.WithFilesOf(files))

	run("render-dashboards")
}

// sameFlags compares a container's flags with those of a unit, but for what is
// about folders and addresses.
func sameFlags(t *testing.T, command types.ShellCommand, unit string) {
	t.Helper()
	own := regexp.MustCompile(`^--(config\.file|storage(\.tsdb)?\.path|web\.listen-address)=`)
	flags := func(words []string) []string {
		var flags []string
		for _, word := range words {
			if strings.HasPrefix(word, "--") && !own.MatchString(word) {
				flags = append(flags, word)
			}
		}
		slices.Sort(flags)
		return flags
	}
	_, start, _ := strings.Cut(unit, "\nExecStart=")
	start, _, _ = strings.Cut(strings.ReplaceAll(start, "\\\n", " "), "\n")
	if got, want := flags(command), flags(strings.Fields(start)); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("got flags %v, want those of the unit, %v", got, want)
	}
}

// succeeds runs a program, which has to succeed.
func succeeds(t *testing.T, program string, args ...string) {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
