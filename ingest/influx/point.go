package influx

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// Measurement is where all observations are.
const Measurement = "water_quality"

// The suffixes make the fields that stand beside a value from the field of the
// value. That of the flag is a reading's last.
const (
	flagSuffix   = "_qc"
	testsSuffix  = "_qc_tests" // a digit for each test; a string
	censorSuffix = "_censor"   // "<", ">" or ""
	lowSuffix    = "_low"      // with the next, what is told of an estimated value
	highSuffix   = "_high"     //
	modelSuffix  = "_model"    // a string
)

// flagField is what every reading has once in a line, whatever else it has.
var flagField = []byte(flagSuffix + "=")

// Encode appends observations to dst in line protocol: a line for each sample,
// that is for neighbours of one station, method and time. A value that is
// missing has only its flag, and digits of the tests where there are any:
//
//	water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 cod=286.5,cod_qc_tests="11112111122",cod_qc=1i,ph_qc=9i 1795417200000000000
//
// A reading's flag comes last of its fields: that is how readings are counted.
//
// A laboratory's has more; see [appendResult]. Its texts are the one thing that
// needs escaping: the site file lets through no station, river or parameter that does.
func Encode(dst []byte, observations []water.Observation) []byte {
	for i, o := range observations {
		if i == 0 || !sameSample(o, observations[i-1]) {
			if i > 0 {
				dst = appendTime(dst, observations[i-1].Time)
			}
			dst = append(dst, Measurement+",kind="...)
			dst = append(dst, o.Station.Kind...)
			dst = append(dst, ",method="...)
			dst = append(dst, o.Method...)
			dst = append(dst, ",river="...)
			dst = append(dst, o.Station.River...)
			dst = append(dst, ",station="...)
			dst = append(dst, o.Station.ID...)
			dst = append(dst, ' ')
		} else {
			dst = append(dst, ',')
		}
		if o.Flag != water.Missing {
			dst = append(dst, o.Parameter.Code...)
			dst = append(dst, '=')
			dst = strconv.AppendFloat(dst, o.Value, 'g', -1, 64)
			dst = append(dst, ',')
			if o.Estimation != nil {
				dst = appendEstimation(dst, o.Parameter.Code, o.Estimation)
			}
		}
		if o.Result != nil || o.Censor != water.Uncensored {
			dst = appendResult(dst, &observations[i])
		}
		if o.Tests != 0 {
			dst = append(dst, o.Parameter.Code...)
			dst = append(dst, testsSuffix+`="`...)
			dst = o.Tests.Append(dst)
			dst = append(dst, `",`...)
		}
		dst = append(dst, o.Parameter.Code...)
		dst = append(dst, flagField...)
		dst = append(dst, '0'+byte(o.Flag), 'i')
	}
	if n := len(observations); n > 0 {
		dst = appendTime(dst, observations[n-1].Time)
	}
	return dst
}

// appendEstimation appends bod_low=96.4,bod_high=211.2,bod_model="ipal-01-bod-2026-11",
// A model's name needs no escaping either.
func appendEstimation(dst []byte, code string, e *water.Estimation) []byte {
	for _, f := range []struct {
		suffix string
		value  float64
	}{{lowSuffix, e.Low}, {highSuffix, e.High}} {
		dst = append(dst, code...)
		dst = append(dst, f.suffix...)
		dst = append(dst, '=')
		dst = strconv.AppendFloat(dst, f.value, 'g', -1, 64)
		dst = append(dst, ',')
	}
	dst = append(dst, code...)
	dst = append(dst, modelSuffix+`="`...)
	dst = append(dst, e.Model...)
	return append(dst, `",`...)
}

func sameSample(a, b water.Observation) bool {
	return a.Station == b.Station && a.Method == b.Method && a.Time.Equal(b.Time)
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, t.UnixNano(), 10)
	return append(dst, '\n')
}

// Suffixes of what a laboratory says beside its value.
const (
	labSuffix      = "_lab"      // the laboratory
	analysisSuffix = "_analysis" // its method
	sampleSuffix   = "_sample"   // the bottle
	revisionSuffix = "_revision" // an integer, from 1
	analysedSuffix = "_analysed" // Unix seconds; 0 if unknown
)

