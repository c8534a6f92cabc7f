package site

import (
	"maps"
	"slices"
	"time"

	"tofuwatch/alerts/standards"
	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// ownLaw is what people are told in place of a law where the site itself set
// the limit.
var ownLaw = water.Text{Indonesian: "batas stasiun ini sendiri", English: "this station's own limit"}

// Limits returns what each station was, is and will be under, by its ID: the
// limits of its standards, which change at midnight in the site's time zone, and
// behind them its own. [water.Limits.Binding] says which of them bind.
func (s *Site) Limits() map[string]water.Limits {
	limits := make(map[string]water.Limits, len(s.Stations))
	for _, st := range s.Stations {
		all := lawOf(st.Standards, s.TimeZone)
		for _, code := range slices.Sorted(maps.Keys(st.Limits)) {
			all = append(all, st.Limits[code].water(s.Parameters.Lookup([]byte(code)))...)
		}
		limits[st.ID] = all
	}
	return limits
}

// water returns the bounds of l, which is for p.
func (l Limit) water(p *water.Parameter) water.Limits {
	var limits water.Limits
	for _, b := range []struct {
		bound water.Bound
		value *float64
	}{{water.Min, l.Min}, {water.Max, l.Max}} {
		if b.value == nil {
			continue
		}
		limits = append(limits, water.Limit{
			Parameter: p.Code, Unit: p.Unit, Bound: b.bound, Value: *b.value, Statistic: water.Instant,
			Range:    l.Min != nil && l.Max != nil,
			Standard: water.OwnLimit, Law: ownLaw, Source: l.Reason, Override: l.Override,
		})
	}
	return limits
}

// lawOf returns the limits of standards, which are known.
func lawOf(names []string, zone *time.Location) water.Limits {
	var limits water.Limits
	for _, name := range names {
		standard, err := standards.Load(name)
		if err != nil {
			panic(err) // Load of the site file takes no other names
		}
		limits = append(limits, standard.Limits(zone)...)
	}
	return limits
}

// standing returns the limits of standards that have no end: whether a site file
// is valid must not change from one day to the next.
func standing(names []string) water.Limits {
	var limits water.Limits
	for _, l := range lawOf(names, time.UTC) {
		if l.To.IsZero() && l.Comparable() {
			limits = append(limits, l)
		}
	}
	return limits
}

// noLaxer records a fault of own, which stands in v, if the law is stricter.
func (l *loader) noLaxer(v strict.Value, own water.Limit, law water.Limits) {
	strictest := own
	for _, limit := range law {
		if limit.Rivals(own) && limit.Stricter(strictest) {
			strictest = limit
		}
	}
	if strictest.Standard == own.Standard {
		return
	}
	atMost := "at most"
	if own.Bound == water.Min {
		atMost = "at least"
	}
	sure := ""
	if strictest.Verified == nil {
		sure = ", not verified"
	}
	v.Fault("%v is laxer than %v, the limit of %s (%s%s); want %s that, or override: true with a reason",
		own.Value, strictest.Value, strictest.Standard, strictest.Law.English, sure, atMost)
}
