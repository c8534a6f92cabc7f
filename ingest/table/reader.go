package table

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// Options are what a Reader has to know beside the file.
type Options struct {
	File       string // as faults name it
	Layout     Layout
	Stations   []*water.Station
	Parameters *water.Parameters
	Zone       *time.Location // of times that name none
	Now        time.Time
}

// A sample cannot have been taken before Earliest, or EarliestSensor where an
// instrument was in the water: loggers that were reset write 1970 or 2000. Nor more
// than MaxAhead from now.
var (
	Earliest       = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	EarliestSensor = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
)

// MaxAhead is how far a logger's clock may be ahead of ours.
const MaxAhead = 10 * time.Minute

const (
	headerWithin = 40      // lines in which a header row is looked for
	mostColumns  = 1000    // of a table
	lookedAt     = 500     // rows that are looked at for the decimal sign
	remembered   = 1 << 17 // values that a repetition is told of
)

// A Sample is what one row says. It is valid until the next call of Next.
type Sample struct {
	Line    int // 1-based
	Station *water.Station
	Time    time.Time // UTC
	Result  water.Result
	Values  []Value
}

// A Value is one value of a sample.
type Value struct {
	Parameter *water.Parameter
	Value     float64 // in Parameter.Unit; NaN where a logger wrote "no value"
	Censor    water.Censor
	Analysis  string
}

// Counts say what a file held.
type Counts struct {
	Rows        int // with a date or a value in them
	Values      int // that can be used; Censored ones among them
	Censored    int
	Missing     int // cells that say "no value"
	Repeated    int // values that stand in an earlier row too
	Refused     int // values that cannot be used
	RefusedRows int // rows with a fault
}

// A Reader reads one file.
type Reader struct {
	o       Options
	records records
	plan    plan
	decimal byte
	zone    *time.Location
	buffer  []record // read ahead
	sample  Sample
	faults  []Fault
	counts  Counts
	seen    duplicates
	dates   Layout // the file's, for days without a time of day

	stations   map[string]*water.Station // by folded name
	known      map[string]*water.Station // by what a cell says
	parameters map[string]longParameter  // by what a cell says
}

// longParameter is what a cell of a long file names.
type longParameter struct {
	parameter *water.Parameter
	unit      string // beside the name
}

// NewReader returns a reader of r. Its error is a Fault where no row can be read: the
// file has no header row, or lacks columns.
func NewReader(r io.Reader, o Options) (*Reader, error) {
	if o.Layout.Method == "" {
		o.Layout.Method = water.Lab
	}
	t := &Reader{
		o: o, zone: o.Layout.Zone,
		stations:   make(map[string]*water.Station),
		known:      make(map[string]*water.Station),
		parameters: make(map[string]longParameter),
	}
	if t.zone == nil {
		t.zone = o.Zone
	}
	for _, f := range o.Layout.Formats {
		t.dates.Formats = append(t.dates.Formats, f, f.date())
	}
	for _, s := range o.Stations {
		for _, name := range []string{s.Name, s.ID} {
			t.stations[Fold(name)] = s // an ID wins over a name
		}
	}
	for name, id := range o.Layout.StationNames {
		t.stations[name] = t.stations[Fold(id)]
	}
	t.records.r, t.records.utf8Sure = decode(r, o.Layout.Encoding)
	t.records.separator = o.Layout.Separator
	if err := t.open(); err != nil {
		return nil, err
	}
	return t, nil
}

