package strict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Fault is one thing wrong with a file.
type Fault struct {
	File string // as given to Parse
	Line int    // 1-based; 0 if the fault has none
	Path string // "stations[1].kind"; empty for the file as a whole
	Msg  string // what is wrong, and what would be right
}

// Error returns "site.yaml:5: stations[1].kind: what is wrong; what would be right".
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Msg)
	return b.String()
}

// Faults are all that is wrong with a file, in its order.
type Faults []Fault

// Error returns one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the faults one by one, for errors.As.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// located is a fault with what sorts it among those of its line.
type located struct {
	Fault
	column int
}

func (d *Document) add(line, column int, path, msg string) {
	d.found = append(d.found, located{Fault{d.file, line, path, msg}, column})
}

// Faults returns what is wrong with the file as far as it was read, in its
// order; nil if nothing is.
func (d *Document) Faults() Faults {
	slices.SortStableFunc(d.found, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.column, b.column))
	})
	var fs Faults
	for _, f := range d.found {
		fs = append(fs, f.Fault)
	}
	return fs
}
