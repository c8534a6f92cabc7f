// Package standards holds what the law says of water: each regulation is a file
// of dated data, none is a constant in the code.
//
//	id-permenlh-5-2014-tofu.yaml --All, Load--> Standard --Limits--> []water.Limit
//
// A limit is a row in such a file. No row was compared with its law so far, and
// each says so until somebody did: verified names who and when.
//
// The package does no I/O and knows of no station. It imports internal/water,
// and internal/strict to read its files. So internal/site can import it: a
// site file names the standards of a station, and may not be laxer than they are.
package standards

import (
	"embed"
	"fmt"
	"slices"
	"sync"
	"time"

	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// names are the standards in the order in which people are told of them: those
// for outlets, then the classes of rivers, then what is for comparison.
var names = []string{
	"id-permenlh-5-2014-tofu", "id-jateng-5-2012-tofu", "id-jatim-72-2013-tofu",
	"id-pp-22-2021-class-1", "id-pp-22-2021-class-2", "id-pp-22-2021-class-3", "id-pp-22-2021-class-4",
	"id-pp-82-2001-class-1", "id-pp-82-2001-class-2", "id-pp-82-2001-class-3", "id-pp-82-2001-class-4",
	"jp-uniform",
}

// A Standard is one regulation, or the part of one that is for one kind of
// water. It is not to be changed.
type Standard struct {
	ID           string
	Title        water.Text // as people cite it
	Jurisdiction string     // ISO 3166: "ID", "ID-JT", "JP"
	Law          string     // its name alone: "Permen LH 5/2014"
	Annex        string     // empty if the numbers are in none
	Valid        Period
	Verified     *water.Verification // nil: nobody compared it with the law
	Source       string              // where the numbers come from
	// WastewaterM3PerTon is the most wastewater for a ton of soybeans, in m3;
	// 0 if the law does not say.
	WastewaterM3PerTon float64
	// DischargeFromM3PerDay is the discharge from which on the law holds, in
	// m3/day. Who puts a station under it says that it has as much.
	DischargeFromM3PerDay float64
	Rows                  []Row
}

// A Row is one limit of a standard.
type Row struct {
	water.Limit          // From and To are zero: Valid has the days
	Valid       Period   // the standard's, unless the row says otherwise
	Waters      []string // into which water the discharge goes; nil: any
}

// Waters that a row can be for. Every station lies on a river or drains to one.
const (
	river = "river"
	lake  = "lake"
	sea   = "sea"
)

// A Period is whole days. What is known as a year only starts with the year and
// ends with it.
type Period struct {
	First, Last time.Time // midnight UTC of the day, both included; zero: open
}

// in returns when p starts and when it is over, by the calendar of zone.
func (p Period) in(zone *time.Location) (from, to time.Time) {
	midnight := func(t time.Time, days int) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, zone)
	}
	if !p.First.IsZero() {
		from = midnight(p.First, 0)
	}
	if !p.Last.IsZero() {
		to = midnight(p.Last, 1)
	}
	return from, to
}

// overlaps reports whether p and q have a day in common.
func (p Period) overlaps(q Period) bool {
	before := func(p, q Period) bool {
		return !p.Last.IsZero() && !q.First.IsZero() && p.Last.Before(q.First)
	}
	return !before(p, q) && !before(q, p)
}

// Limits returns the limits that the standard sets for stations on rivers, in
// the order of its rows. They come into force and end at midnight in zone.
func (s *Standard) Limits(zone *time.Location) water.Limits {
	var limits water.Limits
	for _, r := range s.Rows {
		if r.Waters != nil && !slices.Contains(r.Waters, river) {
			continue
		}
		l := r.Limit
		l.From, l.To = r.Valid.in(zone)
		limits = append(limits, l)
	}
	return limits
}

//go:embed *.yaml
var files embed.FS

// all reads every file once. They are part of the program, and its tests read
// them too: a fault in one is a fault of the program.
var all = sync.OnceValue(func() []*Standard {
	standards := make([]*Standard, len(names))
	for i, name := range names {
		data, err := files.ReadFile(name + ".yaml")
		if err == nil {
			standards[i], err = parse(name+".yaml", data)
		}
		if err != nil {
			panic(err)
		}
	}
	return standards
})

// All returns every standard, in the order in which people are told of them.
func All() []*Standard { return slices.Clone(all()) }

// Names returns the IDs of all standards, in the same order.
func Names() []string { return slices.Clone(names) }

// Load returns the standard with this ID. Its error says which there are.
func Load(id string) (*Standard, error) {
	i := slices.Index(names, id)
	if i < 0 {
		return nil, fmt.Errorf("no standard %s; %s", strict.Quote(id), strict.Have(id, names))
	}
	return all()[i], nil
}
