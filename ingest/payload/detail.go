package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

const (
	example    = `{"time":"2026-11-23T07:00:00Z","ph":6.9}`
	wantSample = "an object such as " + example
	orArray    = ", or an array of them"

	maxDetail = 200 // bytes of a Fault's Detail
	maxQuoted = 32  // bytes of a station's text in it, before they are quoted
)

// refusal returns the fault that stands for the whole of text, of which err
// lets nothing be used. Want says what a record of the format is.
func refusal(err error, text []byte, want string) Fault {
	reason, detail := water.Malformed, ""
	switch {
	case errors.Is(err, errTooDeep):
		reason = water.TooDeep
		detail = fmt.Sprintf("arrays and objects within each other over more than %d levels; send %s", MaxDepth, want+orArray)
	case errors.Is(err, errTooMany):
		reason = water.TooMany
		detail = fmt.Sprintf("more than %d samples in one message; send them in several", MaxSamples)
	case errors.Is(err, errEmpty):
		detail = "the message is empty; want " + want + orArray
	case errors.Is(err, errUTF8):
		at := 0
		for r, size := utf8.DecodeRune(text); r != utf8.RuneError || size > 1; r, size = utf8.DecodeRune(text[at:]) {
			at += size
		}
		detail = fmt.Sprintf("byte %d (%#02x), near %s, is not UTF-8; send text such as °C and µS in UTF-8, or leave it out",
			at+1, text[at], near(text, at))
	default:
		detail = syntaxDetail(err, text, want+orArray)
	}
	return Fault{Reason: reason, Detail: clip(detail), Readings: 1}
}

// syntaxDetail says where text stops being JSON. The standard library is asked
// once more, for it knows the place and has better words than err.
func syntaxDetail(err error, text []byte, wantMessage string) string {
	var value json.RawMessage
	if errors.Is(json.NewDecoder(bytes.NewReader(text)).Decode(&value), io.ErrUnexpectedEOF) {
		return fmt.Sprintf("not JSON: cut off after byte %d, near %s; want %s", len(text), near(text, len(text)), wantMessage)
	}
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(text, &value), &syntax) {
		return fmt.Sprintf("not JSON: %v; want %s", err, wantMessage)
	}
	at := max(int(syntax.Offset)-1, 0)
	want := "want " + wantMessage
	if bytes.Contains(bytes.ToLower(text[max(at-1, 0):min(at+3, len(text))]), []byte("nan")) {
		want = `write null for "no value"`
	}
	return fmt.Sprintf("not JSON: byte %d, near %s: %v; %s", at+1, near(text, at), syntax, want)
}

// near quotes some of text around the byte at.
func near(text []byte, at int) string {
	return strconv.Quote(string(text[max(at-12, 0):min(at+8, len(text))]))
}

// nothingKnown says why a message holds no reading although it is well formed.
func (s *sample) nothingKnown() string {
	var b strings.Builder
	if s.out.Ignored == 0 {
		b.WriteString("the message holds no values")
	} else {
		b.WriteString("no parameter is called ")
		for i, key := range s.unknown[:min(s.out.Ignored, len(s.unknown))] {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(strconv.Quote(string(cutTo(key, 16))))
		}
		if more := s.out.Ignored - len(s.unknown); more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
	}
	b.WriteString("; have ")
	for i, p := range s.parameters.All() {
		if i == 6 {
			fmt.Fprintf(&b, "… (%d)", len(s.parameters.All()))
			break
		}
		b.WriteString(p.Code + ", ")
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// tooLarge returns the fault of a message that is not read.
func tooLarge(payload []byte) Fault {
	return Fault{
		Reason:   water.TooLarge,
		Detail:   fmt.Sprintf("the message has %d bytes; send at most %d, for example fewer samples at once", len(payload), MaxBytes),
		Readings: 1,
	}
}

// kindWords returns kind as a sentence needs it.
func kindWords(kind jx.Type) string {
	switch kind {
	case jx.Array:
		return "an array"
	case jx.Object:
		return "an object"
	case jx.Bool:
		return "true or false"
	case jx.Null:
		return "null"
	case jx.String:
		return "a string"
	case jx.Number:
		return "a number"
	}
	return "neither text nor a number"
}

// quote returns what a station sent for a Detail: one line, printable, short.
func quote(s []byte) string { return strconv.Quote(string(cut(s))) }

// cut returns s, shortened to what a Detail has room for.
func cut(s []byte) []byte { return cutTo(s, maxQuoted) }

// cutTo returns s, or its beginning and an ellipsis if s is longer than most.
func cutTo(s []byte, most int) []byte {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return append(s[:most:most], "…"...)
}

// clip bounds a Detail; only text that had to be escaped a lot gets there.
func clip(detail string) string {
	if len(detail) <= maxDetail {
		return detail
	}
	return string(cutTo([]byte(detail), maxDetail-len("…")))
}
