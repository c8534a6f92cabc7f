// Package access says who may do what at the broker, and how they prove who they
// are. Mosquitto is told in files that are written from it; the built-in broker
// asks it.
//
// Everybody has a username of their own. A station's is its ID: it publishes
// under its own topics and reads nothing. The ingester reads what the sources
// name and publishes nothing. Nobody else does anything.
package access

import (
	"fmt"
	"slices"
	"strings"

	"tofuwatch/ingest"
)

// Rules are what each may do.
type Rules struct {
	Ingester string          // its username
	Stations []string        // their IDs, which are their usernames too
	Sources  []ingest.Source // what stations publish; presence and notices are added
}

// topics are the sources', and those of presence and of notices. Who works on a
// station's sensors has the station's credentials, which could as well lie about
// the water.
func (r Rules) topics() []ingest.Source {
	return append(slices.Clone(r.Sources), ingest.Presence, ingest.Notices)
}

// MayPublish reports whether somebody may publish to a topic.
func (r Rules) MayPublish(username, topic string) bool {
	if !slices.Contains(r.Stations, username) {
		return false
	}
	return slices.ContainsFunc(r.topics(), func(s ingest.Source) bool {
		station, ok := s.Station(topic)
		return ok && station == username
	})
}

// MayRead reports whether somebody may have the messages of a topic filter.
func (r Rules) MayRead(username, filter string) bool {
	return username == r.Ingester && slices.ContainsFunc(r.topics(), func(s ingest.Source) bool { return s.Filter() == filter })
}

// MosquittoACL returns the rules as Mosquitto's acl_file.
func (r Rules) MosquittoACL() []byte {
	var b strings.Builder
	b.WriteString("# Who may do what. Written by \"tofuwatch render mosquitto\"; what is not here is\n# refused.\n")
	fmt.Fprintf(&b, "\n# The ingester.\nuser %s\n", r.Ingester)
	for _, s := range r.topics() {
		fmt.Fprintf(&b, "topic read %s\n", s.Filter())
	}
	b.WriteString("\n# Each station, under its own topics.\n")
	for _, id := range r.Stations {
		fmt.Fprintf(&b, "user %s\n", id)
		for _, s := range r.topics() {
			if s.IsOf(id) {
				fmt.Fprintf(&b, "topic write %s\n", s.Of(id))
			}
		}
	}
	return []byte(b.String())
}
