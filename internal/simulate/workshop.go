package simulate

import (
	"math"
	"time"
)

// Litres of wastewater for a kilogram of soybeans: 17 in all, the mean of five
// cities of Java (purifikasi.id, article 174). How they fall to whey and wash
// water is ours.
const (
	wheyLitres  = 6.0
	washLitres  = 5.0
	soakLitres  = 4.0
	floorLitres = 2.0
)

// What runs off, per litre. At 6 parts of whey to 11 of wash water it makes
// COD 6,400, BOD 2,900 and TSS 530 mg/L, as 110, 50 and 9 g for a kilogram of
// soybeans do.
var (
	whey = stream{temperature: 50, ec: 3400, tss: 720, cod: 11600, bod: 5400, nh3n: 26, alkalinity: -28}
	wash = stream{temperature: 29, ec: 800, tss: 430, cod: 3550, bod: 1530, nh3n: 11, alkalinity: -0.4}
)

// A workshop makes tofu. It soaks beans over night, boils and curdles them
// batch by batch from before dawn to mid-afternoon, and washes the floor.
type workshop struct {
	seed   uint64
	name   string
	kilos  float64 // of soybeans on a usual day
	opens  int     // minute of the local day
	closes int

	day    int64 // the one that is planned; 0 for none
	litres [dayLength]struct{ whey, wash float32 }
}

// newWorkshop returns a workshop of a size and with hours of its own.
func newWorkshop(seed uint64, name string) *workshop {
	r := random(seed, "workshop "+name, 0)
	return &workshop{
		seed: seed, name: name,
		kilos:  math.Min(500, math.Max(120, 240*math.Exp(0.35*r.NormFloat64()))),
		opens:  4*60 + 30 + r.IntN(80),
		closes: 13*60 + 30 + r.IntN(90),
	}
}

// discharge returns what the workshop lets go in the minute m.
func (w *workshop) discharge(m minute) stream {
	if w.day != m.day() {
		w.plan(m.day())
	}
	litres := w.litres[m.ofDay()]
	hot, cold := whey, wash
	hot[flow] = float64(litres.whey) * 0.06 // L/min to m3/h
	cold[flow] = float64(litres.wash) * 0.06
	return cold.with(hot)
}

// plan lays out a day.
func (w *workshop) plan(day int64) {
	w.day = day
	r := random(w.seed, "day of "+w.name, day)
	kilos := w.kilos * workload(day) * math.Exp(0.1*r.NormFloat64())
	if r.Float64() < 0.03 {
		kilos = 0 // somebody is ill, or the boiler is
	}
	for i := range w.litres {
		w.litres[i].wash = 0.1 // a tap drips
		w.litres[i].whey = 0
	}
	pour := func(begin, length int, whey, wash float64) {
		for i := max(0, begin); i < min(begin+length, dayLength); i++ {
			w.litres[i].whey += float32(whey / float64(length))
			w.litres[i].wash += float32(wash / float64(length))
		}
	}
	batches := int(math.Round(kilos / 10))
	if batches == 0 {
		return
	}
	size := kilos / float64(batches)
	opens, closes := w.opens+r.IntN(20)-10, w.closes+r.IntN(30)-15
	pour(opens-60, 40, 0, soakLitres*kilos)
	for i := range batches {
		at := opens + 25 + (closes-opens)*i/batches + r.IntN(8)
		if weekday(day) == time.Friday && at > 11*60+20 && at < 13*60 {
			at += 90 // Friday prayers
		}
		pour(at, 7, wheyLitres*size, 0)
		pour(at+8, 12, 0, washLitres*size)
	}
	pour(closes+35, 45, 0, floorLitres*kilos)
}

// workload returns how much of a usual day's tofu is made on a day.
func workload(day int64) float64 {
	date := time.Unix(day*86400, 0).UTC()
	switch date.Format("01-02") {
	case "01-01", "05-01", "08-17", "12-25": // the holidays with a fixed date
		return 0.4
	}
	switch weekday(day) {
	case time.Friday:
		return 0.9
	case time.Saturday:
		return 1.1
	case time.Sunday:
		return 0.55
	}
	return 1
}

func weekday(day int64) time.Weekday { return time.Weekday((day + int64(time.Thursday)) % 7) }

// An outlet is where a workshop with a digester of its own reaches the water.
type outlet struct {
	workshop *workshop
	digester tank
	leaves   float64 // part of COD that is left
	buffer   float64 // meq/L
	warmth   float64 // °C above the air
	rest     wander
	flow     float64
}

func newOutlet(seed uint64, name string) *outlet {
	r := random(seed, "outlet "+name, 0)
	w := newWorkshop(seed, name)
	return &outlet{
		workshop: w,
		digester: tank{volume: 0.02 * w.kilos, contents: wash.with(whey)},
		leaves:   0.2 + 0.1*r.Float64(),
		buffer:   1.5 + r.Float64(),
		warmth:   2 * r.Float64(),
		rest:     wander{random: r, minutes: 600, strength: 0.06},
	}
}

// step returns what leaves in the minute m.
func (o *outlet) step(m minute, air float64) stream {
	in := o.workshop.discharge(m)
	o.flow += (in[flow] - o.flow) * lag(90)
	out := o.digester.step(in)
	left := o.leaves * math.Exp(o.rest.step())
	out[flow] = o.flow
	out[cod] *= left
	out[bod] *= left * 0.93
	out[tss] *= 0.42 * left / o.leaves
	out[temperature] = air + 0.1*(out[temperature]-air) + o.warmth
	out[nh3n] *= 1.6
	out[alkalinity] = o.buffer * math.Exp(o.rest.value)
	return out.settled()
}
