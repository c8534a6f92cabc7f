// Package laboratory remembers what laboratories said: which result of a sample
// holds, and which earlier ones it supersedes. So a file that is imported twice
// changes nothing, and a corrected file keeps what it corrects, also while InfluxDB
// is away.
package laboratory

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"tofuwatch/internal/water"
)

// A Register is a file of results. Only one process may have it open.
type Register struct{ db *bbolt.DB }

var (
	resultsBucket = []byte("results") // station, parameter and time, to the samples of then
	importsBucket = []byte("imports") // of files, by a key of the caller's
)

// openTime is how long Open waits for another process to close the register.
const openTime = 2 * time.Second

// Open opens the register in file, or starts one.
func Open(file string) (*Register, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return nil, fmt.Errorf("open register of laboratory results: %w", err)
	}
	db, err := bbolt.Open(file, 0o640, &bbolt.Options{Timeout: openTime, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err == nil {
		err = db.Update(func(tx *bbolt.Tx) error {
			for _, name := range [][]byte{resultsBucket, importsBucket} {
				if _, err := tx.CreateBucketIfNotExists(name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("open register of laboratory results %s: %w", file, err)
	}
	return &Register{db}, nil
}

// Close closes the file.
func (r *Register) Close() error { return r.db.Close() }

// Copy writes what the register holds to a new file, which Open opens. Changes go
// on meanwhile, and are not in it.
func (r *Register) Copy(file string) error {
	err := r.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(file, 0o640) })
	if err != nil {
		return fmt.Errorf("copy register of laboratory results: %w", err)
	}
	return nil
}

// Begin starts a change of the register. There may be one at a time.
func (r *Register) Begin() (*Change, error) {
	tx, err := r.db.Begin(true)
	if err != nil {
		return nil, fmt.Errorf("change register of laboratory results: %w", err)
	}
	c := &Change{tx, tx.Bucket(resultsBucket), tx.Bucket(importsBucket)}
	c.results.FillPercent = 0.9 // results come mostly in the order of their times
	return c, nil
}

// A Change is kept whole by Commit, or not at all.
type Change struct {
	tx               *bbolt.Tx
	results, imports *bbolt.Bucket
}

// Commit makes the change durable.
func (c *Change) Commit() error {
	if err := c.tx.Commit(); err != nil {
		return fmt.Errorf("keep laboratory results: %w", err)
	}
	return nil
}

// Rollback forgets the change. After Commit it does nothing.
func (c *Change) Rollback() { _ = c.tx.Rollback() }

// A Verdict says what a result is to what was known.
type Verdict int

// The verdicts that there are.
const (
	New       Verdict = iota // the first of its sample
	Corrected                // it takes the place of an earlier one
	Unchanged                // it was known
	Outdated                 // a later one is known already
)

// sample is what is known of one sample and parameter. Samples of one station and
// moment differ by their names or by who analysed them.
type sample struct {
	version
	Superseded []version `json:"old,omitempty"` // oldest first
}

// version is one result as a laboratory gave it.
type version struct {
	Value      float64      `json:"v"`
	Censor     water.Censor `json:"c,omitempty"`
	Flag       water.Flag   `json:"f"`
	Revision   int          `json:"r"`
	Laboratory string       `json:"l,omitempty"`
	Analysis   string       `json:"a,omitempty"`
	Sample     string       `json:"s,omitempty"`
	Analysed   int64        `json:"t,omitempty"` // Unix seconds
}

func versionOf(o *water.Observation) version {
	v := version{
		Value: o.Value, Censor: o.Censor, Flag: o.Flag, Revision: max(1, o.Result.Revision),
		Laboratory: o.Result.Laboratory, Analysis: o.Result.Analysis, Sample: o.Result.Sample,
	}
	if !o.Result.Analysed.IsZero() {
		v.Analysed = o.Result.Analysed.Unix()
	}
	return v
}

// says reports whether two versions say the same of the water.
func (v version) says(w version) bool { return v.Value == w.Value && v.Censor == w.Censor }

// of reports whether two versions are of the same sample by the same laboratory, as
// far as they tell.
func (v version) of(w version) bool {
	same := func(a, b string) bool {
		return a == "" || b == "" || strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
	}
	return same(v.Sample, w.Sample) && same(v.Laboratory, w.Laboratory)
}

// observation returns v as an observation like o, which is of the same sample.
func (v version) observation(o *water.Observation, method water.Method, after time.Duration) water.Observation {
	result := &water.Result{Laboratory: v.Laboratory, Analysis: v.Analysis, Sample: v.Sample, Revision: v.Revision}
	if v.Analysed != 0 {
		result.Analysed = time.Unix(v.Analysed, 0).UTC()
	}
	return water.Observation{
		Station: o.Station, Parameter: o.Parameter, Method: method,
		Value: v.Value, Censor: v.Censor, Flag: v.Flag, Result: result,
		Time: o.Time.Add(after),
	}
}

// InfluxDB has one point for a series and a time. So of several samples of one
// moment each but the first stands nanoseconds behind it, and of several earlier
// results of a sample each but the first stands milliseconds behind that.
const (
	besideStep  = time.Nanosecond
	earlierStep = time.Millisecond
)

// Take enters a laboratory's result, whose Revision is 0 where the file does not
// say. It returns what is to be stored of it: the result that holds, and an earlier
// one as [water.LabSuperseded]; nothing if all of it was known. With again, what was
// known is stored again.
//
// Without a revision a result that differs from the one that holds is its
// correction, unless it is one that was corrected already. With one the highest
// holds; of two with the same, the later to arrive.
func (c *Change) Take(o water.Observation, again bool) (Verdict, []water.Observation, error) {
	k := key(&o)
	var samples []sample
	if data := c.results.Get(k); data != nil {
		if err := json.Unmarshal(data, &samples); err != nil {
			return 0, nil, fmt.Errorf("read register of laboratory results: %w", err)
		}
	}
	v := versionOf(&o)
	i := slices.IndexFunc(samples, func(s sample) bool { return s.of(v) })
	if i < 0 {
		i = len(samples)
		samples = append(samples, sample{version: v})
		return New, samples[i].observations(&o, i, nil), c.put(k, samples)
	}
	s := &samples[i]
	switch verdict := s.judge(v, o.Result.Revision > 0); verdict {
	case Corrected:
		if o.Result.Revision == 0 {
			v.Revision = s.Revision + 1
		}
		if v.Sample == "" {
			v.Sample = s.Sample
		}
		if v.Laboratory == "" {
			v.Laboratory = s.Laboratory
		}
		s.Superseded = append(s.Superseded, s.version)
		s.version = v
		return verdict, s.observations(&o, i, []int{len(s.Superseded) - 1}), c.put(k, samples)
	case Outdated:
		if s.was(v, o.Result.Revision > 0) {
			return verdict, nil, nil
		}
		s.Superseded = append(s.Superseded, v)
		return verdict, s.observations(&o, i, []int{len(s.Superseded) - 1})[1:], c.put(k, samples)
	default:
		if !again {
			return verdict, nil, nil
		}
		all := make([]int, len(s.Superseded))
		for n := range all {
			all[n] = n
		}
		return verdict, s.observations(&o, i, all), nil
	}
}

// judge says what v is to s. Numbered says that the laboratory numbers its revisions.
func (s *sample) judge(v version, numbered bool) Verdict {
	switch {
	case !numbered && s.says(v), numbered && v.Revision == s.Revision && s.says(v):
		return Unchanged
	case numbered && v.Revision < s.Revision, !numbered && s.was(v, false):
		return Outdated
	}
	return Corrected
}

// was reports whether v is among the earlier results.
func (s *sample) was(v version, numbered bool) bool {
	return slices.ContainsFunc(s.Superseded, func(old version) bool {
		return old.says(v) && (!numbered || old.Revision == v.Revision)
	})
}

// observations returns the result that holds, and those of the earlier ones.
func (s *sample) observations(o *water.Observation, beside int, earlier []int) []water.Observation {
	after := time.Duration(beside) * besideStep
	all := []water.Observation{s.observation(o, water.Lab, after)}
	for _, n := range earlier {
		all = append(all, s.Superseded[n].observation(o, water.LabSuperseded, after+time.Duration(n)*earlierStep))
	}
	return all
}

func (c *Change) put(k []byte, samples []sample) error {
	data, err := json.Marshal(samples)
	if err == nil {
		err = c.results.Put(k, data)
	}
	if err != nil {
		return fmt.Errorf("change register of laboratory results: %w", err)
	}
	return nil
}

// key is where the samples of a station, parameter and moment are. Neighbours in
// time are neighbours in the file.
func key(o *water.Observation) []byte {
	var b bytes.Buffer
	b.WriteString(o.Station.ID)
	b.WriteByte(0)
	b.WriteString(o.Parameter.Code)
	b.WriteByte(0)
	return binary.BigEndian.AppendUint64(b.Bytes(), uint64(o.Time.UnixNano())^1<<63)
}

// Import reads what SetImport last kept under a name, and reports whether there is
// such a thing.
func (c *Change) Import(name string, v any) (bool, error) {
	data := c.imports.Get([]byte(name))
	if data == nil {
		return false, nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("read register of imports: %w", err)
	}
	return true, nil
}

// SetImport keeps v, as JSON, under a name; nil removes it.
func (c *Change) SetImport(name string, v any) error {
	if v == nil {
		return errors.Join(c.imports.Delete([]byte(name)))
	}
	data, err := json.Marshal(v)
	if err == nil {
		err = c.imports.Put([]byte(name), data)
	}
	if err != nil {
		return fmt.Errorf("change register of imports: %w", err)
	}
	return nil
}
