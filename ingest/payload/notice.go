package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// MaxNoticeBytes is how large a notice may be.
const MaxNoticeBytes = 16 << 10

const (
	noticeExample = `{"state":"start","parameters":["ph"],"by":"Sari"}`
	maxRemark     = 200 // characters of who and why; more are cut
)

// noticeKeys are the keys of a notice. Any other is a fault: a misspelt
// "parameters" would mean the whole station.
var noticeKeys = []string{
	"state", "parameters", "parameter", "time", "until", "by", "note",
	"reference", "before", "after_cleaning", "after_calibration",
}

// Notice decodes what somebody says of work on sensors, one JSON object:
//
//	{"state":"start","parameters":["ph","do"],"by":"Sari","note":"cleaning","until":"2026-11-23T09:00:00+07:00"}
//	{"state":"end"}
//	{"state":"calibration","parameter":"ph","reference":7.00,"before":7.12,"after_cleaning":7.05,"after_calibration":7.00}
//
// Parameters are codes or aliases, in any case; without them the whole station is
// meant. Time and until are what the format tofuwatch takes for a time, and
// readings what it takes for a value. Characters in by and note that can't be printed become
// spaces. A fault is told of the whole notice: half of one is not followed.
func Notice(payload []byte, parameters *water.Parameters) (water.Notice, *Fault) {
	n := &notice{parameters: parameters}
	nan := math.NaN()
	n.out.Readings = water.Check{Reference: nan, Before: nan, AfterCleaning: nan, AfterCalibration: nan}
	if err := n.decode(bytes.TrimPrefix(payload, byteOrderMark)); err != nil {
		reason := water.BadNotice
		if broken, ok := errors.AsType[brokenJSON](err); ok {
			reason, err = water.Malformed, fmt.Errorf("not JSON: %w; want an object such as %s", broken.error, noticeExample)
		}
		return water.Notice{}, &Fault{Reason: reason, Detail: clip(err.Error()), Readings: 1}
	}
	return n.out, nil
}

// brokenJSON is the JSON decoder's error, in place of which people get words.
type brokenJSON struct{ error }

// notice is the state of one call of [Notice].
type notice struct {
	parameters *water.Parameters
	dec        jx.Decoder
	out        water.Notice
	keys       []string // that were given
}

func (n *notice) decode(text []byte) error {
	switch {
	case len(text) > MaxNoticeBytes:
		return fmt.Errorf("the message has %d bytes; at most %d are read", len(text), MaxNoticeBytes)
	case !utf8.Valid(text):
		return brokenJSON{errUTF8}
	}
	n.dec.ResetBytes(text)
	switch kind := n.dec.Next(); kind {
	case jx.Object:
	case jx.Invalid:
		return brokenJSON{errors.New("no object")}
	default:
		return fmt.Errorf("the message is %s; want an object such as %s", kindWords(kind), noticeExample)
	}
	keys, err := n.dec.ObjIter()
	if err != nil {
		return brokenJSON{err}
	}
	for keys.Next() {
		if err := n.value(string(keys.Key())); err != nil {
			return err
		}
	}
	if err := keys.Err(); err != nil {
		return brokenJSON{err}
	}
	if n.dec.Next() != jx.Invalid || !errors.Is(n.dec.Skip(), io.EOF) {
		return brokenJSON{errors.New("more text after the object")}
	}
	return n.complete()
}

// value decodes what stands under a key.
func (n *notice) value(key string) error {
	name := strings.ToLower(key)
	switch {
	case !slices.Contains(noticeKeys, name):
		return fmt.Errorf("no key %s; have %s", quote([]byte(key)), strings.Join(noticeKeys, ", "))
	case slices.Contains(n.keys, name):
		return fmt.Errorf("%s is given twice; give it once", name)
	}
	n.keys = append(n.keys, name)
	if n.dec.Next() == jx.Null { // as if it were not there
		n.keys = n.keys[:len(n.keys)-1]
		return broken(n.dec.Null())
	}
	switch name {
	case "state":
		return n.state()
	case "parameter":
		return n.parameter()
	case "parameters":
		return n.list()
	case "time":
		return n.time(name, &n.out.Time)
	case "until":
		return n.time(name, &n.out.Until)
	case "by":
		return n.remark(name, &n.out.By)
	case "note":
		return n.remark(name, &n.out.Note)
	case "reference":
		return n.number(name, &n.out.Readings.Reference)
	case "before":
		return n.number(name, &n.out.Readings.Before)
	case "after_cleaning":
		return n.number(name, &n.out.Readings.AfterCleaning)
	default:
		return n.number(name, &n.out.Readings.AfterCalibration)
	}
}

// broken marks an error of the JSON decoder.
func broken(err error) error {
	if err == nil {
		return nil
	}
	return brokenJSON{err}
}

