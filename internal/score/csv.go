package score

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Columns name the columns of a labelled CSV file.
type Columns struct{ Time, Value, Label string }

// sound are the labels that say that nothing is wrong, in lower case.
var sound = []string{"", "0", "false", "no", "good", "ok", "nan"}

// missing are the values that say that there is none, in lower case.
var missing = []string{"", "-", "nan", "na", "null", "none"}

// times are how a time may be written; without a zone it is UTC.
var times = []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"}

// ReadCSV reads the readings of one sensor from a file with a header. A row that
// cannot be read is an error with its line.
func ReadCSV(r io.Reader, c Columns) ([]Reading, error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty; want a header and a row a reading")
	}
	if err != nil {
		return nil, err
	}
	header = slices.Clone(header)
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	var at [3]int
	for i, name := range []string{c.Time, c.Value, c.Label} {
		if at[i] = slices.Index(header, name); at[i] < 0 {
			return nil, fmt.Errorf("no column %q; have %s", name, printable(strings.Join(header, ", ")))
		}
	}
	var readings []Reading
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return readings, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := in.FieldPos(0)
		reading := Reading{Value: math.NaN()}
		if reading.Time, err = parseTime(row[at[0]]); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if text := strings.TrimSpace(row[at[1]]); !slices.Contains(missing, strings.ToLower(text)) {
			if reading.Value, err = strconv.ParseFloat(text, 64); err != nil || math.IsInf(reading.Value, 0) {
				return nil, fmt.Errorf("line %d: %q is no number", line, text)
			}
		}
		if label := strings.TrimSpace(row[at[2]]); !slices.Contains(sound, strings.ToLower(label)) {
			reading.Label = label
		}
		readings = append(readings, reading)
	}
}

func parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, layout := range times {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write it like 2026-11-23T07:00:00Z or 2026-11-23 07:00:00", text)
}

// WriteCSV writes readings as ReadCSV reads them, with the columns time, value and
// label.
func WriteCSV(w io.Writer, readings []Reading) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"time", "value", "label"}}
	for _, r := range readings {
		value := ""
		if !math.IsNaN(r.Value) {
			value = strconv.FormatFloat(r.Value, 'f', -1, 64)
		}
		rows = append(rows, []string{r.Time.Format(time.RFC3339), value, r.Label})
	}
	return out.WriteAll(rows)
}

// Interval is the median time between readings; ok is false if there are none.
func Interval(readings []Reading) (interval time.Duration, ok bool) {
	var steps []time.Duration
	for i := 1; i < len(readings); i++ {
		if step := readings[i].Time.Sub(readings[i-1].Time); step > 0 {
			steps = append(steps, step)
		}
	}
	if len(steps) == 0 {
		return 0, false
	}
	slices.Sort(steps)
	return steps[len(steps)/2], true
}

// printable makes what a file says fit for a terminal.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
