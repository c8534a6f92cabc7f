package ingester

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"tofuwatch/ingest"
	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/spool"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// A ReplayResult says what became of a dead letter that was sent through again.
type ReplayResult struct {
	ID       uint64 `json:"id"`
	Readings int    `json:"readings"`          // that are on their way to InfluxDB now
	Problem  string `json:"problem,omitempty"` // why the letter stays where it is; empty if it was used
}

func replayFolder(s *site.Site) string { return filepath.Join(s.DataDir, "replay") }

func replayDesk(s *site.Site) desk[[]uint64, []ReplayResult] {
	return desk[[]uint64, []ReplayResult]{folder: replayFolder(s), what: "replay"}
}

// Replay sends dead letters through the pipeline again, at their own times: by
// the ingester that runs on the data folder of s, or else by itself. Readings go
// into the spool; the ingester brings them to InfluxDB when it runs.
func Replay(ctx context.Context, s *site.Site, ids []uint64, log *slog.Logger) ([]ReplayResult, error) {
	i, err := open(s, Options{}, log)
	if errors.Is(err, spool.ErrInUse) {
		return replayDesk(s).ask(ctx, ids)
	}
	if err != nil {
		return nil, err
	}
	results, err := i.replay(ids)
	return results, errors.Join(err, i.close())
}

// replay sends letters through again and marks those that could be used.
func (i *ingester) replay(ids []uint64) ([]ReplayResult, error) {
	letters, err := spool.ReadDeadLetters(i.site.DataDir)
	if err != nil {
		return nil, err
	}
	byID := make(map[uint64]spool.StoredLetter, len(letters))
	for _, l := range letters {
		byID[l.ID] = l
	}
	var (
		results []ReplayResult
		used    []uint64
		now     = time.Now().UTC()
	)
	for _, id := range ids {
		result := ReplayResult{ID: id}
		letter, ok := byID[id]
		switch {
		case !ok:
			result.Problem = "no such dead letter"
		case !letter.Replayed.IsZero():
			result.Problem = "was replayed already"
		default:
			result.Readings, err = i.replayOne(letter.DeadLetter, letters)
			if err != nil {
				result.Problem = err.Error()
				break
			}
			used = append(used, id)
			letter.Replayed = now // should its ID come twice
			byID[id] = letter
		}
		results = append(results, result)
	}
	if len(used) == 0 {
		return results, nil
	}
	return results, i.spool.MarkReplayed(used, now)
}

// replayOne decides anew on one of all letters. Its error says what is still
// wrong.
func (i *ingester) replayOne(l ingest.DeadLetter, all []spool.StoredLetter) (readings int, err error) {
	var o ingest.Outcome
	switch l.Reason {
	case water.Damaged:
		return 0, errors.New("nobody can say which of its bytes are right; look at it with: tofuwatch deadletter show")
	case water.TooLarge:
		return 0, fmt.Errorf("only its first %d bytes were kept; the station has to send it again, in smaller pieces", ingest.MaxKept)
	case water.Refused:
		o = ingest.Outcome{Topic: l.Topic, Received: l.Received}
		observations, err := influx.Decode(l.Payload, i.stations, i.site.Parameters)
		if err != nil {
			return 0, err
		}
		if o.Maintenance, o.Visits, err = influx.DecodeCare(l.Payload, i.stations, i.site.Parameters); err != nil {
			return 0, err
		}
		i.care.Mark(observations)
		if len(observations)+len(o.Maintenance)+len(o.Visits) == 0 {
			return 0, errors.New("its station or parameter is no longer in the site file")
		}
		if l.Readings == 0 {
			o.Corrections = corrected(observations)
		} else {
			o.Observations = observations
		}
	default:
		o = i.pipeline.Decide(ingest.Message{Topic: l.Topic, Payload: l.Payload, Received: l.Received})
		for _, again := range o.DeadLetters {
			if again.Reason == l.Reason {
				return 0, errors.New(again.Detail)
			}
		}
		// Now for real: beside its neighbours.
		o = i.pipeline.Judge(ingest.Message{Topic: l.Topic, Payload: l.Payload, Received: l.Received})
		// What else is wrong with the message is a dead letter of its own, mostly.
		o.DeadLetters = slices.DeleteFunc(o.DeadLetters, func(again ingest.DeadLetter) bool {
			return slices.ContainsFunc(all, func(old spool.StoredLetter) bool {
				return old.Reason == again.Reason && old.Received.Equal(again.Received) &&
					old.Topic == again.Topic && bytes.Equal(old.Payload, again.Payload)
			})
		})
	}
	if len(o.Observations) == 0 && len(o.DeadLetters) > 0 {
		return 0, errors.New(o.DeadLetters[0].Detail) // for another reason now
	}
	return len(o.Observations), i.keep(o)
}
