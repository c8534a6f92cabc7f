package influx

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// Measurements for people to see beside the readings. Their points are no
// readings, and the ledger does not count them.
const (
	MaintenanceMeasurement = "maintenance"
	CalibrationMeasurement = "calibration"
)

// EncodeCare appends the maintenance and the visits of an outcome to dst in line
// protocol: a line for each. The timestamp of a maintenance is when it began; until,
// in Unix milliseconds, is when it is over, as Grafana's annotations have it. No
// name is a word of InfluxQL.
//
//	maintenance,scope=do+ph,station=ipal-01 until=1795424400000i,ended=false,planned=false,who="Sari",note="cleaning" 1795417200000000000
//	calibration,parameter=ph,station=ipal-01 reference=7,before=7.12,after_cleaning=7.05,after_calibration=7,who="Sari" 1795417200000000000
//
// Who and why is text of people, one line, and quoted; nothing else of it needs
// escaping.
func EncodeCare(dst []byte, o ingest.Outcome) []byte {
	for _, m := range o.Maintenance {
		dst = fmt.Appendf(dst, "%s,scope=%s,station=%s until=%di,ended=%t,planned=%t",
			MaintenanceMeasurement, m.Scope(), m.Station.ID, m.To.UnixMilli(), m.Ended, m.Planned)
		dst = appendRemarks(dst, m.By, m.Note)
		dst = appendTime(dst, m.From)
	}
	for _, v := range o.Visits {
		dst = fmt.Appendf(dst, "%s,parameter=%s,station=%s", CalibrationMeasurement, v.Parameter.Code, v.Station.ID)
		separator := byte(' ')
		for _, f := range checkFields(&v.Check) {
			if !math.IsNaN(*f.value) {
				dst = append(dst, separator)
				dst = append(dst, f.name...)
				dst = append(dst, '=')
				dst = strconv.AppendFloat(dst, *f.value, 'g', -1, 64)
				separator = ','
			}
		}
		dst = appendRemarks(dst, v.By, v.Note)
		dst = appendTime(dst, v.Time)
	}
	return dst
}

type checkField struct {
	name  string
	value *float64
}

func checkFields(c *water.Check) []checkField {
	return []checkField{
		{"reference", &c.Reference},
		{"before", &c.Before},
		{"after_cleaning", &c.AfterCleaning},
		{"after_calibration", &c.AfterCalibration},
	}
}

var textEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func appendRemarks(dst []byte, by, note string) []byte {
	for _, f := range []struct{ name, text string }{{"who", by}, {"note", note}} {
		if f.text != "" {
			dst = append(dst, ","+f.name+`="`+textEscaper.Replace(f.text)+`"`...)
		}
	}
	return dst
}

// isReading reports whether a line holds readings: one that does not is of
// [EncodeCare].
func isReading(line []byte) bool { return bytes.HasPrefix(line, []byte(Measurement+",")) }

// DecodeCare reads lines of EncodeCare back, and passes over those of Encode. It
// leaves out what is planned, since that stands in the site file, and what is of
// no station or parameter known to the site, which may have changed since.
func DecodeCare(lines []byte, stations map[string]*water.Station, parameters *water.Parameters) ([]water.Maintenance, []water.Visit, error) {
	var (
		maintenance []water.Maintenance
		visits      []water.Visit
	)
	for line := range bytes.Lines(lines) {
		if isReading(line) {
			continue
		}
		l, ok := parseLine(strings.TrimSuffix(string(line), "\n"))
		if !ok {
			return maintenance, visits, fmt.Errorf("read point %q: not as it was written", line)
		}
		station := stations[l.tags["station"]]
		if station == nil {
			continue
		}
		switch l.measurement {
		case MaintenanceMeasurement:
			to, err := strconv.ParseInt(strings.TrimSuffix(l.fields["until"], "i"), 10, 64)
			if err != nil {
				return maintenance, visits, fmt.Errorf("read point %q: %w", line, err)
			}
			m := water.Maintenance{
				Station: station, From: l.at, To: time.UnixMilli(to).UTC(), Ended: l.fields["ended"] == "true",
				By: l.fields["who"], Note: l.fields["note"],
			}
			scope := l.tags["scope"]
			for code := range strings.SplitSeq(scope, "+") {
				if p := parameters.Lookup([]byte(code)); p != nil && scope != "all" {
					m.Parameters = append(m.Parameters, p)
				}
			}
			if l.fields["planned"] != "true" && (scope == "all" || m.Parameters != nil) {
				maintenance = append(maintenance, m)
			}
		case CalibrationMeasurement:
			v := water.Visit{
				Station: station, Parameter: parameters.Lookup([]byte(l.tags["parameter"])), Time: l.at,
				By: l.fields["who"], Note: l.fields["note"],
			}
			for _, f := range checkFields(&v.Check) {
				*f.value = math.NaN()
				if text, ok := l.fields[f.name]; ok {
					var err error
					if *f.value, err = strconv.ParseFloat(text, 64); err != nil {
						return maintenance, visits, fmt.Errorf("read point %q: %w", line, err)
					}
				}
			}
			if v.Parameter != nil {
				visits = append(visits, v)
			}
		default:
			return maintenance, visits, fmt.Errorf("read point %q: not as it was written", line)
		}
	}
	return maintenance, visits, nil
}

// A parsedLine is a line of EncodeCare, taken apart. Fields are as written, but
// for text, which has lost its quotes.
type parsedLine struct {
	measurement  string
	tags, fields map[string]string
	at           time.Time
}

func parseLine(line string) (l parsedLine, ok bool) {
	series, rest, ok := strings.Cut(line, " ")
	parts := strings.Split(series, ",")
	l = parsedLine{measurement: parts[0], tags: make(map[string]string), fields: make(map[string]string)}
	for _, tag := range parts[1:] {
		key, value, _ := strings.Cut(tag, "=")
		l.tags[key] = value
	}
	for ok {
		var key, value string
		if key, rest, ok = strings.Cut(rest, "="); !ok {
			return l, false
		}
		if value, rest, ok = cutValue(rest); !ok || rest == "" {
			return l, false
		}
		l.fields[key] = value
		if rest[0] == ' ' {
			ns, err := strconv.ParseInt(rest[1:], 10, 64)
			l.at = time.Unix(0, ns).UTC()
			return l, err == nil
		}
		rest = rest[1:]
	}
	return l, false
}

// cutValue returns the field's value that s begins with, and what follows.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ", ")
		if end < 0 {
			return "", "", false
		}
		return s[:end], s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
			fallthrough
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}
