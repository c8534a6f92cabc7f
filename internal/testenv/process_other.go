//go:build !linux

package testenv

import "syscall"

// dieWithTest has no counterpart here: after a panic of the test process its
// servers may go on.
func dieWithTest() *syscall.SysProcAttr { return nil }
