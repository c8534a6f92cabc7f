package testenv

import "syscall"

// dieWithTest lets no server outlive a test process that panicked or was
// killed: there Cleanup does not run.
func dieWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
