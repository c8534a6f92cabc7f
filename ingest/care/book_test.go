package care

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tofuwatch/internal/water"
)

// noon is when these tests begin.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var builtin = func() *water.Parameters {
	p, err := water.NewParameters()
	if err != nil {
		panic(err)
	}
	return p
}()

func parameter(t testing.TB, code string) *water.Parameter {
	t.Helper()
	p := builtin.Lookup([]byte(code))
	if p == nil {
		t.Fatalf("no parameter %q", code)
	}
	return p
}

var outlet = &water.Station{ID: "ipal-01", Instruments: map[string]water.Instrument{
	"ph": {Parameter: builtin.Lookup([]byte("ph"))}, "cod": {Parameter: builtin.Lookup([]byte("cod"))},
}}

// A desk is a book with a clock that stands at noon, and who writes into it.
type desk struct {
	*Book
	t     *testing.T
	clock time.Time
}

func newDesk(t *testing.T, planned ...water.Maintenance) *desk {
	d := &desk{t: t, clock: noon}
	d.Book = NewBook(Options{Stations: map[string]*water.Station{outlet.ID: outlet}, Planned: planned})
	d.now = func() time.Time { return d.clock }
	return d
}

// at returns a moment so many minutes after noon.
func at(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }

// work is a notice that is received so many minutes after noon, and says no time.
func (d *desk) work(state water.NoticeState, minutes float64, codes ...string) water.Notice {
	n := water.Notice{State: state, Received: at(minutes)}
	for _, c := range codes {
		n.Parameters = append(n.Parameters, parameter(d.t, c))
	}
	return n
}

// takes has the book follow a notice.
func (d *desk) takes(n water.Notice) {
	d.t.Helper()
	maintenance, visits, err := d.Decide(outlet, n)
	if err != nil {
		d.t.Fatalf("notice %+v is refused: %v", n, err)
	}
	d.Keep(maintenance, visits, nil)
}

// refuses wants a notice to be refused with words.
func (d *desk) refuses(n water.Notice, words string) {
	d.t.Helper()
	if _, _, err := d.Decide(outlet, n); err == nil || !strings.Contains(err.Error(), words) {
		d.t.Errorf("error of %+v is %v, want %q", n, err, words)
	}
}

// has wants these to be all the maintenance there is, in minutes after noon.
func (d *desk) has(want ...string) {
	d.t.Helper()
	var got []string
	if w := d.works[outlet]; w != nil {
		for _, m := range w.list {
			ended := ""
			if m.Ended {
				ended = " ended"
			}
			got = append(got, fmt.Sprintf("%s %v-%v%s", m.Scope(), m.From.Sub(noon).Minutes(), m.To.Sub(noon).Minutes(), ended))
		}
	}
	if diff := cmp.Diff(got, want); diff != "" {
		d.t.Errorf("maintenance (-got +want):\n%s", diff)
	}
}

func TestDuring(t *testing.T) {
	d := newDesk(t, water.Maintenance{Station: outlet, From: at(1000), To: at(1010), Parameters: []*water.Parameter{parameter(t, "cod")}})
	d.takes(d.work(water.WorkStarts, 0, "ph"))
	d.takes(d.work(water.WorkEnds, 30))
	d.takes(d.work(water.WorkStarts, 100))
	d.takes(d.work(water.WorkEnds, 110))
	for name, test := range map[string]struct {
		code    string
		minutes float64
		want    bool
	}{
		"before":                {"ph", -0.001, false},
		"first moment":          {"ph", 0, true},
		"last moment":           {"ph", 29.999, true},
		"when it is over":       {"ph", 30, false},
		"another sensor":        {"cod", 10, false},
		"whole station":         {"cod", 105, true},
		"not in the list":       {"orp", 105, true},
		"planned":               {"cod", 1005, true},
		"planned, not for this": {"ph", 1005, false},
		"later than all":        {"ph", 5000, false},
	} {
		if got := d.During(outlet, parameter(t, test.code), at(test.minutes)); got != test.want {
			t.Errorf("%s: During(%s, %v min) = %t, want %t", name, test.code, test.minutes, got, test.want)
		}
	}
	if d.During(&water.Station{}, parameter(t, "ph"), noon) {
		t.Error("somebody works at a station without maintenance")
	}
}

