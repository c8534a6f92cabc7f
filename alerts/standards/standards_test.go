package standards

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// written says what a standard has, a row a line: what it is for, the bound,
// and the rest where there is any.
func written(s *Standard) string {
	var b strings.Builder
	for _, r := range s.Rows {
		sign := map[water.Bound]string{water.Max: "<=", water.Min: ">=", water.Deviation: "±"}[r.Bound]
		fmt.Fprintf(&b, "%s %s %v %s", r.Parameter, sign, r.Value, r.Unit)
		if r.LoadKgPerTon > 0 {
			fmt.Fprintf(&b, ", %v kg/ton", r.LoadKgPerTon)
		}
		if r.Analysis != "" {
			fmt.Fprintf(&b, ", %s", r.Analysis)
		}
		if r.Statistic != water.Instant {
			fmt.Fprintf(&b, ", %s", r.Statistic)
		}
		if r.Waters != nil {
			fmt.Fprintf(&b, ", into %s", strings.Join(r.Waters, " and "))
		}
		b.WriteByte('\n')
	}
	if s.WastewaterM3PerTon > 0 {
		fmt.Fprintf(&b, "%v m3/ton\n", s.WastewaterM3PerTon)
	}
	if s.DischargeFromM3PerDay > 0 {
		fmt.Fprintf(&b, "from %v m3/day\n", s.DischargeFromM3PerDay)
	}
	return b.String()
}

// classes returns the rows of one class of a table that has all four.
func classes(class int, table string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(table)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		value := strings.Fields(f[1])[class-1]
		if value == "-" {
			continue
		}
		unit := strings.TrimSpace(f[2])
		if strings.HasPrefix(f[0], "ph") {
			unit = ""
		}
		fmt.Fprintf(&b, "%s%s %s%s\n", f[0], value, unit, strings.TrimSuffix(", "+f[3], ", "))
	}
	return b.String()
}

const pp22 = `
temperature ± |3 3 3 3|°C|
tds <= |1000 1000 1000 2000|mg/L|
tss <= |40 50 100 400|mg/L|
ph >= |6 6 6 6||
ph <= |9 9 9 9||
bod <= |2 3 6 12|mg/L|
cod <= |10 25 40 80|mg/L|cod-cr
do >= |6 4 3 1|mg/L|
no3n <= |10 10 20 20|mg/L|
no2n <= |0.06 0.06 0.06 -|mg/L|
nh3n <= |0.1 0.2 0.5 -|mg/L|
total_n <= |15 15 25 -|mg/L|
total_p <= |0.2 0.2 1 -|mg/L|
fecal_coliform <= |100 1000 2000 2000|MPN/100mL|
total_coliform <= |1000 5000 10000 10000|MPN/100mL|
oil <= |1 1 1 10|mg/L|
`

const pp82 = `
tss <= |50 50 400 400|mg/L|
bod <= |2 3 6 12|mg/L|
cod <= |10 25 50 100|mg/L|cod-cr
do >= |6 4 3 0|mg/L|
total_p <= |0.2 0.2 1 5|mg/L|
fecal_coliform <= |100 1000 2000 2000|MPN/100mL|
total_coliform <= |1000 5000 10000 10000|MPN/100mL|
`

// The numbers as the sources have them, written down apart from the data.
func TestNumbers(t *testing.T) {
	want := map[string]string{
		"id-permenlh-5-2014-tofu": "bod <= 150 mg/L, 3 kg/ton\ncod <= 300 mg/L, 6 kg/ton, cod-cr\ntss <= 200 mg/L, 4 kg/ton\nph >= 6 \nph <= 9 \n20 m3/ton\n",
		"id-jateng-5-2012-tofu":   "bod <= 150 mg/L, 3 kg/ton\ncod <= 275 mg/L, 5.5 kg/ton, cod-cr\ntss <= 100 mg/L, 2 kg/ton\nph >= 6 \nph <= 9 \ntemperature <= 38 °C\n20 m3/ton\n",
		"id-jatim-72-2013-tofu":   "bod <= 150 mg/L, 3 kg/ton\ncod <= 300 mg/L, 6 kg/ton, cod-cr\ntss <= 100 mg/L, 2 kg/ton\nph >= 6 \nph <= 9 \nnh3n <= 5 mg/L, 0.1 kg/ton\n20 m3/ton\n",
		"jp-uniform": "bod <= 160 mg/L, into river and lake\nbod <= 120 mg/L, daily_mean, into river and lake\n" +
			"cod <= 160 mg/L, cod-mn, into sea\ncod <= 120 mg/L, cod-mn, daily_mean, into sea\n" +
			"cod <= 160 mg/L, cod-mn, into lake\ncod <= 120 mg/L, cod-mn, daily_mean, into lake\n" +
			"tss <= 200 mg/L\ntss <= 150 mg/L, daily_mean\n" +
			"ph >= 5.8 , into river and lake\nph <= 8.6 , into river and lake\nph >= 5 , into sea\nph <= 9 , into sea\n" +
			"oil <= 5 mg/L, n-hexane-mineral\noil <= 30 mg/L, n-hexane-animal-vegetable\nfrom 50 m3/day\n",
	}
	for class := 1; class <= 4; class++ {
		want[fmt.Sprintf("id-pp-22-2021-class-%d", class)] = classes(class, pp22)
		want[fmt.Sprintf("id-pp-82-2001-class-%d", class)] = classes(class, pp82)
	}
	got := make(map[string]string)
	for _, s := range All() {
		got[s.ID] = written(s)
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("numbers (-got +want):\n%s", diff)
	}
}

