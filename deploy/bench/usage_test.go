//go:build bench

package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// usage is what a process has taken so far.
type usage struct {
	cpu    time.Duration // user and system
	memory int64         // bytes, at the most
}

// used reads what Linux knows of a process.
func used(t *testing.T, pid int) usage {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// The second field is a name in brackets; utime and stime are the 14th and
	// 15th, in hundredths of a second.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
	return usage{
		cpu:    time.Duration(number(t, fields[12])+number(t, fields[13])) * 10 * time.Millisecond,
		memory: number(t, strings.TrimSuffix(procField(t, fmt.Sprintf("/proc/%d/status", pid), "VmHWM"), " kB")) << 10,
	}
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// procField returns the value of the first line "key: value" of a file.
func procField(t *testing.T, file, key string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if k, value, _ := strings.Cut(line, ":"); strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s has no line %q", file, key)
	return ""
}

// machine says what the numbers were measured on.
func machine(t *testing.T) string {
	t.Helper()
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s, %d cores, Linux %s, %s",
		procField(t, "/proc/cpuinfo", "model name"), runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version())
}