// open finds the header row and the decimal sign.
func (r *Reader) open() error {
	head, err := r.records.r.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", r.o.File, err)
	}
	lines := strings.FieldsFunc(string(head), func(c rune) bool { return c == '\n' || c == '\r' })
	if len(lines) > headerWithin {
		lines = lines[:headerWithin]
	}
	if len(lines) > 0 && len(lines[0]) == len("sep=;") && strings.HasPrefix(lines[0], "sep=") { // Excel's hint
		if r.records.separator == 0 {
			r.records.separator = lines[0][4]
		}
		if _, err := r.records.readLine(); err != nil {
			return err
		}
		lines = lines[1:]
	}
	if r.records.separator == 0 {
		r.records.separator = r.guessSeparator(lines)
	}
	if err := r.findHeader(); err != nil {
		return err
	}
	for len(r.buffer) < lookedAt {
		rec, err := r.records.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", r.o.File, err)
		}
		rec.fields = slices.Clone(rec.fields)
		r.buffer = append(r.buffer, rec)
	}
	if r.decimal = r.o.Layout.Decimal; r.decimal == 0 {
		var texts []string
		for _, rec := range r.buffer {
			for _, i := range r.plan.valueIndexes() {
				if i < len(rec.fields) {
					texts = append(texts, rec.fields[i])
				}
			}
		}
		if r.decimal = decimalOf(texts); r.decimal == 0 && r.records.separator == ',' {
			r.decimal = '.'
		}
	}
	return nil
}

// valueIndexes are the columns in which numbers are.
func (p *plan) valueIndexes() []int {
	var indexes []int
	for _, v := range p.values {
		indexes = append(indexes, v.index)
	}
	for _, i := range []int{p.value, p.limit} {
		if i >= 0 {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// separators are what stands between columns.
var separators = []byte{';', '\t', ',', '|'}

// guessSeparator returns the separator with which the most of a header row is
// understood, or else the one that splits the lines the most.
func (r *Reader) guessSeparator(lines []string) byte {
	best, most := byte(','), 0
	for _, s := range separators {
		score := 0
		for i, line := range lines {
			fields, end := split(nil, line, s)
			if end != whole || len(fields) < 2 {
				continue
			}
			score = max(score, min(len(fields), 50))
			if r.o.Layout.Header != NoHeader {
				p, lacking := bind(&r.o.Layout, r.o.Parameters, fields, i+1)
				understood := len(fields) - len(p.unused())
				score = max(score, 1000*understood-100*len(lacking))
			}
		}
		if score > most {
			best, most = s, score
		}
	}
	return best
}

// findHeader reads up to the header row.
func (r *Reader) findHeader() error {
	l := &r.o.Layout
	fault := func(line int, problem water.Text) error {
		return Fault{File: r.o.File, Line: line, Problem: problem}
	}
	var (
		nearest []string
		at      int
		row     string
	)
	for n := 0; n < headerWithin || l.Header > 0; n++ {
		rec, err := r.records.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", r.o.File, err)
		}
		if l.Header > 0 && rec.line < l.Header {
			continue
		}
		if l.Header == 0 && strings.Join(rec.fields, "") == "" {
			n--
			if rec.line > mostLineBytes {
				break
			}
			continue
		}
		p, lacking := bind(l, r.o.Parameters, rec.fields, rec.line)
		if len(lacking) == 0 {
			r.plan = p
			r.headerFaults()
			if l.Header == NoHeader {
				r.plan.line = 0
				rec.fields = slices.Clone(rec.fields)
				r.buffer = append(r.buffer, rec)
			}
			return nil
		}
		// Of rows that will not do, the one that comes nearest is told of.
		if at == 0 || len(lacking) < len(nearest) {
			nearest, at, row = lacking, rec.line, rec.text
		}
		if l.Header != 0 {
			break
		}
	}
	if at == 0 {
		return fault(0, say("the file is empty; want a header row, and a row for each sample", "berkas kosong; perlu baris judul, dan satu baris untuk setiap contoh"))
	}
	return fault(at, r.lacks(nearest, row))
}

// lacks says what a header row lacks.
func (r *Reader) lacks(lacking []string, row string) water.Text {
	var english, indonesian []string
	for _, l := range lacking {
		switch l {
		case "date":
			english = append(english, "the date of the sample (such as Tanggal or date)")
			indonesian = append(indonesian, "tanggal pengambilan contoh (misalnya Tanggal atau date)")
		case "station":
			english = append(english, "the station (such as Lokasi or station; or give --station)")
			indonesian = append(indonesian, "stasiun (misalnya Lokasi atau station; atau beri --station)")
		case "value":
			english = append(english, "a parameter (such as COD (mg/L), or the two columns Parameter and Hasil)")
			indonesian = append(indonesian, "parameter (misalnya COD (mg/L), atau dua kolom Parameter dan Hasil)")
		default:
			english, indonesian = append(english, l), append(indonesian, l)
		}
	}
	return water.Text{
		English: fmt.Sprintf("no header row with a column for %s; the nearest is %s. Add it, or describe the file under imports in the site file",
			strings.Join(english, ", and for "), quote(row)),
		Indonesian: fmt.Sprintf("tidak ada baris judul dengan kolom untuk %s; yang paling mendekati %s. Tambahkan kolom itu, atau jelaskan berkas ini di bagian imports pada berkas site",
			strings.Join(indonesian, ", dan untuk "), quote(row)),
	}
}

// headerFaults tells of columns whose values cannot be used.
func (r *Reader) headerFaults() {
	for _, v := range r.plan.values {
		if v.problem != (water.Text{}) {
			r.faults = append(r.faults, Fault{
				File: r.o.File, Line: r.plan.line, Column: v.index + 1, Heading: r.plan.headings[v.index],
				Found: r.plan.headings[v.index], Problem: v.problem,
			})
		}
	}
}

// Counts returns what was read so far.
func (r *Reader) Counts() Counts { return r.counts }

// Separator returns what stands between the columns.
func (r *Reader) Separator() byte { return r.records.separator }

// Unused returns the headings of columns that nothing is read from.
func (r *Reader) Unused() []string { return r.plan.unused() }

// Next returns the next sample, which may have no value that can be used, and the
// faults of its row; at the end io.EOF, perhaps with faults. Both are valid until
// the next call. Another error says that the file cannot be read on.
func (r *Reader) Next() (*Sample, []Fault, error) {
	if r.counts.Rows > 0 || len(r.faults) == 0 {
		r.faults = r.faults[:0]
	}
	for {
		rec, err := r.record()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				err = fmt.Errorf("read %s: %w", r.o.File, err)
			}
			return nil, r.faults, err
		}
		before := len(r.faults)
		if r.row(rec) {
			if slices.ContainsFunc(r.faults[before:], func(f Fault) bool { return !f.Note }) {
				r.counts.RefusedRows++
			}
			return &r.sample, r.faults, nil
		}
	}
}

