package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/water"
)

// TestNativeCases decodes every testdata/native/*/message and compares all that
// comes of it with the file want beside it; with UPDATE=1 it writes that file.
func TestNativeCases(t *testing.T) {
	messages, err := filepath.Glob("testdata/native/*/message")
	if err != nil || len(messages) == 0 {
		t.Fatalf("glob: %d cases, %v", len(messages), err)
	}
	parameters := parameters(t)
	for _, file := range messages {
		folder := filepath.Dir(file)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			message, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var d Decoded
			decoder(parameters).Decode(&d, Input{Payload: message})
			got := render(&d)
			golden := filepath.Join(folder, "want")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, string(want)); diff != "" {
				t.Errorf("got -, want +:\n%s", diff)
			}
			check(t, message, parameters, &d)
		})
	}
}

// render writes every field of d for people to read.
func render(d *Decoded) string {
	var b strings.Builder
	for _, r := range d.Readings {
		value, at := "no value", "no time"
		if !math.IsNaN(r.Value) {
			value = strconv.FormatFloat(r.Value, 'g', -1, 64)
		}
		if !r.Time.IsZero() {
			at = r.Time.Format(time.RFC3339Nano)
		}
		fmt.Fprintf(&b, "reading  %s  %s  %s\n", at, r.Parameter.Code, value)
		if r.Unit != r.Parameter.Unit || r.UnitSent || r.Local || r.Offset != 0 || r.Device != nil {
			fmt.Fprintf(&b, "  which the format cannot say: %+v\n", r)
		}
	}
	for _, f := range d.Faults {
		fmt.Fprintf(&b, "fault    %s  readings %d  %s\n", f.Reason, f.Readings, f.Detail)
	}
	fmt.Fprintf(&b, "ignored  %d\n", d.Ignored)
	return b.String()
}

// check asserts what holds for every message, with encoding/json as the judge
// of what it says.
func check(t *testing.T, message []byte, parameters *water.Parameters, d *Decoded) {
	t.Helper()
	lost := 0
	for _, f := range d.Faults {
		if !slices.Contains(water.Reasons(), f.Reason) || f.Readings < 1 {
			t.Errorf("fault %+v, want a known reason and at least one reading", f)
		}
		if f.Detail == "" || len(f.Detail) > maxDetail || !utf8.ValidString(f.Detail) ||
			strings.ContainsFunc(f.Detail, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("detail %q of %d bytes, want 1 to %d, printable", f.Detail, len(f.Detail), maxDetail)
		}
		lost += f.Readings
	}

	text := bytes.TrimPrefix(message, byteOrderMark)
	wellFormed := json.Valid(text) && utf8.Valid(text) // the judge lets any bytes pass in strings
	refused := len(d.Faults) == 1 && slices.Contains([]water.Reason{water.TooLarge, water.TooDeep, water.TooMany}, d.Faults[0].Reason)
	if !wellFormed || refused {
		if len(d.Readings) > 0 || len(d.Faults) != 1 || lost != 1 || d.Ignored != 0 || (d.Faults[0].Reason != water.Malformed && !refused) {
			t.Errorf("got\n%swant one fault of one reading, and nothing else", render(d))
		}
		return
	}

	// Every value named is a reading or part of a fault.
	named, ignored := 0, 0
	var values []member
	for _, m := range members(t, text) {
		switch {
		case m.key == nil || parameters.Lookup([]byte(*m.key)) != nil:
			named++
			values = append(values, m)
		case !namesTime([]byte(*m.key)):
			ignored++
		}
	}
	if got, want := len(d.Readings)+lost, max(named, 1); got != want || d.Ignored != ignored {
		t.Errorf("%d readings and faults of %d, together %d, want %d; %d keys ignored, want %d:\n%s",
			len(d.Readings), lost, got, want, d.Ignored, ignored, render(d))
	}
	for _, r := range d.Readings {
		if !r.Time.IsZero() && (r.Time.Location() != time.UTC || r.Time.Before(earliest) || !r.Time.Before(latest)) {
			t.Errorf("reading at %v, want a UTC time that can be stored", r.Time)
		}
		// In the order of the payload: look on behind the value found last.
		i := slices.IndexFunc(values, func(m member) bool {
			return m.key != nil && parameters.Lookup([]byte(*m.key)) == r.Parameter && m.says(r.Value)
		})
		if i < 0 {
			t.Fatalf("%s is %v; nothing behind the reading before it says so:\n%s", r.Parameter.Code, r.Value, render(d))
		}
		values = values[i+1:]
	}
}

