package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/water"
)

func TestFaultsAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		f := newFaultLog(log)
		start := time.Now()
		for time.Since(start) < 2*time.Minute+time.Second { // ten a second
			f.deadLettered(DeadLetter{Topic: "tofu/ipal-01/readings", Reason: water.Malformed, Detail: "not JSON", Readings: 2})
			<-time.After(100 * time.Millisecond)
		}
		f.deadLettered(DeadLetter{Topic: "tofu/ipal-02/readings", Reason: water.NoTime, Detail: "no time", Readings: 1})
		f.withheld("tofu/ipal-03/readings", errors.New("spool is full"))
		f.withheld("tofu/ipal-03/readings", errors.New("spool is full"))
		malformed := func(n int) string {
			return fmt.Sprintf(`level=WARN msg="readings dead-lettered" reason=malformed n=%d topic=tofu/ipal-01/readings err="not JSON"`, n)
		}
		want := []string{
			malformed(2), malformed(1200), malformed(1200),
			`level=WARN msg="readings dead-lettered" reason=no_time n=1 topic=tofu/ipal-02/readings err="no time"`,
			`level=ERROR msg="messages not stored and not acknowledged; the broker keeps them" n=1 topic=tofu/ipal-03/readings err="spool is full"`,
		}
		if diff := cmp.Diff(strings.Split(strings.TrimSpace(text.String()), "\n"), want); diff != "" {
			t.Errorf("logged (-got +want):\n%s", diff)
		}
	})
}
