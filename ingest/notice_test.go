package ingest

import (
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/water"
)

// workbook is a book in which people work on pH sensors for the minute after
// sampled, and which takes notices of anybody but Budi.
type workbook struct {
	notices []water.Notice
	kept    []water.Maintenance
}

func (w *workbook) During(_ *water.Station, p *water.Parameter, at time.Time) bool {
	return p.Code == "ph" && !at.Before(sampled) && at.Before(sampled.Add(time.Minute))
}

func (w *workbook) Decide(s *water.Station, n water.Notice) ([]water.Maintenance, []water.Visit, error) {
	w.notices = append(w.notices, n)
	if n.By == "Budi" {
		return []water.Maintenance{{}}, nil, errors.New("not Budi")
	}
	return []water.Maintenance{{Station: s, From: n.Received, By: n.By}}, nil, nil
}

func (w *workbook) Keep(m []water.Maintenance, _ []water.Visit, _ []water.Observation) {
	w.kept = append(w.kept, m...)
}

func newCarefulPipeline(spool Spool, w *workbook) *Pipeline {
	return NewPipeline(Options{
		Sources:  []Source{{Topic: "tofu/{station}/#", Decode: native()}},
		Stations: map[string]*water.Station{outlet.ID: outlet}, Parameters: parameters(),
		Care: w, Refused: func(error) {},
	}, spool, new(recorder), slog.New(slog.DiscardHandler))
}

func TestReadingsDuringMaintenance(t *testing.T) {
	p := newCarefulPipeline(nil, new(workbook))
	o := p.Decide(Message{
		Topic: "tofu/ipal-01/readings", Received: received,
		Payload: []byte(`[{"time":"2026-11-23T06:59:59Z","ph":7},{"time":"2026-11-23T07:00:00Z","ph":7,"cod":1},{"time":"2026-11-23T07:00:01Z","ph":null},{"time":"2026-11-23T07:01:00Z","ph":7}]`),
	})
	during := func(o water.Observation) water.Observation { o.Maintenance = true; return o }
	want := []water.Observation{
		seen("ph", 7, water.Good, sampled.Add(-time.Second)),
		during(seen("ph", 7, water.Bad, sampled)),
		seen("cod", 1, water.Good, sampled),
		during(seen("ph", math.NaN(), water.Missing, sampled.Add(time.Second))),
		seen("ph", 7, water.Good, sampled.Add(time.Minute)),
	}
	if diff := cmp.Diff(o.Observations, want, sameValues); diff != "" {
		t.Errorf("observations (-got +want):\n%s", diff)
	}
}

func TestDecideNotices(t *testing.T) {
	for name, test := range map[string]struct {
		topic, payload string
		reason         water.Reason // "" if it is followed, or nothing is wrong with it
		detail         string
		followed       int
	}{
		"followed":          {"tofu/ipal-01/maintenance", `{"state":"start"}`, "", "", 1},
		"refused":           {"tofu/ipal-01/maintenance", `{"state":"start","by":"Budi"}`, water.BadNotice, "not Budi", 0},
		"not understood":    {"tofu/ipal-01/maintenance", `{"state":"begin"}`, water.BadNotice, `no state "begin"; want start, end or calibration`, 0},
		"no JSON":           {"tofu/ipal-01/maintenance", `start`, water.Malformed, `not JSON: no object; want an object such as {"state":"start","parameters":["ph"],"by":"Sari"}`, 0},
		"of no station":     {"tofu/ipal-99/maintenance", `{"state":"start"}`, water.UnknownStation, `no station "ipal-99"; have another look at the topic`, 0},
		"empty":             {"tofu/ipal-01/maintenance", ``, "", "", 0},
		"empty, no station": {"tofu/ipal-99/maintenance", ``, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := newCarefulPipeline(nil, new(workbook)).Decide(Message{Topic: test.topic, Payload: []byte(test.payload), Received: received})
			var reason water.Reason
			var detail string
			for _, l := range o.DeadLetters {
				reason, detail = l.Reason, l.Detail
				if l.Readings != 1 || string(l.Payload) != test.payload {
					t.Errorf("dead letter %+v, want one of 1 reading with the payload", l)
				}
			}
			if len(o.DeadLetters) > 1 || reason != test.reason || detail != test.detail {
				t.Errorf("dead letters %+v, want %q, %q", o.DeadLetters, test.reason, test.detail)
			}
			if got := len(o.Maintenance); got != test.followed {
				t.Errorf("%d changes, want %d", got, test.followed)
			}
		})
	}
}

// A notice is acknowledged when it is on disk, whatever it says, and counted.
func TestNoticesAreAcknowledgedOnDisk(t *testing.T) {
	for name, body := range map[string]string{"a good one": `{"state":"start"}`, "a bad one": `{`, "an empty one": ``} {
		t.Run(name, func(t *testing.T) {
			s, w := new(heldSpool), new(workbook)
			p, acks := newCarefulPipeline(s, w), 0
			p.Handle(Message{
				Topic: Notices.Of("ipal-01"), Payload: []byte(body), Received: received,
				Duplicate: true, Retained: true, Ack: func() { acks++ },
			})
			if len(s.done) != 1 || acks != 0 {
				t.Fatalf("%d outcomes in the spool and %d acknowledgements before they are on disk, want 1 and 0", len(s.done), acks)
			}
			s.done[0](nil)
			if acks != 1 {
				t.Errorf("%d acknowledgements, want 1", acks)
			}
			if name == "a good one" {
				if n := w.notices[0]; !n.Duplicate || !n.Retained || !n.Received.Equal(received) || len(w.kept) != 1 {
					t.Errorf("got notice %+v and %d kept, want how it came, and 1", n, len(w.kept))
				}
			}
			if got := p.received[2].Load(); got != 1 {
				t.Errorf("%d notices counted, want 1", got)
			}
		})
	}
}
