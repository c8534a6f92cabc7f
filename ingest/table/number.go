package table

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"tofuwatch/internal/water"
)

// A cell is what stands in the place of a value.
type cell struct {
	number   float64 // NaN unless there is one
	censor   water.Censor
	unit     string // that stands behind the number; empty if none does
	missing  bool   // it says "no value"
	detected bool   // false: it says "less than the detection limit", and not what that is
	problem  water.Text
}

// Words that laboratories, loggers and Excel write in the place of a number. They
// are compared by [Word].
var (
	missingWords = []string{"", "-", "--", "---", "–", "—", "null", "nan", "none", "na", "n/a", "#n/a", "#na", "tidak diuji", "tidak dianalisis", "not analysed", "not analyzed", "not measured"}
	notDetected  = []string{"nd", "n.d", "n.d.", "ttd", "t.t.d", "t.t.d.", "tidak terdeteksi", "not detected", "undetected", "bdl", "<lod", "<loq", "<mdl", "< lod", "< loq", "< mdl"}
	// brokenCells are what Excel shows where a formula failed.
	brokenCells = []string{"#value!", "#ref!", "#div/0!", "#name?", "#num!", "#null!"}
)

// Word returns a cell's text as words are compared: lower case, and without the
// apostrophe by which Excel marks text.
func Word(s string) string { return strings.ToLower(strings.TrimPrefix(s, "'")) }

// readCell reads a cell. Decimal is '.' or ','; 0 if the file does not tell, which
// matters only for numbers such as 1.234.
func (l *Layout) readCell(s string, decimal byte) cell {
	c := cell{number: math.NaN(), detected: true}
	if n, ok := plainNumber(s, decimal); ok {
		c.number = n
		return c
	}
	word := Word(s)
	switch {
	case slices.Contains(missingWords, word), slices.Contains(l.Missing, word):
		c.missing = true
		return c
	case slices.Contains(notDetected, word), slices.Contains(l.NotDetected, word):
		c.detected = false
		return c
	case slices.Contains(brokenCells, word):
		c.problem = say("%s is a formula of Excel that failed; put the number itself into the cell", "%s adalah rumus Excel yang gagal; isi sel dengan angkanya", quote(s))
		return c
	}
	rest := strings.TrimSpace(strings.TrimPrefix(s, "'"))
	for _, sign := range []struct {
		text   string
		censor water.Censor
	}{{"<=", water.Below}, {">=", water.Above}, {"≤", water.Below}, {"≥", water.Above}, {"<", water.Below}, {">", water.Above}} {
		if after, ok := strings.CutPrefix(rest, sign.text); ok {
			c.censor, rest = sign.censor, strings.TrimSpace(after)
			break
		}
	}
	digits, unit := rest, ""
	if i := strings.LastIndexAny(rest, "0123456789"); i >= 0 {
		// "12,5 mg/L", but the 3 of "m3/h" is none of the number's.
		if j := strings.IndexFunc(rest, isUnitStart); j > 0 {
			digits, unit = strings.TrimSpace(rest[:j]), strings.TrimSpace(rest[j:])
		}
	}
	if unit != "" {
		if _, ok := ReadUnit(unit); !ok {
			digits, unit = rest, "" // no unit: the whole is no number
		}
	}
	number, ok, problem := readNumber(digits, decimal)
	if !ok {
		c.censor = water.Uncensored
		if c.problem = problem; problem == (water.Text{}) {
			c.problem = say("%s is no number; write one like %s, <%s, or leave the cell empty where there is no value",
				"%s bukan angka; tulis misalnya %s, <%s, atau kosongkan sel bila tidak ada nilai", quote(s), like("12.5", decimal), like("0.5", decimal))
		}
		return c
	}
	c.number, c.unit = number, unit
	return c
}

