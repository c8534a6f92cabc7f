package site

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest/table"
	"tofuwatch/internal/water"
)

func TestImports(t *testing.T) {
	s := loaded(t, "testdata/ok/imports.yaml", noEnv)
	cod, temperature := s.Parameters.Lookup([]byte("cod")), s.Parameters.Lookup([]byte("temperature"))
	format := func(text string) table.Format {
		f, err := table.ParseFormat(text)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	makassar, err := time.LoadLocation("Asia/Makassar")
	if err != nil {
		t.Fatal(err)
	}
	milligram, fahrenheit := water.Unit("mg/L"), water.Unit("°F")
	column := func(name string) table.Column { return table.Column{Name: name} }
	place := func(n int) table.Column { return table.Column{Place: n} }
	want := []table.Layout{
		{Name: "guessed", Method: water.Lab},
		{
			Name: "laboratory", Files: []string{"lab-*.csv"}, Method: water.Lab,
			Encoding: table.Windows1252, Separator: ';', Decimal: ',', Header: 4, Zone: makassar,
			Station: table.Text{Column: column("Lokasi")}, StationNames: map[string]string{"outlet_ipal": "ipal-01"},
			Time: column("Tanggal"), Clock: column("Jam"), Formats: []table.Format{format("DD/MM/YYYY"), format("DD/MM/YYYY HH:mm")}, At: 8*time.Hour + 30*time.Minute,
			Columns: []table.ValueColumn{
				{Column: column("COD"), Parameter: cod, Unit: &milligram, DetectionLimit: 5, Analysis: "SNI 6989.2:2019"},
				{Column: place(7), Parameter: temperature, Unit: &fahrenheit},
			},
			Missing: []string{"kosong"}, NotDetected: []string{"<mrl"},
			Laboratory: table.Text{Value: "DLH"}, Analysis: table.Text{Column: column("Metode")},
			Sample: place(2), Revision: column("Revisi"), Analysed: column("Tanggal Analisis"),
		},
		{
			Name: "logger", Files: []string{"*.log.csv", "*.dat"}, Method: water.Sensor, Separator: '\t', Header: table.NoHeader,
			Station: table.Text{Value: "ipal-01"}, Time: place(1),
			Long:           table.Long{Parameter: place(2), Value: place(3), Unit: place(4), Names: map[string]*water.Parameter{"beban_organik": cod}},
			DetectionLimit: place(5), Laboratory: table.Text{Column: place(6)},
		},
	}
	sameLayout := cmp.Options{
		cmp.Comparer(func(a, b *water.Parameter) bool { return a == b }),
		cmp.Comparer(func(a, b table.Format) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
	}
	if diff := cmp.Diff(want, s.Imports, sameLayout); diff != "" {
		t.Errorf("imports (-want +got):\n%s", diff)
	}
}
