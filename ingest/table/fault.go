package table

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"tofuwatch/internal/water"
)

// A Fault is something in a file that cannot be used, or, if it is a Note, that
// somebody should look at.
type Fault struct {
	File    string
	Line    int        // 1-based, as an editor counts; 0: the file as a whole
	Column  int        // 1-based; 0: the line as a whole
	Heading string     // of the column; empty without a header row
	Found   string     // what stands there; untrusted
	Problem water.Text // what is wrong, and what would be right; printable
	Values  int        // how many values are lost by it
	Note    bool       // nothing is lost by it
	Row     string     // the whole line or lines; untrusted
}

// Text returns the fault on one printable line, in Indonesian ("id") or English:
//
//	results.csv:7: column 5 "COD (mg/L)": "12O" is no number; write one like 12.5
func (f Fault) Text(language string) string {
	var b strings.Builder
	b.WriteString(Printable(f.File))
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	column, problem := "column", f.Problem.English
	if language == "id" {
		column, problem = "kolom", f.Problem.Indonesian
	}
	if f.Column > 0 {
		fmt.Fprintf(&b, "%s %d", column, f.Column)
		if f.Heading != "" {
			b.WriteString(" " + quote(f.Heading))
		}
		b.WriteString(": ")
	}
	b.WriteString(problem)
	return b.String()
}

// Error returns the fault in English.
func (f Fault) Error() string { return f.Text("en") }

// say writes a problem in both languages. The arguments of both are the same, in
// the same order; what comes out of a file has to be quoted by [quote].
func say(english, indonesian string, args ...any) water.Text {
	return water.Text{English: fmt.Sprintf(english, args...), Indonesian: fmt.Sprintf(indonesian, args...)}
}

// quote makes what stands in a file printable, and short.
func quote(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	return `"` + Printable(s) + `"`
}

// Printable returns s with everything that a terminal would obey or could not show
// in the place of a '?', on one line.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) || r != ' ' && unicode.IsSpace(r) {
			return '?'
		}
		return r
	}, s)
}

// Fold returns a name as names are compared: lower case letters and digits, and a
// '_' for everything between them.
//
//	"Tanggal  Sampling " -> "tanggal_sampling"
func Fold(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('_')
		}
		gap = false
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// tidy returns a text that is kept beside a value: printable, on one line, at most
// 100 characters.
func tidy(s string) string {
	const most = 100
	clean := len(s) <= most
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] > ' ' && s[i] < 0x7f
	}
	if clean {
		return s
	}
	s = Printable(strings.Join(strings.Fields(s), " "))
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most])
	}
	return s
}
