package ingest

import (
	"strings"

	"tofuwatch/ingest/payload"
)

// A Source is a topic that stations publish to, and the format of what they
// publish there.
type Source struct {
	Topic  string // as in the site file, with {station} for one level
	Decode payload.Decoder
}

// stationLevel stands in a source's topic for the level that names the station.
const stationLevel = "{station}"

// Filter returns the MQTT topic filter that s subscribes to.
func (s Source) Filter() string { return strings.Replace(s.Topic, stationLevel, "+", 1) }

// Station returns the station that topic names, if topic is one of s.
func (s Source) Station(topic string) (id string, ok bool) {
	pattern := s.Topic
	for {
		level, patternRest, patternMore := strings.Cut(pattern, "/")
		if level == "#" {
			return id, id != ""
		}
		got, rest, more := strings.Cut(topic, "/")
		switch {
		case level == stationLevel:
			id = got
		case level != "+" && level != got:
			return "", false
		}
		if !patternMore || !more {
			return id, id != "" && (patternMore == more || patternRest == "#")
		}
		pattern, topic = patternRest, rest
	}
}

// Of returns the topics that a station publishes to: a filter, if a level may be
// anything.
func (s Source) Of(station string) string { return strings.Replace(s.Topic, stationLevel, station, 1) }

// Presence is the source of the retained "online" and "offline" of stations.
var Presence = Source{Topic: "tofu/" + stationLevel + "/status"}

// Notices is the source of what people say of work on a station's sensors.
var Notices = Source{Topic: "tofu/" + stationLevel + "/maintenance"}
