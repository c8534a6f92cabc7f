package ingester

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"tofuwatch/ingest"
	"tofuwatch/ingest/laboratory"
	"tofuwatch/ingest/spool"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// Numbers of imports.
const (
	importEvery  = 300 * time.Millisecond // how often batches are looked for
	recordValues = 5000                   // observations in one record of the spool
	chunkValues  = 4 * recordValues       // between two fsyncs of the register
	tellEvery    = 500 * time.Millisecond // how often progress is told
	importRetry  = time.Second            // before the spool is tried again
	answerWithin = time.Minute            // without progress, the ingester is taken for gone
	leftoverAge  = 24 * time.Hour         // of files that nobody came for
)

// An ImportResult says what became of a batch.
type ImportResult struct {
	Stored    int    `json:"stored"`                 // values that are on their way to InfluxDB, corrections among them
	Corrected int    `json:"corrected"`              // that took the place of an earlier result, which is kept as superseded
	Unchanged int    `json:"unchanged"`              // that were imported before
	Outdated  int    `json:"outdated"`               // that a later result had superseded already
	Bad       int    `json:"bad"`                    // of those stored, flagged bad
	OverLimit int    `json:"over_limit"`             // of those stored, past a limit that bound when the water was sampled
	Unknown   int    `json:"unknown"`                // whose station or parameter the ingester does not know
	Problem   string `json:"problem,omitempty"`      // why nothing, or not all, became of it
	Before    string `json:"imported,omitempty"`     // when the same values were imported before, RFC 3339
	Missing   int    `json:"missing_kept,omitempty"` // "no value" of a logger, kept as such
}

// importProgress is kept in the register while a batch is taken in, in one change
// with the results that it is about.
type importProgress struct {
	Offset int64        `json:"offset"`
	Result ImportResult `json:"result"`
}

// importDone is kept of a batch that was taken in, by the digest of its content.
type importDone struct {
	Batch  string       `json:"batch"`
	File   string       `json:"file"`
	Time   time.Time    `json:"time"`
	Result ImportResult `json:"result"`
}

// errNoRoom says that an import has to wait for InfluxDB.
var errNoRoom = errors.New("half of the spool's room is taken by readings that wait for InfluxDB, and the rest is kept for the stations; the import goes on when the ingester runs and InfluxDB has caught up")

// Import has batches taken in, by the ingester that runs on the data folder of s, or
// else by itself: then they are in the spool, and the ingester brings them to
// InfluxDB when it runs. It returns a result for each name. told is called with how
// much is done of how much. Whatever Import returns, a batch stays where it is until
// it was taken in, now or later.
func Import(ctx context.Context, s *site.Site, names []string, told func(done, total int64), log *slog.Logger) ([]ImportResult, error) {
	i, err := open(s, Options{}, log)
	if errors.Is(err, spool.ErrInUse) {
		return awaitImport(ctx, s, names, told)
	}
	if err != nil {
		return nil, err
	}
	var total, before int64
	for _, name := range batchNames(importFolder(s)) {
		total += sizeOf(filepath.Join(importFolder(s), batchPrefix+name))
	}
	for _, name := range batchNames(importFolder(s)) {
		size := sizeOf(filepath.Join(importFolder(s), batchPrefix+name))
		if err = i.importBatch(ctx, name, false, func(done int64) { told(before+done, total) }); err != nil {
			break
		}
		before += size
	}
	if err := errors.Join(err, i.close()); err != nil {
		return nil, err
	}
	return collectResults(s, names)
}

func sizeOf(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// awaitImport waits for the running ingester.
func awaitImport(ctx context.Context, s *site.Site, names []string, told func(done, total int64)) ([]ImportResult, error) {
	folder := importFolder(s)
	sizes := make(map[string]int64)
	var total int64
	for _, name := range names {
		sizes[name] = sizeOf(filepath.Join(folder, batchPrefix+name))
		total += sizes[name]
	}
	waiting, last, moved := slices.Clone(names), int64(-1), time.Now()
	ticker := time.NewTicker(importEvery / 3)
	defer ticker.Stop()
	for len(waiting) > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("not waited for: the ingester goes on with the import: %w", context.Cause(ctx))
		}
		var done int64
		waiting = slices.DeleteFunc(waiting, func(name string) bool {
			_, err := os.Stat(filepath.Join(folder, outcomePrefix+name))
			return err == nil
		})
		for _, name := range names {
			var p importProgress
			switch data, err := os.ReadFile(filepath.Join(folder, progressPrefix+name)); {
			case !slices.Contains(waiting, name):
				done += sizes[name]
			case err == nil && json.Unmarshal(data, &p) == nil:
				done += p.Offset
			}
		}
		if done != last {
			last, moved = done, time.Now()
			told(done, total)
		}
		if time.Since(moved) > answerWithin {
			return nil, fmt.Errorf("no answer from the ingester that uses %s; the values are safe there, and are taken in as soon as it works and the spool has room", s.DataDir)
		}
	}
	return collectResults(s, names)
}

