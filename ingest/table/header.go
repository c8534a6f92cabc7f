package table

import (
	"slices"
	"strconv"
	"strings"

	"tofuwatch/internal/water"
)

// What columns are called where the site file does not say, folded by [Fold]. Of
// several the first in the list is taken.
var (
	dateNames = []string{
		"sample_time", "sampling_time", "sample_date", "sampling_date", "date_sampled", "tanggal_sampling", "tgl_sampling", "tanggal_pengambilan",
		"tgl_pengambilan", "tanggal_pengambilan_contoh", "tanggal_pengambilan_sampel", "tanggal_contoh", "tanggal_sampel", "waktu_pengambilan",
		"timestamp", "datetime", "date_time", "tanggal_waktu", "waktu_sampling", "tanggal", "tgl", "date", "time", "waktu",
	}
	clockNames      = []string{"jam", "jam_sampling", "jam_pengambilan", "pukul", "time_of_day", "clock", "waktu_sampling", "time", "waktu"}
	stationNames    = []string{"station", "station_id", "stasiun", "lokasi", "titik", "titik_sampling", "titik_pantau", "lokasi_sampling", "kode_lokasi", "location", "site"}
	parameterNames  = []string{"parameter", "analit", "analyte", "parameter_uji"}
	valueNames      = []string{"value", "result", "nilai", "hasil", "hasil_uji", "hasil_analisis", "hasil_analisa", "kadar"}
	unitNames       = []string{"unit", "units", "satuan"}
	limitNames      = []string{"detection_limit", "batas_deteksi", "limit_deteksi", "lod", "mdl", "loq"}
	laboratoryNames = []string{"laboratory", "laboratorium", "lab", "nama_lab"}
	analysisNames   = []string{"analysis", "analysis_method", "metode", "metode_uji", "metode_analisis", "metode_analisa", "method"}
	sampleNames     = []string{"sample", "sample_id", "sample_no", "id_sampel", "kode_sampel", "no_sampel", "nomor_sampel", "sampel", "kode_contoh", "no_contoh", "nomor_contoh"}
	revisionNames   = []string{"revision", "revisi", "rev", "version"}
	analysedNames   = []string{"analysed", "analyzed", "analysis_date", "date_analysed", "tanggal_analisis", "tanggal_analisa", "tgl_analisis", "tgl_analisa", "tanggal_uji", "tanggal_pengujian"}
)

// A heading is one cell of a header row, taken apart.
type heading struct {
	text string // as written
	full string // folded
	base string // folded, without the unit
	unit string // in brackets, or behind a space; empty if there is none
}

func readHeading(text string) heading {
	h := heading{text: text, full: Fold(text)}
	h.base = h.full
	if n := len(text); n > 0 && (text[n-1] == ')' || text[n-1] == ']') {
		if open := strings.LastIndexAny(text, "(["); open >= 0 {
			h.base, h.unit = Fold(text[:open]), strings.TrimSpace(text[open+1:n-1])
		}
	} else if space := strings.LastIndexAny(text, " ,"); space > 0 {
		if unit := text[space+1:]; len(unit) > 1 {
			if u, ok := ReadUnit(unit); ok && u != "" {
				h.base, h.unit = Fold(text[:space]), unit
			}
		}
	}
	return h
}

// parameter returns the parameter that h names, or nil.
func (h heading) parameter(parameters *water.Parameters) *water.Parameter {
	for _, name := range []string{h.base, h.full, strings.ReplaceAll(h.base, "_", "")} {
		if p := parameters.Lookup([]byte(name)); p != nil {
			return p
		}
	}
	return nil
}

// A boundColumn is a ValueColumn whose place in the file is known.
type boundColumn struct {
	ValueColumn
	index   int
	unit    water.Unit
	problem water.Text // why none of its values can be used
}

// A plan says where in a record what stands. An index is -1 where there is no such
// column.
type plan struct {
	line     int // of the header row; 0 without one
	headings []string
	values   []boundColumn

	station, date, clock, limit                          int
	parameter, value, unit                               int
	laboratory, analysis, sampleName, revision, analysed int
}

// binder makes a plan of a header row.
type binder struct {
	layout     *Layout
	parameters *water.Parameters
	headings   []heading
	taken      []bool
	lacking    []string // described columns that are not there
}

