package machine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ClockSynchronized reports whether the kernel counts its clock as right: a time
// service such as systemd-timesyncd, chrony or ntpd keeps saying so, and after some
// hours without one the kernel stops believing it.
func ClockSynchronized() (bool, error) {
	var t unix.Timex // with no mode it only asks, which needs no privilege
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errNotSaid, err)
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, nil
}
