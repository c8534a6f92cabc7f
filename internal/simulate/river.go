package simulate

import "math"

// A river is a reach with a station at each end, and the workshops between
// them that discharge as they always did.
type river struct {
	workshops []*workshop
	dry       float64 // m3/h in the dry season
	runoff    float64 // m3/h for each mm/h of rain that lasts
	travel    float64 // days from one end to the other in the dry season
	dirt      float64 // mg/L of COD that houses add above the upper station
	salts     float64 // µS/cm in the dry season, before houses add theirs
	warmth    float64 // °C above a river that trees shade
	tidal     float64 // µS/cm that spring tide adds at the lower station

	swollen float64 // m3/h that rain has added
	dust    float64 // on streets and roofs, 0 to 1
	lower   stream  // at the lower station, before it is read
	sewage  wander
	mud     wander
	clouds  wander
}

// newRiver draws what strays in r.
func newRiver(seed uint64, name string, r river) *river {
	src := random(seed, "river "+name, 0)
	r.dust = 0.5
	r.sewage = wander{random: src, minutes: 700, strength: 0.1}
	r.mud = wander{random: src, minutes: 300, strength: 0.16}
	r.clouds = wander{random: src, minutes: 240, strength: 0.22}
	return &r
}

// step returns the river at its upper and its lower station in the minute m.
// Tributary joins between them; dump does just above the lower one.
func (r *river) step(m minute, rain, air float64, tributary, dump stream) (upper, lower stream) {
	r.swollen += (r.runoff*rain - r.swollen) * lag(130)
	r.dust = math.Min(1, r.dust+1.0/(4*dayLength)) * math.Exp(-rain/60/5)
	sewage, mud, clouds := r.sewage.step(), r.mud.step(), r.clouds.step()
	sun := m.swing(14.5) * math.Max(0.2, 1-clouds) / (1 + rain + r.swollen/r.dry)

	base := r.dry * (1 + 1.6*math.Pow(wetness(m.day()), 1.5))
	dilution := r.dry / base
	// Households wash in the morning and in the evening.
	hour := float64(m.ofDay()) / 60
	people := 0.85 + 0.35*math.Exp(-sq((hour-7)/1.6)) + 0.3*math.Exp(-sq((hour-18.5)/1.8))
	domestic := r.dirt * people * math.Exp(sewage) * (0.4 + 0.6*dilution)
	upper = stream{
		flow: base, temperature: 0.45*air + 0.55*27.6 + 0.7*m.swing(16) + r.warmth,
		ec: r.salts*(0.45+0.55*dilution) + 2*domestic, tss: (13 + 0.25*domestic) * math.Exp(mud),
		cod: 9 + domestic, bod: 0.8 + 0.24*domestic, nh3n: 0.03 * domestic, alkalinity: 2.6,
	}
	upper = upper.with(stream{
		flow: r.swollen, temperature: 25.5, ec: 110, tss: 70 + 2200*r.dust*math.Min(1, rain/12+0.15),
		cod: 22 + 45*r.dust, bod: 3 + 6*r.dust, nh3n: 0.3, alkalinity: 0.9,
	})
	full := saturation(upper[temperature])
	upper[do] = oxygen(full-1.9-0.05*upper[bod]+0.95*sun+0.6*upper[flow]/(upper[flow]+4*r.dry), full)

	mixed := upper.with(tributary)
	for _, w := range r.workshops {
		mixed = mixed.with(w.discharge(m))
	}
	// On its way a cloud is drawn out: half an hour in the dry season.
	r.lower = r.lower.toward(mixed, lag(30*math.Sqrt(r.dry/mixed[flow])))
	lower = r.purified(r.lower.with(dump), sun)
	upper, lower = upper.settled(), lower.settled()

	tide := 0.6*math.Cos(2*math.Pi*float64(m)/745) + 0.4*math.Cos(2*math.Pi*float64(m)/1436)
	lower[ec] += r.tidal * math.Max(0, tide+0.15) * r.dry / r.lower[flow]
	upper[ph] += 0.13 * sun
	lower[ph] += 0.10 * sun
	upper[level] = 0.34 * math.Pow(upper[flow]/1000, 0.45)
	lower[level] = 0.38*math.Pow(r.lower[flow]/1000, 0.45) + math.Min(1, r.tidal/900)*0.22*(tide+1)
	return upper, lower
}

// purified returns s at the end of the reach: bacteria eat and breathe on the
// way (Streeter and Phelps), mud breathes too, and the surface gives oxygen
// back.
func (r *river) purified(s stream, sun float64) stream {
	days := r.travel * math.Pow(r.dry/s[flow], 0.4)
	t := s[temperature]
	eat := 0.35 * math.Pow(1.047, t-20)  // per day
	gain := 1.25 * math.Pow(1.024, t-20) // per day
	mud := 6.0                           // mg/L per day

	full := saturation(t)
	ultimate := 1.46 * s[bod] // all of it, not five days' worth
	deficit := eat*ultimate/(gain-eat)*(math.Exp(-eat*days)-math.Exp(-gain*days)) +
		(full-s[do])*math.Exp(-gain*days) +
		mud/gain*(1-math.Exp(-gain*days))
	s[do] = oxygen(full-deficit+0.35*sun, full)
	eaten := s[bod] * (1 - math.Exp(-eat*days))
	s[bod] -= eaten
	s[cod] -= eaten
	s[tss] *= 0.95
	return s
}

// oxygen keeps a concentration between nearly nothing and a little more than
// full.
func oxygen(c, full float64) float64 { return math.Min(full*1.1, math.Max(0.06, c)) }

func sq(x float64) float64 { return x * x }