// bind returns the plan for a header row, and how much of what is needed the row
// lacks, in words; none if it is one.
func bind(l *Layout, parameters *water.Parameters, fields []string, line int) (plan, []string) {
	b := &binder{layout: l, parameters: parameters}
	for len(fields) > 0 && fields[len(fields)-1] == "" {
		fields = fields[:len(fields)-1]
	}
	p := plan{line: line}
	fields = fields[:min(len(fields), mostColumns)] // rows of more are refused
	for _, f := range fields {
		if l.Header == NoHeader {
			f = ""
		}
		p.headings = append(p.headings, strings.Clone(f))
		b.headings = append(b.headings, readHeading(strings.Clone(f)))
	}
	b.taken = make([]bool, len(fields))
	// What is described comes first, so that no guess takes its column.
	for _, described := range []bool{true, false} {
		find := func(index *int, c Column, names []string) {
			if c.Given() == described {
				*index = b.find(c, names)
			}
		}
		find(&p.analysed, l.Analysed, analysedNames)
		find(&p.date, l.Time, dateNames)
		find(&p.clock, l.Clock, clockNames)
		if l.Station.Value == "" {
			find(&p.station, l.Station.Column, stationNames)
		}
		if len(l.Columns) == 0 {
			find(&p.parameter, l.Long.Parameter, parameterNames)
			find(&p.value, l.Long.Value, valueNames)
			find(&p.unit, l.Long.Unit, unitNames)
		}
		find(&p.limit, l.DetectionLimit, limitNames)
		if l.Laboratory.Value == "" {
			find(&p.laboratory, l.Laboratory.Column, laboratoryNames)
		}
		if l.Analysis.Value == "" {
			find(&p.analysis, l.Analysis.Column, analysisNames)
		}
		find(&p.sampleName, l.Sample, sampleNames)
		find(&p.revision, l.Revision, revisionNames)
	}
	if l.Station.Value != "" {
		p.station = -1
	}
	if l.Laboratory.Value != "" {
		p.laboratory = -1
	}
	if l.Analysis.Value != "" {
		p.analysis = -1
	}
	if len(l.Columns) > 0 {
		p.parameter, p.value, p.unit = -1, -1, -1
	}
	p.values = b.values(p.parameter >= 0 && p.value >= 0)

	lacking := b.lacking
	if p.date < 0 && !l.Time.Given() {
		lacking = append(lacking, "date")
	}
	if p.station < 0 && l.Station.Value == "" && !l.Station.Column.Given() {
		lacking = append(lacking, "station")
	}
	if len(p.values) == 0 && (p.parameter < 0 || p.value < 0) {
		lacking = append(lacking, "value")
	}
	return p, lacking
}

// find returns the index of a described column or, if none is, of the first of
// names that no other column has taken; -1 if there is none.
func (b *binder) find(c Column, names []string) int {
	switch {
	case c.Place > len(b.headings):
		b.lacking = append(b.lacking, strconv.Itoa(c.Place))
		return -1
	case c.Place > 0:
		b.taken[c.Place-1] = true
		return c.Place - 1
	case c.Name != "":
		i := b.index(Fold(c.Name), c.Name)
		if i < 0 {
			b.lacking = append(b.lacking, quote(c.Name))
		} else {
			b.taken[i] = true
		}
		return i
	case b.layout.Header == NoHeader:
		return -1
	}
	for _, name := range names {
		if i := b.index(name, ""); i >= 0 && !b.taken[i] {
			b.taken[i] = true
			return i
		}
	}
	return -1
}

// index returns the column called name, folded, or exactly written; -1 if none is.
func (b *binder) index(name, written string) int {
	for _, match := range []func(heading) bool{
		func(h heading) bool { return written != "" && h.text == written },
		func(h heading) bool { return h.full == name },
		func(h heading) bool { return h.base == name },
	} {
		if i := slices.IndexFunc(b.headings, func(h heading) bool { return h.text != "" && match(h) }); i >= 0 {
			return i
		}
	}
	return -1
}

// values returns the columns that hold values, of a wide file.
func (b *binder) values(long bool) []boundColumn {
	var columns []boundColumn
	if described := b.layout.Columns; len(described) > 0 {
		for _, v := range described {
			if i := b.find(v.Column, nil); i >= 0 {
				columns = append(columns, b.bound(v, i))
			}
		}
		return columns
	}
	if long {
		return nil
	}
	for i, h := range b.headings {
		if b.taken[i] || h.text == "" {
			continue
		}
		if p := h.parameter(b.parameters); p != nil {
			column := b.bound(ValueColumn{Parameter: p}, i)
			for _, other := range columns {
				if other.Parameter == p {
					column.problem = say("column %d holds %s already; remove one of them, or describe the file's columns in the site file",
						"kolom %d sudah berisi %s; hapus salah satu, atau jelaskan kolom berkas ini di berkas site", other.index+1, p.Code)
				}
			}
			columns = append(columns, column)
		}
	}
	return columns
}

// bound finds out the unit of a column.
func (b *binder) bound(v ValueColumn, index int) boundColumn {
	c := boundColumn{ValueColumn: v, index: index, unit: v.Parameter.Unit}
	if v.Unit != nil {
		c.unit = *v.Unit
		return c
	}
	h := b.headings[index]
	if h.unit == "" {
		return c
	}
	u, ok := ReadUnit(h.unit)
	switch {
	case ok:
		c.unit = u
		if _, err := water.Convert(1, u, v.Parameter.Unit); err != nil {
			c.problem = noUnit(h.unit, v.Parameter)
		}
	case readHeading(h.unit).parameter(b.parameters) == v.Parameter: // "Amonia (NH3-N)"
	default:
		c.problem = noUnit(h.unit, v.Parameter)
	}
	return c
}

// noUnit says that a parameter is not measured in a unit.
func noUnit(unit string, p *water.Parameter) water.Text {
	if p.Unit == "" {
		return say("%s has no unit, and %s is written; remove it", "%s tidak bersatuan, tetapi tertulis %s; hapus satuannya", p.Code, quote(unit))
	}
	return say("%s is no unit of %s; write %s, or name the unit in the site file", "%s bukan satuan untuk %s; tulis %s, atau sebutkan satuannya di berkas site", quote(unit), p.Code, string(p.Unit))
}

// unused returns the headings of the columns that nothing is read from.
func (p *plan) unused() []string {
	used := make([]bool, len(p.headings))
	for _, i := range []int{p.station, p.date, p.clock, p.limit, p.parameter, p.value, p.unit, p.laboratory, p.analysis, p.sampleName, p.revision, p.analysed} {
		if i >= 0 {
			used[i] = true
		}
	}
	for _, v := range p.values {
		used[v.index] = true
	}
	var unused []string
	for i, h := range p.headings {
		if !used[i] && h != "" {
			unused = append(unused, h)
		}
	}
	return unused
}
