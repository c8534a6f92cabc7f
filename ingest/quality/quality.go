// Package quality judges readings: may a sample's time be believed, and how far
// its value. It alters no value and drops none.
//
// The tests are QARTOD's, and some of this field. docs/quality.md tells people
// what each of them means.
package quality

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// MaxAhead is how far a station's clock may be ahead of ours.
const MaxAhead = 10 * time.Minute

// Earliest is the first moment that a sample may have: clocks that were reset
// say 1970 or 2000.
var Earliest = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// CheckTime says why a message that was received then cannot hold a sample
// taken at sampled, or nil.
func CheckTime(sampled, received time.Time) error {
	switch {
	case sampled.Before(Earliest):
		return fmt.Errorf("sample time %s is before %d: the station's clock was reset; set it, and send again", sampled.Format(time.RFC3339), Earliest.Year())
	case sampled.Sub(received) > MaxAhead:
		return fmt.Errorf("sample time %s is more than %.0f minutes ahead of its arrival at %s; set the station's clock", sampled.Format(time.RFC3339), MaxAhead.Minutes(), received.UTC().Format(time.RFC3339))
	}
	return nil
}

// A Counted is what the length of a message is counted in.
type Counted int

// What there is to count.
const (
	Characters Counted = iota
	HexBytes           // pairs of hexadecimal digits
	Fields             // between commas
)

// Length is how long a message has to be.
type Length struct {
	Of   Counted
	Want int
}

// Syntax is Bad for a message of another length, or with half a byte. What a
// logger's JSON has to be like is the business of its payload format: what gets as
// far as being judged has passed.
func Syntax(message string, l Length) water.Flag {
	n := len(message)
	switch l.Of {
	case HexBytes:
		decoded, err := hex.DecodeString(message)
		if err != nil {
			return water.Bad
		}
		n = len(decoded)
	case Fields:
		n = strings.Count(message, ",") + 1
	}
	if n != l.Want {
		return water.Bad
	}
	return water.Good
}
