package ingest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"tofuwatch/ingest/payload"
	"tofuwatch/ingest/quality"
	"tofuwatch/internal/water"
)

// A door is where readings of one message become a site's own: in the units of
// their parameters, at a moment that can be.
type door struct {
	received time.Time // as of a Message
	retained bool
	source   *Source
	zone     *time.Location // the site's
	place    *place         // of the reading at hand

	checked time.Time            // the last sample time that was found plausible
	arrived map[arrival]struct{} // readings that have the time of the message's arrival
}

// An arrival is what only one reading of a message can be.
type arrival struct {
	station   *water.Station
	parameter *water.Parameter
	at        time.Time
}

// admit makes r the site's own, or says why it cannot be. A station's sentinels
// are in the unit in which it sends.
func (d *door) admit(r *payload.Reading) (reason water.Reason, detail string) {
	if slices.Contains(d.place.station.Sentinels, r.Value) {
		r.Value = math.NaN()
	}
	unit := r.Unit
	if own := d.place.logger.Units; len(own) > 0 && !r.UnitSent {
		if u, ok := own[r.Parameter.Code]; ok {
			unit = u
		}
	}
	if unit != r.Parameter.Unit && !math.IsNaN(r.Value) {
		sent := r.Value
		var err error
		if r.Value, err = water.Convert(sent, unit, r.Parameter.Unit); err != nil || math.IsInf(r.Value, 0) {
			return water.BadValue, fmt.Sprintf("%s of %v %s cannot be converted to %s", r.Parameter.Code, sent, unit, r.Parameter.Unit)
		}
	}
	r.Unit = r.Parameter.Unit
	return d.time(r)
}

// time settles when r was sampled.
func (d *door) time(r *payload.Reading) (reason water.Reason, detail string) {
	allowed := d.source.Arrival || d.place.logger.Arrival
	if !r.Time.IsZero() {
		if r.Local {
			t := r.Time
			r.Time = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), d.zoneOf()).UTC()
		}
		if r.Time.Equal(d.checked) {
			return "", ""
		}
		err := quality.CheckTime(r.Time, d.received)
		if err == nil {
			d.checked = r.Time
			return "", ""
		}
		if !allowed {
			return water.BadTime, err.Error()
		}
		r.Offset = 0
	}
	switch {
	case !allowed && r.Offset != 0:
		return water.NoTime, fmt.Sprintf("%s has a time that is relative to the message's arrival; send an absolute one, or allow that: time: received, at the source or the station in the site file", r.Parameter.Code)
	case !allowed:
		return water.NoTime, fmt.Sprintf(`no time with %s; send one, such as "time":"2026-11-23T07:00:00Z", or allow that of the arrival: time: received, at the source or the station in the site file`, r.Parameter.Code)
	case d.retained:
		return water.NoTime, fmt.Sprintf("%s has no time, and the broker had kept the message for who knows how long; publish it without the retain flag, or with a time", r.Parameter.Code)
	}
	r.Time = d.received.Add(r.Offset)
	if err := quality.CheckTime(r.Time, d.received); err != nil {
		return water.BadTime, err.Error()
	}
	this := arrival{d.place.station, r.Parameter, r.Time}
	if _, twice := d.arrived[this]; twice {
		return water.NoTime, fmt.Sprintf("several samples of %s have no time, and only one can have that of the message's arrival; send their times", r.Parameter.Code)
	}
	if d.arrived == nil {
		d.arrived = make(map[arrival]struct{})
	}
	d.arrived[this] = struct{}{}
	return "", ""
}

// zoneOf is the zone of a time that has none.
func (d *door) zoneOf() *time.Location {
	for _, zone := range []*time.Location{d.source.Zone, d.place.logger.Zone, d.zone} {
		if zone != nil {
			return zone
		}
	}
	return time.UTC
}
