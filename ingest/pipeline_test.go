package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tofuwatch/ingest/payload"
	"tofuwatch/internal/water"
)

var (
	nan      = math.NaN()
	outlet   = &water.Station{ID: "ipal-01", River: "bajak", Kind: water.Effluent, Sentinels: []float64{-9999}}
	received = time.Date(2026, 11, 23, 7, 0, 30, 0, time.UTC)
	sampled  = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
)

// parameters are the built-in ones.
var parameters = sync.OnceValue(func() *water.Parameters {
	p, err := water.NewParameters()
	if err != nil {
		panic(err)
	}
	return p
})

// native is a decoder of the system's own format.
func native() *payload.Decoder {
	return payload.New("tofuwatch", payload.Settings{Parameters: parameters()})
}

// spoolFunc is a spool that decides at once.
type spoolFunc func(Outcome) error

func (f spoolFunc) Append(o Outcome, done func(error)) { done(f(o)) }

// heldSpool is one that keeps everybody waiting.
type heldSpool struct{ done []func(error) }

func (s *heldSpool) Append(_ Outcome, done func(error)) { s.done = append(s.done, done) }

// recorder is an observer that remembers.
type recorder struct {
	observations []water.Observation
	corrections  []water.Correction
	online       []string
}

func (r *recorder) Observe(o []water.Observation) { r.observations = append(r.observations, o...) }

func (r *recorder) Correct(c []water.Correction) { r.corrections = append(r.corrections, c...) }

func (r *recorder) Online(s *water.Station, online bool) {
	r.online = append(r.online, fmt.Sprint(s.ID, " ", online))
}

func newTestPipeline(spool Spool, observer Observer, refused func(error)) *Pipeline {
	return NewPipeline(Options{
		Sources:    []Source{{Topic: "tofu/{station}/readings", Decode: native()}, {Topic: "old/{station}/#", Decode: native()}},
		Stations:   map[string]*water.Station{outlet.ID: outlet},
		Parameters: parameters(),
		Refused:    refused,
	}, spool, observer, slog.New(slog.DiscardHandler))
}

// seen is an observation as a test writes it.
func seen(code string, value float64, flag water.Flag, at time.Time) water.Observation {
	return water.Observation{
		Station: outlet, Parameter: parameters().Lookup([]byte(code)), Method: water.Sensor,
		Value: value, Flag: flag, Time: at,
	}
}

// sameValues takes observations for the same whatever each test said of them: that
// is the business of package quality.
var sameValues = cmp.Options{
	cmpopts.IgnoreFields(water.Observation{}, "Tests"),
	cmp.Comparer(func(a, b *water.Station) bool { return a == b }),
	cmp.Comparer(func(a, b *water.Parameter) bool { return a == b }),
	cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }),
}

func TestDecideKeepsReadings(t *testing.T) {
	p := newTestPipeline(nil, nil, nil)
	message := Message{
		Topic:    "tofu/ipal-01/readings",
		Payload:  []byte(`[{"time":"2026-11-23T07:00:00Z","COD":286.5,"pH":15,"suhu":null,"ec":-9999,"unheard":1},{"time":1795417201,"cod":"0"}]`),
		Received: received,
	}
	want := Outcome{
		Topic: "tofu/ipal-01/readings", Received: received,
		Observations: []water.Observation{
			seen("cod", 286.5, water.Good, sampled),
			seen("ph", 15, water.Bad, sampled),
			seen("temperature", math.NaN(), water.Missing, sampled),
			seen("ec", math.NaN(), water.Missing, sampled),
			seen("cod", 0, water.Suspect, sampled.Add(time.Second)),
		},
	}
	if diff := cmp.Diff(p.Decide(message), want, sameValues); diff != "" {
		t.Errorf("outcome (-got +want):\n%s", diff)
	}
	message.Topic, want.Topic = "old/ipal-01/anything/else", "old/ipal-01/anything/else"
	if diff := cmp.Diff(p.Decide(message), want, sameValues); diff != "" {
		t.Errorf("outcome for the other source (-got +want):\n%s", diff)
	}
	if got, want := want.Readings(), 5; got != want {
		t.Errorf("Readings() = %d, want %d", got, want)
	}
}

