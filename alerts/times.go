package alerts

// sampleTimes remember which sample times were counted, so that a reading that
// comes again is not counted again. Stations sample at a regular pace and what
// they measure stays past a limit for a while, so times are kept as runs: any
// number of regular ones takes as much room as one.
//
// There are at most so many, and the run that was added to the longest ago makes
// room for a new one. So of times without any pattern the last most are
// remembered at least. A reading that comes again after it was forgotten counts
// twice: better than an exceedance that counts for nothing.
type sampleTimes struct {
	runs []run // in the order in which they were last added to
	most int   // runs; 0 means mostRuns
}

const (
	mostRuns = 256
	// mostLabRuns is for samples that somebody takes, days apart and without any
	// pattern: one each working day for 15 years.
	mostLabRuns = 4096
	// longestStep is how far apart two times may be that start a run, in
	// nanoseconds: an hour. Otherwise live readings would pair with those of a
	// backlog between them, and neither would find its pattern.
	longestStep = 3600e9
)

// A run is n times, Unix nanoseconds, at first, first+step and so on.
type run struct {
	first, step, n int64 // step is above 0 if n is above 1
}

func (r run) last() int64 { return r.first + r.step*(r.n-1) }

func (r run) has(t int64) bool {
	return r.first <= t && t <= r.last() && (t == r.first || (t-r.first)%r.step == 0)
}

// extend adds t to r, if it comes next at either end.
func (r *run) extend(t int64) bool {
	switch {
	case r.n == 1 && t < r.first && r.first-t <= longestStep:
		r.first, r.step = t, r.first-t
	case r.n == 1 && t > r.first && t-r.first <= longestStep:
		r.step = t - r.first
	case r.n > 1 && t == r.first-r.step:
		r.first = t
	case r.n > 1 && t == r.last()+r.step:
	default:
		return false
	}
	r.n++
	return true
}

// add remembers t, Unix nanoseconds, and reports whether it is new.
func (s *sampleTimes) add(t int64) bool {
	for _, r := range s.runs {
		if r.has(t) {
			return false
		}
	}
	for i := len(s.runs) - 1; i >= 0; i-- {
		if s.runs[i].extend(t) {
			extended := s.runs[i]
			copy(s.runs[i:], s.runs[i+1:])
			s.runs[len(s.runs)-1] = extended
			return true
		}
	}
	if len(s.runs) == s.limit() {
		s.runs = s.runs[:copy(s.runs, s.runs[1:])]
	}
	s.runs = append(s.runs, run{first: t, n: 1})
	return true
}

func (s *sampleTimes) limit() int {
	if s.most > 0 {
		return s.most
	}
	return mostRuns
}

// saved returns the runs as they are saved: first, step and n of each.
func (s *sampleTimes) saved() [][3]int64 {
	saved := make([][3]int64, len(s.runs))
	for i, r := range s.runs {
		saved[i] = [3]int64{r.first, r.step, r.n}
	}
	return saved
}

// restore takes up what saved returned. What it cannot have returned is left out.
func (s *sampleTimes) restore(saved [][3]int64) {
	s.runs = nil
	for _, r := range saved {
		if len(s.runs) < s.limit() && (r[2] == 1 || r[2] > 1 && r[1] > 0) {
			s.runs = append(s.runs, run{r[0], r[1], r[2]})
		}
	}
}