// A member is one of an object, or with a nil key what stands in an object's place.
type member struct {
	key   *string
	value any
}

// says reports whether m has the value number, where NaN is no value.
func (m member) says(number float64) bool {
	word := ""
	switch v := m.value.(type) {
	case nil:
	case json.Number:
		word = v.String()
	case string:
		word = strings.ToLower(strings.Trim(v, whiteSpace))
	default:
		return false
	}
	if math.IsNaN(number) {
		return slices.Contains([]string{"", "-", "nan", "null"}, word)
	}
	want, err := strconv.ParseFloat(word, 64)
	return err == nil && !math.IsInf(want, 0) && want == number
}

// members returns the members of all samples of text, which is valid JSON.
func members(t *testing.T, text []byte) []member {
	t.Helper()
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil || elements == nil {
		elements = []json.RawMessage{bytes.Trim(text, whiteSpace)}
	}
	var all []member
	for _, e := range elements {
		if e[0] != '{' {
			all = append(all, member{})
			continue
		}
		dec := json.NewDecoder(bytes.NewReader(e))
		dec.UseNumber()
		_, err := dec.Token()
		for err == nil && dec.More() {
			var key json.Token
			if key, err = dec.Token(); err == nil {
				k := key.(string)
				m := member{key: &k}
				err = dec.Decode(&m.value)
				all = append(all, m)
			}
		}
		if err != nil {
			t.Fatalf("encoding/json calls %q valid, and then: %v", e, err)
		}
	}
	return all
}

func parameters(tb testing.TB, own ...water.Parameter) *water.Parameters {
	tb.Helper()
	p, err := water.NewParameters(own...)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// decoder returns one of the system's own format.
func decoder(parameters *water.Parameters) *Decoder {
	return New("tofuwatch", Settings{Parameters: parameters})
}

// reasons returns d's faults without their details.
func reasons(d *Decoded) []Fault {
	var faults []Fault
	for _, f := range d.Faults {
		faults = append(faults, Fault{Reason: f.Reason, Readings: f.Readings})
	}
	return faults
}

func TestNativeManySamples(t *testing.T) {
	array := func(n int) []byte {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, `,{"time":%d,"ph":%d}`, 1795417200+i, i)
		}
		return append([]byte{'['}, append(b.Bytes()[1:], ']')...)
	}
	parameters := parameters(t)

	var d Decoded
	decoder(parameters).Decode(&d, Input{Payload: array(MaxSamples)})
	if len(d.Readings) != MaxSamples || len(d.Faults) != 0 {
		t.Fatalf("%d samples: got %d readings, faults %v", MaxSamples, len(d.Readings), d.Faults)
	}
	for i, r := range d.Readings {
		if want := time.Unix(1795417200+int64(i), 0); r.Value != float64(i) || !r.Time.Equal(want) {
			t.Fatalf("reading %d: got %v at %v, want %d at %v", i, r.Value, r.Time, i, want)
		}
	}

	d.Reset()
	decoder(parameters).Decode(&d, Input{Payload: array(MaxSamples + 1)})
	if diff := cmp.Diff(reasons(&d), []Fault{{Reason: water.TooMany, Readings: 1}}); diff != "" || len(d.Readings) != 0 {
		t.Errorf("one sample more: got %d readings; faults got -, want +:\n%s", len(d.Readings), diff)
	}
}

func TestNativeSize(t *testing.T) {
	message := func(size int) []byte {
		begin, end := `{"time":1795417200,"ph":7.1,"note":"`, `"}`
		return []byte(begin + strings.Repeat("x", size-len(begin)-len(end)) + end)
	}
	parameters := parameters(t)

	var d Decoded
	decoder(parameters).Decode(&d, Input{Payload: message(MaxBytes)})
	if len(d.Readings) != 1 || len(d.Faults) != 0 || d.Ignored != 1 {
		t.Errorf("%d bytes: got\n%s", MaxBytes, render(&d))
	}
	d.Reset()
	decoder(parameters).Decode(&d, Input{Payload: message(MaxBytes + 1)})
	if diff := cmp.Diff(reasons(&d), []Fault{{Reason: water.TooLarge, Readings: 1}}); diff != "" || len(d.Readings) != 0 {
		t.Errorf("one byte more: got %d readings; faults got -, want +:\n%s", len(d.Readings), diff)
	}
}