func TestStartAndEnd(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(d *desk)
		want []string
	}{
		"nobody ends it": {func(d *desk) { d.takes(d.work(water.WorkStarts, 0)) }, []string{"all 0-240"}},
		"ended": {func(d *desk) {
			d.takes(d.work(water.WorkStarts, 0, "ph", "do"))
			d.takes(d.work(water.WorkEnds, 20))
		}, []string{"ph+do 0-20 ended"}},
		"ended by name": {func(d *desk) {
			d.takes(d.work(water.WorkStarts, 0, "ph"))
			d.takes(d.work(water.WorkStarts, 1, "do"))
			d.takes(d.work(water.WorkEnds, 20, "do"))
		}, []string{"ph 0-240", "do 1-20 ended"}},
		"ended twice": {func(d *desk) {
			d.takes(d.work(water.WorkStarts, 0))
			d.takes(d.work(water.WorkEnds, 20))
			d.takes(d.work(water.WorkEnds, 30))
		}, []string{"all 0-20 ended"}},
		"ended too late": {func(d *desk) {
			d.takes(d.work(water.WorkStarts, 0))
			d.takes(d.work(water.WorkEnds, 240))
		}, []string{"all 0-240"}},
		"ended at once": {func(d *desk) {
			d.takes(d.work(water.WorkStarts, 0))
			d.takes(d.work(water.WorkEnds, 0))
		}, []string{fmt.Sprint("all 0-", 1.0/60000, " ended")}},
		"the end comes late, and says when": {func(d *desk) {
			d.takes(d.work(water.WorkStarts, 0))
			n := d.work(water.WorkEnds, 600)
			n.Time = at(25)
			d.takes(n)
		}, []string{"all 0-25 ended"}},
		"end of nothing": {func(d *desk) { d.takes(d.work(water.WorkEnds, 0)) }, nil},
		"until": {func(d *desk) {
			n := d.work(water.WorkStarts, 0)
			n.Until = at(45)
			d.takes(n)
		}, []string{"all 0-45"}},
		"until past the longest": {func(d *desk) {
			n := d.work(water.WorkStarts, 0)
			n.Until = at(4500)
			d.takes(n)
		}, []string{"all 0-240"}},
		"started long ago": {func(d *desk) {
			n := d.work(water.WorkStarts, 0)
			n.Time = at(-1000)
			d.takes(n)
		}, []string{"all -1000--760"}},
		"started again, to have longer": {func(d *desk) {
			d.takes(d.work(water.WorkStarts, 0))
			d.takes(d.work(water.WorkStarts, 200))
			d.takes(d.work(water.WorkEnds, 230))
		}, []string{"all 0-230 ended", "all 200-230 ended"}},
		"with other words at the same time": {func(d *desk) {
			n := d.work(water.WorkStarts, 0)
			n.Time = at(0)
			d.takes(n)
			n.Until = at(10)
			d.takes(n)
		}, []string{"all 0-10"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			test.do(d)
			d.has(test.want...)
		})
	}
}

// What the broker hands over again changes nothing, whatever was taken since.
func TestNoticesComeAgain(t *testing.T) {
	again := func(n water.Notice, minutes float64) water.Notice {
		n.Duplicate, n.Received = true, at(minutes)
		return n
	}
	kept := func(n water.Notice, minutes float64) water.Notice {
		n.Retained, n.Received = true, at(minutes)
		return n
	}
	d := newDesk(t)
	start, end := d.work(water.WorkStarts, 0, "ph"), d.work(water.WorkEnds, 20)
	d.takes(start)
	d.takes(again(start, 5))
	d.has("ph 0-240")
	d.takes(end)
	d.takes(again(start, 300)) // the acknowledgement was lost, then the connection
	d.takes(again(end, 301))
	d.takes(kept(start, 100_000)) // at each new subscription
	d.takes(kept(end, 100_000))
	d.has("ph 0-20 ended")

	timed := start
	timed.Time, timed.Received = at(400), at(400)
	d.takes(timed)
	ended := end
	ended.Time, ended.Received = at(420), at(425)
	d.takes(ended)
	d.takes(again(timed, 430))
	d.takes(kept(timed, 100_000))
	d.takes(timed)
	d.takes(ended)
	d.has("ph 0-20 ended", "ph 400-420 ended")

	// Other work is other work; and so is the same on another day.
	other := start
	other.By = "Sari"
	d.takes(again(other, 500))
	d.takes(d.work(water.WorkEnds, 501))
	d.takes(again(start, 2000))
	d.has("ph 0-20 ended", "ph 400-420 ended", "ph 500-501 ended", "ph 2000-2240")

	// Nobody knows how old a retained message is.
	d.refuses(kept(d.work(water.WorkStarts, 0, "do"), 2001), `send it without "retain", or with a time`)
	d.refuses(kept(end, 2001), `send it without "retain", or with a time`)
	d.has("ph 0-20 ended", "ph 400-420 ended", "ph 500-501 ended", "ph 2000-2240")
}

