package main

import (
	"bytes"
	"encoding/hex"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest/payload"
	"tofuwatch/internal/testenv"
)

// In docs/devices.md a section of a format has lines of a site file, a message,
// and a command with what it prints. They are tried here; UPDATE=1 writes down
// what is printed.
func TestDevicesInDocs(t *testing.T) {
	t.Parallel()
	const file = "../../docs/devices.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```(\\w+)\n(.*?)```\n")
	sections := strings.Split(string(doc), "\n## ")
	var formats []string
	for i, section := range sections {
		name, _, _ := strings.Cut(section, "\n")
		if _, ok := payload.Formats[name]; !ok {
			continue
		}
		formats = append(formats, name)
		blocks := make(map[string]string)
		for _, b := range block.FindAllStringSubmatch(section, -1) {
			blocks[b[1]] = b[2]
		}
		message := []byte(blocks["json"] + blocks["text"])
		if digits := blocks["hex"]; digits != "" {
			if message, err = hex.DecodeString(strings.Join(strings.Fields(digits), "")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		command, want, _ := strings.Cut(blocks["console"], "\n")
		got := decodeInDocs(t, name, blocks["yaml"], command, message)
		if diff := cmp.Diff(got, want); diff != "" && os.Getenv("UPDATE") == "" {
			t.Errorf("%s: output (-got +want; UPDATE=1 rewrites %s):\n%s", name, file, diff)
		}
		sections[i] = strings.Replace(section, blocks["console"], command+"\n"+got, 1)
	}
	slices.Sort(formats)
	if want := slices.Sorted(maps.Keys(payload.Formats)); !slices.Equal(formats, want) {
		t.Errorf("%s has sections for %v, want %v", file, formats, want)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(strings.Join(sections, "\n## ")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// decodeInDocs runs a command of the documentation on a message, with lines of a
// site file to which the rest is added.
func decodeInDocs(t *testing.T, name, lines, command string, message []byte) string {
	t.Helper()
	site := strings.Replace(lines, "mqtt:\n", "site: test\ninfluxdb: {url: \"http://127.0.0.1:1\", bucket: water}\nmqtt:\n  broker: tcp://127.0.0.1:1\n  client_id: test\n", 1)
	site = regexp.MustCompile(`(  - id: (.*)\n)`).ReplaceAllString(site, "$1    name: $2\n    river: bajak\n    kind: effluent\n")
	file := filepath.Join(t.TempDir(), "site.yaml")
	writeFile(t, file, site)
	command, _, _ = strings.Cut(strings.TrimPrefix(command, "$ tofuwatch "), " < ")
	args := strings.Fields(strings.Replace(command, "site.yaml", file, 1))
	got := tofuwatchOn(t, message, append(args, "--received", "2026-11-23T07:02:30Z")...)
	if got.status != done || got.stderr != "" {
		t.Errorf("%s: got status %d of %q, want %d:\n%s%s\n%s", name, got.status, command, done, got.stdout, got.stderr, site)
	}
	return got.stdout
}

// tofuwatchOn runs the built command on a standard input.
func tofuwatchOn(t testing.TB, stdin []byte, args ...string) ending {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), testenv.Command(t), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatalf("run tofuwatch %v: %v", args, err)
	}
	return ending{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
