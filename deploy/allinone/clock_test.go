package main

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	began := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	past := clock{began: began, start: began.Add(-time.Hour), speed: 61}
	tests := []struct {
		name        string
		clock       clock
		here, there time.Duration // since began
	}{
		{"ours", clock{}, time.Hour, time.Hour},
		{"no faster than ours", clock{began: began, start: began.Add(-time.Hour), speed: 1}, time.Hour, time.Hour},
		{"at the beginning", past, 0, -time.Hour},
		{"on the way", past, 30 * time.Second, -30*time.Minute + 30*time.Second},
		{"caught up", past, time.Minute, time.Minute},
		{"afterwards", past, 10 * time.Minute, 10 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, want := test.clock.there(began.Add(test.here)), began.Add(test.there); !got.Equal(want) {
				t.Errorf("there: got %s, want %s", got, want)
			}
			if got, want := test.clock.here(began.Add(test.there)), began.Add(test.here); !got.Equal(want) {
				t.Errorf("here: got %s, want %s", got, want)
			}
		})
	}
}