func (r *Reader) record() (record, error) {
	if len(r.buffer) > 0 {
		rec := r.buffer[0]
		r.buffer = r.buffer[1:]
		return rec, nil
	}
	return r.records.next()
}

// row reads one record into r.sample, and reports whether it is a sample's: not
// empty, and no note below the table.
func (r *Reader) row(rec record) bool {
	p := &r.plan
	r.sample = Sample{Line: rec.line, Values: r.sample.Values[:0]}
	refuse := func(column int, found string, values int, problem water.Text) {
		f := Fault{File: r.o.File, Line: rec.line, Column: column + 1, Found: found, Problem: problem, Values: values, Row: rec.text}
		if column >= 0 && column < len(p.headings) {
			f.Heading = p.headings[column]
		}
		r.counts.Refused += values
		r.faults = append(r.faults, f)
	}
	if rec.problem != (water.Text{}) {
		r.counts.Rows++
		refuse(-1, rec.text, max(1, len(p.values)), rec.problem)
		return true
	}
	fields := rec.fields
	for len(fields) > len(p.headings) && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	at := func(i int) string {
		if i < 0 || i >= len(fields) {
			return ""
		}
		return fields[i]
	}
	values := 0 // cells with something in them
	for _, v := range p.values {
		if at(v.index) != "" {
			values++
		}
	}
	if p.value >= 0 && at(p.value) != "" {
		values++
	}
	var (
		clockAtFault bool
		timeProblem  water.Text
	)
	r.sample.Time, clockAtFault, timeProblem = r.o.Layout.readTime(at(p.date), at(p.clock), r.zone)
	if values == 0 && timeProblem != (water.Text{}) {
		return false // empty, or words below the table
	}
	r.counts.Rows++
	if n := len(p.headings); len(fields) != n {
		refuse(-1, rec.text, max(1, values), say("the line has %d columns, and the header %d; is it cut off, or does a cell hold an unquoted %s?",
			"baris ini punya %d kolom, sedangkan judul %d; apakah terpotong, atau ada sel berisi %s tanpa tanda kutip?", len(fields), n, separatorName(r.records.separator)))
		return true
	}

	lost := max(1, values) // counted once, however many faults the row has
	refuseRow := func(column int, problem water.Text) {
		refuse(column, at(column), lost, problem)
		lost = 0
	}
	if r.sample.Station = r.station(at(p.station)); r.sample.Station == nil {
		refuseRow(p.station, r.noStation(at(p.station)))
	}
	if timeProblem == (water.Text{}) {
		timeProblem = r.implausible(r.sample.Time)
	}
	if timeProblem != (water.Text{}) {
		column := p.date
		if clockAtFault && p.clock >= 0 {
			column = p.clock
		}
		refuseRow(column, timeProblem)
	}
	if column, problem := r.details(at); problem != (water.Text{}) {
		refuseRow(column, problem)
	}
	if lost == 0 {
		return true
	}
	for i := range p.values {
		v := &p.values[i]
		if v.problem != (water.Text{}) {
			if at(v.index) != "" {
				r.counts.Refused++ // told of with the header
			}
			continue
		}
		r.value(refuse, at, v.Parameter, v.index, v.unit, v.DetectionLimit, v.Analysis)
	}
	if p.parameter >= 0 && p.value >= 0 {
		r.longValue(refuse, at)
	}
	return true
}

