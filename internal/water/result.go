package water

import "time"

// A Result is what a laboratory says of a value beside the value.
type Result struct {
	Laboratory string // who analysed it; empty if the file does not say, as are the next two
	Analysis   string // by which method, such as "SNI 6989.2:2019"
	Sample     string // the laboratory's or the sampler's name of the bottle
	// Revision counts a result's versions from 1. A corrected one has a higher
	// revision than the one that it supersedes.
	Revision int
	Analysed time.Time // when, UTC; zero if the file does not say
}