func TestNoticesThatCannotBeFollowed(t *testing.T) {
	d := newDesk(t)
	visit := func(code string, c water.Check) water.Notice {
		n := d.work(water.Calibration, 0, code)
		n.Readings = c
		return n
	}
	timed := func(n water.Notice, at time.Time) water.Notice { n.Time = at; return n }
	d.refuses(timed(d.work(water.WorkStarts, 0), time.Unix(86400, 0).UTC()), "time 1970-01-02T00:00:00Z is before 2001: set the clock, or leave it out")
	d.refuses(timed(d.work(water.WorkEnds, 0), at(11)), "time 2026-11-23T12:11:00Z is more than 10 minutes ahead of its arrival at 2026-11-23T12:00:00Z")
	past := d.work(water.WorkStarts, 0)
	past.Until = at(0)
	d.refuses(past, "until 2026-11-23T12:00:00Z is not after the start at 2026-11-23T12:00:00Z")
	d.takes(d.work(water.WorkStarts, 0))
	d.refuses(d.work(water.WorkEnds, 1, "ph"), "was started for the whole station and can only end for it: leave parameters out")
	d.takes(d.work(water.WorkEnds, 2))
	d.takes(d.work(water.WorkStarts, 3, "do", "ph"))
	d.refuses(d.work(water.WorkEnds, 4, "ph"), "was started for do, ph together and can only end for them together")

	d.refuses(visit("ph", found(7, nan, nan, nan)), "no reading of the sensor; want before, after_cleaning or after_calibration, and the reference")
	d.refuses(visit("ph", found(nan, 7, nan, 7)), "nothing to compare with; want reference, or both before and after_cleaning")
	d.refuses(visit("ph", found(70, 7, nan, 7)), "reference is 70, and ph is from 0 to 14")
	d.refuses(visit("ph", found(7, 7, 7, -7)), "after_calibration is -7, and ph is from 0 to 14")
	d.refuses(visit("turbidity", found(10, 0, nan, nan)), "before is 0: the error of turbidity is a part of the reading, and 0 has none")
	d.has("all 0-2 ended", "do+ph 3-243")
}

// check is a visit so many minutes after noon that found the sensor off.
func (d *desk) check(minutes, before float64) water.Notice {
	n := d.work(water.Calibration, minutes, "ph")
	n.Readings = found(7, before, nan, 7)
	return n
}

// due wants this to be what is to be corrected.
func (d *desk) due(want ...string) {
	d.t.Helper()
	var got []string
	for _, c := range d.Corrections() {
		got = append(got, fmt.Sprintf("%s of %s %v-%v from %v by %.1f", c.Parameter.Code, c.Station.ID,
			c.Drift.From.Sub(noon).Minutes(), c.Drift.To.Sub(noon).Minutes(), c.Next.Sub(noon).Minutes(), c.Drift.Own))
	}
	if diff := cmp.Diff(got, want); diff != "" {
		d.t.Errorf("corrections due (-got +want):\n%s", diff)
	}
}

func (d *desk) correctAll() {
	d.t.Helper()
	for _, c := range d.Corrections() {
		if !d.Corrected(c, c.Drift.To) {
			d.t.Errorf("%+v is out of date", c)
		}
	}
}

func TestCorrectionsFollowTheVisits(t *testing.T) {
	d := newDesk(t)
	d.takes(d.check(0, 7.4))
	d.due() // nothing is known of the time before
	d.takes(d.check(100, 7.5))
	d.due("ph of ipal-01 0-100 from 0 by -0.5")
	c := d.Corrections()[0]
	if !d.Corrected(c, at(40)) {
		t.Fatal("the first piece is out of date")
	}
	d.due("ph of ipal-01 0-100 from 40 by -0.5")
	d.takes(d.check(100, 7.5)) // once more
	d.due("ph of ipal-01 0-100 from 40 by -0.5")
	d.takes(d.check(100, 7.6)) // it was a slip of the pen
	d.due("ph of ipal-01 0-100 from 0 by -0.6")
	if d.Corrected(c, at(100)) {
		t.Error("a correction by what was noted first counts")
	}
	d.correctAll()
	d.due()

	d.takes(d.check(200, 7.3))
	d.correctAll()
	d.takes(d.check(50, 7.2)) // from a notebook: both sides of it change
	d.due("ph of ipal-01 0-50 from 0 by -0.2", "ph of ipal-01 50-100 from 50 by -0.6")
	d.correctAll()
	d.due()

	// A duplicate without a time is the visit that is on record.
	twice := d.check(200.5, 7.3)
	twice.Duplicate = true
	d.takes(twice)
	d.due()

	cod := d.work(water.Calibration, 0, "cod")
	cod.Readings = found(100, 90, nan, 100)
	d.takes(cod)
	cod.Received = at(10)
	d.takes(cod)
	d.due() // no criteria
}

