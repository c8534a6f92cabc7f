package ingester

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"tofuwatch/ingest"
	"tofuwatch/ingest/care"
	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/spool"
	"tofuwatch/internal/site"
)

// Numbers of the correction of drift.
const (
	correctEvery  = time.Second
	correctAtOnce = 2000 // readings: what is in memory, and in one record of the spool
	nagEvery      = time.Minute
)

func (i *ingester) careFile() string { return filepath.Join(i.site.DataDir, "care.json") }

// keep brings an outcome to the disk, and waits.
func (i *ingester) keep(o ingest.Outcome) error {
	done := make(chan error, 1)
	i.pipeline.Keep(o, func(err error) { done <- err })
	return <-done
}

// announce brings the planned maintenance to InfluxDB, where the same is stored
// once.
func (i *ingester) announce() {
	planned := i.site.Maintenance()
	if len(planned) == 0 {
		return
	}
	if err := i.keep(ingest.Outcome{Received: time.Now().UTC(), Maintenance: planned}); err != nil {
		i.log.Error("planned maintenance not on its way to InfluxDB; the next start tries again", "err", err)
	}
}

// correctDrift keeps the corrected readings up with the visits, until ctx is done.
func (i *ingester) correctDrift(ctx context.Context) {
	reader := influx.NewReader(i.client, InfluxOptions(i.site))
	var told time.Time
	every(ctx, correctEvery, func() {
		due := i.care.Corrections()
		if len(due) == 0 {
			return
		}
		err := i.correct(ctx, reader, due)
		if err != nil && ctx.Err() == nil && time.Since(told) >= nagEvery {
			told = time.Now()
			i.log.Error("drift not corrected yet; trying again", "n", len(due), "err", err, "hint", influx.Hint(err, InfluxOptions(i.site)))
		}
	})
}

// correct makes the corrected counterparts of readings that InfluxDB holds. It
// can end anywhere and be called again.
func (i *ingester) correct(ctx context.Context, reader *influx.Reader, due []care.Correction) error {
	// What was received before the visits must be in InfluxDB, to be read from there.
	if err := i.keep(ingest.Outcome{}); err != nil { // behind all that is on its way to the disk
		return err
	}
	for end := i.spool.End(); i.spool.Drained() < end; {
		select {
		case <-time.After(correctEvery / 5):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, c := range due {
		for c.Next.Before(c.Drift.To) {
			readings, err := reader.Readings(ctx, c.Station, c.Parameter, c.Next, c.Drift.To, correctAtOnce)
			if err != nil {
				return err
			}
			next := c.Drift.To
			if len(readings) == correctAtOnce {
				next = readings[len(readings)-1].Time.Add(1)
			}
			if corrected := c.Apply(readings); len(corrected) > 0 {
				if err := i.keep(ingest.Outcome{Received: time.Now().UTC(), Observations: corrected}); err != nil {
					return err
				}
			}
			if !i.care.Corrected(c, next) {
				break // a visit or a late reading came between; it is due anew
			}
			c.Next = next
		}
	}
	return nil
}

// A notice on its way to the ingester that owns the data folder.
type noticeRequest struct {
	Station string `json:"station"`
	Notice  []byte `json:"notice"` // as it would be published
}

// A NoticeResult says what became of a notice.
type NoticeResult struct {
	Outlook string `json:"outlook,omitempty"` // what becomes of the readings, in words
	Problem string `json:"problem,omitempty"` // why the notice was not taken; empty if it was
}

func noticeDesk(s *site.Site) desk[noticeRequest, NoticeResult] {
	return desk[noticeRequest, NoticeResult]{folder: filepath.Join(s.DataDir, "notices"), what: "take the notice"}
}

// Notify gives a notice of work on the sensors of a station, as it would be
// published, to the ingester that runs on the data folder of s, or else keeps it
// for the one that will.
func Notify(ctx context.Context, s *site.Site, station string, notice []byte, log *slog.Logger) (NoticeResult, error) {
	i, err := open(s, Options{}, log)
	if errors.Is(err, spool.ErrInUse) {
		return noticeDesk(s).ask(ctx, noticeRequest{station, notice})
	}
	if err != nil {
		return NoticeResult{}, err
	}
	result, err := i.notice(noticeRequest{station, notice})
	i.client.Close()
	return result, errors.Join(err, i.close())
}

// notice follows a notice of somebody who waits for an answer: what is wrong with
// it is told, and is no dead letter.
func (i *ingester) notice(r noticeRequest) (NoticeResult, error) {
	o := i.pipeline.Decide(ingest.Message{Topic: ingest.Notices.Of(r.Station), Payload: r.Notice, Received: time.Now().UTC()})
	if len(o.DeadLetters) > 0 {
		return NoticeResult{Problem: o.DeadLetters[0].Detail}, nil
	}
	if err := i.keep(o); err != nil {
		return NoticeResult{}, fmt.Errorf("keep the notice: %w", err)
	}
	var result NoticeResult
	for _, v := range o.Visits {
		result.Outlook = i.care.Outlook(v, i.site.TimeZone)
	}
	return result, nil
}
