package ingest

import (
	"log/slog"
	"sync"
	"time"

	"tofuwatch/internal/water"
)

// faultLog tells of faults in the log without filling the disk: the first of a
// kind at once, those that follow as one count a minute. Stations are not told
// apart: the dead letters do that.
type faultLog struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[water.Reason]*tally // "" for messages that the spool refused
}

// tally counts faults since they were last told of.
type tally struct {
	last   time.Time
	untold int
}

const tellEvery = time.Minute

func newFaultLog(log *slog.Logger) *faultLog {
	return &faultLog{log: log, told: make(map[water.Reason]*tally)}
}

// due counts n faults of a kind, and returns how many to tell of now, if any.
func (f *faultLog) due(kind water.Reason, n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.told[kind]
	if t == nil {
		t = new(tally)
		f.told[kind] = t
	}
	t.untold += n
	now := time.Now()
	if now.Sub(t.last) < tellEvery {
		return 0
	}
	n, t.last, t.untold = t.untold, now, 0
	return n
}

func (f *faultLog) deadLettered(l DeadLetter) {
	if n := f.due(l.Reason, l.Readings); n > 0 {
		f.log.Warn("readings dead-lettered", "reason", l.Reason, "n", n, "topic", l.Topic, "err", l.Detail)
	}
}

func (f *faultLog) withheld(topic string, err error) {
	if n := f.due("", 1); n > 0 {
		f.log.Error("messages not stored and not acknowledged; the broker keeps them", "n", n, "topic", topic, "err", err)
	}
}
