package water

import "time"

// A Method says how a value came about. Values of different methods never
// share a series.
type Method string

// The methods that there are.
const (
	Sensor        Method = "sensor"         // an instrument in the water
	Lab           Method = "lab"            // a sample analysed in a laboratory
	Estimate      Method = "estimate"       // calculated from other parameters
	Corrected     Method = "corrected"      // a sensor's value less its drift
	LabSuperseded Method = "lab_superseded" // a laboratory's value before its correction
)

// An Observation is a reading that was judged. Its station and parameter are
// known and its time is plausible; its value is kept whatever Flag says.
type Observation struct {
	Station   *Station
	Parameter *Parameter
	Method    Method
	Value     float64   // as sent, in Parameter.Unit; NaN if and only if Flag is Missing
	Flag      Flag      // the worst that any test said
	Tests     Tests     // what each test said; 0 if that is not known
	Time      time.Time // when the water was sampled, UTC
	Censor    Censor    // Below or Above where Value is only a bound, as in "<2"
	Result    *Result   // what else the laboratory says; nil for every method but Lab and LabSuperseded
	// Maintenance says that people worked on the sensor: Flag is Bad or Missing,
	// and nobody is told of the value.
	Maintenance bool
	// Estimation says how Value was calculated. It is nil unless Method is
	// Estimate, and may be nil even then.
	Estimation *Estimation
}

// An Estimation is what is known of a calculated value beside the value.
type Estimation struct {
	Model     string  // names the relation that it was calculated by; lower case letters, digits and '-'
	Low, High float64 // 95 of 100 measured values are expected between them, in the parameter's unit
}

// A Correction says that an observation is judged otherwise by now: a neighbour
// came, such as the next sample. It is no reading, and stands in the place of the
// observation with the same station, parameter, method and time.
type Correction struct {
	Observation
	Was Flag // before; 0 if that is not known
}
