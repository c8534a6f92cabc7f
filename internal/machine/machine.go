// Package machine shows what an ingester needs of the machine that it runs on, so
// that somebody is told before it is missing: the size of the disk, of which the
// spool says what is free, and a right clock.
package machine

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

var (
	diskSize = prometheus.NewDesc("tofuwatch_disk_size_bytes",
		"Size of the disk of data_dir.", nil, nil)
	clockSynchronized = prometheus.NewDesc("tofuwatch_clock_synchronized",
		"1 if the kernel says that something keeps this machine's clock right, 0 if nothing does; absent if it does not say.", nil, nil)
)

// Metrics are those of the machine. A scrape asks the machine anew.
type Metrics struct{ dataDir string }

// NewMetrics returns the metrics for a data folder; they are to be registered by
// the caller.
func NewMetrics(dataDir string) *Metrics { return &Metrics{dataDir} }

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- diskSize
	ch <- clockSynchronized
}

// Collect implements prometheus.Collector. What can't be told is left out.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	if size, err := DiskSize(m.dataDir); err == nil {
		gauge(diskSize, float64(size))
	}
	if synchronized, err := ClockSynchronized(); err == nil {
		v := 0.0
		if synchronized {
			v = 1
		}
		gauge(clockSynchronized, v)
	}
}

// DiskSize returns the size of the disk that dir is on, in bytes.
func DiskSize(dir string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return fs.Blocks * uint64(fs.Bsize), nil
}

// errNotSaid is the error for a system that does not tell of its clock.
var errNotSaid = errors.New("this system does not say whether its clock is right")
