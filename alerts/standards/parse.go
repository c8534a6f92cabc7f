package standards

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// parse reads a file. Its error is the [strict.Faults] found, all of them.
func parse(file string, data []byte) (*Standard, error) {
	d := strict.Parse(file, data, strict.Options{
		Want:    "id, title, jurisdiction, law, verified, source and limits",
		Example: "id: id-permenlh-5-2014-tofu",
	})
	if d.Root().Absent() {
		return nil, d.Faults()
	}
	r := reader{id: strings.TrimSuffix(file, ".yaml")}
	r.parameters, _ = water.NewParameters() // the built-in ones agree with each other
	s := r.standard(d.Root())
	if fs := d.Faults(); fs != nil {
		return nil, fs
	}
	return s, nil
}

// A reader turns the values of one file into a Standard. Each of its methods
// reads one part, tells what is wrong with it, and goes on.
type reader struct {
	id         string // what the file's name wants it to be
	parameters *water.Parameters
	lines      []int // of the rows
}

const aDay = `a day, month or year in quotes, such as "2014-10-15"`

func (r *reader) standard(v strict.Value) *Standard {
	root := v.Section("id", "title", "jurisdiction", "law", "annex", "valid_from", "valid_to", "verified", "source",
		"wastewater_m3_per_ton", "discharge_from_m3_per_day", "limits")
	var s Standard
	strict.Text(root.Key("id").Required("the file's name without .yaml"), &s.ID, "text", r.ownID)
	title := root.Key("title").Required("{id: …, en: …}, as people cite it").Section("id", "en")
	strict.Text(title.Key("id").Required("the title in Indonesian"), &s.Title.Indonesian, "text", strict.Printable)
	strict.Text(title.Key("en").Required("the title in English"), &s.Title.English, "text", strict.Printable)
	strict.Text(root.Key("jurisdiction").Required("an ISO 3166 code, such as ID-JT"), &s.Jurisdiction, "text", jurisdiction)
	strict.Text(root.Key("law").Required("its name, for example Permen LH 5/2014"), &s.Law, "text", strict.Printable)
	strict.Text(root.Key("annex"), &s.Annex, "text", strict.Printable)
	s.Valid = r.period(root, Period{})
	s.Verified = r.verified(root.Key("verified").Required("false, or {by: …, on: …} once somebody compared it with the law"))
	strict.Text(root.Key("source").Required("where the numbers come from"), &s.Source, "text", strict.Printable)
	r.amount(root.Key("wastewater_m3_per_ton"), &s.WastewaterM3PerTon)
	r.amount(root.Key("discharge_from_m3_per_day"), &s.DischargeFromM3PerDay)

	list := root.Key("limits").Required("a list of rows such as {parameter: cod, max: 300, unit: mg/L, statistic: instant}")
	items := list.Items()
	if list.IsList() && len(items) == 0 {
		list.Fault("is empty; want at least one row")
	}
	for _, item := range items {
		r.row(item, &s)
	}
	return &s
}

func (r *reader) ownID(s string) (string, error) {
	if s != r.id {
		return "", fmt.Errorf("%s is not the file's name; want %s", strict.Quote(s), r.id)
	}
	return s, nil
}

var jurisdictionPattern = regexp.MustCompile(`^[A-Z]{2}(-[A-Z0-9]{1,3})?$`)

func jurisdiction(s string) (string, error) {
	if !jurisdictionPattern.MatchString(s) {
		return "", fmt.Errorf("%s is no ISO 3166 code; want one like ID (Indonesia) or ID-JT (Central Java)", strict.Quote(s))
	}
	return s, nil
}

// days reads a day, or all days of a month or year.
func days(s string) (Period, error) {
	for _, form := range []struct {
		layout              string
		years, months, days int
	}{
		{time.DateOnly, 0, 0, 1},
		{"2006-01", 0, 1, 0},
		{"2006", 1, 0, 0},
	} {
		if first, err := time.Parse(form.layout, s); err == nil {
			return Period{first, first.AddDate(form.years, form.months, form.days-1)}, nil
		}
	}
	return Period{}, fmt.Errorf("%s is no day; want one like 2014-10-15, or 2014-10 or 2014 where no more is known", strict.Quote(s))
}

