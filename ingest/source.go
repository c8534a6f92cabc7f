package ingest

import (
	"cmp"
	"strings"
	"time"

	"tofuwatch/ingest/payload"
	"tofuwatch/internal/water"
)

// A Source is a topic that stations publish to, and how they write what they
// publish there.
type Source struct {
	Topic   string // as in the site file: a filter that may have {station} and {parameter} for a level each
	Decode  *payload.Decoder
	From    string          // ID of the station that all of it is from; "" where the topic or the messages say
	Zone    *time.Location  // of times without one; nil: the station's
	Arrival bool            // where a sample has no time, or one that cannot be, it is that of the message's arrival
	Layout  *payload.Layout // of binary frames; nil: the station's
}

// Levels of a source's topic that stand for what a message's topic has there.
const (
	stationLevel   = "{station}"
	parameterLevel = "{parameter}"
)

// Filter returns the MQTT topic filter that s subscribes to.
func (s Source) Filter() string {
	return strings.NewReplacer(stationLevel, "+", parameterLevel, "+").Replace(s.Topic)
}

// Station returns the station that topic names, or that all of s is from, if
// topic is one of s.
func (s Source) Station(topic string) (id string, ok bool) {
	id, _, ok = match(s.Topic, topic)
	id = cmp.Or(s.From, id)
	return id, ok && id != ""
}

// match reports whether topic is one of a source's, and what it names. A level
// that stands for something is not empty.
func match(pattern, topic string) (station, parameter string, ok bool) {
	// Sources mostly differ in their last level: look at it first.
	if last := pattern[strings.LastIndexByte(pattern, '/')+1:]; last != "" && strings.IndexByte("{+#", last[0]) < 0 && !strings.HasSuffix(topic, last) {
		return "", "", false
	}
	for {
		level, patternRest, patternMore := strings.Cut(pattern, "/")
		if level == "#" {
			return station, parameter, true
		}
		got, rest, more := strings.Cut(topic, "/")
		switch {
		case level == stationLevel && got != "":
			station = got
		case level == parameterLevel && got != "":
			parameter = got
		case level == stationLevel, level == parameterLevel, level != "+" && level != got:
			return "", "", false
		}
		if !patternMore || !more {
			return station, parameter, patternMore == more || patternRest == "#"
		}
		pattern, topic = patternRest, rest
	}
}

// wildness orders sources: of those that have a topic, the least wild one is
// meant. That is one without "#", then the one with more levels before its "#",
// then the one with fewer levels that stand for anything.
func (s Source) wildness() int {
	const rest = 1 << 18 // more than levels that fit a topic, twice
	n := strings.Count(s.Topic, "+") + strings.Count(s.Topic, "{")
	if strings.HasSuffix(s.Topic, "#") {
		n += rest - 2*strings.Count(s.Topic, "/")
	}
	return n
}

// Of returns the topics that a station publishes to: a filter, if a level may be
// anything.
func (s Source) Of(station string) string {
	return strings.NewReplacer(stationLevel, station, parameterLevel, "+").Replace(s.Topic)
}

// IsOf reports whether a station has topics of its own in s. It has none where
// messages say which station they are from: these are a gateway's or a network
// server's.
func (s Source) IsOf(station string) bool {
	return s.From == station || s.From == "" && strings.Contains(s.Topic, stationLevel)
}

// Presence is the source of the retained "online" and "offline" of stations.
var Presence = Source{Topic: "tofu/" + stationLevel + "/status"}

// Notices is the source of what people say of work on a station's sensors.
var Notices = Source{Topic: "tofu/" + stationLevel + "/maintenance"}

// A Logger is what sends in a station's name, where it differs from others of
// its source.
type Logger struct {
	Devices []string              // what messages call it, in any case, where that is not the station's ID
	Zone    *time.Location        // of times without one; nil: the site's
	Arrival bool                  // as of a Source
	Units   map[string]water.Unit // of values whose message states none, by the code of their parameter
	Layout  *payload.Layout       // of binary frames, before its source's; nil: none
}