func TestLateReadingsAreCorrected(t *testing.T) {
	d := newDesk(t)
	reading := func(minutes float64, method water.Method) []water.Observation {
		return []water.Observation{{Station: outlet, Parameter: parameter(t, "ph"), Method: method, Value: 7, Flag: water.Good, Time: at(minutes)}}
	}
	d.Keep(nil, nil, reading(10, water.Sensor)) // nothing is known of any visit
	d.takes(d.check(0, 7))
	d.takes(d.check(100, 7.5))
	d.takes(d.check(200, 7.5))
	d.correctAll()
	d.Keep(nil, nil, reading(200, water.Sensor))
	d.Keep(nil, nil, reading(-1, water.Sensor))
	d.Keep(nil, nil, reading(30, water.Corrected))
	d.due()
	d.Keep(nil, nil, reading(100, water.Sensor))
	d.Keep(nil, nil, reading(40, water.Sensor))
	d.Keep(nil, nil, reading(30, water.Sensor))
	d.due() // there may be more of them on their way
	d.clock = d.clock.Add(settleTime)
	d.due("ph of ipal-01 0-100 from 30 by -0.5", "ph of ipal-01 100-200 from 100 by -0.5")
	c := d.Corrections()[0]
	d.Keep(nil, nil, reading(20, water.Sensor))
	if d.Corrected(c, c.Drift.To) {
		t.Error("a correction counts that missed a late reading")
	}
}

func TestApply(t *testing.T) {
	d := newDesk(t)
	d.takes(d.check(0, 7))
	d.takes(d.check(100, 7.5))
	sent := func(minutes, value float64, flag water.Flag) water.Observation {
		return water.Observation{Station: outlet, Parameter: parameter(t, "ph"), Method: water.Sensor, Value: value, Flag: flag, Time: at(minutes)}
	}
	got := d.Corrections()[0].Apply([]water.Observation{
		sent(0, 7, water.Good), sent(50, 7.25, water.Suspect), sent(60, nan, water.Missing), sent(80, 13, water.Bad),
	})
	var text []string
	for _, o := range got {
		text = append(text, fmt.Sprintf("%s %v %.3f %v", o.Method, o.Time.Sub(noon).Minutes(), o.Value, o.Flag))
	}
	want := []string{"corrected 0 7.000 good", "corrected 50 7.000 suspect", "corrected 80 12.600 bad"}
	if diff := cmp.Diff(text, want); diff != "" {
		t.Errorf("corrected (-got +want):\n%s", diff)
	}
}

