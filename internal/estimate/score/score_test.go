package score

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"tofuwatch/internal/estimate"
	"tofuwatch/internal/water"
)

var (
	outlet = &water.Station{ID: "ipal-01", River: "bajak", Kind: water.Effluent}
	seven  = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
)

// A store is a History that a test changes, and that may be away.
type store struct {
	mu     sync.Mutex
	stored map[water.Method][]water.Observation
	away   bool
	asked  int // for how many samples estimates were looked up
}

var errAway = errors.New("InfluxDB is away")

func (s *store) Between(_ context.Context, _ *water.Station, m water.Method, _ []*water.Parameter, from, to time.Time) ([]water.Observation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	var found []water.Observation
	for _, o := range s.stored[m] {
		if !o.Time.Before(from) && o.Time.Before(to) {
			found = append(found, o)
		}
	}
	return found, nil
}

func (s *store) Around(ctx context.Context, station *water.Station, m water.Method, p []*water.Parameter, times []time.Time, window time.Duration) ([][]water.Observation, error) {
	s.mu.Lock()
	s.asked += len(times)
	s.mu.Unlock()
	found := make([][]water.Observation, len(times))
	for i, at := range times {
		var err error
		if found[i], err = s.Between(ctx, station, m, p, at.Add(-window), at.Add(window+1)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// add stores a BOD.
func (s *store) add(m water.Method, value float64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := water.Observation{Station: outlet, Method: m, Value: value, Flag: water.Good, Time: at}
	if o.Parameter = bod; m == water.Estimate {
		o.Estimation = &water.Estimation{Model: "m", Low: value / 1.5, High: value * 1.5}
	}
	s.stored[m] = append(s.stored[m], o)
}

// correct gives the laboratory's value at a time another value.
func (s *store) correct(at time.Time, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.stored[water.Lab] {
		if o.Time.Equal(at) {
			s.stored[water.Lab][i].Value = value
		}
	}
}

func (s *store) leave(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

var (
	parameters, _ = water.NewParameters()
	bod           = parameters.Lookup([]byte("bod"))
)

func newScorer(s *store) *Scorer {
	models := []*estimate.Model{
		{ID: "b", Parameter: "bod", Station: "ipal-01", From: seven.AddDate(0, 0, 1), To: seven.AddDate(1, 0, 0)},
		{ID: "a", Parameter: "bod", Station: "ipal-01", From: seven.AddDate(0, 0, -9), To: seven.AddDate(0, 0, 1)},
	}
	scorer := New(s, models, map[string]*water.Station{outlet.ID: outlet}, parameters, slog.New(slog.DiscardHandler))
	scorer.now = func() time.Time { return seven.AddDate(0, 0, 20) }
	return scorer
}

// shows fails the test unless the scorer shows these metrics and no others.
func shows(t *testing.T, s *Scorer, want string) {
	t.Helper()
	var lines strings.Builder
	seen := make(map[string]bool)
	for line := range strings.Lines(want) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "{")
		if name != "" && !seen[name] {
			seen[name] = true
			d := map[string][2]string{
				"tofuwatch_estimate_error_ratio":             {"gauge", "Estimate divided by the laboratory's value of the newest sample that has both: 1 is right, 1.25 a quarter too high."},
				"tofuwatch_estimate_error_timestamp_seconds": {"gauge", "When the water of that sample was taken."},
				"tofuwatch_estimate_compared_total":          {"counter", "Laboratory values that have an estimate beside them, since the first model; absent until InfluxDB was asked."},
				"tofuwatch_estimate_outside_interval_total":  {"counter", "Of these, values outside of the estimate's 95 % interval: one of twenty is to be expected."},
			}[name]
			lines.WriteString("# HELP " + name + " " + d[1] + "\n# TYPE " + name + " " + d[0] + "\n")
		}
		lines.WriteString(strings.TrimSpace(line) + "\n")
	}
	if err := testutil.CollectAndCompare(s, strings.NewReader(lines.String())); err != nil {
		t.Error(err)
	}
}

func TestScore(t *testing.T) {
	h := &store{stored: make(map[water.Method][]water.Observation)}
	s := newScorer(h)
	score := func() {
		t.Helper()
		if err := s.score(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	shows(t, s, "")

	h.add(water.Lab, 100, seven.AddDate(0, 0, -10)) // before the first model
	h.add(water.Estimate, 100, seven.AddDate(0, 0, -10))
	score()
	shows(t, s, `
		tofuwatch_estimate_compared_total{parameter="bod",station="ipal-01"} 0
		tofuwatch_estimate_outside_interval_total{parameter="bod",station="ipal-01"} 0`)

	h.add(water.Estimate, 150, seven)
	h.add(water.Lab, 120, seven)
	score()
	shows(t, s, `
		tofuwatch_estimate_compared_total{parameter="bod",station="ipal-01"} 1
		tofuwatch_estimate_error_ratio{parameter="bod",station="ipal-01"} 1.25
		tofuwatch_estimate_error_timestamp_seconds{parameter="bod",station="ipal-01"} 1.7954172e+09
		tofuwatch_estimate_outside_interval_total{parameter="bod",station="ipal-01"} 0`)

	// An older sample that comes later counts, and is not the newest.
	h.add(water.Estimate, 150, seven.AddDate(0, 0, -1))
	h.add(water.Lab, 300, seven.AddDate(0, 0, -1))
	score()
	score() // the same again changes nothing
	shows(t, s, `
		tofuwatch_estimate_compared_total{parameter="bod",station="ipal-01"} 2
		tofuwatch_estimate_error_ratio{parameter="bod",station="ipal-01"} 1.25
		tofuwatch_estimate_error_timestamp_seconds{parameter="bod",station="ipal-01"} 1.7954172e+09
		tofuwatch_estimate_outside_interval_total{parameter="bod",station="ipal-01"} 1`)
	if h.asked != 2 {
		t.Errorf("estimates looked up for %d samples, want 2: each once", h.asked)
	}

	// While InfluxDB is away, what it said last is shown.
	h.leave(true)
	if err := s.score(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("error %v, want %v", err, errAway)
	}
	h.leave(false)
	h.correct(seven, 75) // the laboratory corrects its result
	h.add(water.Lab, 80, seven.AddDate(0, 0, 2))
	score()
	shows(t, s, `
		tofuwatch_estimate_compared_total{parameter="bod",station="ipal-01"} 2
		tofuwatch_estimate_error_ratio{parameter="bod",station="ipal-01"} 2
		tofuwatch_estimate_error_timestamp_seconds{parameter="bod",station="ipal-01"} 1.7954172e+09
		tofuwatch_estimate_outside_interval_total{parameter="bod",station="ipal-01"} 2`)

	// The logger was cut off, and its estimates come after the laboratory's result.
	h.add(water.Estimate, 100, seven.AddDate(0, 0, 2).Add(time.Minute))
	score()
	shows(t, s, `
		tofuwatch_estimate_compared_total{parameter="bod",station="ipal-01"} 3
		tofuwatch_estimate_error_ratio{parameter="bod",station="ipal-01"} 1.25
		tofuwatch_estimate_error_timestamp_seconds{parameter="bod",station="ipal-01"} 1.79559e+09
		tofuwatch_estimate_outside_interval_total{parameter="bod",station="ipal-01"} 2`)

	problems, err := testutil.CollectAndLint(s)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// A month after its sample, nobody waits for an estimate any more.
func TestScoreGivesUp(t *testing.T) {
	h := &store{stored: make(map[water.Method][]water.Observation)}
	s := newScorer(h)
	h.add(water.Lab, 100, seven)
	for _, age := range []time.Duration{20 * 24 * time.Hour, scoreAgain, scoreAgain + 1, 90 * 24 * time.Hour} {
		s.now = func() time.Time { return seven.Add(age) }
		if err := s.score(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if h.asked != 2 {
		t.Errorf("estimates looked up %d times, want 2", h.asked)
	}
}

func TestRunScoresAtOnceAndThenEveryFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &store{stored: make(map[water.Method][]water.Observation), away: true}
		s := newScorer(h)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(ctx)
		}()
		synctest.Wait()
		shows(t, s, "") // InfluxDB is away
		h.leave(false)
		time.Sleep(scoreEvery)
		synctest.Wait()
		shows(t, s, `
			tofuwatch_estimate_compared_total{parameter="bod",station="ipal-01"} 0
			tofuwatch_estimate_outside_interval_total{parameter="bod",station="ipal-01"} 0`)
		cancel()
		<-ended
	})
}
