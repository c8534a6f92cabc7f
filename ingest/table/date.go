package table

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// months are the names of months by their first three letters, in Indonesian and
// English.
var months = map[string]time.Month{
	"jan": 1, "feb": 2, "peb": 2, "mar": 3, "apr": 4, "mei": 5, "may": 5, "jun": 6, "jul": 7,
	"agu": 8, "ags": 8, "agt": 8, "aug": 8, "sep": 9, "okt": 10, "oct": 10, "nov": 11, "nop": 11, "des": 12, "dec": 12,
}

// monthNames are the whole names, for telling a month from a word.
var monthNames = []string{
	"januari", "january", "februari", "february", "pebruari", "maret", "march", "april", "mei", "may", "juni", "june", "juli", "july",
	"agustus", "august", "september", "sept", "oktober", "october", "november", "nopember", "desember", "december",
}

// zones are Indonesia's zones as people write them, in hours east.
var zones = map[string]int{"wib": 7, "wita": 8, "wit": 9, "z": 0, "utc": 0, "gmt": 0}

// moment is a date, a time of day, or both, as they are written.
type moment struct {
	year, day            int
	month                time.Month
	hour, minute, second int
	nanosecond           int
	dated, clocked       bool
	zone                 *time.Location // nil: none is written
}

// scanner walks along a text.
type scanner struct{ rest string }

func (s *scanner) digits(most int) (n, width int) {
	for width < len(s.rest) && width < most && s.rest[width] >= '0' && s.rest[width] <= '9' {
		n = n*10 + int(s.rest[width]-'0')
		width++
	}
	s.rest = s.rest[width:]
	return n, width
}

func (s *scanner) letters() string {
	i := 0
	for i < len(s.rest) && (s.rest[i]|0x20 >= 'a' && s.rest[i]|0x20 <= 'z') {
		i++
	}
	word := s.rest[:i]
	s.rest = s.rest[i:]
	return word
}

func (s *scanner) skip(chars string) (skipped bool) {
	trimmed := strings.TrimLeft(s.rest, chars)
	skipped = len(trimmed) < len(s.rest)
	s.rest = trimmed
	return skipped
}

var errNoDate = errors.New("no date")

// readMoment reads a date, with or without a time of day behind it, in any of the
// usual forms: the year first, or the day first; the month as a number or a word.
func readMoment(text string) (m moment, err error) {
	s := &scanner{text}
	// "Senin, 23 November 2026"
	if word := s.letters(); word != "" && !s.skip(", ") {
		return m, errNoDate
	}
	a, wide := s.digits(14)
	switch {
	case wide == 8 && s.rest == "":
		m.year, m.month, m.day = a/10000, time.Month(a/100%100), a%100
	case wide == 0 || wide == 3 || wide > 4:
		return m, errNoDate
	default:
		if !s.skip("-/. ") {
			return m, errNoDate
		}
		var b int
		if b, _ = s.digits(2); b == 0 {
			if b = int(month(s.letters())); b == 0 {
				return m, errNoDate
			}
		}
		if !s.skip("-/. ,") {
			return m, errNoDate
		}
		c, width := s.digits(4)
		switch {
		case wide == 4 && (width == 1 || width == 2):
			m.year, m.month, m.day = a, time.Month(b), c
		case wide <= 2 && width == 4:
			m.day, m.month, m.year = a, time.Month(b), c
		case wide <= 2 && width == 2:
			m.day, m.month, m.year = a, time.Month(b), 2000+c
		default:
			return m, errNoDate
		}
	}
	m.dated = true
	if s.rest == "" {
		return m, nil
	}
	if !s.skip("Tt ,") {
		return m, errNoDate
	}
	return m, m.readClock(s)
}

