package site

import (
	"strings"

	"tofuwatch/internal/water"
)

// A Plant is a treatment plant with a station at its outlet and one at its inlet.
type Plant struct {
	Effluent, Influent *water.Station
	Treatment
}

// Plants returns the site's plants, in the order of their outlets. Where an
// outlet does not say which station is its inlet, it is the influent one whose ID
// begins with that of the outlet and a '-': ipal-01-in belongs to ipal-01.
func (s *Site) Plants() []Plant {
	var plants []Plant
	for _, out := range s.Stations {
		if out.Kind != water.Effluent {
			continue
		}
		for _, in := range s.Stations {
			switch {
			case in.Kind != water.Influent:
			case out.Treatment != nil && out.Treatment.Influent == in.ID:
				plants = append(plants, Plant{out.Station, in.Station, *out.Treatment})
			case out.Treatment == nil && strings.HasPrefix(in.ID, out.ID+"-"):
				plants = append(plants, Plant{out.Station, in.Station, Treatment{Influent: in.ID}})
			}
		}
	}
	return plants
}