// appendResult appends what a laboratory says of a value, each field ended by a
// comma:
//
//	bod_censor="<",bod_lab="UPTD Lab",bod_sample="S-117",bod_revision=1i,
//
// What it does not say is left out. A later revision writes it all the same, and
// a censor is always written: InfluxDB would keep what the first one wrote.
func appendResult(dst []byte, o *water.Observation) []byte {
	text := func(suffix, value string) {
		dst = append(dst, o.Parameter.Code...)
		dst = append(dst, suffix...)
		dst = append(dst, '=')
		dst = appendText(dst, value)
		dst = append(dst, ',')
	}
	integer := func(suffix string, value int64) {
		dst = append(dst, o.Parameter.Code...)
		dst = append(dst, suffix...)
		dst = append(dst, '=')
		dst = strconv.AppendInt(dst, value, 10)
		dst = append(dst, 'i', ',')
	}
	text(censorSuffix, string(o.Censor))
	r := o.Result
	if r == nil {
		return dst
	}
	whole := r.Revision > 1
	if r.Laboratory != "" || whole {
		text(labSuffix, r.Laboratory)
	}
	if r.Analysis != "" || whole {
		text(analysisSuffix, r.Analysis)
	}
	if r.Sample != "" || whole {
		text(sampleSuffix, r.Sample)
	}
	integer(revisionSuffix, int64(r.Revision))
	switch {
	case !r.Analysed.IsZero():
		integer(analysedSuffix, r.Analysed.Unix())
	case whole:
		integer(analysedSuffix, 0)
	}
	return dst
}

// appendText appends a string field's value. A line stays a line whatever is in it.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// readText is the inverse of appendText.
func readText(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// fieldEnd returns where the first field of s ends: at a comma or a space outside
// of quotes, at the end of the line, or of s.
func fieldEnd(s []byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == '\n', !quoted && (c == ',' || c == ' '):
			return i
		}
	}
	return len(s)
}

// CountReadings returns how many readings there are in lines of Encode, or about
// how many in a damaged piece of such.
func CountReadings(lines []byte) int {
	if bytes.IndexByte(lines, '"') < 0 {
		return bytes.Count(lines, flagField)
	}
	n := 0
	for len(lines) > 0 {
		end := fieldEnd(lines)
		if i := bytes.IndexByte(lines[:end], '='); i >= 0 && bytes.HasSuffix(lines[:i+1], flagField) {
			n++
		}
		lines = lines[min(end+1, len(lines)):]
	}
	return n
}

// onePoint is a line that holds one reading of another line.
type onePoint struct {
	offset int // where the reading's fields start in the other line
	line   []byte
}

// splitReadings returns a line for each reading of line, which ends in a
// newline; a line that is not ours comes back as it is.
func splitReadings(line []byte) []onePoint {
	whole := []onePoint{{0, line}}
	if !isReading(line) {
		return whole
	}
	series, rest, ok := bytes.Cut(line, []byte(" "))
	last := bytes.LastIndexByte(rest, ' ')
	if !ok || last < 0 {
		return whole
	}
	fields, when := rest[:last], rest[last+1:]
	var (
		points []onePoint
		start  int // of the reading, in fields
		at     int // of the field, in fields
	)
	for at < len(fields) {
		end := at + fieldEnd(fields[at:])
		if i := bytes.IndexByte(fields[at:end], '='); i >= 0 && bytes.HasSuffix(fields[at:at+i+1], flagField) { // it follows the value, and is a reading's last field
			points = append(points, onePoint{
				offset: len(series) + 1 + start,
				line:   bytes.Join([][]byte{series, fields[start:end], when}, []byte(" ")),
			})
			start = end + 1
		}
		at = end + 1
	}
	if start != at || len(points) == 0 {
		return whole
	}
	return points
}

