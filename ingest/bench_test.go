package ingest_test

import (
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"tofuwatch/ingest"
	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/payload"
	"tofuwatch/internal/water"
)

// BenchmarkPipeline is what a message costs between the broker's client and the
// disk: decoding, judging, and writing its lines. The messages are those of
// deploy/bench.
func BenchmarkPipeline(b *testing.B) {
	const stations = 100
	var (
		lines     []byte
		bytes     int
		corrected []water.Observation
		all       = make(map[string]*water.Station)
	)
	for i := range stations {
		s := &water.Station{ID: fmt.Sprintf("outlet-%03d", i), River: "bajak", Kind: water.Effluent}
		all[s.ID] = s
	}
	spool := spoolFunc(func(o ingest.Outcome) {
		lines = influx.Encode(lines[:0], o.Observations)
		corrected = corrected[:0]
		for _, c := range o.Corrections {
			corrected = append(corrected, c.Observation)
		}
		lines = influx.Encode(lines, corrected)
		bytes += len(lines)
	})
	p := newPipeline(b, all, spool)
	const perMessage = 50 * time.Microsecond
	topics := make([]string, stations)
	for i := range topics {
		topics[i] = fmt.Sprintf("tofu/outlet-%03d/readings", i)
	}
	var (
		i       int
		message []byte
		first   = time.Now().UTC().Truncate(time.Second).Add(-24 * time.Hour)
		began   = first.Add(12 * time.Hour)
	)
	b.ReportAllocs()
	for b.Loop() {
		at := first.Add(time.Duration(i/stations) * time.Second)
		message = append(message[:0], `{"time":`...)
		message = strconv.AppendInt(message, at.Unix(), 10)
		message = append(message, `,"bod":`...)
		message = strconv.AppendInt(message, int64(100+i/stations%97), 10)
		message = append(message, `,"cod":`...)
		message = strconv.AppendFloat(message, 200+float64(i/stations%1013)/10, 'f', 1, 64)
		message = append(message, `,"ph":`...)
		message = strconv.AppendFloat(message, 6+float64(i/stations%211)/100, 'f', 2, 64)
		message = append(message, '}')
		p.Handle(ingest.Message{Topic: topics[i%stations], Payload: message, Received: began.Add(time.Duration(i) * perMessage), Ack: func() {}})
		i++
	}
	b.ReportMetric(float64(bytes)/float64(i), "bytes/op")
}

func newPipeline(b *testing.B, stations map[string]*water.Station, spool ingest.Spool) *ingest.Pipeline {
	parameters, err := water.NewParameters()
	if err != nil {
		b.Fatal(err)
	}
	return ingest.NewPipeline(ingest.Options{
		Sources:  []ingest.Source{{Topic: "tofu/{station}/readings", Decode: payload.New("tofuwatch", payload.Settings{Parameters: parameters})}},
		Stations: stations, Parameters: parameters,
	}, spool, nobody{}, slog.New(slog.DiscardHandler))
}

// spoolFunc is a spool that decides at once.
type spoolFunc func(ingest.Outcome)

func (f spoolFunc) Append(o ingest.Outcome, done func(error)) {
	f(o)
	done(nil)
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Observe([]water.Observation) {}
func (nobody) Correct([]water.Correction)  {}
func (nobody) Online(*water.Station, bool) {}
