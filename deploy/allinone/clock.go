package main

import "time"

// A clock tells the time of a simulated world that lives faster than we do, from
// a moment in the past until it has caught up with us; from then on it tells ours.
// The zero clock always does.
type clock struct {
	began time.Time // with us
	start time.Time // in the world, at that moment
	speed float64   // seconds of the world in one of ours; up to 1: ours
}

// there returns the time in the world at a time of ours.
func (c clock) there(now time.Time) time.Time {
	if c.speed <= 1 {
		return now
	}
	if lived := c.start.Add(time.Duration(float64(now.Sub(c.began)) * c.speed)); lived.Before(now) {
		return lived
	}
	return now
}

// here returns our time at a time in the world.
func (c clock) here(then time.Time) time.Time {
	if c.speed <= 1 {
		return then
	}
	if lived := c.began.Add(time.Duration(float64(then.Sub(c.start)) / c.speed)); lived.After(then) {
		return lived
	}
	return then
}
