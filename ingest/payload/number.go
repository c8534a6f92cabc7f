package payload

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

const wantValue = `want a number such as 7.1, or null for "no value"`

// textValue returns the number that a string holds, NaN if it says "no value",
// or why it is neither.
func (c *Decoder) textValue(s []byte) (number float64, bad string) {
	s = bytes.Trim(s, whiteSpace)
	switch {
	case noValue(s):
		return math.NaN(), ""
	case isNumber(s):
		return finite(s)
	}
	if mended := bytes.Replace(s, comma, point, 1); isNumber(mended) {
		if c.decimalComma {
			return finite(mended)
		}
		return 0, fmt.Sprintf("%s: a decimal comma is not accepted; write %s, or give the source decimal: comma in the site file", quote(s), cut(mended))
	}
	return 0, quote(s) + "; " + wantValue
}

// noValue reports whether s is a spelling of "no value".
func noValue(s []byte) bool {
	switch len(s) {
	case 0:
		return true
	case 1:
		return s[0] == '-'
	case 3:
		return bytes.EqualFold(s, []byte("nan"))
	case 4:
		return bytes.EqualFold(s, []byte("null"))
	}
	return false
}

// isNumber reports whether s is a decimal number and nothing else: digits, with
// or without a sign, a point and an exponent. Go's own parser takes "inf",
// "0x1p-2" and, in places, "1_0" as well.
func isNumber(s []byte) bool {
	s = unsigned(s)
	before := digits(s)
	s = s[before:]
	after := 0
	if len(s) > 0 && s[0] == '.' {
		after = digits(s[1:])
		s = s[1+after:]
	}
	if before+after == 0 {
		return false
	}
	if len(s) > 0 && (s[0] == 'e' || s[0] == 'E') {
		s = unsigned(s[1:])
		n := digits(s)
		return n > 0 && n == len(s)
	}
	return len(s) == 0
}

// unsigned returns s without its sign.
func unsigned(s []byte) []byte {
	if len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		return s[1:]
	}
	return s
}

// digits returns how many digits s begins with.
func digits(s []byte) int {
	for i, c := range s {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(s)
}

// finite returns the value of s, which is a number, or why it has none.
func finite(s []byte) (number float64, bad string) {
	number, err := strconv.ParseFloat(string(s), 64)
	if err != nil || math.IsInf(number, 0) { // out of range: s is known to be a number
		return 0, fmt.Sprintf("the number %s, too large to be kept; want one within ±1.7e308", quote(s))
	}
	return number, ""
}
