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

const (
	wantTime      = "want RFC 3339 with a zone, such as 2026-11-23T07:00:00Z, or Unix seconds or milliseconds"
	wantLocalTime = "want a date and a time such as 2026-11-23 14:00:00, or Unix seconds or milliseconds"
)

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
	at     time.Time     // UTC; zero if there is none that can be used
	local  bool          // at is what a clock showed, in a zone that the message does not name
	offset time.Duration // where at is zero: how much later than its arrival the sample was taken
	bad    string        // why what was sent can't be used
	named  int           // how often a time was given
}

// fault returns why the sample's time cannot be used, or nothing: also if there
// is none, of which others think.
func (t *sampleTime) fault() (reason water.Reason, detail string) {
	switch {
	case t.named > 1:
		return water.DuplicateKey, fmt.Sprintf("the time is given %d times; give it once in a sample", t.named)
	case t.bad != "":
		return water.BadTime, "time " + t.bad
	}
	return "", ""
}

// read takes a node as the time. Local says that it may lack a zone.
func (t *sampleTime) read(n *node, local bool) {
	if n == nil {
		return
	}
	if t.named++; t.named > 1 {
		return
	}
	switch n.kind {
	case jx.Number:
		t.unix(n.text)
	case jx.String:
		t.text(n.text, local)
	case jx.Null:
	default:
		t.kind(n.kind)
	}
}

// kind takes what can be no time.
func (t *sampleTime) kind(kind jx.Type) { t.bad = "is " + kindWords(kind) + "; " + wantTime }

// unix takes a number.
func (t *sampleTime) unix(s []byte) { t.at, t.bad = unixTime(s) }

// text takes a string, which may say "no value".
func (t *sampleTime) text(s []byte, local bool) {
	s = bytes.Trim(s, whiteSpace)
	switch {
	case noValue(s):
		return
	case isNumber(s):
		t.unix(s)
		return
	}
	if at, ok := rfc3339(s); ok {
		t.at, t.bad = kept(at, s)
		return
	}
	at, ok := wallTime(s)
	switch {
	case ok && local:
		t.at, t.bad = kept(at, s)
		t.local = t.bad == ""
	case ok:
		t.bad = fmt.Sprintf("%s has no zone; write %s+07:00 for WIB or %sZ for UTC, or give the source a time_zone in the site file", quote(s), cut(s), cut(s))
	case local:
		t.bad = quote(s) + " can't be read; " + wantLocalTime
	default:
		t.bad = quote(s) + " can't be read; " + wantTime
	}
}

// wallTime parses what a clock shows, as if it were in UTC: year, month, day,
// hour, minute and, unless it is 0, second. A logger may leave leading zeros out,
// as in "2022-1-5 9:3:7", and write '/' for '-'.
func wallTime(s []byte) (at time.Time, ok bool) {
	var part [6]int
	nanosecond := 0
	for i := range part {
		n := digits(s)
		switch {
		case i == 0 && n != 4, i > 0 && (n < 1 || n > 2):
			return at, false
		}
		for _, c := range s[:n] {
			part[i] = part[i]*10 + int(c-'0')
		}
		if s = s[n:]; len(s) == 0 {
			if i < 4 {
				return at, false
			}
			break
		}
		if i == 5 {
			n := digits(s[1:])
			if s[0] != '.' || n == 0 || len(s) != 1+n {
				return at, false
			}
			nanosecond = int(billionths(s[1:]))
			break
		}
		switch c := s[0]; {
		case i < 2 && (c == '-' || c == '/'), i == 2 && (c == 'T' || c == 't'), i > 2 && c == ':':
			s = s[1:]
		case i == 2 && c == ' ':
			s = bytes.TrimLeft(s, " ")
		default:
			return at, false
		}
	}
	month, day := part[1], part[2]
	if month < 1 || month > 12 || part[3] > 23 || part[4] > 59 || part[5] > 59 {
		return at, false
	}
	at = time.Date(part[0], time.Month(month), day, part[3], part[4], part[5], nanosecond, time.UTC)
	if at.Day() != day { // 30 February is 2 March
		return time.Time{}, false
	}
	return at, true
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