// month returns the month that a word means, or 0.
func month(word string) time.Month {
	word = strings.ToLower(word)
	if len(word) < 3 {
		return 0
	}
	for _, name := range monthNames {
		if strings.HasPrefix(name, word) || name[:3] == word {
			return months[name[:3]]
		}
	}
	if len(word) == 3 {
		return months[word]
	}
	return 0
}

// readClock reads a time of day up to the end: 7:05, 07.05, 07:05:30.5, 2:05 PM,
// with or without a zone.
func (m *moment) readClock(s *scanner) error {
	s.skip(" ")
	if lower := strings.ToLower(s.rest); strings.HasPrefix(lower, "pukul") || strings.HasPrefix(lower, "jam") {
		s.letters()
		s.skip(" .")
	}
	var width int
	if m.hour, width = s.digits(2); width == 0 {
		return errNoDate
	}
	if !strings.HasPrefix(s.rest, ":") && !strings.HasPrefix(s.rest, ".") {
		return errNoDate
	}
	s.rest = s.rest[1:]
	if m.minute, width = s.digits(2); width != 2 {
		return errNoDate
	}
	if strings.HasPrefix(s.rest, ":") || strings.HasPrefix(s.rest, ".") {
		s.rest = s.rest[1:]
		if m.second, width = s.digits(2); width != 2 {
			return errNoDate
		}
		if strings.HasPrefix(s.rest, ".") || strings.HasPrefix(s.rest, ",") {
			s.rest = s.rest[1:]
			n, width := s.digits(9)
			m.nanosecond = n * int(math.Pow10(9-width))
		}
	}
	m.clocked = true
	s.skip(" ")
	switch half := strings.ToLower(s.rest); {
	case strings.HasPrefix(half, "am"), strings.HasPrefix(half, "pm"):
		if m.hour < 1 || m.hour > 12 {
			return errNoDate
		}
		m.hour %= 12
		if half[0] == 'p' {
			m.hour += 12
		}
		s.rest = s.rest[2:]
		s.skip(" ")
	}
	return m.readZone(s)
}

// readZone reads what stands behind a time of day.
func (m *moment) readZone(s *scanner) error {
	if s.rest == "" {
		return nil
	}
	if hours, ok := zones[strings.ToLower(s.rest)]; ok {
		m.zone = time.FixedZone("", hours*3600)
		return nil
	}
	sign := map[byte]int{'+': 1, '-': -1}[s.rest[0]]
	if sign == 0 {
		return errNoDate
	}
	s.rest = s.rest[1:]
	hours, width := s.digits(2)
	minutes := 0
	if width != 2 || hours > 14 {
		return errNoDate
	}
	if s.rest != "" {
		s.rest = strings.TrimPrefix(s.rest, ":")
		if minutes, width = s.digits(2); width != 2 || minutes > 59 {
			return errNoDate
		}
	}
	if s.rest != "" {
		return errNoDate
	}
	m.zone = time.FixedZone("", sign*(hours*3600+minutes*60))
	return nil
}

// A Format is a form of date, time of day, or both.
type Format struct {
	text  string
	steps []string // tokens, and what stands between them
}

// tokens are what a Format is made of, the longer ones first.
var tokens = []string{"YYYY", "YY", "MMMM", "MMM", "MM", "M", "DD", "D", "HH", "H", "mm", "ss", "A", "Z"}

