package ingest

import "testing"

func TestSourceStation(t *testing.T) {
	for _, test := range []struct {
		source, topic string
		want          string // "" if the topic is none of the source's
	}{
		{"tofu/{station}/readings", "tofu/ipal-01/readings", "ipal-01"},
		{"tofu/{station}/readings", "tofu/ipal-01/status", ""},
		{"tofu/{station}/readings", "tofu/ipal-01", ""},
		{"tofu/{station}/readings", "tofu/ipal-01/readings/more", ""},
		{"tofu/{station}/readings", "tofu/ipal-01/readings/", ""},
		{"tofu/{station}/readings", "/tofu/ipal-01/readings", ""},
		{"tofu/{station}/readings", "tofu//readings", ""}, // an empty level names nobody
		{"tofu/{station}/readings", "tofu/a/b/readings", ""},
		{"tofu/{station}/readings", "TOFU/ipal-01/readings", ""},
		{"tofu/{station}/readings", "", ""},
		{"{station}", "ipal-01", "ipal-01"},
		{"{station}", "ipal-01/readings", ""},
		{"{station}", "", ""},
		{"/{station}", "/ipal-01", "ipal-01"},
		{"/{station}", "ipal-01", ""},
		{"plants/+/{station}/up", "plants/south/ipal-01/up", "ipal-01"},
		{"plants/+/{station}/up", "plants//ipal-01/up", "ipal-01"},
		{"plants/+/{station}/up", "plants/south/west/ipal-01/up", ""},
		{"tofu/{station}/+", "tofu/ipal-01/readings", "ipal-01"},
		{"tofu/{station}/+", "tofu/ipal-01/", "ipal-01"},
		{"tofu/{station}/+", "tofu/ipal-01", ""},
		{"tofu/{station}/#", "tofu/ipal-01/readings/now", "ipal-01"},
		{"tofu/{station}/#", "tofu/ipal-01/", "ipal-01"},
		{"tofu/{station}/#", "tofu/ipal-01", "ipal-01"}, // MQTT: "#" is also the level above it
		{"tofu/{station}/#", "tofu//readings", ""},
		{"tofu/{station}/#", "tofu", ""},
		{"tofu/{station}/#", "other/ipal-01/readings", ""},
	} {
		id, ok := Source{Topic: test.source}.Station(test.topic)
		if !ok {
			id = ""
		}
		if id != test.want || ok != (test.want != "") {
			t.Errorf("source %q, topic %q: station %q, %t; want %q", test.source, test.topic, id, ok, test.want)
		}
	}
}

func TestSourceFilter(t *testing.T) {
	for topic, want := range map[string]string{
		"tofu/{station}/readings":    "tofu/+/readings",
		"{station}":                  "+",
		"+/{station}/#":              "+/+/#",
		"no station":                 "no station",
		"tofu/{station}/{parameter}": "tofu/+/+",
	} {
		if got := (Source{Topic: topic}).Filter(); got != want {
			t.Errorf("filter of %q is %q, want %q", topic, got, want)
		}
	}
}
