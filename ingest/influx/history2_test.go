//go:build influxdb2

package influx

import (
	"testing"

	"tofuwatch/internal/testenv"
)

func TestInfluxDB2ReadsBack(t *testing.T) {
	readsBack(t, testenv.InfluxDB2(t, "water"), "water")
}