// ParseFormat reads a format such as DD/MM/YYYY HH:mm: YYYY or YY the year, M or MM
// the month, MMM or MMMM its name, D or DD the day, H or HH the hour, mm the
// minute, ss the second, A for AM or PM, Z a zone. Everything else stands for itself.
func ParseFormat(text string) (Format, error) {
	f := Format{text: text}
	seen := make(map[byte]bool)
	for rest := text; rest != ""; {
		step := rest[:1]
		for _, t := range tokens {
			if strings.HasPrefix(rest, t) {
				step = t
				if seen[t[0]] {
					return Format{}, fmt.Errorf("%q has %s twice; M is the month, m the minute", text, t)
				}
				seen[t[0]] = true
				break
			}
		}
		f.steps = append(f.steps, step)
		rest = rest[len(step):]
	}
	switch date, clock := seen['Y'] || seen['M'] || seen['D'], seen['H'] || seen['m']; {
	case date && (!seen['Y'] || !seen['M'] || !seen['D']):
		return Format{}, fmt.Errorf("%q lacks YYYY, MM or DD; want a format such as DD/MM/YYYY or DD/MM/YYYY HH:mm", text)
	case clock && (!seen['H'] || !seen['m']), !date && !clock:
		return Format{}, fmt.Errorf("%q is no format of dates or times; want one such as DD/MM/YYYY, HH:mm or DD/MM/YYYY HH:mm", text)
	}
	return f, nil
}

// date returns the part of f before the time of day.
func (f Format) date() Format {
	for i, step := range f.steps {
		if step == "HH" || step == "H" {
			for i > 0 && !slices.Contains(tokens, f.steps[i-1]) {
				i--
			}
			return Format{f.text, f.steps[:i]}
		}
	}
	return f
}

// String returns f as it was written.
func (f Format) String() string { return f.text }

// read reads text, all of it.
func (f Format) read(text string) (m moment, ok bool) {
	s := &scanner{text}
	for _, step := range f.steps {
		var width int
		switch step {
		case "YYYY":
			if m.year, width = s.digits(4); width != 4 {
				return m, false
			}
		case "YY":
			if m.year, width = s.digits(2); width != 2 {
				return m, false
			}
			m.year += 2000
		case "MMMM", "MMM":
			if m.month = month(s.letters()); m.month == 0 {
				return m, false
			}
			s.skip(".")
		case "MM", "M":
			var n int
			if n, width = s.digits(2); width == 0 {
				return m, false
			}
			m.month = time.Month(n)
		case "DD", "D":
			if m.day, width = s.digits(2); width == 0 {
				return m, false
			}
			m.dated = true
		case "HH", "H":
			if m.hour, width = s.digits(2); width == 0 {
				return m, false
			}
			m.clocked = true
		case "mm":
			if m.minute, width = s.digits(2); width != 2 {
				return m, false
			}
		case "ss":
			if m.second, width = s.digits(2); width != 2 {
				return m, false
			}
			if strings.HasPrefix(s.rest, ".") {
				s.rest = s.rest[1:]
				n, width := s.digits(9)
				m.nanosecond = n * int(math.Pow10(9-width))
			}
		case "A":
			half := strings.ToLower(s.letters())
			if half != "am" && half != "pm" || m.hour < 1 || m.hour > 12 {
				return m, false
			}
			m.hour %= 12
			if half == "pm" {
				m.hour += 12
			}
		case "Z":
			return m, m.readZone(s) == nil
		default:
			if !strings.HasPrefix(s.rest, step) {
				return m, false
			}
			s.rest = s.rest[len(step):]
		}
	}
	return m, s.rest == ""
}