// isUnitStart reports whether r starts a unit behind a number: any letter but the
// 'e' of 1e6.
func isUnitStart(r rune) bool {
	return r != 'e' && r != 'E' && (r == '°' || r == 'µ' || r == 'μ' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
}

// like writes an example as the file writes numbers.
func like(example string, decimal byte) string {
	if decimal == ',' {
		return strings.ReplaceAll(example, ".", ",")
	}
	return example
}

// plainNumber reads the usual case quickly: digits, a sign, the decimal sign.
func plainNumber(s string, decimal byte) (float64, bool) {
	if s == "" || len(s) > 15 {
		return 0, false
	}
	point, digits := -1, 0
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == '-' && i == 0:
		case c == decimal && c != 0 && point < 0:
			point = i
		default:
			return 0, false
		}
	}
	if digits == 0 || point == 0 || point == len(s)-1 {
		return 0, false
	}
	if point >= 0 && decimal != '.' {
		s = s[:point] + "." + s[point+1:]
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// readNumber reads a number with either decimal sign and with thousands apart. ok
// is false if it is none; the problem says more where there is more to say.
func readNumber(s string, decimal byte) (number float64, ok bool, problem water.Text) {
	mantissa, exponent := s, ""
	if i := strings.IndexAny(s, "eE"); i > 0 {
		mantissa, exponent = s[:i], s[i:]
		if !isExponent(exponent[1:]) {
			return 0, false, water.Text{}
		}
	}
	sign := ""
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		sign, mantissa = mantissa[:1], mantissa[1:]
	}
	comma, point := strings.Count(mantissa, ","), strings.Count(mantissa, ".")
	shown := evidence(mantissa)
	if shown == 0 && comma+point > 0 { // 1.234 is 1234, or a bit more than 1
		if decimal == 0 {
			return 0, false, say("%s may be %s or %s, and nothing else in the file tells; set decimal in the site file, or give --decimal",
				"%s dapat berarti %s atau %s, dan tidak ada petunjuk lain dalam berkas; atur decimal di berkas site, atau beri --decimal",
				quote(s), strings.NewReplacer(",", "", ".", "").Replace(s), quote(strings.ReplaceAll(s, ",", ".")))
		}
		shown = decimal
	}
	if decimal == 0 {
		decimal = shown
	}
	apart := byte(',')
	if decimal == ',' {
		apart = '.'
	}
	if shown != 0 && decimal != shown {
		if !isPlain(mantissa, shown) {
			return 0, false, water.Text{}
		}
		if decimal == ',' {
			return 0, false, say("%s has a decimal point, and this file has decimal commas; write %s", "%s memakai titik desimal, padahal berkas ini memakai koma desimal; tulis %s", quote(s), quote(strings.ReplaceAll(s, ".", ",")))
		}
		return 0, false, say("%s has a decimal comma, and this file has decimal points; write %s", "%s memakai koma desimal, padahal berkas ini memakai titik desimal; tulis %s", quote(s), quote(strings.ReplaceAll(s, ",", ".")))
	}
	whole, fraction, pointed := strings.Cut(mantissa, string(rune(decimal)))
	if decimal == 0 {
		whole, fraction, pointed = mantissa, "", false
	}
	whole, ok = joinThousands(whole, apart)
	if !ok || !allDigits(fraction) || pointed && fraction == "" || whole == "" && fraction == "" {
		return 0, false, water.Text{}
	}
	text := sign + whole
	if fraction != "" {
		text += "." + fraction
	}
	number, err := strconv.ParseFloat(text+exponent, 64)
	if err != nil {
		return 0, false, say("%s is too large a number", "%s angka yang terlalu besar", quote(s))
	}
	return number, true, water.Text{}
}

// evidence returns the decimal sign of a number if the number shows which it is:
// '.' or ',', else 0. In 1.234 either may be meant; in 0.512, 1234.567, 7.1 and
// 1.234,5 not.
func evidence(mantissa string) byte {
	comma, point := strings.LastIndexByte(mantissa, ','), strings.LastIndexByte(mantissa, '.')
	switch {
	case comma < 0 && point < 0:
		return 0
	case comma >= 0 && point >= 0:
		return mantissa[max(comma, point)]
	}
	at := max(comma, point)
	sign := mantissa[at]
	before, after := mantissa[:at], mantissa[at+1:]
	switch {
	case strings.IndexByte(before, sign) >= 0: // twice: thousands
		return ',' + '.' - sign
	case len(after) != 3, before == "", before == "0", len(before) > 3:
		return sign
	}
	return 0
}

// isPlain reports whether s is digits with at most one decimal sign.
func isPlain(s string, decimal byte) bool {
	before, after, _ := strings.Cut(s, string(rune(decimal)))
	return before != "" && allDigits(before) && allDigits(after)
}

// joinThousands returns the digits of s, which may stand apart in threes: by the
// sign that is not the decimal one, by spaces or by apostrophes.
func joinThousands(s string, apart byte) (string, bool) {
	if allDigits(s) {
		return s, true
	}
	for _, by := range []string{string(rune(apart)), " ", "\u00a0", "\u202f", "'"} {
		groups := strings.Split(s, by)
		if len(groups) == 1 {
			continue
		}
		ok := len(groups[0]) >= 1 && len(groups[0]) <= 3 && allDigits(groups[0])
		for _, g := range groups[1:] {
			ok = ok && len(g) == 3 && allDigits(g)
		}
		return strings.Join(groups, ""), ok
	}
	return "", false
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isExponent(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return s != "" && len(s) <= 3 && allDigits(s)
}

// decimalOf returns the decimal sign that most of texts show, or 0.
func decimalOf(texts []string) byte {
	var commas, points int
	for _, s := range texts {
		s = strings.TrimLeft(strings.TrimPrefix(s, "'"), "<>=≤≥+- ")
		end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != ',' && r != '.' })
		if end >= 0 {
			s = s[:end]
		}
		weight := 1
		if strings.Contains(s, ",") && strings.Contains(s, ".") {
			weight = 10 // 1.234,5 leaves no doubt; 1.2345 may be a slip
		}
		switch evidence(s) {
		case ',':
			commas += weight
		case '.':
			points += weight
		}
	}
	switch {
	case commas > points:
		return ','
	case points > 0:
		return '.'
	}
	return 0
}