// Where a table has both concentration and quantity, the load is their product.
func TestLoadIsConcentrationTimesQuantity(t *testing.T) {
	for _, s := range All() {
		for _, r := range s.Rows {
			if want := r.Value * s.WastewaterM3PerTon / 1000; r.LoadKgPerTon != 0 && r.LoadKgPerTon != want {
				t.Errorf("%s: load of %s = %v kg/ton, want %v", s.ID, r.Parameter, r.LoadKgPerTon, want)
			}
		}
	}
}

func TestEveryLimitSaysWhatItIs(t *testing.T) {
	for _, s := range All() {
		if s.Jurisdiction == "" || s.Law == "" {
			t.Errorf("%s: jurisdiction %q, law %q; want both", s.ID, s.Jurisdiction, s.Law)
		}
		for _, r := range s.Rows {
			if r.Standard != s.ID || r.Law != s.Title || r.Law.Indonesian == "" || r.Law.English == "" || r.Source == "" {
				t.Errorf("%s: a row of %s has standard %q, law %+v, source %q", s.ID, r.Parameter, r.Standard, r.Law, r.Source)
			}
			if r.Verified != nil {
				t.Errorf("%s: a row of %s was verified by %s; then this test wants to know of it", s.ID, r.Parameter, r.Verified.By)
			}
			if ranged := r.Parameter == "ph"; r.Range != ranged {
				t.Errorf("%s: a row of %s says range: %v", s.ID, r.Parameter, r.Range)
			}
		}
	}
}

func TestSourceOfARow(t *testing.T) {
	s, err := Load("id-pp-22-2021-class-2")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, r := range s.Rows {
		got[r.Parameter] = r.Source
	}
	for parameter, want := range map[string]string{"tss": "program code", "temperature": "program code", "oil": "common knowledge"} {
		if got[parameter] != want {
			t.Errorf("source of %s = %q, want %q", parameter, got[parameter], want)
		}
	}
}

func TestEveryFileIsListed(t *testing.T) {
	found, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(Names()))
	for i := range found {
		found[i] = strings.TrimSuffix(found[i], ".yaml")
	}
	if diff := cmp.Diff(found, want); diff != "" {
		t.Errorf("files (-got +listed):\n%s", diff)
	}
}

func TestLoadUnknown(t *testing.T) {
	s, err := Load("jp-uniforn")
	want := `no standard "jp-uniforn"; did you mean jp-uniform? have ` + strings.Join(Names(), ", ")
	if s != nil || err == nil || err.Error() != want {
		t.Errorf("Load = %v, %v; want no standard and %s", s, err, want)
	}
}

