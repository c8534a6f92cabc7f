package simulate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/simulate"
)

// firstFaults is when the faults begin in these tests: on a Tuesday, 10:00 WIB.
var firstFaults = start.Add(day + 10*time.Hour)

// A cell is what one sample said of one parameter, in the words of its JSON.
type cell struct {
	station, code string
	at            time.Time // by the station's clock
}

// cells returns what was sent, and how often each sample came.
func cells(t testing.TB, all []simulate.Message) (said map[cell]string, times map[cell]int) {
	t.Helper()
	said, times = make(map[cell]string), make(map[cell]int)
	for _, m := range all {
		if m.Retained {
			continue
		}
		var samples []map[string]json.RawMessage
		body := m.Payload
		if body[0] == '{' {
			body = fmt.Appendf(nil, "[%s]", body)
		}
		if err := json.Unmarshal(body, &samples); err != nil {
			t.Fatalf("%s: %v", m.Payload, err)
		}
		for _, s := range samples {
			var at time.Time
			if err := json.Unmarshal(s["time"], &at); err != nil {
				t.Fatalf("%s: %v", m.Payload, err)
			}
			for code, text := range s {
				c := cell{m.Station, code, at}
				said[c] = string(text)
				times[c]++
			}
		}
	}
	return said, times
}

// What sensor-faults changes of the normal scenario lies within its incidents,
// and each incident changes something.
func TestFaultsAreWhereTheyAreSaidToBe(t *testing.T) {
	until := firstFaults.Add(8 * day)
	o := simulate.Options{Incident: firstFaults, Interval: 5 * time.Minute}
	normal, usual := cells(t, messages(world(t, o), until))
	o.Scenario = simulate.SensorFaults
	w := world(t, o)
	faulty, times := cells(t, messages(w, until))
	incidents := w.Incidents(start, until)

	changed := make([]int, len(incidents))
	for c := range maps.Keys(union(normal, faulty)) {
		if faulty[c] == normal[c] && times[c] == usual[c] {
			continue
		}
		hit := false
		for n, i := range incidents {
			at := c.at
			switch i.Cause { // what the station's clock would have said
			case simulate.Clock1970:
				if at.Year() == 1970 {
					at = i.From.Add(at.Sub(time.Unix(0, 0)))
				}
			case simulate.Clock2000:
				if at.Year() == 2000 {
					at = i.From.Add(at.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)))
				}
			case simulate.ClockAhead:
				if local := at.Add(-7 * time.Hour); !local.Before(i.From) && local.Before(i.To) {
					at = local
				}
			}
			concerned := i.Station == c.station && (i.Parameters == nil || slices.Contains(i.Parameters, c.code))
			if concerned && !at.Before(i.From) && at.Before(i.To) {
				changed[n]++
				hit = true
			}
		}
		if !hit {
			t.Errorf("%s %s at %s: got %q %d times, want %q %d times as in the normal scenario",
				c.station, c.code, c.at, faulty[c], times[c], normal[c], usual[c])
		}
	}
	for n, i := range incidents {
		// A backlog arrives, late.
		if changed[n] == 0 && i.Cause != simulate.Backlog {
			t.Errorf("%s at %s from %s changes nothing", i.Cause, i.Station, i.From)
		}
	}
	causes := make(map[simulate.Cause]bool)
	for _, i := range incidents {
		causes[i.Cause] = true
	}
	if got, want := len(causes), 13; got != want {
		t.Errorf("kinds of fault: got %d, want %d", got, want)
	}
}

func union(a, b map[cell]string) map[cell]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func TestFaultsComeEveryWeek(t *testing.T) {
	w := world(t, simulate.Options{Scenario: simulate.SensorFaults, Incident: firstFaults})
	for _, week := range []time.Duration{-7 * day, 0, 7 * day, 14 * day} {
		from := firstFaults.Add(week)
		incidents := w.Incidents(from, from.Add(time.Minute))
		want := []simulate.Incident{
			{Cause: simulate.Dead, Station: "bajak-hulu", Parameters: []string{"do"}, From: from, To: from.Add(day)},
			{Cause: simulate.Resent, Station: "tenggang-hulu", From: from, To: from.Add(2 * time.Hour)},
		}
		if diff := cmp.Diff(incidents, want); diff != "" {
			t.Errorf("a minute from %s on (-got +want):\n%s", from, diff)
		}
	}
}

