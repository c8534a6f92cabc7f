package simulate

import "time"

// A pace says when, by the wall's clock, a message of a simulated time is
// sent: speed simulated seconds a second from start on, and never before that
// time has come. So a past is run through at speed and then goes over into the
// present; readings from the future are refused by an ingester that trusts its
// clock. At speed 1 the past is not waited for at all.
type pace struct {
	wall  time.Time // when the run began
	start time.Time // the simulated time at which it did
	speed float64
}

// due returns when a message of the simulated time t is sent.
func (p pace) due(t time.Time) time.Time {
	if p.speed <= 1 {
		return t
	}
	if paced := p.wall.Add(time.Duration(float64(t.Sub(p.start)) / p.speed)); paced.After(t) {
		return paced
	}
	return t
}

// CaughtUp returns the time at which a run that begins now with the simulated
// time start, at a speed, reaches the present.
func CaughtUp(start, now time.Time, speed float64) time.Time {
	behind := now.Sub(start)
	if behind <= 0 || speed <= 1 {
		return now
	}
	return now.Add(time.Duration(float64(behind) / (speed - 1)))
}