func separatorName(s byte) string {
	if s == '\t' {
		return "tab"
	}
	return quote(string(rune(s)))
}

// station returns the station that a cell names, or nil.
func (r *Reader) station(cell string) *water.Station {
	if r.o.Layout.Station.Value != "" {
		cell = r.o.Layout.Station.Value
	}
	s, ok := r.known[cell]
	if !ok {
		if s = r.stations[Fold(cell)]; s != nil {
			r.known[strings.Clone(cell)] = s
		}
	}
	return s
}

func (r *Reader) noStation(cell string) water.Text {
	var have []string
	for _, s := range r.o.Stations {
		if len(have) == 8 {
			have = append(have, "…")
			break
		}
		have = append(have, s.ID)
	}
	if cell == "" {
		return say("no station; write one of %s", "tidak ada stasiun; tulis salah satu dari %s", strings.Join(have, ", "))
	}
	return say("no station is called %s; have %s", "tidak ada stasiun bernama %s; yang ada: %s", quote(cell), strings.Join(have, ", "))
}

// implausible says why a sample cannot have been taken then.
func (r *Reader) implausible(t time.Time) water.Text {
	earliest := Earliest
	if r.o.Layout.Method == water.Sensor {
		earliest = EarliestSensor
	}
	day := t.In(r.zone).Format("02/01/2006")
	switch {
	case t.Before(earliest):
		return say("%s is before %d; is the year right?", "%s sebelum tahun %d; apakah tahunnya benar?", day, earliest.Year())
	case t.Sub(r.o.Now) > MaxAhead:
		return say("%s is in the future; are year, month and day right, the day before the month?", "%s masih di masa depan; apakah tahun, bulan dan hari benar, hari ditulis sebelum bulan?", day)
	}
	return water.Text{}
}