func TestNativeNestedWithoutEnd(t *testing.T) {
	parameters := parameters(t)
	for _, test := range []struct {
		begin, level string
		want         water.Reason
	}{
		{"", "[", water.TooDeep},
		{`{"x":`, "[", water.TooDeep},
		{`{"ph":`, `{"a":`, water.TooDeep},
		{`{"time":`, "[", water.TooDeep},
		{`{"ph":1,"ph":`, "[", water.TooDeep},
		{`{"ph":1}`, "[", water.Malformed}, // behind the message's end
	} {
		message := test.begin + strings.Repeat(test.level, (MaxBytes-len(test.begin))/len(test.level))
		var d Decoded
		decoder(parameters).Decode(&d, Input{Payload: []byte(message)})
		if diff := cmp.Diff(reasons(&d), []Fault{{Reason: test.want, Readings: 1}}); diff != "" || len(d.Readings) != 0 {
			t.Errorf("%s%s…: got %d readings; faults got -, want +:\n%s", test.begin, test.level, len(d.Readings), diff)
		}
	}
}

func TestNativeParameterOfTheSite(t *testing.T) {
	// Total solids are called TS: a site that measures them has no time by that name.
	parameters := parameters(t, water.Parameter{Code: "ts", Name: "total solids", Unit: "mg/L", Max: 1e5, Source: "test"})
	var d Decoded
	decoder(parameters).Decode(&d, Input{Payload: []byte(`{"time":1795417200,"TS":1795417260}`)})
	want := "reading  2026-11-23T07:00:00Z  ts  1.79541726e+09\nignored  0\n"
	if diff := cmp.Diff(render(&d), want); diff != "" {
		t.Errorf("got -, want +:\n%s", diff)
	}
}

func TestNativeKeepsNothingOfThePayload(t *testing.T) {
	parameters := parameters(t)
	const text = `{"time":"noon","ph":"seven","a":1,"cod":1,"cod":2}`
	message := []byte(text)
	var d Decoded
	decoder(parameters).Decode(&d, Input{Payload: message})
	want := render(&d)
	for i := range message {
		message[i] = 'X'
	}
	if diff := cmp.Diff(render(&d), want); diff != "" {
		t.Errorf("after the payload was overwritten, got -, want +:\n%s", diff)
	}

	// What is left behind for the next call holds no payload either.
	n := new(native)
	n.Decoder, n.out = decoder(parameters), &d
	n.dec.ResetBytes([]byte(text))
	if err := n.message([]byte(text)); err != nil {
		t.Fatal(err)
	}
	n.release()
	for _, v := range n.values[:cap(n.values)] {
		if v.key != nil || v.field != nil {
			t.Errorf("%q is still held", v.key)
		}
	}
	if n.unknown[0] != nil || n.out != nil || n.Decoder != nil || n.device != nil {
		t.Errorf("still held: key %q, result %v, decoder %v, device %v", n.unknown[0], n.out, n.Decoder, n.device)
	}
}

func TestUnixTime(t *testing.T) {
	for _, test := range []struct {
		in   string
		want string // empty: refused
	}{
		{"0", "1970-01-01T00:00:00Z"},
		{"99999999999", ""}, // still seconds: the year 5138
		{"100000000000", "1973-03-03T09:46:40Z"},
		{"9214646399", "2261-12-31T23:59:59Z"},
		{"9214646400", ""},
		{"9214646399999", "2261-12-31T23:59:59.999Z"},
		{"9214646400000", ""},
		{"-9214560000", "1678-01-01T00:00:00Z"},
		{"-9214560000.000000001", ""},
		{"-0.5", "1969-12-31T23:59:59.5Z"},
		{"1795417200.1234567899", "2026-11-23T07:00:00.123456789Z"},
		{"1795417200123.4567899", "2026-11-23T07:00:00.123456789Z"},
		{"1.7954172005e9", "2026-11-23T07:00:00.5Z"},
		{"17954172001235e-1", "2026-11-23T07:00:00.1235Z"},
		{"+00001795417200", "2026-11-23T07:00:00Z"},
		{"9999999999999999999999999", ""},
		{"1e400", ""},
	} {
		at, bad := unixTime([]byte(test.in))
		got := ""
		if bad == "" {
			got = at.Format(time.RFC3339Nano)
		}
		if got != test.want {
			t.Errorf("unixTime(%s): got %q (%s), want %q", test.in, got, bad, test.want)
		}
	}
}

