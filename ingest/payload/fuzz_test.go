package payload

import (
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tofuwatch/internal/water"
)

// Each format is fuzzed from its cases, with settings in which there is something
// to find.
func FuzzChirpStack(f *testing.F)      { fuzz(f, "chirpstack", Settings{}) }
func FuzzThingsStack(f *testing.F)     { fuzz(f, "ttn", Settings{}) }
func FuzzSenMLJSON(f *testing.F)       { fuzz(f, "senml-json", Settings{}) }
func FuzzSenMLCBOR(f *testing.F)       { fuzz(f, "senml-cbor", Settings{}) }
func FuzzCampbellCSIJSON(f *testing.F) { fuzz(f, "campbell-csijson", Settings{}) }
func FuzzCampbellGeoJSON(f *testing.F) { fuzz(f, "campbell-geojson", Settings{}) }
func FuzzDecentlab(f *testing.F)       { fuzz(f, "decentlab", Settings{}) }
func FuzzOnlimo(f *testing.F)          { fuzz(f, "onlimo", Settings{DecimalComma: true}) }
func FuzzValue(f *testing.F)           { fuzz(f, "value", Settings{Local: true}) }

func FuzzMapping(f *testing.F) {
	p := parameters(f)
	fuzz(f, "mapping", Settings{Mapping: &Mapping{
		Samples: "data", Device: []Path{"$.uid"}, Time: []Path{"datetime"},
		Values: []PathValues{
			{Parameter: p.Lookup([]byte("ph")), Path: "pH"},
			{Parameter: p.Lookup([]byte("cod")), Path: "lab.cod", Unit: "mg/L"},
			{Parameter: p.Lookup([]byte("flow")), Path: "debit", Unit: "L/s", UnitGiven: true},
			{Parameter: p.Lookup([]byte("temperature")), Path: `sensors.#(name=="t").value`, Unit: "°C"},
		},
	}})
}

