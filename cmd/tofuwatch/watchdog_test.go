package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tofuwatch/internal/testenv"
)

// A service manager is told when the ingester is there, that it works, and when it
// ends, whether broker and database are there or not.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var mu sync.Mutex
	var told []string
	go func() {
		for b := make([]byte, 1024); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			told = append(told, strings.Split(string(b[:n]), "\n")...)
			mu.Unlock()
		}
	}()
	become := func(state string, times int) {
		t.Helper()
		testenv.Eventually(t, func() error {
			mu.Lock()
			defer mu.Unlock()
			got := 0
			for _, s := range told {
				if s == state {
					got++
				}
			}
			if got < times {
				return fmt.Errorf("got %s %d times, want %d: %v", state, got, times, told)
			}
			return nil
		})
	}

	s := siteFile{broker: "tcp://127.0.0.1:1", influx: "http://127.0.0.1:1", bucket: "water", listen: "127.0.0.1:0", dataDir: filepath.Join(dir, "data"), stations: []string{"ipal-01"}}
	file := filepath.Join(dir, "site.yaml")
	s.write(t, file)
	cmd := exec.Command(testenv.Command(t), "ingest", "--config", file)
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=300000")
	p := testenv.Start(t, cmd)
	become("READY=1", 1)
	become("WATCHDOG=1", 3)
	if got := p.Stop(); got != done {
		t.Errorf("got exit status %d, want %d", got, done)
	}
	become("STOPPING=1", 1)
	mu.Lock()
	defer mu.Unlock()
	if got := slices.Index(told, "READY=1"); got != 0 {
		t.Errorf("got READY=1 at place %d of %v, want it first", got, told)
	}
}