func TestLimits(t *testing.T) {
	s, err := parse("x.yaml", []byte(`
id: x
title: {id: Aturan X, en: Rule X}
jurisdiction: ID
law: X
source: a test
valid_from: "2014-10"
valid_to: "2026"
verified: {by: a lawyer, on: "2026-11-23"}
limits:
  - {parameter: bod, max: 160, unit: mg/L, statistic: instant, waters: [river]}
  - {parameter: bod, max: 120, unit: mg/L, statistic: daily_mean, waters: [sea]}
  - {parameter: tss, max: 100, unit: mg/L, statistic: instant, valid_to: "2020-06-30", verified: false, source: elsewhere}
  - {parameter: tss, max: 80, unit: mg/L, statistic: instant, valid_from: "2020-07-01", valid_to: null}
`))
	if err != nil {
		t.Fatal(err)
	}
	zone := time.FixedZone("WIB", 7*3600)
	midnight := func(year int, month time.Month, day int) time.Time {
		return time.Date(year, month, day, 0, 0, 0, 0, zone)
	}
	law := water.Text{Indonesian: "Aturan X", English: "Rule X"}
	verified := &water.Verification{By: "a lawyer", On: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	want := water.Limits{
		{
			Parameter: "bod", Unit: "mg/L", Bound: water.Max, Value: 160, Statistic: water.Instant,
			Standard: "x", Law: law, Verified: verified, Source: "a test",
			From: midnight(2014, 10, 1), To: midnight(2027, 1, 1),
		},
		{
			Parameter: "tss", Unit: "mg/L", Bound: water.Max, Value: 100, Statistic: water.Instant,
			Standard: "x", Law: law, Source: "elsewhere",
			From: midnight(2014, 10, 1), To: midnight(2020, 7, 1),
		},
		{
			Parameter: "tss", Unit: "mg/L", Bound: water.Max, Value: 80, Statistic: water.Instant,
			Standard: "x", Law: law, Verified: verified, Source: "a test",
			From: midnight(2020, 7, 1),
		},
	}
	if diff := cmp.Diff(s.Limits(zone), want); diff != "" {
		t.Errorf("limits (-got +want):\n%s", diff)
	}
}

// The strictest of nation and province, on the days around a change.
func TestBindingInSemarang(t *testing.T) {
	zone, err := time.LoadLocation("Asia/Jakarta")
	if err != nil {
		t.Fatal(err)
	}
	var limits water.Limits
	for _, id := range []string{"id-permenlh-5-2014-tofu", "id-jateng-5-2012-tofu", "jp-uniform"} {
		s, err := Load(id)
		if err != nil {
			t.Fatal(err)
		}
		limits = append(limits, s.Limits(zone)...)
	}
	binding := func(at time.Time) []string {
		var lines []string
		for _, l := range limits.Binding(at) {
			lines = append(lines, fmt.Sprintf("%s %s %s %v: %s", l.Parameter, l.Statistic, l.Bound, l.Value, l.Law.English))
		}
		slices.Sort(lines)
		return lines
	}
	const (
		national   = "Permen LH 5/2014 annex XVIII, tofu"
		provincial = "Perda Jateng 5/2012 (Central Java), tofu"
		japan      = "Japan, uniform effluent standards"
	)
	today := time.Date(2026, 11, 23, 12, 0, 0, 0, zone)
	if diff := cmp.Diff(binding(today), []string{
		"bod daily_mean max 120: " + japan,
		"bod instant max 150: " + national,
		"cod instant max 275: " + provincial,
		"ph instant max 8.6: " + japan,
		"ph instant min 6: " + national,
		"temperature instant max 38: " + provincial,
		"tss daily_mean max 150: " + japan,
		"tss instant max 100: " + provincial,
	}); diff != "" {
		t.Errorf("today (-got +want):\n%s", diff)
	}
	before := time.Date(2011, 12, 31, 23, 59, 59, 0, zone)
	if diff := cmp.Diff(binding(before), []string{
		"bod daily_mean max 120: " + japan,
		"bod instant max 160: " + japan,
		"ph instant max 8.6: " + japan,
		"ph instant min 5.8: " + japan,
		"tss daily_mean max 150: " + japan,
		"tss instant max 200: " + japan,
	}); diff != "" {
		t.Errorf("before the province's (-got +want):\n%s", diff)
	}
	if got, want := binding(before.Add(time.Second))[2], "cod instant max 275: "+provincial; got != want {
		t.Errorf("a second later COD is %q, want %q", got, want)
	}
}

// The messages are for people, so each is in a file to be read. UPDATE=1
// writes them anew.
func TestParseBadFiles(t *testing.T) {
	t.Chdir("testdata/bad")
	found, err := filepath.Glob("*.yaml")
	if err != nil || len(found) == 0 {
		t.Fatalf("no bad file (%v)", err)
	}
	for _, file := range found {
		name := strings.TrimSuffix(file, ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parse(file, data)
			faults, ok := errors.AsType[strict.Faults](err)
			if s != nil || !ok {
				t.Fatalf("parse = %v, %v; want Faults", s, err)
			}
			got := faults.Error() + "\n"
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(name+".err", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".err")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, string(want)); diff != "" {
				t.Errorf("faults (-got +want; UPDATE=1 rewrites):\n%s", diff)
			}
		})
	}
	goldens, err := filepath.Glob("*.err")
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range goldens {
		if !slices.Contains(found, strings.TrimSuffix(golden, ".err")+".yaml") {
			t.Errorf("%s belongs to no file", golden)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"*.yaml", "testdata/bad/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			f.Fatalf("no file matches %q (%v)", pattern, err)
		}
		for _, file := range found {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parse("x.yaml", data)
		if faults, ok := errors.AsType[strict.Faults](err); (s == nil) != ok || ok && len(faults) == 0 {
			t.Fatalf("parse = %v, %v; want a standard or faults", s, err)
		}
		if s == nil {
			return
		}
		for _, l := range s.Limits(time.UTC) {
			if l.Parameter == "" || l.Bound == "" || l.Statistic == "" || l.Law.Indonesian == "" || !l.To.IsZero() && !l.From.Before(l.To) {
				t.Fatalf("limit that cannot be used: %+v", l)
			}
		}
	})
}