// period reads valid_from and valid_to. Null is open; what is absent is that of
// the whole.
func (r *reader) period(s strict.Section, whole Period) Period {
	p := whole
	from, to := s.Key("valid_from"), s.Key("valid_to")
	var read Period
	if from.Null() {
		p.First = time.Time{}
	} else if strict.Text(from, &read, aDay, days) {
		p.First = read.First
	}
	if to.Null() {
		p.Last = time.Time{}
	} else if strict.Text(to, &read, aDay, days) {
		p.Last = read.Last
	}
	inherited := from.Absent() && to.Absent() // then it was told of where it stands
	if !inherited && !p.First.IsZero() && !p.Last.IsZero() && p.Last.Before(p.First) {
		at := to
		if to.Absent() {
			at = from
		}
		at.Fault("it ends on %s, before it starts on %s; want valid_from before valid_to", p.Last.Format(time.DateOnly), p.First.Format(time.DateOnly))
	}
	return p
}

// verified reads false, or who compared the limit with the law, and when.
func (r *reader) verified(v strict.Value) *water.Verification {
	if v.Absent() {
		return nil
	}
	if !v.IsMapping() {
		var yes bool
		if v.Bool(&yes) && yes {
			v.Fault(`want who compared it with the law and when, {by: …, on: "2026-11-23"}, or false`)
		}
		return nil
	}
	s := v.Section("by", "on")
	var (
		w   water.Verification
		day Period
	)
	strict.Text(s.Key("by").Required("who compared it with the law"), &w.By, "text", strict.Printable)
	on := s.Key("on").Required("the day on which it was compared")
	if strict.Text(on, &day, aDay, days) {
		if w.On = day.First; !day.First.Equal(day.Last) {
			on.Fault("%s is no day; want one like 2026-11-23", strict.Quote(on.Written()))
		}
	}
	return &w
}

// amount reads a number above 0.
func (r *reader) amount(v strict.Value, dst *float64) {
	if v.Number(dst) && *dst <= 0 {
		v.Fault("%v is not above 0; leave the key out where the law has no number", *dst)
	}
}

var analysisPattern = regexp.MustCompile(`^[a-z0-9-]+$`)

func analysis(s string) (string, error) {
	if !analysisPattern.MatchString(s) {
		return "", fmt.Errorf("%s is no analysis; want lower case letters, digits and '-', for example cod-cr", strict.Quote(s))
	}
	return s, nil
}

// row reads a row, which is two where it is a range, and adds it to s.
func (r *reader) row(v strict.Value, s *Standard) {
	keys := v.Section("parameter", "max", "min", "deviation", "unit", "statistic", "load_kg_per_ton", "analysis", "waters",
		"valid_from", "valid_to", "verified", "source")
	row := Row{
		Limit: water.Limit{Standard: s.ID, Law: s.Title, Verified: s.Verified, Source: s.Source},
		Valid: r.period(keys, s.Valid),
	}
	p := r.parameter(keys.Key("parameter").Required("its code, for example cod"))
	unit := keys.Key("unit")
	if p != nil {
		row.Parameter, row.Unit = p.Code, p.Unit
		written := p.Unit
		if strict.Text(unit, (*string)(&written), "text", strict.AsWritten) && written != p.Unit {
			unit.Fault("%s is not the unit of %s; want %s, and the number in it", strict.Quote(string(written)), p.Code, strict.Quote(string(p.Unit)))
		} else if unit.Absent() && p.Unit != "" {
			unit.Required("for example " + string(p.Unit))
		}
	}
	statistics := make([]string, 0, 2)
	for _, s := range water.Statistics() {
		statistics = append(statistics, string(s))
	}
	strict.Text(keys.Key("statistic").Required("have "+strings.Join(statistics, ", ")), (*string)(&row.Statistic), "text", strict.OneOf("statistic", statistics...))
	r.amount(keys.Key("load_kg_per_ton"), &row.LoadKgPerTon)
	strict.Text(keys.Key("analysis"), &row.Analysis, "text", analysis)
	row.Waters = strict.Texts(keys.Key("waters").Items(), strict.OneOf("water", river, lake, sea))
	if own := keys.Key("verified"); !own.Absent() {
		row.Verified = r.verified(own)
	}
	strict.Text(keys.Key("source"), &row.Source, "text", strict.Printable)

	r.bounds(keys, p, row, s)
}