// details reads what a row says of all its values. Its problem is of a column.
func (r *Reader) details(at func(int) string) (column int, problem water.Text) {
	p, l, result := &r.plan, &r.o.Layout, &r.sample.Result
	result.Laboratory, result.Analysis = l.Laboratory.Value, l.Analysis.Value
	if p.laboratory >= 0 {
		result.Laboratory = tidy(at(p.laboratory))
	}
	if p.analysis >= 0 {
		result.Analysis = tidy(at(p.analysis))
	}
	result.Sample = tidy(at(p.sampleName))
	if text := at(p.revision); text != "" {
		digits := strings.TrimLeft(strings.ToLower(text), "revis. ")
		n, err := strconv.Atoi(digits)
		if err != nil || n < 0 || n > 999 {
			return p.revision, say("%s is no revision; write a whole number, 1 for the first result and 2 for its correction", "%s bukan nomor revisi; tulis bilangan bulat, 1 untuk hasil pertama dan 2 untuk koreksinya", quote(text))
		}
		result.Revision = max(1, n) // some count from 0
	}
	if text := at(p.analysed); text != "" && text != "-" {
		analysed, _, problem := r.dates.readTime(text, "", r.zone)
		if problem != (water.Text{}) {
			return p.analysed, problem
		}
		sampled := r.sample.Time
		if !sampled.IsZero() && analysed.In(r.zone).Format(time.DateOnly) < sampled.In(r.zone).Format(time.DateOnly) {
			return p.analysed, say("analysed on %s, before the sample was taken on %s; one of the dates is wrong", "dianalisis pada %s, sebelum contoh diambil pada %s; salah satu tanggal keliru",
				analysed.In(r.zone).Format("02/01/2006"), sampled.In(r.zone).Format("02/01/2006"))
		}
		result.Analysed = analysed
	}
	return 0, water.Text{}
}

// refuser tells of a value that cannot be used.
type refuser func(column int, found string, values int, problem water.Text)

// longValue reads the value of a row that has one.
func (r *Reader) longValue(refuse refuser, at func(int) string) {
	p := &r.plan
	name := at(p.parameter)
	named, ok := r.parameters[name]
	if !ok {
		h := readHeading(name)
		named = longParameter{h.parameter(r.o.Parameters), h.unit}
		if q := r.o.Layout.Long.Names[h.full]; q != nil {
			named.parameter = q
		}
		if named.parameter != nil {
			if _, ok := ReadUnit(h.unit); !ok { // "Amonia (NH3-N)"
				named.unit = ""
			}
			r.parameters[strings.Clone(name)] = named
		}
	}
	if named.parameter == nil {
		if name == "" {
			refuse(p.parameter, name, 1, say("no parameter; write which one was measured, such as COD", "tidak ada parameter; tulis yang diukur, misalnya COD"))
			return
		}
		refuse(p.parameter, name, 1, say("no parameter is called %s; have %s", "tidak ada parameter bernama %s; yang ada: %s", quote(name), r.someParameters()))
		return
	}
	q := named.parameter
	unit := q.Unit
	written, column := named.unit, p.parameter
	if p.unit >= 0 && written == "" {
		written, column = at(p.unit), p.unit
	}
	if p.unit >= 0 && written == "" && q.Unit != "" {
		refuse(p.unit, "", 1, say("no unit; write one, such as %s", "tidak ada satuan; tulis satuannya, misalnya %s", string(q.Unit)))
		return
	}
	if written != "" {
		u, ok := ReadUnit(written)
		if ok {
			_, err := water.Convert(1, u, q.Unit)
			ok = err == nil
		}
		if !ok {
			refuse(column, written, 1, noUnit(written, q))
			return
		}
		unit = u
	}
	r.value(refuse, at, q, p.value, unit, 0, "")
}

func (r *Reader) someParameters() string {
	var codes []string
	for i, p := range r.o.Parameters.All() {
		if i == 8 {
			codes = append(codes, "…")
			break
		}
		codes = append(codes, p.Code)
	}
	return strings.Join(codes, ", ")
}

