package ingester

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/ingest/spool"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// cares says, of pH at ipal-01, when after sampled somebody works on the sensor: in
// minutes of the first ten.
func (i *ingester) cares(t *testing.T) string {
	t.Helper()
	ph := i.site.Parameters.Lookup([]byte("ph"))
	var minutes []string
	for m := range 10 {
		if i.care.During(i.stations["ipal-01"], ph, sampled.Add(time.Duration(m)*time.Minute)) {
			minutes = append(minutes, fmt.Sprint(m))
		}
	}
	return strings.Join(minutes, " ")
}

// Whatever was saved before a kill, and wherever the writer was: the book of care
// is that of all that was acknowledged.
func TestKillKeepsTheBookOfCare(t *testing.T) {
	const topic = "tofu/ipal-01/maintenance"
	for name, between := range map[string]func(t *testing.T, i *ingester){
		"nothing was saved": func(*testing.T, *ingester) {},
		"saved half-way": func(t *testing.T, i *ingester) {
			if err := i.save(); err != nil {
				t.Error(err)
			}
		},
		"the book saved, and not the latest values": func(t *testing.T, i *ingester) {
			if err := i.care.Save(i.careFile(), i.spool.End()); err != nil {
				t.Error(err)
			}
		},
		"drained, and nothing saved": drain,
		"saved, and drained": func(t *testing.T, i *ingester) {
			if err := i.save(); err != nil {
				t.Error(err)
			}
			drain(t, i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPlace(t).site(t, "ipal-01")
			i := opened(t, s)
			i.take(t, "tofu/ipal-01/readings", cod(0, 8))
			i.take(t, topic, `{"state":"start","time":"2026-11-23T07:00:30Z","by":"Sari"}`)
			i.take(t, topic, `{"state":"calibration","parameter":"ph","reference":7,"before":7.5,"after_calibration":7,"time":"2026-11-23T07:00:40Z"}`)
			between(t, i)
			i.take(t, "tofu/ipal-01/readings", `{"time":"2026-11-23T07:00:45Z","cod":9000}`)
			i.take(t, topic, `{"state":"end","time":"2026-11-23T07:01:30Z"}`)
			i.take(t, topic, `{"state":"start","parameters":["ph"],"time":"2026-11-23T07:02:30Z","until":"2026-11-23T07:04:30Z"}`)
			i.take(t, topic, `{"state":"start","time":"2026-11-23T07:00:30Z","by":"Sari"}`) // comes again
			const want = "1 3 4"
			if got := i.cares(t); got != want {
				t.Fatalf("before the kill somebody works in minutes %s, want %s", got, want)
			}
			if err := i.spool.Close(); err != nil { // and nothing more is saved
				t.Fatal(err)
			}
			for life := range 2 {
				i = opened(t, s)
				if got := i.cares(t); got != want {
					t.Errorf("in life %d somebody works in minutes %s, want %s", life+1, got, want)
				}
				if diff := cmp.Diff(i.latest(t), map[string]float64{"cod ipal-01": 8}); diff != "" {
					t.Errorf("in life %d latest values (-got +want):\n%s", life+1, diff)
				}
				if got := i.care.Outlook(water.Visit{
					Station: i.stations["ipal-01"], Parameter: s.Parameters.Lookup([]byte("ph")), Time: sampled.Add(40 * time.Second),
				}, time.UTC); !strings.Contains(got, "the first on record") {
					t.Errorf("in life %d the visit is %s", life+1, got)
				}
				if got := i.bad(t); got != 0 {
					t.Errorf("in life %d %v observations count as bad, want 0: that of 9000 was made during maintenance", life+1, got)
				}
				drain(t, i)
				if h := i.spool.Health(); h.Received != 2 || h.Stored+h.Pending != 2 {
					t.Errorf("in life %d the ledger is %+v, want 2 readings received", life+1, h.Ledger)
				}
				if err := i.close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// bad is how many bad observations a scrape shows.
func (i *ingester) bad(t *testing.T) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(i.exporter)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "tofuwatch_observations_total" && m.GetLabel()[0].GetValue() == "4" { // flag is the first of them
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestDamagedBookIsSetAside(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	i := opened(t, s)
	i.take(t, "tofu/ipal-01/maintenance", `{"state":"start","time":"2026-11-23T07:00:00Z"}`)
	if err := i.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.careFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	i = opened(t, s)
	defer i.close()
	if got, want := i.cares(t), "0 1 2 3 4 5 6 7 8 9"; got != want { // the spool still has it
		t.Errorf("somebody works in minutes %s, want %s", got, want)
	}
	if data, err := os.ReadFile(i.careFile() + ".damaged"); err != nil || string(data) != "{" {
		t.Errorf("set aside is %q, %v, want what was there", data, err)
	}
}

func TestNotify(t *testing.T) {
	s := newPlace(t).site(t, "ipal-01")
	visit := func(before string, minute int) []byte {
		return fmt.Appendf(nil, `{"state":"calibration","parameter":"ph","reference":7,"before":%s,"time":%q}`, before, sampled.Add(time.Duration(minute)*time.Minute-time.Hour*24*365).Format(time.RFC3339))
	}
	notify := func(station string, notice []byte) NoticeResult {
		t.Helper()
		got, err := Notify(t.Context(), s, station, notice, silent)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	check := func(got, want NoticeResult) {
		t.Helper()
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("result (-got +want):\n%s", diff)
		}
	}
	const first = "noted; it is the first on record, and readings are corrected between two"
	check(notify("ipal-01", visit("7.5", 0)), NoticeResult{Outlook: first})
	check(notify("ipal-99", visit("7.5", 0)), NoticeResult{Problem: `no station "ipal-99"; have another look at the topic`})
	check(notify("ipal-01", visit("75", 0)), NoticeResult{Problem: "before is 75, and ph is from 0 to 14"})
	check(notify("a/b", visit("7", 0)), NoticeResult{Problem: `no source has the topic "tofu/a/b/maintenance"; the site file's are tofu/{station}/readings`})

	// Beside an ingester that owns the folder.
	i := opened(t, s)
	defer i.close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.answerRequests(ctx)
	}()
	check(notify("ipal-01", visit("7.5", 10)), NoticeResult{
		Outlook: "noted; since 2025-11-23 14:00 WIB its error grew to 0.00 by fouling and 0.50 by drift, past 0.20; its readings are corrected",
	})
	check(notify("ipal-01", []byte("{")), NoticeResult{Problem: problemOf(t, s, "{")})
	cancel()
	<-done
	if entries, err := os.ReadDir(noticeDesk(s).folder); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if letters, err := spool.ReadDeadLetters(s.DataDir); err != nil || len(letters) != 0 {
		t.Errorf("dead letters %v, %v, want none: who asks is told", letters, err)
	}
}

// problemOf is what somebody is told of a notice.
func problemOf(t *testing.T, s *site.Site, notice string) string {
	t.Helper()
	other := *s
	other.DataDir = t.TempDir()
	i := opened(t, &other)
	defer i.close()
	result, err := i.notice(noticeRequest{"ipal-01", []byte(notice)})
	if err != nil || result.Problem == "" {
		t.Fatalf("notice %s gives %+v, %v, want a problem", notice, result, err)
	}
	return result.Problem
}
