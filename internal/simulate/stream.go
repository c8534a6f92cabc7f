package simulate

import "math"

// A property is one of the things that a stream has. Most are parameters of
// water; alkalinity is what pH follows from.
type property int

const (
	flow property = iota // m3/h
	level
	ph
	turbidity

	// What mixes in proportion to flow.
	temperature
	do
	ec
	tss
	cod
	bod
	nh3n
	alkalinity // meq/L; negative where acid is left over

	properties int = iota
)

// A stream is water that moves: how much of it, and what it is like. Units are
// those of the parameters.
type stream [properties]float64

// with returns what s and other are after they met:
// C = (Qs·Cs + Qo·Co) / (Qs + Qo).
func (s stream) with(other stream) stream {
	total := s[flow] + other[flow]
	if total <= 0 {
		return s
	}
	for p := temperature; int(p) < properties; p++ {
		s[p] = (s[p]*s[flow] + other[p]*other[flow]) / total
	}
	s[flow] = total
	return s
}

// toward returns s after part of it, from 0 to 1, was replaced by other. Flow
// is that of other.
func (s stream) toward(other stream, part float64) stream {
	for p := temperature; int(p) < properties; p++ {
		s[p] += (other[p] - s[p]) * part
	}
	s[flow] = other[flow]
	return s
}

// between returns what lies between s and next; part is 0 at s and 1 at next.
func (s stream) between(next stream, part float64) stream {
	for p := range s {
		s[p] += (next[p] - s[p]) * part
	}
	return s
}

// settled returns s with the properties that follow from the others.
func (s stream) settled() stream {
	s[ph] = phOf(s[alkalinity])
	s[turbidity] = 0.85 * s[tss]
	return s
}

// phOf returns the pH of water with an alkalinity in meq/L. It is a titration
// curve drawn by hand: 7.2 at 3 meq/L (a river), 6.8 at 1, 5.2 where the
// buffer is used up, and 4.3 at -10 (whey and wash water), where organic acids
// buffer again.
func phOf(alkalinity float64) float64 {
	x := math.Asinh(alkalinity / 0.05)
	if x < 0 {
		return 5.2 + 0.145*x
	}
	return 5.2 + 0.43*x
}

// saturation returns the dissolved oxygen, in mg/L, of fresh water at sea
// level that has all it can hold at a temperature in °C (the cubic of
// Elmore and Hayes).
func saturation(t float64) float64 {
	return 14.652 - 0.41022*t + 0.007991*t*t - 0.000077774*t*t*t
}

// A tank is stirred: what leaves it is what it holds.
type tank struct {
	volume   float64 // m3
	contents stream
}

// step lets in flow into t for a minute and returns what leaves.
func (t *tank) step(in stream) stream {
	t.contents = t.contents.toward(in, 1-math.Exp(-in[flow]/60/t.volume))
	return t.contents
}

// lag returns the part by which something that follows with a time constant,
// in minutes, comes nearer within one minute.
func lag(minutes float64) float64 { return 1 - math.Exp(-1/minutes) }
