package testenv

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Program returns the path of the program called name. Mosquitto, its mosquitto_passwd, Prometheus and
// promtool are the system's; every other one is built by "make tools", which puts it into
// build/tools of the checkout. A folder named by TOFUWATCH_TOOLS is used
// instead, if there is one.
func Program(t testing.TB, name string) string {
	t.Helper()
	switch name {
	case "mosquitto", "mosquitto_passwd", "prometheus", "promtool":
		// Debian puts it where the PATH of an ordinary user does not reach.
		for _, file := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
			if path, err := exec.LookPath(file); err == nil {
				return path
			}
		}
		missing(t, name, "apt-get install "+strings.NewReplacer("promtool", "prometheus", "mosquitto_passwd", "mosquitto").Replace(name))
	default:
		dir := os.Getenv("TOFUWATCH_TOOLS")
		if dir == "" {
			dir = filepath.Join(checkout(t), "build", "tools")
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
		missing(t, name, "make tools")
	}
	return ""
}

// missing ends a test that lacks a program: skipped on somebody's machine,
// failed in CI.
func missing(t testing.TB, name, install string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: run %q", name, install)
	}
	t.Skipf("%s is missing: run %q", name, install)
}

// Command returns the path of cmd/tofuwatch, built from the checkout once in a
// test process.
func Command(t testing.TB) string {
	t.Helper()
	path, err := build(checkout(t))
	if err != nil {
		t.Fatalf("build cmd/tofuwatch: %v", err)
	}
	return path
}

var (
	buildOnce sync.Once
	buildPath string
	errBuild  error
)

// build compiles the command in the folder root. Packages are tested in
// parallel and share the file, so each puts its own in place by a rename.
func build(root string) (string, error) {
	buildOnce.Do(func() {
		buildPath = filepath.Join(root, "build", "test", "tofuwatch")
		own := buildPath + "." + strconv.Itoa(os.Getpid())
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", own, "./cmd/tofuwatch")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			errBuild = errors.Join(err, errors.New(string(bytes.TrimSpace(out))))
			return
		}
		errBuild = os.Rename(own, buildPath)
	})
	return buildPath, errBuild
}

// checkout returns the folder that holds the module tofuwatch, also for a test
// of the module below it and for one that changed its working directory.
func checkout(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		t.Fatal("find the checkout: the test was built with -trimpath; build it without")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}