// Decode reads lines of Encode back, and passes over those of [EncodeCare]. It
// leaves out what is of no station or parameter known to the site, which may have
// changed since.
func Decode(lines []byte, stations map[string]*water.Station, parameters *water.Parameters) ([]water.Observation, error) {
	var observations []water.Observation
	for line := range bytes.Lines(lines) {
		if bytes.HasPrefix(line, []byte(MaintenanceMeasurement+",")) || bytes.HasPrefix(line, []byte(CalibrationMeasurement+",")) {
			continue
		}
		series, rest, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " ")
		last := strings.LastIndexByte(rest, ' ')
		if !ok || last < 0 || !strings.HasPrefix(series, Measurement+",") {
			return observations, fmt.Errorf("read point %q: not as it was written", line)
		}
		ns, err := strconv.ParseInt(rest[last+1:], 10, 64)
		if err != nil {
			return observations, fmt.Errorf("read point %q: not as it was written", line)
		}
		of := water.Observation{Time: time.Unix(0, ns).UTC(), Value: math.NaN()} // what its observations share
		for tag := range strings.SplitSeq(series, ",") {
			switch key, value, _ := strings.Cut(tag, "="); key {
			case "station":
				of.Station = stations[value]
			case "method":
				of.Method = water.Method(value)
			}
		}
		o := of
		for fields := rest[:last]; fields != ""; {
			end := fieldEnd([]byte(fields))
			key, value, _ := strings.Cut(fields[:end], "=")
			fields = fields[min(end+1, len(fields)):]
			if strings.HasSuffix(key, testsSuffix) {
				if o.Tests, ok = water.ParseTests(strings.Trim(value, `"`)); !ok {
					return observations, fmt.Errorf("read point %q: %s are no tests", line, value)
				}
				continue
			}
			code, isFlag := strings.CutSuffix(key, flagSuffix)
			if !isFlag {
				if err := decodeField(&o, key, value); err != nil {
					return observations, fmt.Errorf("read point %q: %w", line, err)
				}
				continue
			}
			flag, err := strconv.ParseUint(strings.TrimSuffix(value, "i"), 10, 8)
			if err != nil {
				return observations, fmt.Errorf("read point %q: %w", line, err)
			}
			o.Flag = water.Flag(flag)
			if o.Parameter = parameters.Lookup([]byte(code)); o.Parameter != nil && o.Station != nil {
				observations = append(observations, o)
			}
			o = of
		}
	}
	return observations, nil
}

// decodeField reads the value of o, or what stands beside it and is no flag.
func decodeField(o *water.Observation, key, value string) (err error) {
	result := func() *water.Result {
		if o.Result == nil {
			o.Result = new(water.Result)
		}
		return o.Result
	}
	text := func() string {
		s, ok := readText(value)
		if !ok {
			err = fmt.Errorf("field %s is no text", key)
		}
		return s
	}
	integer := func() (n int64) {
		n, err = strconv.ParseInt(strings.TrimSuffix(value, "i"), 10, 64)
		return n
	}
	estimation := func() *water.Estimation {
		if o.Estimation == nil {
			o.Estimation = new(water.Estimation)
		}
		return o.Estimation
	}
	switch {
	case strings.HasSuffix(key, modelSuffix):
		estimation().Model, err = strconv.Unquote(value)
	case strings.HasSuffix(key, lowSuffix):
		estimation().Low, err = strconv.ParseFloat(value, 64)
	case strings.HasSuffix(key, highSuffix):
		estimation().High, err = strconv.ParseFloat(value, 64)
	case strings.HasSuffix(key, censorSuffix):
		o.Censor = water.Censor(text())
	case strings.HasSuffix(key, labSuffix):
		result().Laboratory = text()
	case strings.HasSuffix(key, analysisSuffix):
		result().Analysis = text()
	case strings.HasSuffix(key, sampleSuffix):
		result().Sample = text()
	case strings.HasSuffix(key, revisionSuffix):
		result().Revision = int(integer())
	case strings.HasSuffix(key, analysedSuffix):
		if s := integer(); s != 0 {
			result().Analysed = time.Unix(s, 0).UTC()
		}
	default:
		o.Value, err = strconv.ParseFloat(value, 64)
	}
	return err
}