// bounds reads the bounds of a row and adds a row to s for each.
func (r *reader) bounds(keys strict.Section, p *water.Parameter, row Row, s *Standard) {
	low, high, deviation := keys.Key("min"), keys.Key("max"), keys.Key("deviation")
	switch {
	case low.Absent() && high.Absent() && deviation.Absent():
		keys.Fault("has no bound; want max, min, both, or deviation. Where the law has none, there is no row")
	case !deviation.Absent() && (!low.Absent() || !high.Absent()):
		deviation.Fault("stands beside max or min; want a row for each")
	}
	row.Range = !low.Absent() && !high.Absent()
	values := make(map[water.Bound]float64)
	for _, b := range []struct {
		water.Bound
		strict.Value
	}{{water.Min, low}, {water.Max, high}, {water.Deviation, deviation}} {
		switch {
		case !b.Number(&row.Value):
			continue
		case b.Bound == water.Deviation && row.Value <= 0:
			b.Fault("%v is not above 0; want how far the water may differ", row.Value)
			continue
		case b.Bound != water.Deviation && p != nil && (row.Value < p.Min || row.Value > p.Max):
			b.Fault("%v cannot be a %s; want %v to %v", row.Value, p.Code, p.Min, p.Max)
			continue
		}
		row.Bound = b.Bound
		values[b.Bound] = row.Value
		if p != nil {
			r.unique(b.Value, row, s)
			s.Rows = append(s.Rows, row)
			r.lines = append(r.lines, b.Line())
		}
	}
	if least, ok := values[water.Min]; ok {
		if most, ok := values[water.Max]; ok && least >= most {
			low.Fault("%v is not below max, %v; want min below max", least, most)
		}
	}
}

// unique records a fault if a row before says the same of the same days.
func (r *reader) unique(v strict.Value, row Row, s *Standard) {
	for i, other := range s.Rows {
		if row.Rivals(other.Limit) && row.Analysis == other.Analysis && row.Valid.overlaps(other.Valid) && shareWater(row.Waters, other.Waters) {
			v.Fault("line %d has a %s of %s for the same days and waters; want one of them", r.lines[i], row.Bound, row.Parameter)
			return
		}
	}
}

// shareWater reports whether two rows are for the same water; nil is any.
func shareWater(a, b []string) bool {
	return a == nil || b == nil || slices.ContainsFunc(a, func(w string) bool { return slices.Contains(b, w) })
}

// parameter returns the built-in parameter whose code stands in v, or nil.
func (r *reader) parameter(v strict.Value) *water.Parameter {
	var p *water.Parameter
	strict.Text(v, &p, "text", func(s string) (*water.Parameter, error) {
		found := r.parameters.Lookup([]byte(s))
		switch {
		case found == nil:
			codes := make([]string, 0, len(r.parameters.All()))
			for _, p := range r.parameters.All() {
				codes = append(codes, p.Code)
			}
			return nil, fmt.Errorf("no parameter %s; %s", strict.Quote(s), strict.Have(s, codes))
		case found.Code != s:
			return nil, fmt.Errorf("%s is another name of %s; want its code", strict.Quote(s), found.Code)
		}
		return found, nil
	})
	return p
}
