package payload

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tofuwatch/internal/water"
)

// builtin are the parameters without those of a site.
func builtin(t testing.TB) *water.Parameters {
	t.Helper()
	p, err := water.NewParameters()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestNotice(t *testing.T) {
	parameters := builtin(t)
	named := func(codes ...string) []*water.Parameter {
		var list []*water.Parameter
		for _, c := range codes {
			list = append(list, parameters.Lookup([]byte(c)))
		}
		return list
	}
	nan, nine := math.NaN(), time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	none := water.Check{Reference: nan, Before: nan, AfterCleaning: nan, AfterCalibration: nan}
	for name, test := range map[string]struct {
		payload string
		want    water.Notice
	}{
		"start of the whole station": {`{"state":"start"}`, water.Notice{State: water.WorkStarts, Readings: none}},
		"start of some sensors, with everything": {
			"\ufeff" + ` {"State":" START ","parameters":["suhu","DO","do"],"time":"2026-11-23T16:00:00+07:00","until":1795424400,"by":" Sari\n","note":"a\u0000b"} `,
			water.Notice{
				State: water.WorkStarts, Parameters: named("do", "temperature"),
				Time: nine, Until: nine, By: "Sari", Note: "a b", Readings: none,
			},
		},
		"end":                   {`{"state":"end","by":null,"time":""}`, water.Notice{State: water.WorkEnds, Readings: none}},
		"one sensor, unbracket": {`{"state":"end","parameters":"ph"}`, water.Notice{State: water.WorkEnds, Parameters: named("ph"), Readings: none}},
		"calibration": {
			`{"state":"calibration","parameter":"pH","reference":7.00,"before":"7.12","after_cleaning":"","after_calibration":7,"time":1795424400000}`,
			water.Notice{
				State: water.Calibration, Parameters: named("ph"), Time: nine,
				Readings: water.Check{Reference: 7, Before: 7.12, AfterCleaning: nan, AfterCalibration: 7},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, fault := Notice([]byte(test.payload), parameters)
			if fault != nil {
				t.Fatalf("refused: %+v", *fault)
			}
			if diff := cmp.Diff(got, test.want, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("notice (-got +want):\n%s", diff)
			}
		})
	}
	long, _ := Notice([]byte(`{"state":"end","note":"`+strings.Repeat("é", 500)+`"}`), parameters)
	if got := []rune(long.Note); len(got) != 200 || got[199] != '…' {
		t.Errorf("a note of 500 characters has %d, want 200 and an ellipsis", len(got))
	}
}

func TestNoticeFaults(t *testing.T) {
	const broken = `; want an object such as {"state":"start","parameters":["ph"],"by":"Sari"}`
	for payload, want := range map[string]struct {
		reason water.Reason
		detail string
	}{
		``:                                  {water.Malformed, "not JSON: no object" + broken},
		`{"state":"start"`:                  {water.Malformed, "not JSON: "},
		`{"state":"start"} {}`:              {water.Malformed, "not JSON: more text after the object" + broken},
		"{\"state\":\"\xff\"}":              {water.Malformed, "not JSON: not UTF-8" + broken},
		`[{"state":"start"}]`:               {water.BadNotice, "the message is an array" + broken},
		`{}`:                                {water.BadNotice, "state is missing; want start, end or calibration"},
		`{"state":"begin"}`:                 {water.BadNotice, `no state "begin"; want start, end or calibration`},
		`{"state":1}`:                       {water.BadNotice, "state is a number; want start, end or calibration"},
		`{"state":"end","end":1}`:           {water.BadNotice, `no key "end"; have state, parameters, parameter, time, until, by, note, reference, before, after_cleaning, after_calibration`},
		`{"state":"end","State":"end"}`:     {water.BadNotice, "state is given twice; give it once"},
		`{"state":"start","parameters":[]}`: {water.BadNotice, "parameters is empty; name some, or leave it out for the whole station"},
		`{"state":"start","parameters":["pH","\u001b[2J"]}`:           {water.BadNotice, `no parameter "\x1b[2J"; write it as in the readings, such as ph or cod`},
		`{"state":"start","parameters":[7]}`:                          {water.BadNotice, "a parameter is a number; want the name of one, such as ph"},
		`{"state":"start","time":"09:00"}`:                            {water.BadNotice, `time is "09:00"; want RFC 3339 with a zone`},
		`{"state":"start","until":[]}`:                                {water.BadNotice, `until is an array; want RFC 3339`},
		`{"state":"start","before":7}`:                                {water.BadNotice, "before belongs to the state calibration, not to start; send that in a message of its own"},
		`{"state":"end","until":1795424400}`:                          {water.BadNotice, "until belongs to the state start, not to end; leave it out"},
		`{"state":"calibration","before":7}`:                          {water.BadNotice, "a calibration is of one parameter, and 0 are named; send one message each"},
		`{"state":"calibration","parameters":["ph","do"]}`:            {water.BadNotice, "a calibration is of one parameter, and 2 are named; send one message each"},
		`{"state":"calibration","parameter":"ph","until":1}`:          {water.BadNotice, "until belongs to the state start, not to a calibration; leave it out"},
		`{"state":"calibration","parameter":"ph","before":"7,1"}`:     {water.BadNotice, `before is "7,1"; want a number such as 7.12`},
		`{"state":"calibration","parameter":"ph","before":1e999}`:     {water.BadNotice, "too large"},
		`{"state":"calibration","parameter":"ph","reference":true}`:   {water.BadNotice, `reference is true or false; want a number such as 7.12`},
		`{"state":"end","note":"` + strings.Repeat("x", 20000) + `"}`: {water.BadNotice, "the message has 20025 bytes; at most 16384 are read"},
		`{"state":` + strings.Repeat(`[`, 10000) + `}`:                {water.BadNotice, "state is an array; want start, end or calibration"},
	} {
		_, fault := Notice([]byte(payload), builtin(t))
		if fault == nil {
			t.Errorf("%.60s is taken", payload)
			continue
		}
		if fault.Reason != want.reason || !strings.Contains(fault.Detail, want.detail) || fault.Readings != 1 {
			t.Errorf("%.60s: got %+v, want %s: %s", payload, *fault, want.reason, want.detail)
		}
	}
}

func FuzzNotice(f *testing.F) {
	for _, seed := range []string{
		`{"state":"start","parameters":["ph","do"],"by":"Sari","note":"x","time":1795424400,"until":"2026-11-23T09:00:00Z"}`,
		`{"state":"calibration","parameter":"ph","reference":7.00,"before":"7.12","after_cleaning":7.05,"after_calibration":null}`,
		`{"state":"end"}`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	parameters := builtin(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		n, fault := Notice(data, parameters)
		if fault != nil {
			if fault.Detail == "" || len(fault.Detail) > 200 || strings.ContainsAny(fault.Detail, "\n\x1b") || fault.Readings != 1 {
				t.Errorf("fault %+v, want a printable line", *fault)
			}
			return
		}
		for _, text := range []string{n.By, n.Note} {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x00\x1b") {
				t.Errorf("text %q, want a printable line", text)
			}
		}
		if n.State == water.Calibration && len(n.Parameters) != 1 {
			t.Errorf("a calibration of %d parameters", len(n.Parameters))
		}
	})
}