// What is derived stands behind what was sent, and counts.
func TestDecideDerives(t *testing.T) {
	p := newTestPipeline(nil, nil, nil)
	var given []water.Observation
	p.o.Derive = func(o []water.Observation) []water.Observation {
		given = slices.Clone(o)
		derived := seen("bod", 143, water.Good, sampled)
		derived.Method, derived.Estimation = water.Estimate, &water.Estimation{Model: "m", Low: 100, High: 200}
		return []water.Observation{derived}
	}
	o := p.Decide(Message{
		Topic:    "tofu/ipal-01/readings",
		Payload:  []byte(`[{"time":"2026-11-23T07:00:00Z","cod":286.5,"ph":7},{"cod":3}]`),
		Received: received,
	})
	sent := []water.Observation{seen("cod", 286.5, water.Good, sampled), seen("ph", 7, water.Good, sampled)}
	if diff := cmp.Diff(given, sent, sameValues); diff != "" {
		t.Errorf("derived from (-got +want):\n%s", diff)
	}
	derived := seen("bod", 143, water.Good, sampled)
	derived.Method, derived.Estimation = water.Estimate, &water.Estimation{Model: "m", Low: 100, High: 200}
	if diff := cmp.Diff(o.Observations, append(sent, derived), sameValues); diff != "" {
		t.Errorf("observations (-got +want):\n%s", diff)
	}
	if got, want := o.Readings(), 4; got != want { // one has no time
		t.Errorf("Readings() = %d, want %d", got, want)
	}
}