func TestOutlook(t *testing.T) {
	d := newDesk(t)
	outlook := func(n water.Notice) string {
		t.Helper()
		_, visits, err := d.Decide(outlet, n)
		if err != nil {
			t.Fatal(err)
		}
		d.Keep(nil, visits, nil)
		return d.Outlook(visits[0], time.UTC)
	}
	cod := d.work(water.Calibration, 0, "cod")
	cod.Readings = found(100, 90, nan, 100)
	for _, test := range []struct {
		notice water.Notice
		want   string
	}{
		{d.check(0, 7), "noted; it is the first on record, and readings are corrected between two"},
		{d.check(10, 7.5), "noted; since 2026-11-23 12:00 UTC its error grew to 0.00 by fouling and 0.50 by drift, past 0.20; its readings are corrected"},
		{cod, "noted; nothing is corrected, for there is no criterion for cod"},
	} {
		if got := outlook(test.notice); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// filled has maintenance and visits of every kind.
func filled(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, water.Maintenance{Station: outlet, From: at(-60), To: at(-50), Note: "planned"})
	n := d.work(water.WorkStarts, -10, "ph")
	n.By, n.Note = "Sari", `"new" cable`
	d.takes(n)
	d.takes(d.work(water.WorkEnds, -5))
	d.takes(d.work(water.WorkStarts, 0, "temperature"))
	d.takes(d.work(water.WorkStarts, -2000))
	for _, minutes := range []float64{-3000, -2000, -1000} {
		d.takes(d.check(minutes, 7.5))
	}
	d.correctAll()
	d.takes(d.check(-500, 7.6))
	return d
}

func TestSaveAndLoad(t *testing.T) {
	d := filled(t)
	file := filepath.Join(t.TempDir(), "care.json")
	if err := d.Save(file, 42); err != nil {
		t.Fatal(err)
	}
	again := newDesk(t, d.works[outlet].list[1])
	if !again.works[outlet].list[0].Planned {
		t.Fatal("the test takes something else for what is planned")
	}
	position, err := again.Load(file, builtin)
	if err != nil || position != 42 {
		t.Fatalf("Load = %d, %v, want 42", position, err)
	}
	same := cmp.Options{
		cmp.AllowUnexported(visit{}, works{}, sensor{}), cmpopts.EquateNaNs(), cmpopts.IgnoreFields(visit{}, "change"),
		cmp.Comparer(func(a, b *water.Station) bool { return a == b }), cmp.Comparer(func(a, b *water.Parameter) bool { return a == b }),
	}
	if diff := cmp.Diff(again.works, d.works, same); diff != "" {
		t.Errorf("maintenance (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(again.sensors, d.sensors, same); diff != "" {
		t.Errorf("visits (-got +want):\n%s", diff)
	}

	empty := NewBook(Options{Stations: map[string]*water.Station{}})
	if _, err := empty.Load(file, builtin); err != nil || len(empty.works) != 0 || len(empty.sensors) != 0 {
		t.Errorf("a book of another site has %v, %v, error %v; want nothing", empty.works, empty.sensors, err)
	}
	if position, err := empty.Load(filepath.Join(t.TempDir(), "none"), builtin); err != nil || position != 1<<64-1 {
		t.Errorf("Load of no file = %d, %v, want the last position there can be", position, err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if position, err := empty.Load(file, builtin); err == nil || position != 0 {
		t.Errorf("Load of a damaged file = %d, %v, want 0 and an error", position, err)
	}
}

// The spool gives back what was kept since the book was saved, and some from
// before: that changes nothing.
func TestKeepingTwiceIsHarmless(t *testing.T) {
	d := newDesk(t)
	var maintenance []water.Maintenance
	var visits []water.Visit
	for _, n := range []water.Notice{
		d.work(water.WorkStarts, 0), d.work(water.WorkEnds, 10), d.work(water.WorkStarts, 20), d.check(0, 7), d.check(100, 7.5),
	} {
		m, v, err := d.Decide(outlet, n)
		if err != nil {
			t.Fatal(err)
		}
		d.Keep(m, v, nil)
		maintenance, visits = append(maintenance, m...), append(visits, v...)
	}
	d.correctAll()
	d.Keep(maintenance, visits, nil)
	d.has("all 0-10 ended", "all 20-260")
	d.due()
}

func TestBookForgetsTheOldest(t *testing.T) {
	d := newDesk(t, water.Maintenance{Station: outlet, From: at(-60), To: at(-50)})
	for i := range mostKept + 5 {
		d.takes(d.work(water.WorkStarts, float64(i)))
		d.takes(d.check(float64(i), 7.5))
	}
	if got := d.works[outlet].list; len(got) != mostKept || !got[0].Planned || !got[1].From.Equal(at(6)) {
		t.Errorf("%d kept, from %v on; want %d, the planned one and those from minute 6 on", len(got), got[1].From, mostKept)
	}
	got := d.sensors[sensor{outlet, parameter(t, "ph")}]
	if len(got) != mostKept || !got[0].Time.Equal(at(5)) {
		t.Errorf("%d visits, from %v on; want %d from minute 5 on", len(got), got[0].Time, mostKept)
	}
}

func TestMark(t *testing.T) {
	d := newDesk(t)
	d.takes(d.work(water.WorkStarts, 0, "ph"))
	seen := func(minutes float64, flag water.Flag, method water.Method) water.Observation {
		return water.Observation{Station: outlet, Parameter: parameter(t, "ph"), Method: method, Flag: flag, Time: at(minutes)}
	}
	observations := []water.Observation{
		seen(1, water.Bad, water.Sensor), seen(1, water.Missing, water.Sensor),
		seen(1, water.Good, water.Sensor), seen(-1, water.Bad, water.Sensor), seen(1, water.Bad, water.Lab),
	}
	d.Mark(observations)
	for i, want := range []bool{true, true, false, false, false} {
		if got := observations[i].Maintenance; got != want {
			t.Errorf("observation %d, %+v: marked %t, want %t", i, observations[i], got, want)
		}
	}
}

func TestMetrics(t *testing.T) {
	d := filled(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(d)
	if os.Getenv("UPDATE") != "" {
		if err := prometheus.WriteToTextfile("testdata/metrics.txt", registry); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, bytes.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