// collectResults reads the results of batches, and removes them.
func collectResults(s *site.Site, names []string) ([]ImportResult, error) {
	results := make([]ImportResult, len(names))
	for n, name := range names {
		file := filepath.Join(importFolder(s), outcomePrefix+name)
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &results[n])
		}
		if err != nil {
			return nil, fmt.Errorf("read result of import: %w", err)
		}
		if err := os.Remove(file); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// importRequests takes in batches until ctx is done.
func (i *ingester) importRequests(ctx context.Context) {
	i.sweepImports(time.Now())
	failed := ""
	every(ctx, importEvery, func() {
		for _, name := range batchNames(importFolder(i.site)) {
			err := i.importBatch(ctx, name, true, func(int64) {})
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				if failed != err.Error() {
					failed = err.Error()
					i.log.Error("import not taken in; trying again", "batch", name, "err", err)
				}
				return
			}
			failed = ""
		}
	})
}

// sweepImports removes what commands left behind that did not end well.
func (i *ingester) sweepImports(now time.Time) {
	entries, err := os.ReadDir(importFolder(i.site))
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < leftoverAge {
			continue
		}
		for _, prefix := range []string{newPrefix, outcomePrefix, progressPrefix} {
			if strings.HasPrefix(e.Name(), prefix) {
				if err := os.Remove(filepath.Join(importFolder(i.site), e.Name())); err != nil {
					i.log.Warn("leftover of an import not removed", "err", err)
				}
			}
		}
	}
}

// importBatch takes in a batch from where it was left. It waits for room in the
// spool, or returns errNoRoom. After any error the batch is still there.
func (i *ingester) importBatch(ctx context.Context, name string, wait bool, told func(done int64)) error {
	if err := i.openRegister(); err != nil {
		return err
	}
	folder := importFolder(i.site)
	file := filepath.Join(folder, batchPrefix+name)
	c, err := i.register.Begin()
	if err != nil {
		return err
	}
	var progress importProgress
	var before importDone
	_, err = c.Import("batch "+name, &progress)
	known, err2 := c.Import("done "+digestOf(name), &before)
	c.Rollback()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	b, err := openBatch(file, progress.Offset, i.stations, i.site.Parameters)
	if errors.Is(err, errBatch) {
		return i.endBatch(name, ImportResult{Problem: err.Error()}, asidePrefix)
	}
	if err != nil {
		return err
	}
	defer b.close()
	if known && before.Batch == name { // we ended before its result was told
		return i.endBatch(name, before.Result, "")
	}
	if known && !b.header.Again && progress.Offset == 0 {
		n, err := b.countValues()
		if err != nil {
			return i.endBatch(name, ImportResult{Problem: err.Error()}, asidePrefix)
		}
		i.log.Info("import changes nothing", "file", b.header.File, "imported", before.Time)
		return i.endBatch(name, ImportResult{Unchanged: n, Before: before.Time.Format(time.RFC3339)}, "")
	}
	m := &batchImport{ingester: i, name: name, reader: b, progress: progress, wait: wait, told: told}
	if err := m.run(ctx); err != nil {
		if errors.Is(err, errBatch) {
			m.progress.Result.Problem = err.Error()
			return i.endBatch(name, m.progress.Result, asidePrefix)
		}
		return err
	}
	delete(i.spooled, name)
	i.log.Info("import taken in", "file", b.header.File, "stored", m.progress.Result.Stored, "unchanged", m.progress.Result.Unchanged)
	return i.endBatch(name, m.progress.Result, "")
}

// registerName is the register's file in a data folder.
const registerName = "laboratory.db"

// openRegister opens the register unless it is open.
func (i *ingester) openRegister() error {
	i.saving.Lock()
	defer i.saving.Unlock()
	if i.register != nil {
		return nil
	}
	register, err := laboratory.Open(filepath.Join(i.site.DataDir, registerName))
	i.register = register
	return err
}

