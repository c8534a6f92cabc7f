package water

// A Test is one of the tests that QARTOD knows, by its number. The numbers are
// the order in which the field <code>_qc_tests has their digits.
type Test uint8

// The tests that there are, in QARTOD's order.
const (
	TimingTest       Test = 1 + iota // the reading comes after a gap, or came late
	SyntaxTest                       // the message is what its format says
	LocationTest                     // the station's position is known and possible
	GrossRangeTest                   // what the instrument can measure, and what is plausible
	ClimatologyTest                  // what is usual in the season
	SpikeTest                        // how far it is from both its neighbours
	RateOfChangeTest                 // how fast it changed
	FlatLineTest                     // the sensor says the same all the time
	MultiVariateTest                 // what it says beside another parameter of the same sample
	AttenuatedTest                   // the sensor hardly moves any more
	NeighbourTest                    // what a station nearby says; no test of ours does this
	mostTests        = iota
)

// Tests are what each test said of a reading: a flag for each. The zero value
// says that nothing is known of them; a test that could not run is NotEvaluated.
type Tests uint64 // four bits a test, the first one lowest

const (
	bitsPerTest = 4
	testMask    = 1<<bitsPerTest - 1
)

// AllMissing are the tests of a value that is missing.
const AllMissing Tests = 0x999_9999_9999

// Flag returns what test said; NotEvaluated if it did not run.
func (t Tests) Flag(test Test) Flag {
	if f := Flag(t >> (bitsPerTest * (test - 1)) & testMask); f != 0 {
		return f
	}
	return NotEvaluated
}

// With returns t with another flag of one test.
func (t Tests) With(test Test, f Flag) Tests {
	shift := bitsPerTest * (test - 1)
	return t&^(testMask<<shift) | Tests(f)<<shift
}

// Aggregate returns the flag of a reading, which has a value: that of the test
// which comes last in QARTOD's order of precedence. Timing, syntax and location
// have no part in it: they tell something of the logger and the connection, and
// the reading after an outage is as good as any.
func (t Tests) Aggregate() Flag {
	// The lowest bit of each test that has a part. Of the flags only Bad has bit 2,
	// only Suspect bits 0 and 1, only Missing bit 3; 0 is NotEvaluated.
	const judged = 0x111_1111_1000
	switch {
	case t>>2&judged != 0:
		return Bad
	case t&(t>>1)&judged != 0:
		return Suspect
	case t&^(t>>3)&judged != 0:
		return Good
	case ^t>>3&judged != 0:
		return NotEvaluated
	}
	return Missing
}

// Doubtful returns the tests that said Suspect or Bad, with what they said, and
// nothing of the others.
func (t Tests) Doubtful() Tests {
	// Suspect is 3 and Bad 4; of 1, 2 and 9 neither bit 2 alone nor bits 0 and 1
	// together are set.
	const ones = 0x111_1111_1111
	suspect := t & (t >> 1) & ones
	bad := t >> 2 & ones
	return suspect*Tests(Suspect) | bad*Tests(Bad)
}

// Append appends the digits of t, one for each test in QARTOD's order:
// "11112411222".
func (t Tests) Append(dst []byte) []byte {
	for test := TimingTest; test <= mostTests; test++ {
		dst = append(dst, '0'+byte(t.Flag(test)))
	}
	return dst
}

// String returns the digits of t.
func (t Tests) String() string { return string(t.Append(nil)) }

// ParseTests reads what Append wrote.
func ParseTests(digits string) (t Tests, ok bool) {
	if len(digits) != mostTests {
		return 0, false
	}
	for i := range digits {
		f := Flag(digits[i] - '0')
		if f.precedence() < 0 {
			return 0, false
		}
		t = t.With(TimingTest+Test(i), f)
	}
	return t, true
}

var testNames = [...]string{
	TimingTest: "timing", SyntaxTest: "syntax", LocationTest: "location", GrossRangeTest: "gross range",
	ClimatologyTest: "climatology", SpikeTest: "spike", RateOfChangeTest: "rate of change", FlatLineTest: "flat line",
	MultiVariateTest: "multi-variate", AttenuatedTest: "attenuated signal", NeighbourTest: "neighbour",
}

// String returns the test's name in words.
func (t Test) String() string {
	if t < TimingTest || t > mostTests {
		return "no such test"
	}
	return testNames[t]
}

// AllTests are all tests, in QARTOD's order.
func AllTests() []Test {
	tests := make([]Test, mostTests)
	for i := range tests {
		tests[i] = TimingTest + Test(i)
	}
	return tests
}