func fuzz(f *testing.F, format string, s Settings) {
	files, err := filepath.Glob(filepath.Join("testdata", format, "*", "message*"))
	if err != nil || len(files) == 0 {
		f.Fatalf("glob: %v, %v; want cases", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if filepath.Ext(file) == ".hex" {
			var digits strings.Builder
			for line := range strings.Lines(string(text)) {
				line, _, _ = strings.Cut(line, "#")
				digits.WriteString(strings.Join(strings.Fields(line), ""))
			}
			if text, err = hex.DecodeString(digits.String()); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(text)
	}
	s.Parameters = parameters(f)
	c := New(format, s)
	f.Fuzz(func(t *testing.T, message []byte) {
		var d Decoded
		sent := slices.Clone(message)
		c.Decode(&d, Input{Payload: message, Parameter: "ph"})
		sound(t, &d)
		if frames := d.Frames; len(frames) > 0 {
			for _, layout := range Layouts {
				for _, frame := range frames {
					d.Reset()
					c.DecodeFrame(&d, frame, layout)
					sound(t, &d)
				}
			}
		}
		if !slices.Equal(message, sent) {
			t.Error("the message was changed")
		}
	})
}

// sound asserts what holds for everything that a decoder finds.
func sound(t *testing.T, d *Decoded) {
	t.Helper()
	if len(d.Readings)+len(d.Faults)+len(d.Frames) == 0 {
		t.Error("nothing was found, and nobody is told why")
	}
	for _, f := range d.Faults {
		if !slices.Contains(water.Reasons(), f.Reason) || f.Readings < 1 {
			t.Errorf("fault %+v, want a known reason and at least one reading", f)
		}
		if f.Detail == "" || len(f.Detail) > maxDetail || !utf8.ValidString(f.Detail) ||
			strings.ContainsFunc(f.Detail, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("detail %q of %d bytes, want 1 to %d, printable", f.Detail, len(f.Detail), maxDetail)
		}
		soundDevice(t, f.Device)
	}
	for _, r := range d.Readings {
		if math.IsInf(r.Value, 0) {
			t.Errorf("%s is %v, want a number or NaN", r.Parameter.Code, r.Value)
		}
		if _, err := water.Convert(1, r.Unit, r.Parameter.Unit); err != nil {
			t.Errorf("%s is in %q: %v", r.Parameter.Code, r.Unit, err)
		}
		if at := r.Time; !at.IsZero() && (at.Location() != time.UTC || at.Before(earliest) || !at.Before(latest)) {
			t.Errorf("reading at %v, want a UTC time that can be stored", at)
		}
		if !r.Time.IsZero() && r.Offset != 0 || r.Time.IsZero() && r.Local {
			t.Errorf("reading at %v, offset %v, local %t: want one of them", r.Time, r.Offset, r.Local)
		}
		soundDevice(t, r.Device)
	}
}

func soundDevice(t *testing.T, d Device) {
	t.Helper()
	if slices.Contains(d, "") {
		t.Errorf("device %q, want no empty id", d)
	}
	if strings.ContainsFunc(d.String(), func(r rune) bool { return !strconv.IsPrint(r) }) {
		t.Errorf("device %s cannot be printed", d)
	}
}

// FuzzRedact hides a secret in messages of any kind.
func FuzzRedact(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"PH":7},"apikey":"SECRET","apisecret":"SECRET"}`, `{"apikey":"SECRET`, `{"apikey" : SECRET}`, `apikey=SECRET`,
		`{"API-Key":["SECRET",{"a":"SECRET"}]}`, `{"a":"{\"apikey\":\"SECRET\"}"}`, `{'apikey':'SECRET'}`, `{"api\u006bey":"SECRET"}`,
		"\x00a\x00p\x00i\x00k\x00e\x00y\x00:\x00S", `{"note":"apikey"}`, `"apikey":"a\"SECRET"`, `{"apikey":"x" "SECRET"}`, `{"ph":7}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		sent := slices.Clone(message)
		clean := Redact(message)
		if !slices.Equal(message, sent) {
			t.Error("the message was changed")
		}
		if again := Redact(clean); !slices.Equal(again, clean) && !strings.HasPrefix(string(again), "[a message") {
			t.Errorf("%q is redacted to %q, and that to %q", message, clean, again)
		}
	})
}

func TestRedact(t *testing.T) {
	const none = `[a message of which nothing is kept: it is no JSON, and holds "apikey" or "apisecret"]`
	for message, want := range map[string]string{
		`{"ph":7}`: `{"ph":7}`,
		`{"data":{"PH":7},"apikey":"SECRET","apisecret":"SECRET"}`: `{"data":{"PH":7},"apikey":"[redacted]","apisecret":"[redacted]"}`,
		`{"apikey" : "a\"SECRET" , "ph":7}`:                        `{"apikey" : "[redacted]" , "ph":7}`,
		`{"ApiKey":17,"ph":7}`:                                     `{"ApiKey":"[redacted]","ph":7}`,
		`{"api_key":["SECRET",{"a":"]"}],"ph":7}`:                  `{"api_key":"[redacted]","ph":7}`,
		`{"api\u006bey":"SECRET"}`:                                 `{"api\u006bey":"[redacted]"}`,
		`{"apikey":"SECR`:                                          `{"apikey":"[redacted]"`,
		`{"apikey":`:                                               `{"apikey":"[redacted]"`,
		`{"apikey":SECRET}`:                                        `{"apikey":"[redacted]"}`,
		`{"unit":"\u00b0C"}`:                                       `{"unit":"\u00b0C"}`,
		`apikey=SECRET`:                                            none,
		`{'apikey':'SECRET'}`:                                      none,
		`{"text":"{\"apikey\":\"SECRET\"}"}`:                       none,
		`{"apikey" "SECRET"}`:                                      none,
		"{\x00a\x00p\x00i\x00k\x00e\x00y\x00:\x00S\x00":            none,
	} {
		if got := string(Redact([]byte(message))); got != want {
			t.Errorf("Redact(%s): got %s, want %s", message, got, want)
		}
	}
}

func TestWallTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-23T14:00:00": "2026-11-23T14:00:00Z", "2026-11-23 14:00:00.25": "2026-11-23T14:00:00.25Z", "2026-11-23  14:00": "2026-11-23T14:00:00Z",
		"2022-1-5 9:3:7": "2022-01-05T09:03:07Z", "2022/01/05 09:03": "2022-01-05T09:03:00Z", "2024-02-29t0:0": "2024-02-29T00:00:00Z",
		"": "", "2026-11-23": "", "2026-11-23T14": "", "2026-11-23T": "", "26-11-23 14:00:00": "", "2026-11-31 14:00:00": "", "2026-13-01 00:00:00": "",
		"2026-11-23 24:00:00": "", "2026-11-23 14:60:00": "", "2026-11-23 14:00:60": "", "2026-11-23 14:00:00.": "", "2026-11-23 14:00:00Z": "",
		"2026-11-23 14:00:": "", "2026-11-23 14:00:00 WIB": "", "2026 11 23 14:00:00": "", "2026-11-23-14:00:00": "", "2026-111-3 14:00:00": "",
	} {
		got := ""
		if at, ok := wallTime([]byte(in)); ok {
			got = at.Format(time.RFC3339Nano)
		}
		if got != want {
			t.Errorf("wallTime(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestUnitSpellings(t *testing.T) {
	for in, want := range map[string]water.Unit{
		"mg/L": "mg/L", "MG/L": "mg/L", "mg⋅L⁻¹": "mg/L", "µS⋅cm⁻¹": "µS/cm", "μS/cm": "µS/cm", "mS/cm": "mS/cm", "Cel": "°C", "Deg C": "°C", "deg. C": "°C",
		"l/s": "L/s", "m³/h": "m3/h", "mm": "mm", "ntu": "NTU", "pH": "pH",
	} {
		if got, stated, known := unitOf([]byte(in)); got != want || !stated || !known {
			t.Errorf("unitOf(%q): got %q, %t, %t; want %q", in, got, stated, known, want)
		}
	}
	for _, in := range []string{"ppm", "gpm", "%", "furlong"} {
		if _, stated, known := unitOf([]byte(in)); !stated || known {
			t.Errorf("unitOf(%q) is stated %t, known %t; want stated and unknown", in, stated, known)
		}
	}
	for _, in := range []string{"", " ", "-"} {
		if _, stated, _ := unitOf([]byte(in)); stated {
			t.Errorf("%q states a unit, want none", in)
		}
	}
	for spelling, unit := range spellings {
		if !unit.Known() || spelling != strings.ToLower(unitWriting.Replace(spelling)) {
			t.Errorf("spelling %q of %q: want a known unit, and what is left of a spelling", spelling, unit)
		}
	}
}

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"measurements.0.ph": "", "$.uid": "", `sensors.#(name=="ph").value`: "", `a\.b`: "",
		"": "leads nowhere", "$": "leads nowhere", "$.": "leads nowhere", "a..b": "nothing between two points", ".a": "nothing between two points", "a.": "nothing between two points",
		"a.#(b": "bracket without its other half", "a\n": "cannot be printed", "[0]": "starts with a bracket",
	} {
		_, err := ParsePath(in)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePath(%q): %v, want %q", in, err, want)
		}
	}
}

func TestParseTimeFormat(t *testing.T) {
	for in, want := range map[string]string{
		"DD/MM/YYYY HH:mm:ss": "", "YYYY-MM-DD HH:mm": "", "YYMMDDHHmmss": "", "DD.MM.YYYY, HH:mm": "",
		"": "does not have YYYY once", "DD/MM/YYYY": "does not have HH once", "DD/MM/YYYY HH:mm MM": "does not have MM once", "DD/MM/YYYY HH:mm PM": "has \"P\"",
		"2006-01-02 15:04": "does not have YYYY once",
	} {
		_, err := ParseTimeFormat(in)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTimeFormat(%q): %v, want %q", in, err, want)
		}
	}
	format, err := ParseTimeFormat("YYYYMMDDHHmmss")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := time.Parse(string(format), "20261123140005"); err != nil || got.Format(time.RFC3339) != "2026-11-23T14:00:05Z" {
		t.Errorf("without signs: got %v, %v", got, err)
	}
}