// countValues counts the values in a batch.
func (b *batchReader) countValues() (n int, err error) {
	var s batchSample
	for {
		switch err := b.next(&s); {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
		n += len(s.values)
	}
}

// endBatch tells the result of a batch and removes it, or sets it aside under a
// prefix.
func (i *ingester) endBatch(name string, result ImportResult, aside string) error {
	folder := importFolder(i.site)
	data, err := json.Marshal(result)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(filepath.Join(folder, outcomePrefix+name), data, 0o660); err != nil {
		return fmt.Errorf("tell the result of an import: %w", err)
	}
	if aside != "" {
		i.log.Error("import cannot be read back; it was set aside", "file", aside+name, "err", result.Problem)
		err = os.Rename(filepath.Join(folder, batchPrefix+name), filepath.Join(folder, aside+name))
	} else {
		err = os.Remove(filepath.Join(folder, batchPrefix+name))
	}
	if err != nil {
		return fmt.Errorf("end an import: %w", err)
	}
	if err := os.Remove(filepath.Join(folder, progressPrefix+name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("end an import: %w", err)
	}
	return nil
}

// A batchImport is a batch that is being taken in, chunk by chunk. A chunk is first
// in the spool and then in the register, together with the place behind it. After a
// crash between the two the chunk is decided anew, with the same outcome; what of it
// the spool has, as its topics tell, is not given to it again.
type batchImport struct {
	*ingester
	name     string
	reader   *batchReader
	progress importProgress
	wait     bool
	told     func(done int64)

	lastTold time.Time
	sample   batchSample
	readings []water.Reading // scratch
}

func (m *batchImport) run(ctx context.Context) error {
	for {
		if err := m.room(ctx); err != nil {
			return err
		}
		ended, err := m.chunk()
		if err != nil {
			return err
		}
		m.tell(ended)
		if ended {
			return nil
		}
	}
}

// room waits until the spool may take a chunk. Stations come before files: an import
// never takes the second half of the spool.
func (m *batchImport) room(ctx context.Context) error {
	for told := false; ; {
		err := m.spool.Writable()
		if err == nil && m.spool.Health().Bytes <= m.spoolLimit/2 {
			return ctx.Err()
		}
		if !m.wait {
			return errNoRoom
		}
		if !told {
			told = true
			m.log.Warn("import waits until InfluxDB has taken more of the spool", "file", m.reader.header.File, "err", err)
		}
		select {
		case <-time.After(importRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A chunkRecord is a record of the spool that is being made of samples.
type chunkRecord struct {
	ingest.Outcome
	end int64 // of its samples in the batch
}

// chunk takes in some samples, and reports whether they were the last.
func (m *batchImport) chunk() (ended bool, err error) {
	c, err := m.register.Begin()
	if err != nil {
		return false, err
	}
	defer c.Rollback()
	p := m.progress // becomes m.progress with the commit
	var records []chunkRecord
	for n := 0; n < chunkValues/recordValues && !ended; n++ {
		var r chunkRecord
		if r, ended, err = m.record(c, &p.Result); err != nil {
			return false, err
		}
		if len(r.Observations) > 0 && r.end > m.spooled[m.name] {
			records = append(records, r)
		}
	}
	p.Offset = m.reader.offset
	if ended {
		err = errors.Join(
			c.SetImport("batch "+m.name, nil),
			c.SetImport("done "+digestOf(m.name), importDone{m.name, m.reader.header.File, time.Now().UTC().Truncate(time.Second), p.Result}))
	} else {
		err = c.SetImport("batch "+m.name, p)
	}
	if err == nil {
		err = m.keep(records, c)
	}
	if err != nil {
		return false, err
	}
	m.progress = p
	return ended, nil
}

// keep gives records to the spool, then shows them to the exporter and commits the
// change of the register. A snapshot of the exporter has either nothing of them, and
// a position before them, or all.
func (m *batchImport) keep(records []chunkRecord, c *laboratory.Change) error {
	m.saving.Lock()
	m.hold = m.spool.End() + 1
	m.saving.Unlock()
	failures := make([]error, len(records))
	var kept sync.WaitGroup
	kept.Add(len(records))
	for n, r := range records {
		m.spool.Append(r.Outcome, func(err error) {
			failures[n] = err
			kept.Done()
		})
	}
	kept.Wait()

	m.saving.Lock()
	defer m.saving.Unlock()
	m.hold = 0
	for n, r := range records {
		if failures[n] != nil {
			return failures[n] // the ones before it are in the spool, and noted
		}
		m.care.Keep(nil, nil, r.Observations)
		m.exporter.ObserveAt(r.Received, r.Observations)
		m.spooled[m.name] = r.end
	}
	return c.Commit()
}

// record makes a record of the next samples.
func (m *batchImport) record(c *laboratory.Change, result *ImportResult) (r chunkRecord, ended bool, err error) {
	observations := make([]water.Observation, 0, recordValues+100)
	var superseded []water.Observation
	for values := 0; values < recordValues; values += len(m.sample.values) {
		err := m.reader.next(&m.sample)
		if errors.Is(err, io.EOF) {
			ended = true
			break
		}
		if err != nil {
			return r, false, err
		}
		if observations, superseded, err = m.take(c, result, observations, superseded); err != nil {
			return r, false, err
		}
	}
	r.end = m.reader.offset
	r.Outcome = ingest.Outcome{
		Topic:    importTopic(m.reader.header.File, m.name, r.end),
		Received: time.Now().UTC(), Observations: append(observations, superseded...),
	}
	return r, ended, nil
}

// importTopic is the topic of what came in a file: its name for people, and for us
// the batch and the place in it behind what is in the record.
func importTopic(file, batch string, end int64) string {
	return fmt.Sprintf("import %s [%s %d]", file, batch, end)
}

// noteSpooled notes what a record's topic tells of an import.
func (i *ingester) noteSpooled(topic string) {
	if !strings.HasPrefix(topic, "import ") {
		return
	}
	var batch string
	var end int64
	if open := strings.LastIndexByte(topic, '['); open > 0 {
		if n, _ := fmt.Sscanf(topic[open:], "[%s %d]", &batch, &end); n == 2 {
			i.spooled[batch] = max(i.spooled[batch], end)
		}
	}
}

// take decides what becomes of m.sample.
func (m *batchImport) take(c *laboratory.Change, result *ImportResult, observations, superseded []water.Observation) (_, _ []water.Observation, err error) {
	s, method := &m.sample, m.reader.header.Method
	if s.station == nil {
		result.Unknown += len(s.values)
		return observations, superseded, nil
	}
	m.readings = m.readings[:0]
	for _, v := range s.values {
		m.readings = append(m.readings, water.Reading{Parameter: v.Parameter, Value: v.Value, Time: s.time})
	}
	for n, o := range m.pipeline.JudgeSample(s.station, method, m.readings) {
		if n >= len(s.values) {
			observations = append(observations, o) // calculated
			continue
		}
		v := s.values[n]
		o.Censor = v.Censor
		if method != water.Lab {
			if math.IsNaN(o.Value) {
				result.Missing++
			} else {
				m.count(result, o)
			}
			observations = append(observations, o)
			continue
		}
		details := s.result
		if v.Analysis != "" {
			details.Analysis = v.Analysis
		}
		o.Result = &details
		verdict, kept, err := c.Take(o, m.reader.header.Again)
		if err != nil {
			return observations, superseded, err
		}
		switch verdict {
		case laboratory.New, laboratory.Corrected:
			if verdict == laboratory.Corrected {
				result.Corrected++
			}
			m.count(result, o)
		case laboratory.Unchanged:
			result.Unchanged++
		case laboratory.Outdated:
			result.Outdated++
		}
		for _, k := range kept {
			if k.Method == water.Lab {
				observations = append(observations, k)
			} else {
				superseded = append(superseded, k)
			}
		}
	}
	return observations, superseded, nil
}

func (m *batchImport) count(result *ImportResult, o water.Observation) {
	result.Stored++
	if o.Flag == water.Bad {
		result.Bad++
	}
	if m.exporter.Exceeds(o) {
		result.OverLimit++
	}
}

// tell tells the command how far the import is. Nothing depends on it.
func (m *batchImport) tell(ended bool) {
	m.told(m.progress.Offset)
	if !m.wait || !ended && time.Since(m.lastTold) < tellEvery {
		return
	}
	m.lastTold = time.Now()
	data, err := json.Marshal(importProgress{Offset: m.progress.Offset})
	if err == nil {
		file := filepath.Join(importFolder(m.site), progressPrefix+m.name)
		if err = os.WriteFile(file+".new", data, 0o660); err == nil {
			err = os.Rename(file+".new", file)
		}
	}
	if err != nil {
		m.log.Warn("progress of an import not told", "err", err)
	}
}
