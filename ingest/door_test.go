package ingest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest/payload"
	"tofuwatch/internal/water"
)

// A retained message comes again on every connection: its arrival is no time.
func TestRetainedMessageHasNoTimeOfArrival(t *testing.T) {
	p := NewPipeline(Options{
		Sources:    []Source{{Topic: "tofu/{station}/readings", Decode: native(), Arrival: true}},
		Stations:   map[string]*water.Station{outlet.ID: outlet},
		Parameters: parameters(),
	}, nil, nil, slog.New(slog.DiscardHandler))
	for name, test := range map[string]struct {
		payload  string
		retained bool
		kept     []water.Observation
		lost     []water.Reason
	}{
		"live, without a time":       {`{"cod":1}`, false, []water.Observation{seen("cod", 1, water.Good, received)}, nil},
		"retained, without a time":   {`{"cod":1}`, true, nil, []water.Reason{water.NoTime}},
		"retained, with a time":      {`{"time":1795417200,"cod":1}`, true, []water.Observation{seen("cod", 1, water.Good, sampled)}, nil},
		"retained, clock was reset":  {`{"time":7,"cod":1}`, true, nil, []water.Reason{water.NoTime}},
		"live, clock was reset":      {`{"time":7,"cod":1}`, false, []water.Observation{seen("cod", 1, water.Good, received)}, nil},
		"live, time cannot be read":  {`{"time":"noon","cod":1}`, false, nil, []water.Reason{water.BadTime}},
		"live, two without a time":   {`[{"cod":1},{"cod":2}]`, false, []water.Observation{seen("cod", 1, water.Good, received)}, []water.Reason{water.NoTime}},
		"live, two of two without":   {`[{"cod":1},{"ph":2}]`, false, []water.Observation{seen("cod", 1, water.Good, received), seen("ph", 2, water.Good, received)}, nil},
		"live, no value of no time":  {`{"cod":"-"}`, false, []water.Observation{{Station: outlet, Parameter: parameters().Lookup([]byte("cod")), Method: water.Sensor, Value: nan, Flag: water.Missing, Time: received}}, nil},
		"live, with a time and none": {`[{"time":1795417200,"cod":1},{"cod":2}]`, false, []water.Observation{seen("cod", 1, water.Good, sampled), seen("cod", 2, water.Good, received)}, nil},
	} {
		o := p.Decide(Message{Topic: "tofu/ipal-01/readings", Payload: []byte(test.payload), Received: received, Retained: test.retained})
		if diff := cmp.Diff(o.Observations, test.kept, sameValues); diff != "" {
			t.Errorf("%s: observations (-got +want):\n%s", name, diff)
		}
		var lost []water.Reason
		for _, l := range o.DeadLetters {
			lost = append(lost, l.Reason)
		}
		if diff := cmp.Diff(lost, test.lost); diff != "" {
			t.Errorf("%s: dead letters (-got +want):\n%s", name, diff)
		}
	}
}

// Sentinels are compared as they were sent, and what is too large in the
// parameter's unit is no value that a database could take.
func TestUnitsAtTheDoor(t *testing.T) {
	const when = `{"time":1795417200,`
	p := NewPipeline(Options{
		Sources: []Source{{Topic: "tofu/{station}/readings", Decode: payload.New("tofuwatch", payload.Settings{
			Parameters: parameters(), Units: map[string]water.Unit{"flow": "L/s", "ec": "mS/cm"},
		})}},
		Stations:   map[string]*water.Station{outlet.ID: outlet},
		Loggers:    map[string]Logger{outlet.ID: {Units: map[string]water.Unit{"ec": "S/m", "level": "mm"}}},
		Parameters: parameters(),
	}, nil, nil, slog.New(slog.DiscardHandler))
	for body, want := range map[string][]water.Observation{
		when + `"flow":10}`:      {seen("flow", 36, water.Good, sampled)},
		when + `"flow":-9999}`:   {seen("flow", nan, water.Missing, sampled)},
		when + `"ec":0.5}`:       {seen("ec", 5000, water.Good, sampled)}, // the station's unit, not the source's
		when + `"level":1500}`:   {seen("level", 1.5, water.Good, sampled)},
		when + `"level":null}`:   {seen("level", nan, water.Missing, sampled)},
		when + `"cod":7}`:        {seen("cod", 7, water.Good, sampled)},
		when + `"flow":1.7e308}`: nil,
	} {
		o := p.Decide(Message{Topic: "tofu/ipal-01/readings", Payload: []byte(body), Received: received})
		if diff := cmp.Diff(o.Observations, want, sameValues); diff != "" {
			t.Errorf("%s: observations (-got +want):\n%s", body, diff)
		}
		if (len(o.DeadLetters) == 1) != (want == nil) || want == nil && o.DeadLetters[0].Reason != water.BadValue {
			t.Errorf("%s: dead letters %+v", body, o.DeadLetters)
		}
	}
}

