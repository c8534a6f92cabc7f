package ingester

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

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

// A running ingester owns its data folder. A request to replay is a file in the
// folder "replay" beside its data, named request-*.json; the answer is a file
// result-* of the same name.
const (
	requestPrefix = "request-"
	resultPrefix  = "result-"
	answerTime    = 30 * time.Second
)

func replayFolder(s *site.Site) string { return filepath.Join(s.DataDir, "replay") }

// Replay sends dead letters through the pipeline again, at their own times: by
// the ingester that runs on the data folder of s, or else by itself. Readings go
// into the spool; the ingester brings them to InfluxDB when it runs.
func Replay(ctx context.Context, s *site.Site, ids []uint64, log *slog.Logger) ([]ReplayResult, error) {
	i, err := open(s, Options{}, log)
	if errors.Is(err, spool.ErrInUse) {
		return requestReplay(ctx, s, ids)
	}
	if err != nil {
		return nil, err
	}
	results, err := i.replay(ids)
	return results, errors.Join(err, i.close())
}

// requestReplay asks the running ingester, and waits for its answer.
func requestReplay(ctx context.Context, s *site.Site, ids []uint64) ([]ReplayResult, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	data, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	name := rand.Text() + ".json"
	request := filepath.Join(replayFolder(s), requestPrefix+name)
	result := filepath.Join(replayFolder(s), resultPrefix+name)
	if err := os.MkdirAll(replayFolder(s), 0o770); err != nil {
		return nil, fmt.Errorf("ask the ingester to replay: %w", err)
	}
	if err := renameio.WriteFile(request, data, 0o660); err != nil {
		return nil, fmt.Errorf("ask the ingester to replay: %w", err)
	}
	for {
		data, err := os.ReadFile(result)
		if err == nil {
			var results []ReplayResult
			return results, errors.Join(json.Unmarshal(data, &results), os.Remove(result))
		}
		select {
		case <-time.After(replayEvery / 5):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("no answer from the ingester that uses %s; is it the same release?", s.DataDir), os.Remove(request))
		}
	}
}

// replayRequests answers requests until ctx is done.
func (i *ingester) replayRequests(ctx context.Context) {
	every(ctx, replayEvery, func() {
		entries, err := os.ReadDir(replayFolder(i.site))
		if err != nil {
			return // no request was ever made
		}
		for _, e := range entries {
			name, ok := strings.CutPrefix(e.Name(), requestPrefix)
			if !ok {
				continue
			}
			if err := i.answer(name); err != nil {
				i.log.Error("replay request not answered", "err", err)
			}
		}
	})
}

func (i *ingester) answer(name string) error {
	request := filepath.Join(replayFolder(i.site), requestPrefix+name)
	data, err := os.ReadFile(request)
	if err != nil {
		return err
	}
	// Removed first: a request that kills us must not do so for ever.
	if err := os.Remove(request); err != nil {
		return err
	}
	var ids []uint64
	if err := json.Unmarshal(data, &ids); err != nil {
		return fmt.Errorf("read replay request: %w", err)
	}
	results, err := i.replay(ids)
	if err != nil {
		return err
	}
	if data, err = json.Marshal(results); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(replayFolder(i.site), resultPrefix+name), data, 0o660)
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
		if len(observations) == 0 {
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
	done := make(chan error, 1)
	i.pipeline.Keep(o, func(err error) { done <- err })
	return len(o.Observations), <-done
}
