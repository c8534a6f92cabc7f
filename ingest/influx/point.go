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
	censorSuffix = "_censor" // "<", ">" or ""
	lowSuffix    = "_low"    // with the next, what is told of an estimated value
	highSuffix   = "_high"   //
	modelSuffix  = "_model"  // a string
)

// flagField is what every reading has once in a line, whatever else it has.
var flagField = []byte(flagSuffix + "=")

// Encode appends observations to dst in line protocol: a line for each sample,
// that is for neighbours of one station, method and time. A value that is
// missing has only its flag:
//
//	water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 cod=286.5,cod_qc=1i,ph_qc=9i 1795417200000000000
//
// Nothing needs escaping: the site file lets through no station, river or
// parameter that does.
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

// CountReadings returns how many readings there are in lines of Encode.
func CountReadings(lines []byte) int { return bytes.Count(lines, flagField) }

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
	fields, when, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 {
		return whole
	}
	var (
		points []onePoint
		start  int // of the reading, in fields
		at     int // of the field, in fields
	)
	for field := range bytes.SplitSeq(fields, []byte(",")) {
		end := at + len(field)
		if bytes.Contains(field, flagField) { // it follows the value, and is a reading's last field
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
		fields, when, ok2 := strings.Cut(rest, " ")
		ns, err := strconv.ParseInt(when, 10, 64)
		if !ok || !ok2 || err != nil || !strings.HasPrefix(series, Measurement+",") {
			return observations, fmt.Errorf("read point %q: not as it was written", line)
		}
		o := water.Observation{Time: time.Unix(0, ns).UTC()}
		for tag := range strings.SplitSeq(series, ",") {
			switch key, value, _ := strings.Cut(tag, "="); key {
			case "station":
				o.Station = stations[value]
			case "method":
				o.Method = water.Method(value)
			}
		}
		o.Value = math.NaN()
		for field := range strings.SplitSeq(fields, ",") {
			key, value, _ := strings.Cut(field, "=")
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
			o.Value, o.Estimation = math.NaN(), nil
		}
	}
	return observations, nil
}

// decodeField reads the value of o, or what stands beside it and is no flag.
func decodeField(o *water.Observation, key, value string) (err error) {
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
	default:
		o.Value, err = strconv.ParseFloat(value, 64)
	}
	return err
}