// readTime reads the cells of date and time of day as a moment in a zone. What of
// the date is a fault is returned with whether the clock is to blame.
func (l *Layout) readTime(date, clock string, zone *time.Location) (t time.Time, clockAtFault bool, problem water.Text) {
	date, clock = strings.TrimPrefix(date, "'"), strings.TrimPrefix(clock, "'")
	if date == "" {
		return t, false, say("no date; write the day on which the sample was taken, such as 23/11/2026", "tidak ada tanggal; tulis tanggal pengambilan contoh, misalnya 23/11/2026")
	}
	text := date
	if clock != "" {
		text += " " + clock
	}
	var m moment
	if len(l.Formats) > 0 {
		ok := false
		var wanted []string
		for _, f := range l.Formats {
			if m, ok = f.read(text); ok {
				break
			}
			wanted = append(wanted, f.text)
		}
		if !ok {
			return t, false, say("%s is no date as this file should have them; write it as %s", "%s bukan tanggal seperti seharusnya dalam berkas ini; tulis sebagai %s", quote(text), quote(strings.Join(wanted, ", ")))
		}
	} else {
		if unix, ok := unixTime(text); ok {
			return unix, false, water.Text{}
		}
		var err error
		if m, err = readMoment(date); err != nil {
			if serial, err := strconv.ParseFloat(strings.Replace(date, ",", ".", 1), 64); err == nil && serial > 25569 && serial < 80000 {
				day := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(serial))
				return t, false, say("%s is Excel's number for a day (%s); give the column the format of a date and save the file again",
					"%s adalah nomor tanggal Excel (%s); ubah format kolom menjadi tanggal lalu simpan ulang", quote(date), day.Format("02/01/2006"))
			}
			return t, false, say("%s is no date; write it like 23/11/2026, 2026-11-23 or 23 November 2026", "%s bukan tanggal; tulis seperti 23/11/2026, 2026-11-23 atau 23 November 2026", quote(date))
		}
		if clock != "" {
			if m.clocked && (m.hour != 0 || m.minute != 0 || m.second != 0) {
				return t, true, say("there is a time of day here and in the column of the date, %s; leave one of them out", "ada jam di sini dan juga di kolom tanggal, %s; hapus salah satu", quote(date))
			}
			if err := m.readClock(&scanner{clock}); err != nil {
				return t, true, say("%s is no time of day; write it like 07:30 or 14:05", "%s bukan jam; tulis seperti 07:30 atau 14:05", quote(clock))
			}
		}
	}
	return l.timeOf(m, date, cmp.Or(clock, date), zone)
}

// timeOf returns the moment m if there is such a day and time.
func (l *Layout) timeOf(m moment, date, clock string, zone *time.Location) (t time.Time, clockAtFault bool, problem water.Text) {
	if m.zone != nil {
		zone = m.zone
	}
	switch {
	case m.month < 1 || m.month > 12:
		if len(l.Formats) > 0 {
			return t, false, say("%s has no month %d; this file should have dates as %s", "%s: tidak ada bulan ke-%d; berkas ini seharusnya menulis tanggal sebagai %s", quote(date), int(m.month), l.Formats[0])
		}
		if m.day >= 1 && m.day <= 12 {
			return t, false, say("%s has no month %d; write the day before the month, or set formats in the site file", "%s: tidak ada bulan ke-%d; tulis hari sebelum bulan, atau atur formats di berkas site", quote(date), int(m.month))
		}
		return t, false, say("%s has no month %d; write the date like 23/11/2026", "%s: tidak ada bulan ke-%d; tulis tanggal seperti 23/11/2026", quote(date), int(m.month))
	case m.hour > 23 || m.minute > 59 || m.second > 59:
		return t, true, say("%s is no time of day; write one from 00:00 to 23:59", "%s bukan jam; tulis dari 00:00 sampai 23:59", quote(clock))
	}
	if !m.clocked {
		m.hour, m.minute, m.second = int(l.At.Hours()), int(l.At.Minutes())%60, int(l.At.Seconds())%60
	}
	t = time.Date(m.year, m.month, m.day, m.hour, m.minute, m.second, m.nanosecond, zone)
	if m.day < 1 || t.Day() != m.day {
		days := time.Date(m.year, m.month+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return time.Time{}, false, say("%s: this month has no day %d, only %d", "%s: bulan ini tidak punya tanggal %d, hanya sampai %d", quote(date), m.day, days)
	}
	return t.UTC(), false, water.Text{}
}

// unixTime reads seconds or milliseconds since 1970, of this century.
func unixTime(s string) (time.Time, bool) {
	if !allDigits(s) || len(s) != 10 && len(s) != 13 {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if len(s) == 13 {
		return time.UnixMilli(n).UTC(), true
	}
	return time.Unix(n, 0).UTC(), true
}
