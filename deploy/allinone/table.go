package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tofuwatch/internal/water"
)

// narrow is the width, in columns, below which a row has no room for its
// station, and the station becomes a line above its rows.
const narrow = 64

// A style is how a terminal shows a piece of text; the empty one is plain.
type style string

// The styles that there are.
const (
	plain style = ""
	bold  style = "1"
	dim   style = "2"
	warn  style = "33" // yellow
)

// A page is text for a terminal of a known width, in colour or not.
type page struct {
	width  int
	colour bool
	lines  []string
}

// A piece is a text and its style.
type piece struct {
	text  string
	style style
}

// add appends a line. What does not fit is cut.
func (p *page) add(pieces ...piece) {
	var line strings.Builder
	left := p.width
	for _, piece := range pieces {
		text := cut(piece.text, left)
		left -= utf8.RuneCountInString(text)
		if p.colour && piece.style != plain && text != "" {
			fmt.Fprintf(&line, "\x1b[%sm%s\x1b[0m", piece.style, text)
		} else {
			line.WriteString(text)
		}
	}
	p.lines = append(p.lines, strings.TrimRight(line.String(), " "))
}

// cut returns s in at most width columns.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	if width <= 0 {
		return ""
	}
	return string([]rune(s)[:width-1]) + "…"
}

// left and right return s in exactly width columns.
func left(s string, width int) string {
	s = cut(s, width)
	return s + strings.Repeat(" ", width-utf8.RuneCountInString(s))
}

func right(s string, width int) string {
	s = cut(s, width)
	return strings.Repeat(" ", width-utf8.RuneCountInString(s)) + s
}

// isWide reports whether a row has room for its station.
func isWide(width int) bool { return width >= narrow }

// heading returns what stands above rows.
func heading(p *page) {
	if isWide(p.width) {
		p.add(piece{left("STATION", 18) + left("PARAMETER", 16) + right("VALUE", 10) + " " + left("UNIT", 11) + right("AGE", 4) + "  FLAG", dim})
	}
}

// table adds rows, whose ages are as of now. The station stands at the first of
// its rows.
func table(p *page, rows []row, now time.Time) {
	wide := isWide(p.width)
	for i, r := range rows {
		name := ""
		if i == 0 || rows[i-1].station != r.station {
			name = r.station
			if !wide {
				p.add(piece{name, bold})
			}
		}
		old := now.Sub(r.sampled)
		aged, trusted := plain, plain
		if r.interval > 0 && old > 3*r.interval {
			aged = warn
		}
		if r.flag == water.Suspect {
			trusted = warn
		}
		if wide {
			p.add(piece{left(name, 17) + " ", bold}, piece{left(r.parameter, 16), plain},
				piece{right(figure(r.value), 10) + " ", bold}, piece{left(r.unit, 11), dim},
				piece{right(age(old), 4), aged}, piece{"  " + r.flag.String(), trusted})
		} else {
			p.add(piece{" " + left(r.parameter, 11), plain},
				piece{right(figure(r.value), 8) + " ", bold}, piece{left(r.unit, 5), dim},
				piece{right(age(old), 4), aged}, piece{" " + r.flag.String(), trusted})
		}
	}
}

// paginate cuts rows into pages that take at most height lines of this width.
func paginate(rows []row, width, height int) [][]row {
	var pages [][]row
	start, lines := 0, 0
	for i, r := range rows {
		need := 1
		if !isWide(width) && (i == start || rows[i-1].station != r.station) {
			need = 2
		}
		if i > start && lines+need > height {
			pages = append(pages, rows[start:i])
			start, lines = i, 0
			if !isWide(width) {
				need = 2
			}
		}
		lines += need
	}
	if start < len(rows) {
		pages = append(pages, rows[start:])
	}
	return pages
}

// figure returns a value with about four digits.
func figure(v float64) string {
	switch size := math.Abs(v); {
	case size >= 1e6:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case size >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// age returns how old a sample is in at most four columns.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(max(0, int(d/time.Second))) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	}
	return strconv.Itoa(int(d/(24*time.Hour))) + "d"
}

// count returns a whole number with its thousands apart.
func count(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	var apart strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			apart.WriteByte(',')
		}
		apart.WriteRune(d)
	}
	return apart.String()
}

// String tells the ledger in words.
func (l ledger) String() string {
	return fmt.Sprintf("received %s = stored %s + pending %s + dead-lettered %s",
		count(l.received), count(l.stored), count(l.pending), count(l.deadLettered))
}
