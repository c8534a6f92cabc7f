package simulate

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	now := time.Date(2026, 7, 13, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		start time.Duration // from now on
		speed float64
		at    time.Duration // what is sampled, from now on
		want  time.Duration // when it is sent, from now on
	}{
		"the past is not waited for":           {-time.Hour, 1, -30 * time.Minute, -30 * time.Minute},
		"the present in real time":             {-time.Hour, 1, time.Minute, time.Minute},
		"the past at speed":                    {-time.Hour, 60, -30 * time.Minute, 30 * time.Second},
		"caught up":                            {-59 * time.Minute, 60, time.Minute, time.Minute},
		"past that, never before it is sample": {-59 * time.Minute, 60, time.Hour, time.Hour},
	} {
		p := pace{wall: now, start: now.Add(tc.start), speed: tc.speed}
		if got, want := p.due(now.Add(tc.at)), now.Add(tc.want); !got.Equal(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestCaughtUp(t *testing.T) {
	now := time.Date(2026, 7, 13, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		start time.Duration
		speed float64
		want  time.Duration
	}{
		"no past":        {0, 60, 0},
		"a past at once": {-time.Hour, 1, 0},
		"a past at 60":   {-59 * time.Minute, 60, time.Minute},
	} {
		if got, want := CaughtUp(now.Add(tc.start), now, tc.speed), now.Add(tc.want); !got.Equal(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}
