// Package table reads the CSV files of laboratories and loggers: rows become
// samples, and what cannot be read becomes a fault that says where it stands, what
// is wrong, and what would be right.
//
//	bytes --encoding--> lines --separator, quotes--> records --header--> cells --> samples
//	                                                    |                  |
//	                                                    +------------------+--> faults
//
// What a file is like is said by a [Layout]; what that leaves open is found out
// from the file's first lines. A bad line never stops the others. The package knows
// stations and parameters; it opens no file and asks no clock.
package table

import (
	"time"

	"tofuwatch/internal/water"
)

// A Layout says what the files of one laboratory or logger are like. The zero
// Layout leaves everything to be found out.
type Layout struct {
	Name   string       // as the site file calls it; empty for one that is found out
	Files  []string     // shell patterns of the names of such files
	Method water.Method // Lab or Sensor; empty means Lab

	Encoding  string // UTF8, UTF16 or Windows1252; empty: found out
	Separator byte   // between columns; 0: found out
	Decimal   byte   // '.' or ','; 0: found out
	Header    int    // line of the header row, from 1; 0: found out; NoHeader: there is none

	Station      Text              // a station's ID, or the column that has one; empty: a column is looked for
	StationNames map[string]string // what files call a station, folded by [Fold], to its ID

	Zone    *time.Location // of times that name none; nil: that of the site
	Time    Column         // of the date, or of date and time
	Clock   Column         // of the time of day, if that has a column of its own
	Formats []Format       // of Time and Clock together; empty: every usual one, the day before the month
	At      time.Duration  // since midnight, for rows that have a date and no time of day

	Columns []ValueColumn // wide: a column a parameter; empty: found out
	Long    Long          // long: a row a value

	Missing        []string // further words for "no value"; compared without case
	NotDetected    []string // further words for "less than the detection limit"
	DetectionLimit Column   // of the detection limit of the row's value, in the value's unit

	Laboratory Text
	Analysis   Text // the method of analysis
	Sample     Column
	Revision   Column
	Analysed   Column
}

// NoHeader is the Header of files that have no header row: columns are known by
// their places.
const NoHeader = -1

// The encodings of a Layout. A byte order mark wins over them.
const (
	UTF8        = "utf-8"
	UTF16       = "utf-16"
	Windows1252 = "windows-1252"
)

// Encodings are all encodings.
func Encodings() []string { return []string{UTF8, UTF16, Windows1252} }

// A Column is a column of a file. The zero Column is none.
type Column struct {
	Name  string // its heading, compared by [Fold], with or without a unit in brackets
	Place int    // from 1; 0 if it is known by its heading
}

// Given reports whether c is a column.
func (c Column) Given() bool { return c != Column{} }

// A Text stands in a column, or is the same for the whole file.
type Text struct {
	Value  string
	Column Column
}

// A ValueColumn is a column that holds the values of one parameter.
type ValueColumn struct {
	Column         Column
	Parameter      *water.Parameter
	Unit           *water.Unit // nil: that in the heading, else the parameter's
	DetectionLimit float64     // in that unit, for "not detected"; 0: none is known
	Analysis       string      // the method of analysis; empty: the layout's
}

// Long are the columns of a file in which each row is one value.
type Long struct {
	Parameter, Value, Unit Column
	Names                  map[string]*water.Parameter // what the file calls a parameter, folded by [Fold]
}
