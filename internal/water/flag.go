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

// precedence returns where f stands in QARTOD's order of precedence, lowest
// first: 9, 2, 1, 3, 4. It is negative for what is no flag.
func (f Flag) precedence() int {
	switch f {
	case Missing:
		return 0
	case NotEvaluated:
		return 1
	case Good:
		return 2
	case Suspect:
		return 3
	case Bad:
		return 4
	}
	return -1
}

// Worse returns that of f and g which takes precedence by QARTOD. So one passed
// test hides all that could not run.
func (f Flag) Worse(g Flag) Flag {
	if g.precedence() > f.precedence() {
		return g
	}
	return f
}

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
