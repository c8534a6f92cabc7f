package payload

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

const wantTime = "want RFC 3339 with a zone, such as 2026-11-23T07:00:00Z, or Unix seconds or milliseconds"

// From earliest until latest nanoseconds since 1970 fit 64 bits, which is what
// InfluxDB keeps. What is plausible is much less, and not decided here.
var (
	earliest = time.Date(1678, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// namesTime reports whether key stands for the sample's time.
func namesTime(key []byte) bool {
	switch len(key) { // so that folding meets ASCII only
	case 2:
		return bytes.EqualFold(key, []byte("ts"))
	case 4:
		return bytes.EqualFold(key, []byte("time"))
	case 5:
		return bytes.EqualFold(key, []byte("waktu"))
	case 9:
		return bytes.EqualFold(key, []byte("timestamp"))
	}
	return false
}

// A sampleTime is what a sample says of its time.
type sampleTime struct {
	at    time.Time // UTC; zero if there is none that can be used
	bad   string    // why what was sent can't be used
	named int       // how often a time was given
}

// result returns the sample's time, or the reason why there is none.
func (t *sampleTime) result() (at time.Time, reason water.Reason, detail string) {
	switch {
	case t.named > 1:
		return at, water.DuplicateKey, fmt.Sprintf("the time is given %d times; give it once in a sample", t.named)
	case t.bad != "":
		return at, water.BadTime, "time " + t.bad
	case t.at.IsZero():
		return at, water.NoTime, `no time; add "time":"2026-11-23T07:00:00Z", or Unix seconds or milliseconds`
	}
	return t.at, "", ""
}

// decode reads the value of a key that stands for the time.
func (t *sampleTime) decode(dec *jx.Decoder, depth int) error {
	if t.named++; t.named > 1 {
		return skip(dec, depth)
	}
	switch kind := dec.Next(); kind {
	case jx.Number:
		raw, err := dec.Raw()
		if err != nil {
			return err
		}
		t.at, t.bad = unixTime(raw)
		return nil
	case jx.String:
		s, err := dec.StrBytes()
		if err != nil {
			return err
		}
		t.at, t.bad = textTime(s)
		return nil
	case jx.Null:
		return dec.Null()
	default:
		t.bad = "is " + kindWords(kind) + "; " + wantTime
		return skip(dec, depth)
	}
}

// textTime returns the time that a string holds, a zero one if it says "no
// value", or why it is neither.
func textTime(s []byte) (at time.Time, bad string) {
	s = bytes.Trim(s, whiteSpace)
	switch {
	case noValue(s):
		return at, ""
	case isNumber(s):
		return unixTime(s)
	}
	if at, ok := rfc3339(s); ok {
		return kept(at, s)
	}
	if _, ok := rfc3339(append(bytes.Clone(s), 'Z')); ok {
		return at, fmt.Sprintf("%s has no zone; write %s+07:00 for WIB or %sZ for UTC", quote(s), cut(s), cut(s))
	}
	return at, quote(s) + " can't be read; " + wantTime
}

// rfc3339 parses s with the freedoms of RFC 3339, section 5.6 (a lower case "t"
// and "z", and a space in the place of the "t") and no other; package time takes
// some more. A leap second can't be told from the next second, and is refused.
func rfc3339(s []byte) (at time.Time, ok bool) {
	const layout = "2006-01-02T15:04:05"
	if len(s) <= len(layout) || s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' ||
		(s[10] != 'T' && s[10] != 't' && s[10] != ' ') {
		return at, false
	}
	century, year := twoDigits(s), twoDigits(s[2:])
	month, day := twoDigits(s[5:]), twoDigits(s[8:])
	hour, minute, second := twoDigits(s[11:]), twoDigits(s[14:]), twoDigits(s[17:])
	if min(century, year, hour, minute, second) < 0 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return at, false
	}
	s = s[len(layout):]

	nanosecond := 0
	if s[0] == '.' {
		n := digits(s[1:])
		if n == 0 {
			return at, false
		}
		nanosecond = int(billionths(s[1 : 1+n]))
		s = s[1+n:]
	}

	var east time.Duration
	switch {
	case len(s) == 1 && (s[0] == 'Z' || s[0] == 'z'):
	case len(s) == len("+07:00") && (s[0] == '+' || s[0] == '-') && s[3] == ':':
		hours, minutes := twoDigits(s[1:]), twoDigits(s[4:])
		if min(hours, minutes) < 0 || hours > 23 || minutes > 59 {
			return at, false
		}
		east = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
		if s[0] == '-' {
			east = -east
		}
	default:
		return at, false
	}

	at = time.Date(century*100+year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC)
	if at.Day() != day { // 30 February is 2 March
		return time.Time{}, false
	}
	return at.Add(-east), true
}

// twoDigits returns the number that the first two bytes of s spell, or -1.
func twoDigits(s []byte) int {
	tens, ones := s[0]-'0', s[1]-'0'
	if tens > 9 || ones > 9 {
		return -1
	}
	return int(tens)*10 + int(ones)
}

// billionths returns what decimals, the digits behind a point, stand for; those
// behind the ninth are cut.
func billionths(decimals []byte) int64 {
	var sum int64
	for i := range 9 {
		sum *= 10
		if i < len(decimals) {
			sum += int64(decimals[i] - '0')
		}
	}
	return sum
}

// unixTime returns the time that s stands for, a number of seconds since 1970,
// or of milliseconds from 10^11 on: as seconds that is the year 5138, as
// milliseconds 1973. With an exponent it is exact to the microsecond, otherwise
// to the nanosecond.
func unixTime(s []byte) (at time.Time, bad string) {
	const (
		milliseconds = 1e11
		most         = 1e13 // far past latest, in either unit; a number this large loses nothing below
	)
	var whole, nanoseconds int64
	if bytes.ContainsAny(s, "eE") {
		number, err := strconv.ParseFloat(string(unsigned(s)), 64)
		if err != nil || number >= most {
			return kept(time.Time{}, s)
		}
		integer, fraction := math.Modf(number)
		whole, nanoseconds = int64(integer), int64(math.Round(fraction*1e6))*1e3
	} else {
		integer, fraction, _ := bytes.Cut(unsigned(s), point)
		for _, c := range integer {
			if whole = whole*10 + int64(c-'0'); whole >= most {
				return kept(time.Time{}, s)
			}
		}
		nanoseconds = billionths(fraction)
	}
	if whole >= milliseconds {
		whole, nanoseconds = whole/1e3, whole%1e3*1e6+nanoseconds/1e3
	}
	if s[0] == '-' {
		whole, nanoseconds = -whole, -nanoseconds
	}
	return kept(time.Unix(whole, nanoseconds), s)
}

// kept returns at in UTC if it can be stored; s is what it was sent as.
func kept(at time.Time, s []byte) (_ time.Time, bad string) {
	if at.Before(earliest) || !at.Before(latest) {
		return time.Time{}, quote(s) + " is outside of the years 1678 to 2261; " + wantTime
	}
	return at.UTC(), ""
}