// value reads the value of a parameter in a column.
func (r *Reader) value(refuse refuser, at func(int) string, q *water.Parameter, column int, unit water.Unit, limit float64, analysis string) {
	l, text := &r.o.Layout, at(column)
	c := l.readCell(text, r.decimal)
	switch {
	case c.problem != (water.Text{}):
		refuse(column, text, 1, c.problem)
		return
	case c.missing:
		r.counts.Missing++
		if l.Method == water.Sensor && text != "" {
			r.sample.Values = append(r.sample.Values, Value{Parameter: q, Value: math.NaN(), Analysis: analysis})
		}
		return
	case !c.detected:
		c.censor, c.number = water.Below, limit
		if p := r.plan.limit; p >= 0 && at(p) != "" {
			d := l.readCell(strings.TrimLeft(at(p), "< "), r.decimal)
			if math.IsNaN(d.number) {
				refuse(p, at(p), 1, say("%s is no detection limit; write a number such as %s", "%s bukan batas deteksi; tulis angka, misalnya %s", quote(at(p)), like("0.5", r.decimal)))
				return
			}
			c.number, c.unit = d.number, d.unit
		}
		if c.number == 0 {
			refuse(column, text, 1, say("%s is not detected, and no detection limit is known; write it as <%s, or add a column for the detection limit",
				"%s berarti tidak terdeteksi, tetapi batas deteksinya tidak diketahui; tulis sebagai <%s, atau tambahkan kolom batas deteksi", quote(text), like("0.5", r.decimal)))
			return
		}
	}
	if c.unit != "" {
		unit, _ = ReadUnit(c.unit) // is known
	}
	if c.censor == water.Below && c.number <= 0 {
		refuse(column, text, 1, say("%s says nothing; write the detection limit behind the <", "%s tidak berarti apa-apa; tulis batas deteksi setelah tanda <", quote(text)))
		return
	}
	number, err := water.Convert(c.number, unit, q.Unit)
	if err != nil {
		refuse(column, text, 1, noUnit(c.unit, q))
		return
	}
	s := &r.sample
	line, same, again := r.seen.add(s, q, number, c.censor)
	switch {
	case again && same:
		r.counts.Repeated++
		return
	case again:
		refuse(column, text, 1, say("line %d has another value of %s for the same station and time; keep the right one, or tell samples apart by a sample number or a revision",
			"baris %d sudah berisi nilai %s lain untuk stasiun dan waktu yang sama; simpan yang benar, atau bedakan dengan nomor contoh atau revisi", line, q.Code))
		return
	}
	r.counts.Values++
	if c.censor != water.Uncensored {
		r.counts.Censored++
	}
	if number < q.Min || number > q.Max {
		refuse(column, text, 0, say("%s cannot be: %s is from %v to %v %s; kept and marked as bad. Is a decimal missing?",
			"%s tidak mungkin: %s antara %v dan %v %s; disimpan dan ditandai buruk. Apakah tanda desimal hilang?", quote(text), q.Code, q.Min, q.Max, string(q.Unit)))
		f := &r.faults[len(r.faults)-1]
		f.Note = true
		f.Problem.English, f.Problem.Indonesian = strings.ReplaceAll(f.Problem.English, " ;", ";"), strings.ReplaceAll(f.Problem.Indonesian, " ;", ";")
	}
	s.Values = append(s.Values, Value{Parameter: q, Value: number, Censor: c.censor, Analysis: analysis})
}

// duplicates remember the latest values of a file, so many that a file of a
// laboratory is remembered whole.
type duplicates struct {
	seed  maphash.Seed
	at    map[uint64]seenValue
	order []uint64 // a ring of the keys of at
	next  int
}

type seenValue struct {
	line   int
	value  float64
	censor water.Censor
}

// add remembers a value. again says that the same was there before, in which line,
// and whether its value was the same.
func (d *duplicates) add(s *Sample, q *water.Parameter, value float64, censor water.Censor) (line int, same, again bool) {
	if d.at == nil {
		d.seed, d.at = maphash.MakeSeed(), make(map[uint64]seenValue)
	}
	key := maphash.Comparable(d.seed, struct {
		station, parameter, sample, laboratory string
		ns                                     int64
		revision                               int
	}{s.Station.ID, q.Code, s.Result.Sample, s.Result.Laboratory, s.Time.UnixNano(), s.Result.Revision})
	if old, ok := d.at[key]; ok {
		return old.line, old.value == value && old.censor == censor, true
	}
	if len(d.order) < remembered {
		d.order = append(d.order, key)
	} else {
		delete(d.at, d.order[d.next])
		d.order[d.next] = key
		d.next = (d.next + 1) % remembered
	}
	d.at[key] = seenValue{s.Line, value, censor}
	return 0, false, false
}
