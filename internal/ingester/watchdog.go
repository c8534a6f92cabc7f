package ingester

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/ingest"
	"tofuwatch/internal/machine"
)

// tell says something to the service manager, if one has started this process.
func (i *ingester) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		i.log.Warn("service manager not told", "state", state, "err", err)
	}
}

// watchdog says to the service manager that the ingester is there, and from then
// on, as often as it wants, that it works. It stops saying so when it does not:
// the service manager starts it anew then.
func (i *ingester) watchdog(ctx context.Context, registry prometheus.Gatherer) {
	i.tell(daemon.SdNotifyReady)
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		i.log.Warn("watchdog not understood", "err", err)
	}
	if within == 0 {
		<-ctx.Done()
		i.tell(daemon.SdNotifyStopping)
		return
	}
	every(ctx, within/3, func() {
		if err := i.works(ctx, registry, within/3); err != nil {
			i.log.Error("watchdog not told that all is well", "err", err)
			return
		}
		i.tell(daemon.SdNotifyWatchdog)
	})
	i.tell(daemon.SdNotifyStopping)
}

// works returns an error unless the path of a message is passable: what decides
// and shows gets its locks, and what writes the spool comes to the end of what it
// was given. That the disk is full is no reason to start anew, nor is a broker or
// a database that is away: none of it would be mended by that.
func (i *ingester) works(ctx context.Context, registry prometheus.Gatherer, within time.Duration) error {
	passed := make(chan error, 1)
	go func() {
		if _, err := registry.Gather(); err != nil { // of the exporter, care and spool
			passed <- fmt.Errorf("gather metrics: %w", err)
			return
		}
		i.pipeline.Keep(ingest.Outcome{}, func(error) { passed <- nil })
	}()
	select {
	case err := <-passed:
		return err
	case <-time.After(within):
		return fmt.Errorf("the spool's writer, or what is before it, has stood still for %v", within)
	case <-ctx.Done():
		return nil
	}
}

// checkClock warns of a clock that nothing keeps right: sample times that loggers
// leave out, the ages of values and the daily change of limits are by it.
func (i *ingester) checkClock() {
	if synchronized, err := machine.ClockSynchronized(); err == nil && !synchronized {
		i.log.Warn("this machine's clock is not synchronized; start a time service, for example: apt-get install systemd-timesyncd")
	}
}