// What each fault looks like on the wire.
func TestFaultShapes(t *testing.T) {
	w := world(t, simulate.Options{Scenario: simulate.SensorFaults, Incident: firstFaults})
	all := messages(w, firstFaults.Add(8*day))
	said, times := cells(t, all)
	at := func(d time.Duration) time.Time { return firstFaults.Add(d) }
	for _, tc := range []struct {
		cause simulate.Cause
		cell  cell
		want  string
	}{
		{simulate.Dead, cell{"bajak-hulu", "do", at(time.Hour)}, ""},
		{simulate.Sentinel, cell{"bajak-hilir", "cod", at(time.Hour)}, "-9999"},
		{simulate.Sentinel, cell{"bajak-hilir", "cod", at(65 * time.Minute)}, "7999"},
		{simulate.NoValue, cell{"ipal-01", "nh3n", at(time.Hour)}, "null"},
		{simulate.NoValue, cell{"ipal-01", "nh3n", at(62 * time.Minute)}, `"-"`},
		{simulate.OutOfRange, cell{"bkt-hulu", "ph", at(time.Hour)}, "15.20"},
		{simulate.OutOfRange, cell{"bkt-hulu", "do", at(time.Hour)}, "109.80"},
		{simulate.Zero, cell{"bkt-hilir", "cod", at(time.Hour)}, "0"},
		{simulate.Stuck, cell{"ipal-01-in", "ph", at(6 * time.Hour)}, said[cell{"ipal-01-in", "ph", at(8 * time.Hour)}]},
		{simulate.Clock1970, cell{"tenggang-hilir", "time", time.Date(1970, 1, 1, 0, 5, 0, 0, time.UTC)}, `"1970-01-01T00:05:00Z"`},
		{simulate.Clock2000, cell{"tenggang-hilir", "time", time.Date(2000, 1, 1, 0, 5, 0, 0, time.UTC)}, `"2000-01-01T00:05:00Z"`},
		{simulate.ClockAhead, cell{"tenggang-hilir", "time", at(9*time.Hour + 5*time.Minute)}, `"2026-07-14T12:05:00Z"`},
	} {
		if got := said[tc.cell]; got != tc.want {
			t.Errorf("%s: %s %s at %s: got %s, want %s", tc.cause, tc.cell.station, tc.cell.code, tc.cell.at, got, tc.want)
		}
	}
	if n := times[cell{"tenggang-hulu", "cod", at(time.Hour)}]; n != 2 {
		t.Errorf("%s: came %d times, want 2", simulate.Resent, n)
	}

	got := series(t, all)
	film := got["ipal-01 ph"]
	dirty, clean := mean(film, after(firstFaults, 7*24-2, 7*24)), mean(film, after(firstFaults, 7*24, 7*24+2))
	if clean < dirty+0.5 {
		t.Errorf("%s: pH %.2f before cleaning, %.2f after: want a step back", simulate.Film, dirty, clean)
	}
	bubbles, still := 0, mean(got["bajak-hilir turbidity"], after(firstFaults, -2, 0))
	for _, v := range got["bajak-hilir turbidity"] {
		if after(firstFaults, 0.5, 4.5)(v.at, 0) && v.v > 2.5*still {
			bubbles++
		}
	}
	if bubbles < 3 || bubbles > 24 {
		t.Errorf("%s: %d spikes among 48 samples; want some", simulate.Bubbles, bubbles)
	}
}

func TestBacklogComesAtOnce(t *testing.T) {
	w := world(t, simulate.Options{Scenario: simulate.SensorFaults, Incident: firstFaults})
	from, to := firstFaults.Add(150*time.Minute), firstFaults.Add(210*time.Minute)
	var got []string
	for _, m := range messages(w, to.Add(time.Minute)) {
		if m.Station != "bkt-hulu" || m.Time.Before(from) {
			continue
		}
		if m.Retained {
			got = append(got, fmt.Sprintf("%s %s", m.Time.Format("15:04"), m.Payload))
			continue
		}
		got = append(got, fmt.Sprintf("%s %d samples", m.Time.Format("15:04"), bytes.Count(m.Payload, []byte(`"time"`))))
	}
	want := []string{"05:30 offline", "06:30 online", "06:30 13 samples"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("messages of bkt-hulu (-got +want):\n%s", diff)
	}
}
