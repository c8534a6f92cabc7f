package payload

import (
	"fmt"
	"strings"
	"testing"

	"tofuwatch/internal/water"
)

func BenchmarkNative(b *testing.B) {
	parameters, err := water.NewParameters()
	if err != nil {
		b.Fatal(err)
	}
	sample := func(i int) string {
		return fmt.Sprintf(`{"time":"2026-11-23T07:%02d:00Z","bod":142,"cod":286.5,"ph":6.9}`, i%60)
	}
	for name, payload := range map[string]string{
		"one sample":          sample(0),
		"one sample, as text": `{"time":1795417260,"pH":"7.1","suhu":"29.4","cod":"-","battery":3.61}`,
		"three samples":       "[" + strings.Join([]string{sample(0), sample(1), sample(2)}, ",") + "]",
	} {
		b.Run(name, func(b *testing.B) {
			message := []byte(payload)
			var d Decoded
			c := decoder(parameters)
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				d.Reset()
				c.Decode(&d, Input{Payload: message})
			}
			if len(d.Faults) > 0 {
				b.Fatalf("faults: %v", d.Faults)
			}
		})
	}
}
