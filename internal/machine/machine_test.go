package machine

import (
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestDisk(t *testing.T) {
	free, size, err := Disk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if size == 0 || free > size {
		t.Errorf("got %d bytes free of %d, want some size and no more free than that", free, size)
	}
	if _, _, err := Disk(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("got no error for a folder that is not there, want one")
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewMetrics(t.TempDir()))
	want := 2
	if _, err := ClockSynchronized(); err == nil {
		want = 3
	}
	if got, err := testutil.GatherAndCount(registry); err != nil || got != want {
		t.Errorf("got %d metrics, error %v; want %d", got, err, want)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("got problems %v, error %v; want none", problems, err)
	}
	gone := prometheus.NewPedanticRegistry()
	gone.MustRegister(NewMetrics(filepath.Join(t.TempDir(), "missing")))
	if got, err := testutil.GatherAndCount(gone, "tofuwatch_disk_free_bytes"); err != nil || got != 0 {
		t.Errorf("got %d metrics of a disk that is not there, error %v; want none", got, err)
	}
}
