//go:build !linux

package testenv

import (
	"net"
	"testing"
)

// Loopback reports whether the test may listen on a loopback address; elsewhere
// than on Linux it skips the test if it may not.
func Loopback(t testing.TB, addr string) bool {
	t.Helper()
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Skipf("this machine lets nobody listen on %s: %v", addr, err)
	}
	l.Close()
	return true
}