// text decodes a string.
func (n *notice) text(name, want string) (string, error) {
	if kind := n.dec.Next(); kind != jx.String {
		return "", fmt.Errorf("%s is %s; want %s", name, kindWords(kind), want)
	}
	s, err := n.dec.Str()
	return s, broken(err)
}

func (n *notice) state() error {
	const want = "start, end or calibration"
	s, err := n.text("state", want)
	if err != nil {
		return err
	}
	n.out.State = water.NoticeState(strings.ToLower(strings.TrimSpace(s)))
	if !slices.Contains(water.NoticeStates(), n.out.State) {
		return fmt.Errorf("no state %s; want %s", quote([]byte(s)), want)
	}
	return nil
}

func (n *notice) parameter() error {
	s, err := n.text("a parameter", "the name of one, such as ph")
	if err != nil {
		return err
	}
	p := n.parameters.Lookup([]byte(strings.TrimSpace(s)))
	if p == nil {
		return fmt.Errorf("no parameter %s; write it as in the readings, such as ph or cod", quote([]byte(s)))
	}
	if !slices.Contains(n.out.Parameters, p) {
		n.out.Parameters = append(n.out.Parameters, p)
	}
	return nil
}

func (n *notice) list() error {
	if n.dec.Next() != jx.Array { // one parameter, without the brackets
		return n.parameter()
	}
	items, err := n.dec.ArrIter()
	if err != nil {
		return brokenJSON{err}
	}
	for items.Next() {
		if err := n.parameter(); err != nil {
			return err
		}
	}
	if err := items.Err(); err != nil {
		return brokenJSON{err}
	}
	if len(n.out.Parameters) == 0 {
		return errors.New("parameters is empty; name some, or leave it out for the whole station")
	}
	return nil
}

// time decodes a time: as the format tofuwatch does, but that a clock without a zone is never
// taken for one.
func (n *notice) time(name string, into *time.Time) error {
	text, kind, err := n.plain(name, wantTime)
	if err != nil || kind == jx.String && noValue(text) {
		return err
	}
	bad := quote(text) + "; " + wantTime
	if at, ok := rfc3339(text); ok && kind == jx.String {
		*into, bad = kept(at, text)
	} else if isNumber(text) {
		*into, bad = unixTime(text)
	}
	if bad != "" {
		return fmt.Errorf("%s is %s", name, bad)
	}
	return nil
}

// plain decodes a number or a string, of which it returns the text.
func (n *notice) plain(name, want string) (text []byte, kind jx.Type, err error) {
	switch kind = n.dec.Next(); kind {
	case jx.Number:
		text, err = n.dec.Raw()
	case jx.String:
		text, err = n.dec.StrBytes()
		text = bytes.Trim(text, whiteSpace)
	default:
		return nil, kind, fmt.Errorf("%s is %s; %s", name, kindWords(kind), want)
	}
	return text, kind, broken(err)
}

func (n *notice) remark(name string, into *string) error {
	s, err := n.text(name, "text")
	if err != nil {
		return err
	}
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
	if runes := []rune(s); len(runes) > maxRemark {
		s = string(runes[:maxRemark-1]) + "…"
	}
	*into = s
	return nil
}

func (n *notice) number(name string, into *float64) error {
	const want = "want a number such as 7.12"
	text, kind, err := n.plain(name, want)
	if err != nil || kind == jx.String && noValue(text) {
		return err
	}
	bad := quote(text) + "; " + want
	if isNumber(text) {
		*into, bad = finite(text)
	}
	if bad != "" {
		return fmt.Errorf("%s is %s", name, bad)
	}
	return nil
}

// complete says what the notice lacks, or has and should not.
func (n *notice) complete() error {
	given := func(keys ...string) string {
		for _, k := range keys {
			if slices.Contains(n.keys, k) {
				return k
			}
		}
		return ""
	}
	switch n.out.State {
	case "":
		return errors.New("state is missing; want start, end or calibration")
	case water.Calibration:
		if k := given("until"); k != "" {
			return fmt.Errorf("%s belongs to the state start, not to a calibration; leave it out", k)
		}
		if len(n.out.Parameters) != 1 {
			return fmt.Errorf("a calibration is of one parameter, and %d are named; send one message each", len(n.out.Parameters))
		}
	default:
		if k := given("reference", "before", "after_cleaning", "after_calibration"); k != "" {
			return fmt.Errorf("%s belongs to the state calibration, not to %s; send that in a message of its own", k, n.out.State)
		}
		if n.out.State == water.WorkEnds && given("until") != "" {
			return errors.New("until belongs to the state start, not to end; leave it out")
		}
		slices.SortFunc(n.out.Parameters, func(a, b *water.Parameter) int { return strings.Compare(a.Code, b.Code) })
	}
	return nil
}
