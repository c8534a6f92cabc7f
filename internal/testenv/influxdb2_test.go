//go:build influxdb2

package testenv_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

func TestInfluxDB2ComesBack(t *testing.T) {
	db := testenv.InfluxDB2(t, "water", "second")
	db.CreateDatabase("third")
	for _, bucket := range []string{"water", "second", "third"} {
		write(t, db, "/api/v2/write?org="+db.Org+"&bucket="+bucket, "water_quality,station=ipal-01 ph=6.9,ph_qc=1i 1000000000")
	}
	if rows, err := db.Rows("fourth", "SELECT ph FROM water_quality"); err == nil {
		t.Errorf("got %v from a bucket that does not exist, want an error", rows)
	}
	db.Kill()
	db.Start()
	for _, bucket := range []string{"water", "second", "third"} {
		got := db.Query(t, bucket, "SELECT ph, ph_qc FROM water_quality GROUP BY station")
		want := []testenv.Row{{"time": time.Unix(1, 0).UTC(), "station": "ipal-01", "ph": 6.9, "ph_qc": 1.0}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows of %s differ (-want +got):\n%s", bucket, diff)
		}
	}
}
