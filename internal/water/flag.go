package water

// A Flag says how far an observation can be trusted. The numbers are QARTOD's
// ("Manual for the Use of Real-Time Oceanographic Data Quality Control Flags",
// version 1.2, IOOS 2020).
type Flag uint8

// The flags that there are.
const (
	Good         Flag = 1 // passed every test that ran
	NotEvaluated Flag = 2 // no test could run
	Suspect      Flag = 3 // look at it before you act on it
	Bad          Flag = 4 // failed a test: kept, and never judged against a limit
	Missing      Flag = 9 // the station reported, and had no value
)

// Usable reports whether a value with this flag may be shown as the station's
// latest.
func (f Flag) Usable() bool { return f >= Good && f <= Suspect }

// String returns the flag in words, such as "not evaluated".
func (f Flag) String() string {
	switch f {
	case Good:
		return "good"
	case NotEvaluated:
		return "not evaluated"
	case Suspect:
		return "suspect"
	case Bad:
		return "bad"
	case Missing:
		return "missing"
	}
	return "no such flag"
}
