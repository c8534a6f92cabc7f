package simulate

import (
	"hash/fnv"
	"io"
	"math"
	"math/rand/v2"
	"time"
)

// Semarang keeps Western Indonesian Time, seven hours ahead of UTC, all year.
const (
	wib       = 7 * 60 // minutes
	dayLength = 24 * 60
)

// A minute counts from 1970 in UTC.
type minute int64

// minuteOf returns the minute that t lies in.
func minuteOf(t time.Time) minute { return minute(t.Unix() / 60) }

// day returns the local day, counted from 1970.
func (m minute) day() int64 { return (int64(m) + wib) / dayLength }

// ofDay returns the minutes since local midnight.
func (m minute) ofDay() int { return int((int64(m) + wib) % dayLength) }

// swing returns a day's rhythm, from -1 to 1, that is highest at an hour of
// local time.
func (m minute) swing(highest float64) float64 {
	return math.Cos(2 * math.Pi * (float64(m.ofDay())/60 - highest) / 24)
}

// wetness returns how far the rainy season has come: 1 late in January, 0 late
// in July.
func wetness(day int64) float64 {
	date := time.Unix(day*86400, 0).UTC()
	return 0.5 + 0.5*math.Cos(2*math.Pi*float64(date.YearDay()-25)/365)
}

// random returns a source that is the same whenever seed, name and number are.
func random(seed uint64, name string, number int64) *rand.Rand {
	h := fnv.New64a()
	_, _ = io.WriteString(h, name) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()+uint64(number)*0x9e3779b97f4a7c15))
}

// A wander is a value that strays from 0 and comes back: what a model leaves
// out.
type wander struct {
	random   *rand.Rand
	minutes  float64 // how long it remembers
	strength float64 // its standard deviation
	value    float64
}

// step moves w on by a minute and returns its value.
func (w *wander) step() float64 {
	keep := math.Exp(-1 / w.minutes)
	w.value = w.value*keep + w.strength*math.Sqrt(1-keep*keep)*w.random.NormFloat64()
	return w.value
}

// A storm is one shower.
type storm struct {
	begin, length int     // minutes of the local day
	peak          float64 // mm/h
}

// A weather is the sky over the city. Days do not depend on each other, so
// that one is the same wherever a simulation starts.
type weather struct {
	seed   uint64
	day    int64
	storms []storm
}

// at returns the rain in mm/h and the temperature of the air in °C.
func (w *weather) at(m minute) (rain, air float64) {
	if w.storms == nil || w.day != m.day() {
		w.day, w.storms = m.day(), storms(w.seed, m.day())
	}
	for _, s := range w.storms {
		if x := float64(m.ofDay()-s.begin) / float64(s.length); x > 0 && x < 1 {
			rain += s.peak * math.Pow(math.Sin(math.Pi*math.Sqrt(x)), 2) // comes fast, goes slowly
		}
	}
	return rain, 27.6 + 3.1*m.swing(13.5) - math.Min(3, rain/8)
}

// storms draws the showers of a day: nearly every other afternoon from
// November to March, seldom in the dry months.
func storms(seed uint64, day int64) []storm {
	r := random(seed, "rain", day)
	likely := 0.04 + 0.5*math.Pow(wetness(day), 1.5)
	drawn := make([]storm, 0, 2)
	for range 2 {
		begin, length := 13*60+r.IntN(7*60), 40+r.IntN(120)
		peak := 9 * math.Exp(0.7*r.NormFloat64())
		if r.Float64() < likely {
			drawn = append(drawn, storm{begin, min(length, dayLength-begin), math.Min(peak, 60)})
		}
		likely /= 3
	}
	return drawn
}