func TestDecideGivesReasons(t *testing.T) {
	const when = `"time":"2026-11-23T07:00:00Z"`
	type lost map[water.Reason]int
	good := []water.Observation{seen("cod", 1, water.Good, sampled)}
	huge := `{` + when + `,"cod":` + strings.Repeat(" ", payload.MaxBytes) + `1}`
	for name, test := range map[string]struct {
		topic, payload string // the topic is that of ipal-01 if empty
		want           lost
		kept           []water.Observation
		detail         string // is in the detail of each
	}{
		"not JSON":                              {"", `{"cod":1`, lost{water.Malformed: 1}, nil, ""},
		"too many bytes":                        {"", huge, lost{water.TooLarge: 1}, nil, "1048615 bytes; at most 1048576"},
		"too deep":                              {"", `{` + when + `,"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, lost{water.TooDeep: 1}, nil, ""},
		"too many samples":                      {"", `[` + strings.Repeat(`{},`, payload.MaxSamples) + `{}]`, lost{water.TooMany: 1}, nil, ""},
		"no parameter":                          {"", `{` + when + `,"battery":3.7}`, lost{water.NoReading: 1}, nil, ""},
		"foreign topic":                         {"weather/ipal-01", `{` + when + `,"cod":1,"ph":7}`, lost{water.UnknownTopic: 1}, nil, `no source has the topic "weather/ipal-01"; the site file's are tofu/{station}/readings, old/{station}/#`},
		"long topic":                            {strings.Repeat("x\n", 3000), `{}`, lost{water.UnknownTopic: 1}, nil, `x\n"…`},
		"unknown station":                       {"tofu/ipal-99/readings", `[{` + when + `,"cod":1,"ph":"?"},{"ec":1}]`, lost{water.UnknownStation: 3}, nil, `no station "ipal-99"; add it to the site file, restart, and replay`},
		"nothing of an unknown station decoded": {"tofu/ipal-99/readings", `{`, lost{water.UnknownStation: 1}, nil, ""},
		"no time":                               {"", `[{"cod":2,"ph":7},{` + when + `,"cod":1}]`, lost{water.NoTime: 2}, good, ""},
		"clock was reset":                       {"", `[{"time":0,"cod":2,"ph":7},{` + when + `,"cod":1}]`, lost{water.BadTime: 2}, good, "1970-01-01T00:00:00Z is before 2001"},
		"clock is ahead":                        {"", `[{"time":"2026-11-23T07:10:31Z","cod":2},{` + when + `,"cod":1}]`, lost{water.BadTime: 1}, good, "2026-11-23T07:10:31Z"},
		"unreadable time":                       {"", `[{"time":"yesterday","cod":2,"ph":7},{` + when + `,"cod":1}]`, lost{water.BadTime: 2}, good, ""},
		"text for a value":                      {"", `{` + when + `,"cod":1,"ph":"seven","ec":true}`, lost{water.BadValue: 2}, good, ""},
		"repeated key":                          {"", `{` + when + `,"cod":1,"ph":7,"pH":8}`, lost{water.DuplicateKey: 2}, good, ""},
		"everything at once": {
			"", `[{` + when + `,"cod":1,"ph":"x","ec":1,"EC":2},{"cod":3},{"time":1,"cod":4},{"time":2,"cod":5,"ph":6}]`,
			lost{water.BadValue: 1, water.DuplicateKey: 2, water.NoTime: 1, water.BadTime: 3},
			good, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.topic == "" {
				test.topic = "tofu/ipal-01/readings"
			}
			o := newTestPipeline(nil, nil, nil).Decide(Message{Topic: test.topic, Payload: []byte(test.payload), Received: received})
			got := make(lost)
			for _, l := range o.DeadLetters {
				if _, ok := got[l.Reason]; ok {
					t.Errorf("two dead letters of the reason %s", l.Reason)
				}
				got[l.Reason] = l.Readings
				want := []byte(test.payload)
				if l.Reason == water.TooLarge {
					want = want[:MaxKept]
				}
				if l.Topic != test.topic || !l.Received.Equal(received) || !bytes.Equal(l.Payload, want) {
					t.Errorf("dead letter of topic %q, %v, with %d bytes; want %q, %v, %d bytes", l.Topic, l.Received, len(l.Payload), test.topic, received, len(want))
				}
				if l.Detail == "" || !strings.Contains(l.Detail, test.detail) || len(l.Detail) > 1000 || strings.ContainsAny(l.Detail, "\n\x00") {
					t.Errorf("detail %q, want a line with %q", l.Detail, test.detail)
				}
				if more := strings.HasSuffix(l.Detail, andMore); more && strings.Count(l.Detail, andMore) != 1 {
					t.Errorf("detail %q says so more than once", l.Detail)
				}
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Errorf("readings lost (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(o.Observations, test.kept, sameValues); diff != "" {
				t.Errorf("observations (-got +want):\n%s", diff)
			}
		})
	}
	given := []water.Reason{
		water.Malformed, water.TooLarge, water.TooDeep, water.TooMany, water.NoReading, water.UnknownTopic,
		water.UnknownStation, water.NoTime, water.BadTime, water.BadValue, water.DuplicateKey,
		water.BadNotice,              // TestDecideNotices
		water.Refused, water.Damaged, // given by other packages
	}
	for _, reason := range water.Reasons() {
		if !slices.Contains(given, reason) {
			t.Errorf("the reason %s has no case here", reason)
		}
	}
}

func TestDecideAtTheEdgesOfTime(t *testing.T) {
	p := newTestPipeline(nil, nil, nil)
	for when, kept := range map[string]bool{
		"2026-11-23T07:10:30Z":      true, // ten minutes ahead
		"2026-11-23T07:10:30.001Z":  false,
		"2001-01-01T00:00:00Z":      true,
		"2000-12-31T23:59:59.999Z":  false,
		"2026-11-23T14:00:00+07:00": true,
	} {
		o := p.Decide(Message{Topic: "tofu/ipal-01/readings", Payload: []byte(`{"time":"` + when + `","cod":1}`), Received: received})
		if got := len(o.Observations) == 1; got != kept || o.Readings() != 1 {
			t.Errorf("%s: kept %t of %d readings, want %t of 1", when, got, o.Readings(), kept)
		}
	}
}

func TestHandleAcknowledgesWhatIsOnDisk(t *testing.T) {
	for name, body := range map[string]string{"readings": `{"time":1795417200,"cod":1}`, "a dead letter": "{"} {
		t.Run(name, func(t *testing.T) {
			s, r := new(heldSpool), new(recorder)
			p := newTestPipeline(s, r, func(err error) { t.Errorf("told of a refusal: %v", err) })
			acks := 0
			p.Handle(Message{Topic: "tofu/ipal-01/readings", Payload: []byte(body), Received: received, Ack: func() { acks++ }})
			if len(s.done) != 1 || acks != 0 {
				t.Fatalf("%d outcomes in the spool and %d acknowledgements before they are on disk, want 1 and 0", len(s.done), acks)
			}
			if got, want := len(r.observations), strings.Count(body, "cod"); got != want {
				t.Errorf("%d observations shown before they are on disk, want %d", got, want)
			}
			s.done[0](nil)
			if acks != 1 {
				t.Errorf("%d acknowledgements, want 1", acks)
			}
		})
	}
}

func TestHandleNeverAcknowledgesWhatWasRefused(t *testing.T) {
	full := errors.New("spool is full")
	var refused []error
	p := newTestPipeline(spoolFunc(func(Outcome) error { return full }), new(recorder), func(err error) { refused = append(refused, err) })
	for _, body := range []string{`{"time":1795417200,"cod":1}`, "{"} {
		p.Handle(Message{Topic: "tofu/ipal-01/readings", Payload: []byte(body), Received: received, Ack: func() { t.Error("acknowledged") }})
	}
	if len(refused) != 2 || !errors.Is(refused[0], full) {
		t.Errorf("told of %v, want %v twice", refused, full)
	}
}

func TestHandlePresence(t *testing.T) {
	r := new(recorder)
	p := newTestPipeline(spoolFunc(func(Outcome) error { t.Error("presence is in the spool"); return nil }), r, nil)
	acks := 0
	for _, m := range [][2]string{
		{"tofu/ipal-01/status", "online"},
		{"tofu/ipal-01/status", "offline"},
		{"tofu/ipal-01/status", ""},
		{"tofu/ipal-99/status", "online"}, // nobody knows it
	} {
		p.Handle(Message{Topic: m[0], Payload: []byte(m[1]), Received: received, Ack: func() { acks++ }})
	}
	if diff := cmp.Diff(r.online, []string{"ipal-01 true", "ipal-01 false", "ipal-01 false"}); diff != "" {
		t.Errorf("presence (-got +want):\n%s", diff)
	}
	if acks != 4 {
		t.Errorf("%d acknowledgements, want 4", acks)
	}
}

// flat is a message with one value of cod, so many intervals after sampled.
func flat(n int, value float64) Message {
	at := sampled.Add(time.Duration(n) * 2 * time.Minute)
	return Message{
		Topic: "tofu/ipal-01/readings", Payload: fmt.Appendf(nil, `{"time":%d,"cod":%v}`, at.Unix(), value),
		Received: at.Add(time.Second), Ack: func() {},
	}
}

func TestCorrectionsGoTheWayOfReadings(t *testing.T) {
	var kept []Outcome
	r := new(recorder)
	p := newTestPipeline(spoolFunc(func(o Outcome) error { kept = append(kept, o); return nil }), r, nil)
	for n, v := range []float64{100, 101, 900, 102} {
		p.Handle(flat(n, v))
	}
	last := kept[len(kept)-1]
	spike := seen("cod", 900, water.Suspect, sampled.Add(4*time.Minute))
	if diff := cmp.Diff(last.Corrections, []water.Correction{{Observation: spike, Was: water.Good}}, sameValues); diff != "" {
		t.Errorf("corrections for the spool (-got +want):\n%s", diff)
	}
	if got := last.Corrections[0].Tests.Flag(water.SpikeTest); got != water.Suspect {
		t.Errorf("the spike test says %s, want suspect", got)
	}
	if got, want := last.Readings(), 1; got != want {
		t.Errorf("the outcome accounts for %d readings, want %d", got, want)
	}
	if diff := cmp.Diff(r.corrections[len(r.corrections)-1:], last.Corrections, sameValues); diff != "" {
		t.Errorf("corrections for the observer (-got +want):\n%s", diff)
	}
	if got, want := len(r.observations), 4; got != want {
		t.Errorf("%d observations for the observer, want %d", got, want)
	}
}

// "deadletter show" may ask what would become of a message: that is no reading.
func TestDecideKnowsOfNoOtherReadings(t *testing.T) {
	r := new(recorder)
	p := newTestPipeline(spoolFunc(func(Outcome) error { return nil }), r, nil)
	for n := range 2 {
		p.Handle(flat(n, 100))
	}
	if o := p.Decide(flat(2, 900)); len(o.Corrections) > 0 || o.Observations[0].Flag != water.Good {
		t.Errorf("decided %+v, want a good reading and no corrections", o)
	}
	p.Handle(flat(3, 100))
	for _, c := range r.corrections {
		if c.Flag != water.Good {
			t.Errorf("correction %+v: what was only looked at is a neighbour", c)
		}
	}
	if o := p.Judge(flat(4, 900)); len(o.Corrections) == 0 {
		t.Errorf("judged %+v, want a correction of the one before", o)
	}
}

// What the disk refused comes again, and with it what it corrects.
func TestRefusedCorrectionsAreToldAgain(t *testing.T) {
	var refuse error
	var last Outcome
	p := newTestPipeline(spoolFunc(func(o Outcome) error { last = o; return refuse }), new(recorder), func(error) {})
	for n, v := range []float64{100, 101, 900} {
		p.Handle(flat(n, v))
	}
	refuse = errors.New("full")
	p.Handle(flat(3, 102))
	want := last.Corrections
	if len(want) != 1 || want[0].Flag != water.Suspect {
		t.Fatalf("corrections %+v, want that of the spike", want)
	}
	refuse = nil
	p.Handle(flat(3, 102))
	want[0].Was = 0 // nobody knows who was told
	if diff := cmp.Diff(last.Corrections, want, sameValues); diff != "" {
		t.Errorf("when it comes again (-got +want):\n%s", diff)
	}
	p.Handle(flat(3, 102))
	if len(last.Corrections) > 0 {
		t.Errorf("when it comes once more: %+v, want nothing", last.Corrections)
	}
}
