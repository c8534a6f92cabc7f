package simulate

import "math"

// A plant treats what several workshops send it: a pit that collects and
// mixes an hour of work, a basin and a digester that even out a day or two,
// and an aerated stage.
type plant struct {
	workshops []*workshop
	pit       tank
	digester  tank
	in, out   float64 // m3/h, delayed
	curd      wander  // how much stays in the whey, from boiler to boiler
	removal   wander
	oxygen    wander // what the aerated stage does to BOD
	buffer    wander
}

// The plant on a usual day. 94 % of COD and 57-70 % of TSS are what an
// anaerobic and aerobic plant in Java reached (adoc.pub, Sayoga).
const (
	usualRemoval = 0.942
	usualBuffer  = 2.9 // meq/L: pH 7.2
	upsetRemoval = 0.40
	upsetBuffer  = 0.07 // pH 5.6
)

func newPlant(seed uint64, workshops []*workshop) *plant {
	start := wash.with(whey)
	r := random(seed, "plant", 0)
	return &plant{
		workshops: workshops,
		pit:       tank{volume: 3, contents: start},
		digester:  tank{volume: 95, contents: start},
		curd:      wander{random: r, minutes: 45, strength: 0.09},
		removal:   wander{random: r, minutes: 900, strength: 0.11},
		oxygen:    wander{random: r, minutes: 1500, strength: 0.1},
		buffer:    wander{random: r, minutes: 1200, strength: 0.1},
	}
}

// step returns what reaches and what leaves the plant in the minute m, with an
// illness of the digester that has cost some of its buffer and some of its
// removal, both from 0 to 1.
func (p *plant) step(m minute, air, lostBuffer, lostRemoval float64) (influent, effluent stream) {
	var arriving stream
	for _, w := range p.workshops {
		arriving = arriving.with(w.discharge(m))
	}
	p.in += (arriving[flow] - p.in) * lag(8)
	strength := math.Exp(p.curd.step())
	for _, q := range []property{tss, cod, bod, alkalinity} {
		arriving[q] *= strength
	}
	influent = p.pit.step(arriving)
	p.pit.contents[temperature] += (air + 1 - p.pit.contents[temperature]) * lag(300)
	influent[flow] = p.in
	influent[alkalinity] = influent[alkalinity]*0.8 + 0.1 // some acid is used up on the way

	p.out += (arriving[flow] - p.out) * lag(330)
	effluent = p.digester.step(arriving)
	usual := 24 * p.out / math.Max(1, p.dailyVolume()) // 1 on the mean of a day
	left := (1 - usualRemoval) * math.Exp(p.removal.step()+0.18*(usual-1))
	left += (1 - upsetRemoval - left) * lostRemoval
	effluent[flow] = p.out
	effluent[cod] *= left
	// Whey is easier to eat than what a healthy digester leaves of it.
	effluent[bod] = effluent[cod] * math.Min(0.8, (0.5+0.06*lostRemoval)*math.Exp(p.oxygen.step()))
	effluent[tss] *= math.Min(1, 0.27*math.Exp(0.7*p.removal.value+0.25*(usual-1))+0.4*lostRemoval)
	effluent[nh3n] *= 1.5 * math.Exp(p.oxygen.value)
	effluent[ec] *= 0.8
	effluent[do] = 1.2
	effluent[temperature] = air*0.4 + 28.2*0.6 + 0.6
	buffer := usualBuffer * math.Exp(p.buffer.step())
	effluent[alkalinity] = buffer * math.Pow(upsetBuffer/usualBuffer, lostBuffer)
	return influent.settled(), effluent.settled()
}

// dailyVolume returns the wastewater of a usual day in m3.
func (p *plant) dailyVolume() float64 {
	var kilos float64
	for _, w := range p.workshops {
		kilos += w.kilos
	}
	return kilos * (wheyLitres + washLitres + soakLitres + floorLitres) / 1000
}
