package water

import (
	"slices"
	"strings"
	"time"
)

// A Notice is what somebody says of work on a station's sensors: decoded, not
// judged.
type Notice struct {
	State      NoticeState
	Parameters []*Parameter // whose sensors; nil: all of the station. One for a calibration
	Time       time.Time    // UTC; zero if the notice says none
	Until      time.Time    // when the work will be over, UTC; zero if the notice does not say
	By, Note   string       // who, and what for; one printable line each, or empty
	Readings   Check        // of a calibration

	Received  time.Time // when the broker handed it to us, UTC
	Duplicate bool      // the broker may have handed it to us before
	Retained  bool      // the broker kept it for whoever comes: it may be of any age
}

// A NoticeState says what a notice is about.
type NoticeState string

// The states that there are.
const (
	WorkStarts  NoticeState = "start"       // what the sensors say is not about the water from now on
	WorkEnds    NoticeState = "end"         // it is again
	Calibration NoticeState = "calibration" // how far a sensor was off was measured
)

// NoticeStates are all states.
func NoticeStates() []NoticeState { return []NoticeState{WorkStarts, WorkEnds, Calibration} }

// A Check is what a sensor said in water that is known, in the parameter's unit;
// NaN where nobody looked.
type Check struct {
	Reference        float64 // what is known: a standard solution, or a better instrument beside the sensor
	Before           float64 // as found
	AfterCleaning    float64
	AfterCalibration float64
}

// A Maintenance is a time in which people work on sensors: what those say then
// is kept, and is not about the water.
type Maintenance struct {
	Station    *Station
	Parameters []*Parameter // whose sensors, by code in order; nil: all of the station
	From, To   time.Time    // UTC, whole milliseconds; To is not part of it
	Ended      bool         // somebody said that it is over; else it ends at To by itself
	Planned    bool         // it stands in the site file
	By, Note   string       // one printable line each, or empty
}

// Covers reports whether somebody works on the sensor for p at a moment.
func (m Maintenance) Covers(p *Parameter, at time.Time) bool {
	return !at.Before(m.From) && at.Before(m.To) && (m.Parameters == nil || slices.Contains(m.Parameters, p))
}

// Scope names the sensors of m: "all", or codes such as "do+ph".
func (m Maintenance) Scope() string {
	if m.Parameters == nil {
		return "all"
	}
	codes := make([]string, len(m.Parameters))
	for i, p := range m.Parameters {
		codes[i] = p.Code
	}
	return strings.Join(codes, "+")
}

// A Visit is when the sensor for a parameter was checked, and perhaps cleaned and
// calibrated.
type Visit struct {
	Station   *Station
	Parameter *Parameter
	Time      time.Time // UTC, whole milliseconds
	Check
	By, Note string // one printable line each, or empty
}