// Of the sources that have a topic, the one that says most about it is meant,
// wherever it stands in the site file.
func TestTheClosestSourceIsMeant(t *testing.T) {
	topics := []string{"#", "tofu/{station}/{parameter}", "tofu/{station}/readings", "tofu/ipal-01/readings", "tofu/#", "+/{station}/#"}
	var sources []Source
	for _, topic := range topics {
		sources = append(sources, Source{Topic: topic})
	}
	p := NewPipeline(Options{Sources: sources}, nil, nil, slog.New(slog.DiscardHandler))
	for topic, want := range map[string]string{
		"tofu/ipal-01/readings": "tofu/ipal-01/readings",
		"tofu/ipal-02/readings": "tofu/{station}/readings",
		"tofu/ipal-02/ph":       "tofu/{station}/{parameter}",
		"tofu/ipal-02/a/b":      "tofu/#",
		"other/ipal-02/a":       "+/{station}/#",
		"other":                 "#",
	} {
		if got, _ := p.source(topic); topics[got] != want {
			t.Errorf("%s is of the source %s, want %s", topic, topics[got], want)
		}
	}
	if _, got := p.source("tofu/ipal-02/ph"); got != (named{"ipal-02", "ph"}) {
		t.Errorf("the topic names %+v, want ipal-02 and ph", got)
	}
}

// A gateway sends for several stations at once: a stranger among them costs the
// others nothing, and it is told what would let it in.
func TestSeveralStationsInAMessage(t *testing.T) {
	inlet := &water.Station{ID: "ipal-02", River: "bajak", Kind: water.Influent}
	p := NewPipeline(Options{
		Sources:    []Source{{Topic: "gateway/+", Decode: payload.New("senml-json", payload.Settings{Parameters: parameters()})}},
		Stations:   map[string]*water.Station{outlet.ID: outlet, inlet.ID: inlet},
		Loggers:    map[string]Logger{outlet.ID: {Devices: []string{"urn:dev:mac:AA01"}}},
		Zone:       time.UTC,
		Parameters: parameters(),
	}, nil, nil, slog.New(slog.DiscardHandler))
	o := p.Decide(Message{Topic: "gateway/1", Received: received, Payload: []byte(`[
		{"bn":"urn:dev:mac:aa01:","bt":1795417200,"n":"cod","v":1},{"n":"ph","v":"x"},
		{"bn":"urn:dev:mac:aa02:","n":"cod","v":2},{"n":"ph","v":"x"},
		{"bn":"ipal-02/","n":"cod","v":3}]`)})
	second := seen("cod", 3, water.Good, sampled)
	second.Station = inlet
	if diff := cmp.Diff(o.Observations, []water.Observation{seen("cod", 1, water.Good, sampled), second}, sameValues); diff != "" {
		t.Errorf("observations (-got +want):\n%s", diff)
	}
	type letter struct {
		reason   water.Reason
		readings int
		detail   string
	}
	var got []letter
	for _, l := range o.DeadLetters {
		got = append(got, letter{l.Reason, l.Readings, l.Detail})
	}
	want := []letter{
		{water.BadValue, 1, `sample 2: "ph" is "x"; want a number such as 7.1, or null for "no value"`},
		{water.UnknownStation, 2, `no station has the device "urn:dev:mac:aa02"; write device: "urn:dev:mac:aa02" to its station in the site file, restart, and replay`},
	}
	if diff := cmp.Diff(got, want, cmp.AllowUnexported(letter{})); diff != "" {
		t.Errorf("dead letters (-got +want):\n%s", diff)
	}
}
