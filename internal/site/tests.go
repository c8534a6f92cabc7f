package site

import (
	"math"
	"strings"
	"time"

	"tofuwatch/ingest/quality"
	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// Settings returns what readings of a parameter are held against at a station of
// s: the defaults, what the site says of the parameter, and what it says of it at
// that station, the last of which wins, test by test.
func (s *Site) Settings(station *water.Station, p *water.Parameter) quality.Settings {
	settings := quality.DefaultsAt(station, p).With(s.Tests[p.Code])
	if st, ok := s.Station(station.ID); ok {
		settings = settings.With(st.Tests[p.Code])
	}
	return settings
}

// A sensor is what tests are for.
type sensor struct {
	at        string // " at ipal-01", if the tests stand elsewhere
	low, high float64
	interval  time.Duration // 0 if it is not known
}

// written is what of a parameter's tests has to fit the sensor, and where it
// stands.
type written struct {
	suspect strict.Value
	span    *quality.Span
	windows []window
}

type window struct {
	strict.Value
	length time.Duration
	// instead reports whether other tests stand in the place of these.
	instead func(quality.Overrides) bool
}

// siteTests reads what holds for a parameter at every station.
func (l *loader) siteTests(v strict.Value) map[string]quality.Overrides {
	var all map[string]quality.Overrides
	l.byParameter(v, func(e strict.Entry, p *water.Parameter) {
		if all == nil {
			all = make(map[string]quality.Overrides)
			l.written = make(map[string]written)
		}
		var w written
		all[p.Code], w = readTests(e.Value)
		if w.fit(sensor{low: p.Min, high: p.Max}, quality.Overrides{}) {
			l.written[p.Code] = w
		}
	})
	return all
}

// fitSiteTests tells of the site's tests that an instrument can't be held
// against, once each.
func (l *loader) fitSiteTests(stations []Station) {
	for code, w := range l.written {
		for _, st := range stations {
			i, ok := st.Instruments[code]
			if ok && !w.fit(sensor{" at " + st.ID, i.Min, i.Max, i.Interval}, st.Tests[code]) {
				break
			}
		}
	}
}

// fit tells of what does not fit a sensor, but for what own says otherwise, and
// reports whether all does.
func (w written) fit(of sensor, own quality.Overrides) bool {
	ok := true
	if w.span != nil && own.Suspect == nil && !w.span.Within(quality.NewSpan(of.low, of.high)) {
		w.suspect.Fault("reaches outside [%v, %v], which the instrument%s can measure; want it within: outside of that is bad already", of.low, of.high, of.at)
		ok = false
	}
	const fewest = 3
	for _, v := range w.windows {
		if of.interval == 0 || v.instead(own) {
			continue
		}
		switch n := v.length / of.interval; {
		case n >= quality.MostKept:
			v.Fault("%s are %d readings%s, of which there is one every %s, and %d are kept; want at most %s", short(v.length), n, of.at, short(of.interval), quality.MostKept, short(of.interval*(quality.MostKept-1)))
			ok = false
		case n < fewest:
			v.Fault("%s are too few readings%s to tell anything: there is one every %s; want at least %s", short(v.length), of.at, short(of.interval), short(of.interval*fewest))
			ok = false
		}
	}
	return ok
}

// short returns d as people write it: 2m, not 2m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// testKeys are the tests that a site file can set.
var testKeys = []string{"timing", "gross_range", "climatology", "spike", "rate_of_change", "flat_line", "attenuated", "multi_variate"}

// readTests reads what readings of a parameter are held against.
func readTests(v strict.Value) (quality.Overrides, written) {
	var (
		o quality.Overrides
		w written
	)
	s := v.Section(testKeys...)
	o.Timing = unlessOff(s.Key("timing"), timing)
	if g := s.Key("gross_range"); g.Given() {
		w.suspect = g.Section("suspect").Key("suspect").Required("[lowest, highest] that is plausible; what can be measured at all is the instrument's range")
		w.span = span(w.suspect)
		o.Suspect = w.span
	}
	o.Climatology = unlessOff(s.Key("climatology"), climatology)
	o.Spike = unlessOff(s.Key("spike"), spike)
	o.RateOfChange = unlessOff(s.Key("rate_of_change"), rateOfChange)
	o.FlatLine = unlessOff(s.Key("flat_line"), w.flatLine)
	o.Attenuated = unlessOff(s.Key("attenuated"), w.attenuated)
	if m := s.Key("multi_variate"); m.Given() {
		var word string
		if strict.Text(m, &word, "off or on", strict.OneOf("setting", "off", "on")) {
			alone := word == "off"
			o.Alone = &alone
		}
	}
	return o, w
}

// unlessOff reads a test, or nothing where it is switched off.
func unlessOff[T any](v strict.Value, read func(strict.Value, *T)) *T {
	if !v.Given() {
		return nil
	}
	test := new(T)
	if v.Written() == "off" {
		return test
	}
	read(v, test)
	return test
}

func timing(v strict.Value, t *quality.Timing) {
	s := v.Section("gap", "reception")
	if s.Key("gap").Absent() && s.Key("reception").Absent() && v.IsMapping() {
		v.Fault("says nothing; want gap, reception or both, for example {gap: 2h, reception: 6h}, or off")
	}
	strict.Text(s.Key("gap"), &t.Gap, "a duration such as 2h", duration)
	strict.Text(s.Key("reception"), &t.Reception, "a duration such as 6h", duration)
}

// span reads two numbers; nil if v has none.
func span(v strict.Value) *quality.Span {
	var low, high float64
	if v.Absent() || !v.Span(&low, &high) {
		return nil
	}
	s := quality.NewSpan(low, high)
	return &s
}

func climatology(v strict.Value, seasons *quality.Climatology) {
	for _, item := range v.Items() {
		s := item.Section("months", "suspect", "fail")
		var season quality.Season
		for _, m := range s.Key("months").Required("a list of them from 1 to 12, for example [11, 12, 1, 2, 3]").Items() {
			var number float64
			switch {
			case !m.NumberWithin(&number, 1, 12):
			case number != math.Trunc(number):
				m.Fault("%v is no month; want 1 to 12", number)
			default:
				season.Months = append(season.Months, time.Month(number))
			}
		}
		suspect, fail := span(s.Key("suspect")), span(s.Key("fail"))
		if s.Key("suspect").Absent() && s.Key("fail").Absent() {
			s.Fault("has no span; want suspect, fail or both, for example {months: [11], suspect: [22, 30]}")
		}
		if suspect != nil && fail != nil && !suspect.Within(*fail) {
			s.Key("suspect").Fault("reaches outside fail; want it within: what is bad is no longer suspect")
		}
		if suspect != nil {
			season.Suspect = *suspect
		}
		if fail != nil {
			season.Fail = *fail
		}
		*seasons = append(*seasons, season)
	}
}

// positive reads a number above 0 into dst.
func positive(v strict.Value, dst *float64) {
	var f float64
	switch {
	case !v.Number(&f):
	case f <= 0:
		v.Fault("%v is no threshold; want a number above 0, or leave it out", f)
	default:
		*dst = f
	}
}

// thresholds reads suspect and fail, of which there must be one.
func thresholds(s strict.Section, suspect, fail *float64, example string) {
	if s.Key("suspect").Absent() && s.Key("fail").Absent() && s.IsMapping() {
		s.Fault("has no threshold; want suspect, fail or both, for example %s, or off", example)
	}
	positive(s.Key("suspect"), suspect)
	positive(s.Key("fail"), fail)
}

func spike(v strict.Value, t *quality.Spike) {
	s := v.Section("method", "suspect", "fail", "share")
	t.Method = quality.Differential
	strict.Text(s.Key("method"), (*string)(&t.Method), "text", strict.OneOf("method", string(quality.Differential), string(quality.Average)))
	thresholds(s, &t.Suspect, &t.Fail, "{suspect: 5, fail: 20}")
	inOrder(s.Key("suspect"), t.Suspect, t.Fail)
	s.Key("share").NumberWithin(&t.Share, 0, 10)
}

// inOrder tells of a suspect threshold that fail hides.
func inOrder(v strict.Value, suspect, fail float64) {
	if suspect > 0 && fail > 0 && suspect >= fail {
		v.Fault("%v is not below fail, %v; want it below: what is bad is no longer suspect", suspect, fail)
	}
}

func rateOfChange(v strict.Value, t *quality.RateOfChange) {
	s := v.Section("suspect", "fail", "per")
	thresholds(s, &t.Suspect, &t.Fail, "{suspect: 5, per: 1m}")
	inOrder(s.Key("suspect"), t.Suspect, t.Fail)
	var per time.Duration
	if strict.Text(s.Key("per").Required("the time that the thresholds are for, for example 1m"), &per, "a duration such as 1m", duration) {
		t.Suspect, t.Fail = t.Suspect/per.Seconds(), t.Fail/per.Seconds()
	}
}

// count reads a whole number of at least 2.
func count(v strict.Value, dst *int) {
	var f float64
	if v.NumberWithin(&f, 2, quality.MostKept) {
		if f != math.Trunc(f) {
			v.Fault("%v is no number of readings; want a whole one", f)
			return
		}
		*dst = int(f)
	}
}

func (w *written) flatLine(v strict.Value, t *quality.FlatLine) {
	s := v.Section("tolerance", "suspect", "fail", "least", "except_zero")
	positive(s.Key("tolerance").Required("what values of a sound sensor differ by within the time, at the least, for example 0.01"), &t.Tolerance)
	if s.Key("suspect").Absent() && s.Key("fail").Absent() && v.IsMapping() {
		s.Fault("has no threshold; want suspect, fail or both, for example {tolerance: 0.01, suspect: 1h, fail: 4h}, or off")
	}
	instead := func(o quality.Overrides) bool { return o.FlatLine != nil }
	if at := s.Key("suspect"); strict.Text(at, &t.Suspect, "a duration such as 1h", duration) {
		w.windows = append(w.windows, window{at, t.Suspect, instead})
	}
	if at := s.Key("fail"); strict.Text(at, &t.Fail, "a duration such as 4h", duration) {
		w.windows = append(w.windows, window{at, t.Fail, instead})
	}
	if t.Suspect > 0 && t.Fail > 0 && t.Suspect >= t.Fail {
		s.Key("suspect").Fault("%s is not below fail, %s; want it below: what is bad is no longer suspect", short(t.Suspect), short(t.Fail))
	}
	count(s.Key("least"), &t.Least)
	s.Key("except_zero").Bool(&t.ExceptZero)
}

func (w *written) attenuated(v strict.Value, t *quality.Attenuated) {
	s := v.Section("window", "statistic", "suspect", "fail", "least")
	if at := s.Key("window").Required("how long to look back, for example 6h"); strict.Text(at, &t.Window, "a duration such as 6h", duration) {
		w.windows = append(w.windows, window{at, t.Window, func(o quality.Overrides) bool { return o.Attenuated != nil }})
	}
	t.Statistic = quality.Range
	strict.Text(s.Key("statistic"), (*string)(&t.Statistic), "text", strict.OneOf("statistic", string(quality.Range), string(quality.StandardDeviation)))
	thresholds(s, &t.Suspect, &t.Fail, "{window: 6h, suspect: 0.1, least: 30}")
	if t.Suspect > 0 && t.Fail > 0 && t.Suspect <= t.Fail {
		s.Key("suspect").Fault("%v is not above fail, %v; want it above: what moves less is worse", t.Suspect, t.Fail)
	}
	count(s.Key("least").Required("how many values the window must hold, for example 30"), &t.Least)
}
