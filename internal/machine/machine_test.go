package machine

import (
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestDiskSize(t *testing.T) {
	if size, err := DiskSize(t.TempDir()); err != nil || size == 0 {
		t.Errorf("got %d bytes, error %v; want some", size, err)
	}
	if _, err := DiskSize(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("got no error for a folder that is not there, want one")
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewMetrics(t.TempDir()))
	want := 1
	if _, err := ClockSynchronized(); err == nil {
		want = 2
	}
	if got, err := testutil.GatherAndCount(registry); err != nil || got != want {
		t.Errorf("got %d metrics, error %v; want %d", got, err, want)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("got problems %v, error %v; want none", problems, err)
	}
	gone := prometheus.NewPedanticRegistry()
	gone.MustRegister(NewMetrics(filepath.Join(t.TempDir(), "missing")))
	if got, err := testutil.GatherAndCount(gone, "tofuwatch_disk_size_bytes"); err != nil || got != 0 {
		t.Errorf("got %d metrics of a disk that is not there, error %v; want none", got, err)
	}
}
