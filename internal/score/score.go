// Package score tells how useful quality flags are: it sends records whose faults
// are known through the same judge as readings from the broker, and counts.
package score

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"tofuwatch/ingest/quality"
	"tofuwatch/internal/water"
)

// A Reading is one of a record, and what somebody says of it.
type Reading struct {
	Time     time.Time
	Received time.Time // zero: when it was sampled
	Value    float64   // NaN if it is missing
	Label    string    // what is wrong with it; "" if nothing is
}

// A Record is what one sensor said, in the order in which it arrived.
type Record struct {
	Station   *water.Station
	Parameter *water.Parameter
	Readings  []Reading
}

// A Score is what became of records.
type Score struct {
	Records  int
	Readings int
	Days     float64               // of all records together
	Found    Count                 // readings, by any test
	ByTest   map[water.Test]Count  // those that a test flagged
	ByLabel  map[string]LabelCount // those that have a label
	Time     Count                 // those whose time cannot be true: dead letters
}

// A Count is of readings that were flagged missing, suspect or bad.
type Count struct {
	Right int // with a label
	False int // without
}

// A LabelCount is of readings with a label.
type LabelCount struct{ Readings, Found int }

// Labelled is how many readings of s have a label, and how many of those were
// found; but for labels that are excepted.
func (s *Score) Labelled(except ...string) (readings, found int) {
	for name, l := range s.ByLabel {
		if !slices.Contains(except, name) {
			readings += l.Readings
			found += l.Found
		}
	}
	return readings, found
}

// Recall is which part of the readings with a label was found, but for labels that
// are excepted.
func (s *Score) Recall(except ...string) float64 {
	readings, found := s.Labelled(except...)
	return ratio(found, readings)
}

// Precision is which part of what was found has a label.
func (s *Score) Precision() float64 { return ratio(s.Found.Right, s.Found.Right+s.Found.False) }

// FalseAlarms is how many readings without a label are flagged, a day and record.
func (s *Score) FalseAlarms() float64 { return float64(s.Found.False) / max(s.Days, 1e-9) }

func ratio(part, all int) float64 {
	if all == 0 {
		return 1
	}
	return float64(part) / float64(all)
}

// Judge sends records through a judge with these settings and counts what each
// reading is flagged in the end, when all of its neighbours have come. What is
// compared within a sample is compared among all records of a station.
func Judge(parameters *water.Parameters, records []Record, settings func(*water.Station, *water.Parameter) quality.Settings) *Score {
	s := &Score{Records: len(records), ByTest: make(map[water.Test]Count), ByLabel: make(map[string]LabelCount)}
	type key struct {
		station   *water.Station
		parameter *water.Parameter
		at        int64
	}
	type judged struct {
		label string
		tests water.Tests
		flag  water.Flag
	}
	all := make(map[key]judged)
	judge := quality.NewJudge(parameters, settings)

	type arrival struct {
		Reading
		record *Record
	}
	var arrivals []arrival
	for i := range records {
		r := &records[i]
		for _, reading := range r.Readings {
			if reading.Received.IsZero() {
				reading.Received = reading.Time
			}
			arrivals = append(arrivals, arrival{reading, r})
		}
		s.Readings += len(r.Readings)
		if n := len(r.Readings); n > 0 {
			first, last := r.Readings[0], r.Readings[n-1]
			s.Days += cmp.Or(last.Received, last.Time).Sub(cmp.Or(first.Received, first.Time)).Hours() / 24
		}
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return a.Received.Compare(b.Received) })
	for _, a := range arrivals {
		if quality.CheckTime(a.Time, a.Received) != nil {
			s.count(&s.Time, a.Label)
			s.label(a.Label, true)
			continue
		}
		observations, corrections := judge.Judge(quality.Batch{
			Station: a.record.Station, Method: water.Sensor, Received: a.Received,
			Readings: []water.Reading{{Parameter: a.record.Parameter, Value: a.Value, Time: a.Time}},
		})
		o := observations[0]
		all[key{o.Station, o.Parameter, o.Time.UnixNano()}] = judged{a.Label, o.Tests, o.Flag}
		for _, c := range corrections {
			k := key{c.Station, c.Parameter, c.Time.UnixNano()}
			all[k] = judged{all[k].label, c.Tests, c.Flag}
		}
	}
	for _, j := range all {
		found := j.flag != water.Good && j.flag != water.NotEvaluated
		s.label(j.label, found)
		if !found {
			continue
		}
		s.count(&s.Found, j.label)
		for _, test := range water.AllTests() {
			if test <= water.LocationTest && j.flag != water.Missing {
				continue // they have no part in the flag
			}
			if f := j.tests.Flag(test); f == water.Suspect || f == water.Bad || f == water.Missing && test == water.GrossRangeTest {
				c := s.ByTest[test]
				s.count(&c, j.label)
				s.ByTest[test] = c
			}
		}
	}
	s.Found.Right += s.Time.Right
	s.Found.False += s.Time.False
	return s
}

func (s *Score) count(c *Count, label string) {
	if label != "" {
		c.Right++
	} else {
		c.False++
	}
}

func (s *Score) label(label string, found bool) {
	if label == "" {
		return
	}
	l := s.ByLabel[label]
	l.Readings++
	if found {
		l.Found++
	}
	s.ByLabel[label] = l
}

// Write writes s for people. What has a label that is excepted is shown, and is no
// part of the recall.
func (s *Score) Write(w io.Writer, except ...string) error {
	labelled, found := s.Labelled(except...)
	fmt.Fprintf(w, "%d readings of %d series, %.1f days in all\n", s.Readings, s.Records, s.Days)
	fmt.Fprintf(w, "recall %.3f: %d of %d readings with a label were flagged", ratio(found, labelled), found, labelled)
	if len(except) > 0 {
		fmt.Fprintf(w, ", not counting %s", printable(strings.Join(except, ", ")))
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "precision %.3f: %d of %d flagged readings have a label\n", s.Precision(), s.Found.Right, s.Found.Right+s.Found.False)
	fmt.Fprintf(w, "false flags: %.3f a day and series\n\n", s.FalseAlarms())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, c Count) {
		if c.Right+c.False > 0 {
			fmt.Fprintf(t, "%s\t%d\t%d\t%.3f\t%.3f\t%.3f\t\n", name, c.Right, c.False,
				ratio(c.Right, c.Right+c.False), ratio(c.Right, labelled), float64(c.False)/max(s.Days, 1e-9))
		}
	}
	fmt.Fprintln(t, "test\tright\tfalse\tprecision\trecall\tfalse a day\t")
	row("sample time", s.Time)
	for _, test := range water.AllTests() {
		row(test.String(), s.ByTest[test])
	}
	fmt.Fprintln(t, "\t\t\t\t\t\t")
	fmt.Fprintln(t, "label\treadings\tflagged\t\trecall\t\t")
	for _, name := range slices.Sorted(maps.Keys(s.ByLabel)) {
		l := s.ByLabel[name]
		fmt.Fprintf(t, "%s\t%d\t%d\t\t%.3f\t\t\n", printable(name), l.Readings, l.Found, ratio(l.Found, l.Readings))
	}
	return t.Flush()
}
