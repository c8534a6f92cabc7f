package influx

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/water"
)

// A laboratory's results, with texts that look like line protocol, are lines that
// others read, count right, come apart, and come back as they were.
func TestLaboratoryResults(t *testing.T) {
	reading := observer(t)
	result := func(code string, value float64, censor water.Censor, r water.Result) water.Observation {
		o := reading(code, value, water.Good, seven)
		o.Method, o.Censor, o.Result = water.Lab, censor, &r
		return o
	}
	observations := []water.Observation{
		result("cod", 286.5, water.Uncensored, water.Result{Revision: 1}),
		result("bod", 2, water.Below, water.Result{
			Laboratory: `UPTD "Lab", Semarang \ cod_qc=1i`, Analysis: "SNI 6989.72:2009", Sample: "S-117 µ", Revision: 1, Analysed: seven.Add(5 * 24 * time.Hour),
		}),
		result("ph", 7, water.Uncensored, water.Result{Revision: 2}),
	}
	const tags = "water_quality,kind=effluent,method=lab,river=bajak,station=ipal-01 "
	want := tags + `cod=286.5,cod_censor="",cod_revision=1i,cod_qc=1i,` +
		`bod=2,bod_censor="<",bod_lab="UPTD \"Lab\", Semarang \\ cod_qc=1i",bod_analysis="SNI 6989.72:2009",bod_sample="S-117 µ",bod_revision=1i,bod_analysed=1795849200i,bod_qc=1i,` +
		`ph=7,ph_censor="",ph_lab="",ph_analysis="",ph_sample="",ph_revision=2i,ph_analysed=0i,ph_qc=1i 1795417200000000000` + "\n"
	lines := Encode(nil, observations)
	if diff := cmp.Diff(want, string(lines)); diff != "" {
		t.Fatalf("line (-want +got):\n%s", diff)
	}
	metrics := judged(t, lines)
	if got := metrics[0].FieldList()[6].Value; got != `UPTD "Lab", Semarang \ cod_qc=1i` {
		t.Errorf("others read %q as the laboratory", got)
	}
	if got := CountReadings(lines); got != len(observations) {
		t.Errorf("got %d readings counted, want %d", got, len(observations))
	}
	got, err := Decode(lines, known, parameters())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(observations, got, sameValues); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	var apart []water.Observation
	for _, p := range splitReadings(lines) {
		judged(t, p.line)
		one, err := Decode(p.line, known, parameters())
		if err != nil || !bytes.Contains(lines, bytes.TrimPrefix(p.line[:bytes.LastIndexByte(p.line, ' ')], []byte(tags))) {
			t.Fatalf("reading %q: %v", p.line, err)
		}
		apart = append(apart, one...)
	}
	if diff := cmp.Diff(observations, apart, sameValues); diff != "" {
		t.Errorf("read back one by one (-want +got):\n%s", diff)
	}
}

// A text never ends a line or a field, whatever is in it.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", `"`, `\`, `a\"b`, "a\nb", `",cod_qc=1i `, "\xff", "µ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o := observer(t)("cod", 1, water.Good, seven)
		o.Method, o.Result = water.Lab, &water.Result{Laboratory: s, Sample: s, Revision: 1}
		lines := Encode(nil, []water.Observation{o})
		if got := bytes.Count(lines, []byte("\n")); got != 1 {
			t.Fatalf("got %d lines in %q", got, lines)
		}
		if got := CountReadings(lines); got != 1 {
			t.Errorf("got %d readings in %q", got, lines)
		}
		back, err := Decode(lines, known, parameters())
		if err != nil || len(back) != 1 {
			t.Fatalf("got %v, %v from %q", back, err, lines)
		}
		for i := range len(s) {
			if s[i] < ' ' {
				return // replaced
			}
		}
		if got := back[0].Result.Laboratory; got != s {
			t.Errorf("got %q back, want %q", got, s)
		}
	})
}
