package testenv

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace is set in the environment of a test that has a network of its own.
const inNamespace = "TOFUWATCH_TEST_NAMESPACE"

// Loopback reports whether the test may listen on a loopback address with a
// port that belongs to root or is taken, such as "127.0.0.1:465". If not, it
// runs the test once more, in a network of its own where it may and needs no
// root, and the test has only to return.
func Loopback(t testing.TB, addr string) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		if err := raiseLoopback(); err != nil {
			t.Fatalf("raise the loopback interface: %v", err)
		}
		return true
	}
	if l, err := net.Listen("tcp4", addr); err == nil {
		l.Close()
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:   syscall.SIGKILL,
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
	case !errors.Is(err, os.ErrPermission) && !errors.Is(err, syscall.ENOSPC):
		t.Errorf("in a network of its own: %v\n%s", err, out)
	case os.Getenv("CI") != "":
		t.Fatalf("this machine lets nobody listen on %s: %v", addr, err)
	default:
		t.Skipf("this machine lets nobody listen on %s: %v", addr, err)
	}
	return false
}

// raiseLoopback turns on the loopback interface, which is off in a new network.
func raiseLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}
