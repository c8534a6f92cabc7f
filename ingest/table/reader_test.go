package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"tofuwatch/internal/water"
)

var (
	outlet = &water.Station{ID: "ipal-01", Name: "Outlet IPAL", River: "bajak", Kind: water.Effluent}
	bridge = &water.Station{ID: "bajak-2", Name: "Bajak hulu", River: "bajak", Kind: water.River}
	wib    = time.FixedZone("WIB", 7*3600)
	now    = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
)

var parameters = sync.OnceValue(func() *water.Parameters {
	p, err := water.NewParameters()
	if err != nil {
		panic(err)
	}
	return p
})

func options(l Layout) Options {
	return Options{File: "f.csv", Layout: l, Stations: []*water.Station{outlet, bridge}, Parameters: parameters(), Zone: wib, Now: now}
}

// told returns what a reader makes of a file, a sample or a fault a line.
func told(t testing.TB, content string, l Layout) (lines []string, counts Counts) {
	t.Helper()
	r, err := NewReader(strings.NewReader(content), options(l))
	if err != nil {
		var f Fault
		if !errors.As(err, &f) {
			t.Fatal(err)
		}
		return []string{f.Error()}, Counts{}
	}
	for {
		s, faults, err := r.Next()
		if s != nil && len(s.Values) > 0 {
			lines = append(lines, line(s))
		}
		for _, f := range faults {
			if f.Problem.Indonesian == "" || f.Problem.Indonesian == f.Problem.English {
				t.Errorf("fault %q is not told in Indonesian", f)
			}
			lines = append(lines, strings.TrimPrefix(f.Error(), "f.csv:"))
		}
		if errors.Is(err, io.EOF) {
			return lines, r.Counts()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// line writes a sample:
//
//	4 ipal-01 2026-10-05T00:30 cod=286.5 bod<2 lab="UPTD" rev=2
func line(s *Sample) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s", s.Line, s.Station.ID, strings.TrimSuffix(s.Time.Format("2006-01-02T15:04:05.999Z07:00"), ":00Z"))
	for _, v := range s.Values {
		sign := "="
		if v.Censor != water.Uncensored {
			sign = string(v.Censor)
		}
		fmt.Fprintf(&b, " %s%s%v", v.Parameter.Code, sign, math.Round(v.Value*1e9)/1e9)
		if v.Analysis != "" {
			fmt.Fprintf(&b, "(%s)", v.Analysis)
		}
	}
	r := s.Result
	for _, text := range []struct{ key, value string }{{"lab", r.Laboratory}, {"analysis", r.Analysis}, {"sample", r.Sample}} {
		if text.value != "" {
			fmt.Fprintf(&b, " %s=%q", text.key, text.value)
		}
	}
	if r.Revision != 0 {
		fmt.Fprintf(&b, " rev=%d", r.Revision)
	}
	if !r.Analysed.IsZero() {
		fmt.Fprintf(&b, " analysed=%s", r.Analysed.Format("2006-01-02T15:04"))
	}
	return b.String()
}

func format(t testing.TB, text string) Format {
	t.Helper()
	f, err := ParseFormat(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestReader(t *testing.T) {
	at := Layout{Station: Text{Value: "ipal-01"}}
	cod, bod := parameters().Lookup([]byte("cod")), parameters().Lookup([]byte("bod"))
	microgram := water.Unit("µg/L")
	for _, tt := range []struct {
		name    string
		layout  Layout
		content string
		want    []string
	}{
		{"a simple file", at, "date,COD (mg/L),pH\n2026-10-05,286.5,6.9\n", []string{"2 ipal-01 2026-10-04T17:00 cod=286.5 ph=6.9"}},
		{
			"titles above, notes below",
			Layout{},
			"UPTD Lab;;;\n\nLaporan;;;\nTanggal;Lokasi;COD;pH\n05/10/2026;Outlet IPAL;286,5;6,9\n;;;\n\nSemarang, 20 Oktober;;;\nKepala Lab\n",
			[]string{"5 ipal-01 2026-10-04T17:00 cod=286.5 ph=6.9"},
		},
		{"decimal commas between commas", at, "date,COD,pH\n2026-10-05,\"286,5\",\"6,9\"\n", []string{"2 ipal-01 2026-10-04T17:00 cod=286.5 ph=6.9"}},
		{"tabs, old Macintosh line ends", at, "date\tCOD\tpH\r2026-10-05\t286.5\t6.9\r2026-10-06\t1\t7\r", []string{"2 ipal-01 2026-10-04T17:00 cod=286.5 ph=6.9", "3 ipal-01 2026-10-05T17:00 cod=1 ph=7"}},
		{"Excel's hint", at, "sep=|\r\ndate|COD\r\n2026-10-05|1,5\r\n", []string{"3 ipal-01 2026-10-04T17:00 cod=1.5"}},
		{"thousands", at, "date;COD\n2026-10-05;1.234,5\n2026-10-06;1.234\n2026-10-07;12 345\n2026-10-08;1.2345\n", []string{
			"2 ipal-01 2026-10-04T17:00 cod=1234.5", "3 ipal-01 2026-10-05T17:00 cod=1234", "4 ipal-01 2026-10-06T17:00 cod=12345",
			`5: column 2 "COD": "1.2345" has a decimal point, and this file has decimal commas; write "1,2345"`,
		}},
		{"nothing tells the decimal sign", at, "date;COD\n2026-10-05;1.234\n2026-10-06;12\n", []string{
			`2: column 2 "COD": "1.234" may be 1234 or "1.234", and nothing else in the file tells; set decimal in the site file, or give --decimal`,
			"3 ipal-01 2026-10-05T17:00 cod=12",
		}},
		{"the decimal sign is given", Layout{Station: at.Station, Decimal: ','}, "date;COD\n2026-10-05;1.234\n2026-10-06;7,125\n", []string{"2 ipal-01 2026-10-04T17:00 cod=1234", "3 ipal-01 2026-10-05T17:00 cod=7.125"}},
		{"censored", at, "date;COD;BOD;total_coliform\n2026-10-05;<2;< 0,5;>2400\n2026-10-06;≤2;1,5;≥ 2.400\n", []string{
			"2 ipal-01 2026-10-04T17:00 cod<2 bod<0.5 total_coliform>2400", "3 ipal-01 2026-10-05T17:00 cod<2 bod=1.5 total_coliform>2400",
		}},
		{"not detected", at, "date;BOD;LOD\n2026-10-05;ttd;0,5\n2026-10-06;nd;\n2026-10-07;Tidak Terdeteksi;<2\n2026-10-08;<;1\n2026-10-09;<0;\n", []string{
			"2 ipal-01 2026-10-04T17:00 bod<0.5",
			`3: column 2 "BOD": "nd" is not detected, and no detection limit is known; write it as <0,5, or add a column for the detection limit`,
			"4 ipal-01 2026-10-06T17:00 bod<2",
			`5: column 2 "BOD": "<" is no number; write one like 12,5, <0,5, or leave the cell empty where there is no value`,
			`6: column 2 "BOD": "<0" says nothing; write the detection limit behind the <`,
		}},
		{"missing, of a laboratory", at, "date;COD;BOD\n2026-10-05;-;1\n2026-10-06;#N/A;\n2026-10-07;NaN;n/a\n", []string{"2 ipal-01 2026-10-04T17:00 bod=1"}},
		{"missing, of a logger", Layout{Station: at.Station, Method: water.Sensor}, "date;COD;BOD\n2026-10-05;-;1\n2026-10-06;#N/A;\n", []string{"2 ipal-01 2026-10-04T17:00 cod=NaN bod=1", "3 ipal-01 2026-10-05T17:00 cod=NaN"}},
		{"words of one's own", Layout{Station: at.Station, Missing: []string{"kosong"}, NotDetected: []string{"<mrl"}, DetectionLimit: Column{Name: "MRL"}}, "date;COD;MRL\n2026-10-05;Kosong;1\n2026-10-06;<MRL;3\n", []string{"3 ipal-01 2026-10-05T17:00 cod<3"}},
		{"no numbers", at, "date;COD\n2026-10-05;12O\n2026-10-06;#REF!\n2026-10-07;1,2,3\n2026-10-08;0x10\n2026-10-09;inf\n2026-10-10;1e999\n2026-10-11;5 - 7\n", []string{
			`2: column 2 "COD": "12O" is no number; write one like 12.5, <0.5, or leave the cell empty where there is no value`,
			`3: column 2 "COD": "#REF!" is a formula of Excel that failed; put the number itself into the cell`,
			`4: column 2 "COD": "1,2,3" is no number; write one like 12.5, <0.5, or leave the cell empty where there is no value`,
			`5: column 2 "COD": "0x10" is no number; write one like 12.5, <0.5, or leave the cell empty where there is no value`,
			`6: column 2 "COD": "inf" is no number; write one like 12.5, <0.5, or leave the cell empty where there is no value`,
			`7: column 2 "COD": "1e999" is too large a number`,
			`8: column 2 "COD": "5 - 7" is no number; write one like 12.5, <0.5, or leave the cell empty where there is no value`,
		}},
		{"units", at, "date,COD (g/L),Suhu °F,Debit [L/s],DHL mS/cm,pH (-)\n2026-10-05,0.2865,86,1.5,0.8,7\n2026-10-06,300 mg/L,,,,\n", []string{
			"2 ipal-01 2026-10-04T17:00 cod=286.5 temperature=30 flow=5.4 ec=800 ph=7", "3 ipal-01 2026-10-05T17:00 cod=300",
		}},
		{"no such unit", at, "date,COD (ppm),BOD (°C),Amonia (NH3-N)\n2026-10-05,1,2,3\n", []string{
			"2 ipal-01 2026-10-04T17:00 nh3n=3",
			`1: column 2 "COD (ppm)": "ppm" is no unit of cod; write mg/L, or name the unit in the site file`,
			`1: column 3 "BOD (°C)": "°C" is no unit of bod; write mg/L, or name the unit in the site file`,
		}},
		{"a parameter twice", at, "date,COD,COD (mg/L)\n2026-10-05,1,2\n", []string{
			"2 ipal-01 2026-10-04T17:00 cod=1",
			`1: column 3 "COD (mg/L)": column 2 holds cod already; remove one of them, or describe the file's columns in the site file`,
		}},
		{"long", Layout{}, "Tanggal;Jam;Lokasi;Parameter;Hasil;Satuan;Metode;Laboratorium;No Sampel;Revisi;Tanggal Analisis\n" +
			"05/10/2026;07:30;ipal-01;COD;286,5;mg/l;SNI 6989.2:2019;UPTD Lab;S-117;2;07/10/2026\n" +
			"05/10/2026;07:30;ipal-01;Total Coliform;>2400;MPN/100 mL;;;;;\n" +
			"05/10/2026;07:30;ipal-01;Warna;5;TCU;;;;;\n05/10/2026;07:30;ipal-01;BOD;5;°C;;;;;\n05/10/2026;07:30;ipal-01;BOD;5;;;;;;\n05/10/2026;07:30;ipal-01;pH;6,9;;;;;;\n05/10/2026;07:30;ipal-01;;6,9;;;;;;\n", []string{
			`2 ipal-01 2026-10-05T00:30 cod=286.5 lab="UPTD Lab" analysis="SNI 6989.2:2019" sample="S-117" rev=2 analysed=2026-10-06T17:00`,
			"3 ipal-01 2026-10-05T00:30 total_coliform>2400",
			`4: column 4 "Parameter": no parameter is called "Warna"; have bod, cod, ph, tss, temperature, do, ec, turbidity, …`,
			`5: column 6 "Satuan": "°C" is no unit of bod; write mg/L, or name the unit in the site file`,
			`6: column 6 "Satuan": no unit; write one, such as mg/L`,
			"7 ipal-01 2026-10-05T00:30 ph=6.9",
			`8: column 4 "Parameter": no parameter; write which one was measured, such as COD`,
		}},
		{"everything described", Layout{
			Encoding: Windows1252, Separator: ';', Decimal: ',', Header: 2, Zone: time.FixedZone("WIT", 9*3600),
			Station: Text{Column: Column{Name: "Titik"}}, StationNames: map[string]string{"t_1": "ipal-01", "t_2": "bajak-2"},
			Time: Column{Name: "Tgl"}, Formats: []Format{format(t, "MM/DD/YYYY")}, At: 8 * time.Hour,
			Columns: []ValueColumn{
				{Column: Column{Name: "A"}, Parameter: cod, DetectionLimit: 5, Analysis: "SNI 2"},
				{Column: Column{Place: 4}, Parameter: bod, Unit: &microgram},
			},
			Laboratory: Text{Value: "DLH"}, Analysis: Text{Value: "SNI 1"}, Sample: Column{Name: "Kode"},
		}, "Tgl;Titik;A;B;Kode\nTgl;Titik;A;B;Kode\n10/25/2026;T 1;ttd;1500;S-1\n10/26/2026;t-2;7,5;;S-2\n25/10/2026;t-2;7,5;;S-3\n", []string{
			`3 ipal-01 2026-10-24T23:00 cod<5(SNI 2) bod=1.5 lab="DLH" analysis="SNI 1" sample="S-1"`,
			`4 bajak-2 2026-10-25T23:00 cod=7.5(SNI 2) lab="DLH" analysis="SNI 1" sample="S-2"`,
			`5: column 1 "Tgl": "25/10/2026" has no month 25; this file should have dates as MM/DD/YYYY`,
		}},
		{"no header row", Layout{Header: NoHeader, Station: at.Station, Time: Column{Place: 1}, Clock: Column{Place: 2}, Columns: []ValueColumn{{Column: Column{Place: 3}, Parameter: cod}}}, "2026-10-05;07:30;12,5;x\n2026-10-06;07:30;1,5;x\n", []string{"1 ipal-01 2026-10-05T00:30 cod=12.5", "2 ipal-01 2026-10-06T00:30 cod=1.5"}},
		{"a described column is not there", Layout{Station: at.Station, Sample: Column{Name: "Kode"}}, "date;COD\n2026-10-05;1\n", []string{
			`f.csv:1: no header row with a column for "Kode"; the nearest is "date;COD". Add it, or describe the file under imports in the site file`,
		}},
		{"nothing is understood", Layout{}, "a;b;c\n1;2;3\n", []string{
			`f.csv:1: no header row with a column for the date of the sample (such as Tanggal or date), and for the station (such as Lokasi or station; or give --station), and for a parameter (such as COD (mg/L), or the two columns Parameter and Hasil); the nearest is "a;b;c". Add it, or describe the file under imports in the site file`,
		}},
		{"empty", at, "", []string{"f.csv: the file is empty; want a header row, and a row for each sample"}},
		{"blank lines only", at, "\n\n;;\n", []string{"f.csv: the file is empty; want a header row, and a row for each sample"}},
		{"unknown stations", Layout{}, "date;station;COD\n2026-10-05;ipal-9;1\n2026-10-06;;1\n2026-10-07;BAJAK HULU;1\n", []string{
			`2: column 2 "station": no station is called "ipal-9"; have ipal-01, bajak-2`,
			`3: column 2 "station": no station; write one of ipal-01, bajak-2`,
			"4 bajak-2 2026-10-06T17:00 cod=1",
		}},
		{"two faults in a row", Layout{}, "date;station;COD;BOD\n31/11/2026;ipal-9;1;2\n", []string{
			`2: column 2 "station": no station is called "ipal-9"; have ipal-01, bajak-2`,
			`2: column 1 "date": "31/11/2026": this month has no day 31, only 30`,
		}},
		{"the number of columns", at, "date,COD,pH\n2026-10-05,286,5,6,9\n2026-10-06,1\n2026-10-07,1,7,,,\n", []string{
			`2: the line has 5 columns, and the header 3; is it cut off, or does a cell hold an unquoted ","?`,
			`3: the line has 2 columns, and the header 3; is it cut off, or does a cell hold an unquoted ","?`,
			"4 ipal-01 2026-10-06T17:00 cod=1 ph=7",
		}},
		{"quotes", at, "date;COD;Catatan\n2026-10-05;1;\"dua\nbaris; \"\"kutip\"\"\"\n2026-10-06;2;\"terbuka\n2026-10-07;3;\"x\" y\n2026-10-08;4; \"z\" \n2026-10-09;5;5\" pipa\n", []string{
			"2 ipal-01 2026-10-04T17:00 cod=1",
			`4: a quote (") opens a text that does not end; remove the quote, or write "" for one that belongs to the text`,
			`5: something follows a closing quote ("); put the whole cell in quotes, and write "" for a quote that belongs to the text`,
			"6 ipal-01 2026-10-07T17:00 cod=4",
			"7 ipal-01 2026-10-08T17:00 cod=5",
		}},
		{"repeated rows", at, "date;COD;BOD\n2026-10-05;1;2\n2026-10-06;1;2\n2026-10-05;1;3\n", []string{
			"2 ipal-01 2026-10-04T17:00 cod=1 bod=2", "3 ipal-01 2026-10-05T17:00 cod=1 bod=2",
			`4: column 3 "BOD": line 2 has another value of bod for the same station and time; keep the right one, or tell samples apart by a sample number or a revision`,
		}},
		{"samples of one day told apart", at, "date;sample;revision;COD\n2026-10-05;A;;1\n2026-10-05;B;;2\n2026-10-05;A;Rev. 2;3\n2026-10-05;A;dua;4\n", []string{
			`2 ipal-01 2026-10-04T17:00 cod=1 sample="A"`, `3 ipal-01 2026-10-04T17:00 cod=2 sample="B"`, `4 ipal-01 2026-10-04T17:00 cod=3 sample="A" rev=2`,
			`5: column 3 "revision": "dua" is no revision; write a whole number, 1 for the first result and 2 for its correction`,
		}},
		{"times that cannot be", at, "date;COD;analysed\n1969-10-05;1;\n2026-11-24;1;\n2026-10-05;1;2026-10-04\n2026-10-06;1;-\n1971-10-05;1;\n", []string{
			`2: column 1 "date": 05/10/1969 is before 1970; is the year right?`,
			`3: column 1 "date": 24/11/2026 is in the future; are year, month and day right, the day before the month?`,
			`4: column 3 "analysed": analysed on 04/10/2026, before the sample was taken on 05/10/2026; one of the dates is wrong`,
			"5 ipal-01 2026-10-05T17:00 cod=1", "6 ipal-01 1971-10-04T17:00 cod=1",
		}},
		{"a logger whose clock was reset", Layout{Station: at.Station, Method: water.Sensor}, "timestamp,COD\n2000-01-01 00:00:00,1\n", []string{`2: column 1 "timestamp": 01/01/2000 is before 2001; is the year right?`}},
		{"physically impossible", at, "date;pH;COD\n2026-10-05;71;-1\n2026-10-06;14;0\n", []string{
			"2 ipal-01 2026-10-04T17:00 ph=71 cod=-1",
			`2: column 2 "pH": "71" cannot be: ph is from 0 to 14; kept and marked as bad. Is a decimal missing?`,
			`2: column 3 "COD": "-1" cannot be: cod is from 0 to 50000 mg/L; kept and marked as bad. Is a decimal missing?`,
			"3 ipal-01 2026-10-05T17:00 ph=14 cod=0",
		}},
		{"terminal escapes", Layout{}, "date;station;COD\n2026-10-05;\x1b[2Jx\u202e;1\n", []string{`2: column 2 "station": no station is called "?[2Jx?"; have ipal-01, bajak-2`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, counts := told(t, tt.content, tt.layout)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("samples and faults (-want +got):\n%s", diff)
			}
			values := 0
			for _, l := range got {
				if !strings.Contains(l, ": ") {
					values += strings.Count(l, "=") + strings.Count(l, "<") + strings.Count(l, ">") -
						strings.Count(l, "lab=") - strings.Count(l, "analysis=") - strings.Count(l, "sample=") - strings.Count(l, "rev=") - strings.Count(l, "analysed=") - strings.Count(l, "=NaN")
				}
			}
			if counts.Values != values {
				t.Errorf("got %d values counted, want %d", counts.Values, values)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	_, got := told(t, "date;COD;BOD;pH\n2026-10-05;1;<2;-\n2026-10-05;1;3;\nfoo;1;2;3\n2026-10-06;x;1;7\n;;;\n2026-10-07;1\n", Layout{Station: Text{Value: "ipal-01"}})
	want := Counts{Rows: 5, Values: 4, Censored: 1, Missing: 2, Repeated: 1, Refused: 1 + 3 + 1 + 1, RefusedRows: 4}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// However a file is encoded, it says the same.
func TestEncodings(t *testing.T) {
	const content = "Tanggal;Lokasi;Suhu (°C);DHL (µS/cm);No Sampel\n05/10/2026;Outlet IPAL;29,5;800;é\n"
	want := []string{`2 ipal-01 2026-10-04T17:00 temperature=29.5 ec=800 sample="é"`}
	utf16 := func(e unicode.Endianness, b unicode.BOMPolicy) string {
		s, err := unicode.UTF16(e, b).NewEncoder().String(content)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	windows, err := charmap.Windows1252.NewEncoder().String(content)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ encoding, content string }{
		"UTF-8":                                 {"", content},
		"UTF-8, said so":                        {UTF8, content},
		"UTF-8 with a mark":                     {"", "\ufeff" + content},
		"UTF-8 with a mark, though said not so": {Windows1252, "\ufeff" + content},
		"UTF-16 with a mark":                    {"", utf16(unicode.LittleEndian, unicode.UseBOM)},
		"UTF-16, big end first, with a mark":    {"", utf16(unicode.BigEndian, unicode.UseBOM)},
		"UTF-16":                                {"", utf16(unicode.LittleEndian, unicode.IgnoreBOM)},
		"UTF-16, big end first":                 {UTF16, utf16(unicode.BigEndian, unicode.IgnoreBOM)},
		"Windows-1252":                          {"", windows},
		"Windows-1252, said so":                 {Windows1252, windows},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := told(t, tt.content, Layout{Encoding: tt.encoding})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("samples and faults (-want +got):\n%s", diff)
			}
		})
	}
	got, _ := told(t, "date;COD;x\n2026-10-05;1;\xe9\n2026-10-06;1;\n", Layout{Encoding: UTF8, Station: Text{Value: "ipal-01"}})
	if diff := cmp.Diff([]string{"2: the line has characters that are not UTF-8; save the file as UTF-8, or set encoding: windows-1252", "3 ipal-01 2026-10-05T17:00 cod=1"}, got); diff != "" {
		t.Errorf("one bad line in UTF-8 (-want +got):\n%s", diff)
	}
}

func TestDates(t *testing.T) {
	const noDate = "no date"
	for _, tt := range []struct{ date, clock, want string }{
		{"05/10/2026", "", "2026-10-04T17:00:00Z"},
		{"5-10-26", "", "2026-10-04T17:00:00Z"},
		{"5.10.2026", "7.05", "2026-10-05T00:05:00Z"},
		{"2026/10/05", "07:05:09", "2026-10-05T00:05:09Z"},
		{"20261005", "", "2026-10-04T17:00:00Z"},
		{"5 Oktober 2026", "", "2026-10-04T17:00:00Z"},
		{"Senin, 5 Okt. 2026", "pukul 07.30 WIB", "2026-10-05T00:30:00Z"},
		{"5 agustus 2026", "", "2026-08-04T17:00:00Z"},
		{"5-Agt-26", "", "2026-08-04T17:00:00Z"},
		{"5 Mei 2026", "", "2026-05-04T17:00:00Z"},
		{"5 Des 2025", "", "2025-12-04T17:00:00Z"},
		{"5 March 2026", "", "2026-03-04T17:00:00Z"},
		{"2026-10-05T07:30:00Z", "", "2026-10-05T07:30:00Z"},
		{"2026-10-05 07:30:00.25+08:00", "", "2026-10-04T23:30:00.25Z"},
		{"05/10/2026 14:30 WITA", "", "2026-10-05T06:30:00Z"},
		{"05/10/2026", "2:05 PM", "2026-10-05T07:05:00Z"},
		{"05/10/2026 12:05 am", "", "2026-10-04T17:05:00Z"},
		{"05/10/2026 00:00", "07:30", "2026-10-05T00:30:00Z"},
		{"1795417200", "", "2026-11-23T07:00:00Z"},
		{"1795417200500", "", "2026-11-23T07:00:00.5Z"},
		{"29/02/2024", "", "2024-02-28T17:00:00Z"},

		{"", "", noDate},
		{"29/02/2026", "", "this month has no day 29, only 28"},
		{"00/10/2026", "", "has no day 0"},
		{"10/25/2026", "", "has no month 25; write the day before the month"},
		{"5/2026", "", "is no date"},
		{"besok", "", "is no date"},
		{"5 Okteber 2026", "", "is no date"},
		{"46300", "", "Excel's number for a day (05/10/2026)"},
		{"46300,3125", "", "Excel's number for a day (05/10/2026)"},
		{"05/10/2026", "7", "is no time of day"},
		{"05/10/2026", "24:00", "from 00:00 to 23:59"},
		{"05/10/2026", "07:60", "from 00:00 to 23:59"},
		{"05/10/2026", "13:00 PM", "is no time of day"},
		{"05/10/2026 08:00", "07:30", "leave one of them out"},
		{"05/10/2026x", "", "is no date"},
		{"2026-10-05T07:30:00+1", "", "is no date"},
	} {
		got, _, problem := new(Layout).readTime(tt.date, tt.clock, wib)
		said := got.Format(time.RFC3339Nano)
		if problem != (water.Text{}) {
			said = problem.English
		}
		if said != tt.want && (problem == (water.Text{}) || !strings.Contains(said, tt.want)) {
			t.Errorf("date %q, time of day %q: got %q, want %q", tt.date, tt.clock, said, tt.want)
		}
	}
}

func TestFormats(t *testing.T) {
	for _, tt := range []struct{ format, text, want string }{
		{"DD/MM/YYYY", "05/10/2026", "2026-10-05T00:00:00Z"},
		{"M/D/YY H:mm A", "10/5/26 2:05 PM", "2026-10-05T14:05:00Z"},
		{"D MMMM YYYY", "5 Oktober 2026", "2026-10-05T00:00:00Z"},
		{"YYYY-MM-DDTHH:mm:ssZ", "2026-10-05T07:30:15.5+07:00", "2026-10-05T00:30:15.5Z"},
		{"DD.MM.YYYY um HH:mm", "05.10.2026 um 07:30", "2026-10-05T07:30:00Z"},
		{"DD/MM/YYYY", "2026-10-05", ""},
		{"DD/MM/YYYY", "05/10/2026 07:30", ""},
		{"DD/MM/YYYY HH:mm", "05/10/2026", ""},
	} {
		l := Layout{Formats: []Format{format(t, tt.format)}}
		got, _, problem := l.readTime(tt.text, "", time.UTC)
		if ok := problem == (water.Text{}); ok != (tt.want != "") || ok && got.Format(time.RFC3339Nano) != tt.want {
			t.Errorf("%s of %q: got %v (%s), want %q", tt.format, tt.text, got, problem.English, tt.want)
		}
	}
	for _, bad := range []string{"", "DD/MM", "yyyy-mm-dd", "DD/MM/YYYY HH:MM", "HH", "words"} {
		if f, err := ParseFormat(bad); err == nil {
			t.Errorf("format %q: got %v, want an error", bad, f)
		}
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]water.Unit{
		"mg/l": "mg/L", "MG/L": "mg/L", "mg / L": "mg/L", "μg/L": "µg/L", "uS/cm": "µS/cm", "mS/cm": "mS/cm", "m³/jam": "m3/h", "L/detik": "L/s",
		"MPN/100 mL": "MPN/100mL", "Jml/100ml": "MPN/100mL", "°C": "°C", "oC": "°C", "-": "",
	} {
		if got, ok := ReadUnit(text); !ok || got != want {
			t.Errorf("unit %q: got %q, %v; want %q", text, got, ok, want)
		}
	}
	for _, text := range []string{"ppm", "%", "mg", "TCU"} {
		if got, ok := ReadUnit(text); ok {
			t.Errorf("unit %q: got %q, want none", text, got)
		}
	}
	// Every unit is spelled in the table as it is written elsewhere.
	for _, p := range parameters().All() {
		if got, ok := ReadUnit(string(p.Unit)); !ok || got != p.Unit {
			t.Errorf("unit %q of %s: got %q, %v", p.Unit, p.Code, got, ok)
		}
	}
}

// Whatever stands in a file, reading it ends, loses no line and lets nothing through
// that could harm a terminal, a point or a spreadsheet.
func FuzzReader(f *testing.F) {
	f.Add([]byte("date;station;COD (mg/L)\n05/10/2026;ipal-01;286,5\n"), "")
	f.Add([]byte("sep=,\nTanggal,Jam,COD,BOD\n5 Okt 2026,07.30,\"1,5\",<2\n"), "ipal-01")
	f.Add([]byte("Tanggal\tParameter\tHasil\tSatuan\n2026-10-05\tCOD\tttd\tmg/l\n\"\"\"\n"), "ipal-01")
	f.Add([]byte("\xff\xfed\x00a\x00t\x00e\x00"), "bajak-2")
	f.Add([]byte("date,COD\r2026-10-05,1e5\r\n\"open\n\n\n"), "ipal-01")
	f.Fuzz(func(t *testing.T, content []byte, station string) {
		r, err := NewReader(bytes.NewReader(content), options(Layout{Station: Text{Value: station}}))
		if err != nil {
			if _, ok := errors.AsType[Fault](err); !ok {
				t.Fatalf("got error %v, want a fault", err)
			}
			return
		}
		values, refused := 0, 0
		for last := 0; ; {
			s, faults, err := r.Next()
			for _, f := range faults {
				text := f.Text("id") + f.Text("en")
				if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
					t.Errorf("fault %q has what a terminal would obey", text)
				}
				refused += f.Values
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Line <= last {
				t.Fatalf("line %d after line %d", s.Line, last)
			}
			last = s.Line
			for _, v := range s.Values {
				if s.Station == nil || s.Time.IsZero() || s.Time.After(now.Add(MaxAhead)) || s.Time.Before(Earliest) || v.Parameter == nil || math.IsNaN(v.Value) || math.IsInf(v.Value, 0) {
					t.Errorf("got sample %+v with value %+v", s, v)
				}
				values++
			}
		}
		if c := r.Counts(); c.Values != values || c.Refused < refused {
			t.Errorf("got counts %+v, want %d values and at least %d refused", c, values, refused)
		}
	})
}
