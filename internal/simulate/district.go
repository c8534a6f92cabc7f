package simulate

import (
	"fmt"
	"math"
	"time"

	"tofuwatch/internal/water"
)

// MaxStations is how many stations a world can have: eight, and an outlet for
// each of Semarang's tofu workshops.
const MaxStations = baseStations + 300

const baseStations = 8

// The rivers, by their place in a district.
const (
	bajak = iota
	kanal
	tenggang
)

var riverIDs = []string{bajak: "bajak", kanal: "banjir-kanal-timur", tenggang: "tenggang"}

// A place is a station before it is equipped.
type place struct {
	id, name string
	river    int
	kind     water.Kind
	lat, lon float64
	interval time.Duration
	measures []property
}

var (
	influentSet = []property{flow, ph, temperature, cod, tss}
	effluentSet = []property{flow, ph, temperature, cod, bod, tss, nh3n}
	outletSet   = []property{flow, ph, temperature, cod, bod, tss}
	riverSet    = []property{level, ph, temperature, do, ec, turbidity, tss, cod, bod}
)

// base are the stations that every world has. The rivers are real, and run
// where they are said to; the stations and the plant are made up.
var base = [baseStations]place{
	{"ipal-01", "Shared treatment plant, outlet", bajak, water.Effluent, -7.0051, 110.4381, 2 * time.Minute, effluentSet},
	{"ipal-01-in", "Shared treatment plant, inlet", bajak, water.Influent, -7.0053, 110.4378, 2 * time.Minute, influentSet},
	{"bajak-hulu", "Kali Bajak above the plant", bajak, water.River, -7.0128, 110.4322, 5 * time.Minute, riverSet},
	{"bajak-hilir", "Kali Bajak below the plant", bajak, water.River, -7.0009, 110.4426, 5 * time.Minute, riverSet},
	{"bkt-hulu", "Banjir Kanal Timur, Lamper", kanal, water.River, -7.0056, 110.4491, 5 * time.Minute, riverSet},
	{"bkt-hilir", "Banjir Kanal Timur, Kaligawe", kanal, water.River, -6.9606, 110.4407, 5 * time.Minute, riverSet},
	{"tenggang-hulu", "Kali Tenggang, upper bridge", tenggang, water.River, -6.9918, 110.4655, 5 * time.Minute, riverSet},
	{"tenggang-hilir", "Kali Tenggang, lower bridge", tenggang, water.River, -6.9602, 110.4569, 5 * time.Minute, riverSet},
}

// places returns the first n places: the base set, then workshops' outlets
// along the rivers.
func places(n int, seed uint64) []place {
	all := append(make([]place, 0, n), base[:min(n, baseStations)]...)
	for i := 1; len(all) < n; i++ {
		on := base[2+2*(i%3)] // the upper station of a river
		to := base[3+2*(i%3)]
		r := random(seed, "place", int64(i))
		along := r.Float64()
		all = append(all, place{
			id: fmt.Sprintf("workshop-%03d", i), name: fmt.Sprintf("Tofu workshop %d, outlet", i),
			river: on.river, kind: water.Effluent,
			lat:      round(on.lat+(to.lat-on.lat)*along+0.0015*r.NormFloat64(), 5),
			lon:      round(on.lon+(to.lon-on.lon)*along+0.0015*r.NormFloat64(), 5),
			interval: 5 * time.Minute, measures: outletSet,
		})
	}
	return all
}

// A district is the water itself: what is true, before anything measures it.
//
//	12 workshops --> shared plant --+
//	                                v
//	 bajak-hulu ---- workshops ---------> bajak-hilir --+
//	                                                    v
//	   bkt-hulu ---- workshops ------------------------------> bkt-hilir
//
//	tenggang-hulu -- workshops ----> tenggang-hilir
//
// The outlets beyond the base set run into the rivers below their lower
// stations: more of them change nothing above.
type district struct {
	scenario scenario
	now      minute // the last one calculated
	weather  weather
	plant    *plant
	rivers   []*river
	outlets  []*outlet
}

// settling is how long a district runs before anybody looks, so that its tanks
// are full of what they usually hold.
const settling = 5 * dayLength

func newDistrict(seed uint64, sc scenario, outlets []place, start minute) *district {
	workshops := func(name string, n int) []*workshop {
		all := make([]*workshop, n)
		for i := range all {
			all[i] = newWorkshop(seed, fmt.Sprint(name, i))
		}
		return all
	}
	d := &district{
		scenario: sc,
		now:      start - settling,
		weather:  weather{seed: seed},
		plant:    newPlant(seed, workshops("connected ", 12)),
		rivers: []*river{
			bajak:    newRiver(seed, "bajak", river{workshops: workshops("bajak ", 2), dry: 420, runoff: 420, travel: 0.10, dirt: 17, salts: 330}),
			kanal:    newRiver(seed, "kanal", river{workshops: workshops("kanal ", 9), dry: 2100, runoff: 2600, travel: 0.20, dirt: 24, salts: 410, warmth: 0.9, tidal: 900}),
			tenggang: newRiver(seed, "tenggang", river{workshops: workshops("tenggang ", 3), dry: 400, runoff: 500, travel: 0.15, dirt: 27, salts: 520, warmth: 0.5}),
		},
	}
	for _, p := range outlets {
		d.outlets = append(d.outlets, newOutlet(seed, p.id))
	}
	truth := make([]stream, baseStations+len(outlets))
	for d.now < start-2 { // two more steps make a before and an after
		d.step(truth)
	}
	return d
}

// step goes on by a minute and fills truth with the water at each station, in
// the order of places.
func (d *district) step(truth []stream) {
	d.now++
	rain, air := d.weather.at(d.now)
	lostBuffer, lostRemoval := d.scenario.illness(d.now)
	influent, effluent := d.plant.step(d.now, air, lostBuffer, lostRemoval)
	truth[0], truth[1] = effluent, influent

	var none stream
	truth[2], truth[3] = d.rivers[bajak].step(d.now, rain, air, effluent, none)
	truth[4], truth[5] = d.rivers[kanal].step(d.now, rain, air, truth[3], none)
	// The dump is as large as it takes to be seen also in a swollen river.
	dump := stream{
		flow: d.scenario.dumping(d.now) * 0.12 * d.rivers[tenggang].lower[flow], temperature: 38,
		ec: 3000, tss: 900, cod: 9600, bod: 4700, nh3n: 30, alkalinity: -22,
	}
	truth[6], truth[7] = d.rivers[tenggang].step(d.now, rain, air, none, dump)
	for i, o := range d.outlets {
		truth[baseStations+i] = o.step(d.now, air)
	}
}

func round(v float64, decimals int) float64 {
	p := math.Pow10(decimals)
	return math.Round(v*p) / p
}
