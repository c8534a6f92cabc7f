package water

// A Reason says why a message, or a part of one, could not be used. It is a
// label value and a word in "tofuwatch deadletter list", so the set is closed.
type Reason string

// The reasons that there are.
const (
	Malformed      Reason = "malformed"       // the payload is not what its format says
	TooLarge       Reason = "too_large"       // the payload has more bytes than are read
	TooDeep        Reason = "too_deep"        // the payload nests deeper than is followed
	TooMany        Reason = "too_many"        // the payload has more samples than are taken at once
	NoReading      Reason = "no_reading"      // nothing in the payload names a parameter
	UnknownTopic   Reason = "unknown_topic"   // no source of the site file has such a topic
	UnknownStation Reason = "unknown_station" // the site file has no such station
	NoTime         Reason = "no_time"         // a sample says not when it was taken
	BadTime        Reason = "bad_time"        // a sample's time cannot be true, or cannot be read
	BadValue       Reason = "bad_value"       // a value is not a number
	DuplicateKey   Reason = "duplicate_key"   // a sample names a parameter, or its time, twice
	BadNotice      Reason = "bad_notice"      // a message of maintenance or calibration that can't be followed
	Refused        Reason = "refused"         // InfluxDB took the request, and not this point
	Damaged        Reason = "damaged"         // a piece of the spool could not be read back from the disk
)

// Reasons are all reasons.
func Reasons() []Reason {
	return []Reason{
		Malformed, TooLarge, TooDeep, TooMany, NoReading, UnknownTopic, UnknownStation,
		NoTime, BadTime, BadValue, DuplicateKey, BadNotice, Refused, Damaged,
	}
}