func TestRFC3339(t *testing.T) {
	for _, in := range []string{
		"2026-11-23T07:00:00Z", "2026-11-23T07:00:00.5Z", "2026-11-23T07:00:00.1234567899Z", "2026-11-23T23:59:59+07:00",
		"2026-11-23T00:00:00-23:59", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
		"2026-12-31T23:00:00-07:00",
		// refused by both
		"", "Z", "2026-11-23", "2026-11-23T07:00:00", "2026-11-23T07:00Z", "2026-11-23T07:00:00.Z", "2026-11-23T07:00:00+07",
		"2026-11-23T07:00:00+0700", "2026-11-23T07:00:00ZZ", "2026-11-23T07:00:00 Z", "2026-00-23T07:00:00Z", "2026-13-23T07:00:00Z",
		"2026-11-00T07:00:00Z", "2026-11-31T07:00:00Z", "2026-02-29T07:00:00Z", "1900-02-29T07:00:00Z", "2026-11-23T24:00:00Z",
		"2026-11-23T07:60:00Z", "2026-11-23T07:00:60Z", "2026/11/23T07:00:00Z", "20261123T070000Z", "+026-11-23T07:00:00Z",
		"2026-1 -23T07:00:00Z", "2026-11-23T07:00:00+25:00", "2026-11-23T07:00:00+07:61", "2026-11-23T07:00:00*07:00", "2026-11-23X07:00:00Z",
	} {
		got, ok := rfc3339([]byte(in))
		want, err := time.Parse(time.RFC3339, in)
		if ok != (err == nil) || !got.Equal(want) {
			t.Errorf("%q: got %v, %t; want as package time: %v, %v", in, got, ok, want, err)
		}
	}
	want := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	for _, in := range []string{"2026-11-23t07:00:00z", "2026-11-23 07:00:00Z", "2026-11-23 14:00:00+07:00"} {
		if got, ok := rfc3339([]byte(in)); !ok || !got.Equal(want) {
			t.Errorf("%q: got %v, %t; want %v: section 5.6 allows it", in, got, ok, want)
		}
	}
	for _, in := range []string{"2026-11-23T7:00:00Z", "2026-11-23T07:00:00,5Z", "2026-11-23T07:00:00+24:00", "2026-11-23T07:00:00+07:60"} {
		if got, ok := rfc3339([]byte(in)); ok {
			t.Errorf("%q: got %v, want none: only package time takes it", in, got)
		}
	}
}

// FuzzRFC3339 lets package time look over every time that is accepted.
func FuzzRFC3339(f *testing.F) {
	f.Add("2026-11-23T07:00:00.123+07:00")
	f.Add("2024-02-29 23:59:59z")
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := rfc3339([]byte(in))
		if !ok {
			return
		}
		upper := strings.ReplaceAll(strings.ToUpper(in), " ", "T")
		if want, err := time.Parse(time.RFC3339, upper); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v, want %v, %v", in, got, want, err)
		}
	})
}

func TestNumberIsStrict(t *testing.T) {
	for _, yes := range []string{"0", "7", "-7", "+7", "7.1", ".1", "7.", "007.10", "1e5", "1E+5", "-1.5e-05"} {
		if !isNumber([]byte(yes)) {
			t.Errorf("%q is no number, want one", yes)
		}
	}
	for _, no := range []string{
		"", "-", "+", ".", "e5", ".e5", "1e", "1e+", "1e5.0", "1e5x", "--1", "+-1", "1-", "0x10", "0x1p-2", "1_0",
		"Inf", "inf", "-Infinity", "nan", "1,5", "1 5", "1\x00", "½", "１",
	} {
		if isNumber([]byte(no)) {
			t.Errorf("%q is a number, want none", no)
		}
	}
}

func TestNativeAllocatesNothing(t *testing.T) {
	parameters := parameters(t)
	message := []byte(`{"time":"2026-11-23T14:00:00.5+07:00","bod":142,"cod":"286.5","pH":6.9,"do":"-","battery":3.6}`)
	// The pool is not asked: it forgets at will, and more often with -race.
	var d Decoded
	n := &native{sample: sample{Decoder: decoder(parameters), out: &d}}
	got := testing.AllocsPerRun(100, func() {
		d.Reset()
		n.unknown = [3][]byte{}
		n.dec.ResetBytes(message)
		if err := n.message(message); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 || len(d.Readings) != 4 || len(d.Faults) != 0 {
		t.Errorf("got %v allocations, want 0, for\n%s", got, render(&d))
	}
}

func FuzzNative(f *testing.F) {
	messages, err := filepath.Glob("testdata/native/*/message")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range messages {
		message, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message)
	}
	parameters := parameters(f)
	f.Fuzz(func(t *testing.T, message []byte) {
		var d Decoded
		decoder(parameters).Decode(&d, Input{Payload: message})
		check(t, message, parameters, &d)
	})
}
