package testenv

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

const (
	patience     = 60 * time.Second      // how long a test waits for what should be soon
	pollInterval = 20 * time.Millisecond // between two looks
	grace        = 5 * time.Second       // left before the test's deadline, to report and clean up
)

// Eventually calls f until it returns nil. If that does not happen within a
// minute, or before the test's deadline, the test fails with the last error.
func Eventually(t testing.TB, f func() error) {
	t.Helper()
	Within(t, patience, f)
}

// Within is [Eventually] with its own patience, for what takes long. The test's
// deadline ends it too.
func Within(t testing.TB, d time.Duration, f func() error) {
	t.Helper()
	start := time.Now()
	if err := poll(t, d, f); err != nil {
		t.Fatalf("gave up after %v: %v", time.Since(start).Round(time.Millisecond), err)
	}
}

// poll calls f until it returns nil, d has passed or t's deadline is near, and
// returns f's last error.
func poll(t testing.TB, d time.Duration, f func() error) error {
	end := time.Now().Add(d)
	if t, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if deadline, ok := t.Deadline(); ok && deadline.Add(-grace).Before(end) {
			end = deadline.Add(-grace)
		}
	}
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || !time.Now().Before(end) {
			return err
		}
		<-tick.C
	}
}

// Ports are taken from below the range out of which Linux (from 32768) serves
// outgoing connections, or a client might get the port of a server that is
// down for a moment.
const minPort, maxPort = 20000, 32767

// FreePort returns a loopback TCP port that nothing listens on. No other test
// gets it until this one ends.
func FreePort(t testing.TB) int {
	t.Helper()
	var err error
	for range 100 {
		port := minPort + rand.IntN(maxPort-minPort+1)
		if err = reserve(t, port); err == nil {
			return port
		}
	}
	t.Fatalf("find a free port: %v", err)
	return 0
}

// reserve marks port as this test's until it ends. The mark is the UDP port of
// the same number: it works between processes, and needs no cleaning up.
func reserve(t testing.TB, port int) error {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	mark, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		mark.Close()
		return err
	}
	l.Close()
	t.Cleanup(func() { mark.Close() })
	return nil
}
