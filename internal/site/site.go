// Package site reads the site file: what is measured where, how it arrives,
// where it is stored and who is told.
//
// [Load] returns a valid [Site], or every fault in the file with its line. It
// reads the files that the site file names and changes nothing.
package site

import (
	"net/url"
	"strings"
	"time"
	_ "time/tzdata" // time zones on a machine that has none installed

	"tofuwatch/ingest/payload"
	"tofuwatch/ingest/quality"
	"tofuwatch/ingest/table"
	"tofuwatch/internal/estimate"
	"tofuwatch/internal/water"
)

// A Site is a valid site file: Load returns no other.
type Site struct {
	File       string         // as given to Load
	Name       string         // the key "site"
	TimeZone   *time.Location // in which people are told times; Asia/Jakarta unless given
	DataDir    string         // absolute; spool, dead letters and last values live below it
	HTTP       HTTP
	MQTT       MQTT
	InfluxDB   InfluxDB
	Parameters *water.Parameters // the built-in ones and the site's own
	Stations   []Station         // in the order of the file; at least one
	// Tests are what the site holds readings of a parameter against, by its code.
	// Settings joins them with the rest.
	Tests      map[string]quality.Overrides
	Imports    []table.Layout // what files of laboratories and loggers are like, in the order of the file
	Recipients []Recipient    // in the order of the file
	SMTP       *SMTP          // nil if the file has none
	Files      []File         // what the site file names, and Load has read; in the order in which it was read
	// LongestMaintenance is when work that was started by message is over at the
	// latest; 0 if the file does not say.
	LongestMaintenance time.Duration
}

// A File is one that the site file names.
type File struct {
	Path   string // absolute
	Secret bool   // a password, a token or a key
}

// HTTP is where the ingester answers Prometheus and health checks.
type HTTP struct {
	Listen string // host:port; an empty host is every interface, port 0 any free one
	// WebConfigFile is a web configuration of Prometheus' exporter toolkit; absolute,
	// or empty: neither TLS nor a login, which only this machine's addresses may have.
	WebConfigFile string
	Encrypted     bool   // by WebConfigFile
	Username      string // as whom Prometheus and "tofuwatch ready" log in; empty: without a password
	Password      Secret // given if Username is
	TLS           *TLS   // whom they trust, and their certificate; nil if the file has none
}

// URL returns where s is served, from the address that somebody reaches.
func (h HTTP) URL(address string) string {
	if h.Encrypted {
		return "https://" + address
	}
	return "http://" + address
}

// MQTT is the broker and what is read from it.
type MQTT struct {
	Broker   *url.URL // tcp, ssl, ws or wss, always with a port
	ClientID string   // names the persistent session
	Username string   // empty: none
	Password Secret   // empty: none
	TLS      *TLS     // nil if the file has none; used with ssl and wss only
	Sources  []Source // at least one
}

// A Source is one subscription, and how what comes through it is written.
type Source struct {
	Topic    string           // as written: an MQTT filter in which a level may be {station}, and one {parameter}
	Format   string           // a key of payload.Formats
	Station  string           // ID of the station that all of it is from; "" where topic or messages say
	TimeZone *time.Location   // of times without a zone; nil: the station's
	Arrival  bool             // where a sample has no time, it is that of the message's arrival
	Frames   string           // a key of payload.Layouts: what binary frames are; "": the station's
	Payload  payload.Settings // names, units and the like
}

// Filter returns the topic as a broker wants it: {station} and {parameter} are "+".
func (s Source) Filter() string {
	return strings.NewReplacer(stationLevel, "+", parameterLevel, "+").Replace(s.Topic)
}

// A Logger is what sends in a station's name, where it is not as its source says.
type Logger struct {
	Devices  []string              // what messages call it, where that is not the station's ID
	TimeZone *time.Location        // of times without a zone; nil: the site's
	Arrival  bool                  // as of a Source
	Frames   string                // a key of payload.Layouts; "": its source's
	Units    map[string]water.Unit // of values whose message states none, by parameter code; nil: none
}

// InfluxDB is where observations are stored.
type InfluxDB struct {
	URL    *url.URL // http or https
	Org    string   // 2.x; 1.8 ignores it
	Bucket string   // on 1.8 the database, or database/retention-policy
	Token  Secret   // on 1.8 user:password; empty: none
	TLS    *TLS     // nil if the file has none; used with https only
}

// A Station is a place where water is measured, with the limits that hold there.
// Its Latitude and Longitude are NaN where the file gives none.
type Station struct {
	*water.Station
	Logger    Logger
	Standards []string         // names of regulations; the strictest bound binds; nil: none
	Limits    map[string]Limit // the site's own, by parameter code; nil: none
	Treatment *Treatment       // nil unless the file says of which plant this is the outlet
	// Tests are what readings are held against here, by parameter code.
	Tests map[string]quality.Overrides
	// Maintenance is planned work on the sensors, in the order of the file.
	Maintenance []water.Maintenance
	Estimates   []*estimate.Model // what is calculated there; at most one of a parameter holds at a time
}

// Treatment is the plant that an effluent station is the outlet of.
type Treatment struct {
	Influent  string        // ID of the station at its inlet
	Retention time.Duration // how long the water takes to pass it; 0: not known
}

// A Limit is the site's own bound on a parameter at one station, both in the
// parameter's unit. At least one of Min and Max is given.
type Limit struct {
	Min, Max *float64 // nil: no such bound
	Override bool     // may be laxer than the standards; then Reason says why
	Reason   string   // for people
}

// A Recipient is somebody who is told by e-mail. One with neither Rivers nor
// Stations is told of all.
type Recipient struct {
	Name     string // unique in the file
	Email    string // without a display name
	Language string // id or en
	Rivers   []string
	Stations []string
	Severity string // the least that is told: warning or critical
}

// SMTP is the server that takes the mail.
type SMTP struct {
	Host     string
	Port     int
	TLS      string // starttls, implicit, or none, which is for a server on this machine only
	From     string // without a display name
	Username string // empty: no login
	Password Secret // given if Username is
}

// Estimates returns the models of all stations.
func (s *Site) Estimates() []*estimate.Model {
	var models []*estimate.Model
	for _, st := range s.Stations {
		models = append(models, st.Estimates...)
	}
	return models
}

// Station returns the station with this ID, and whether there is one.
func (s *Site) Station(id string) (Station, bool) {
	for _, st := range s.Stations {
		if st.ID == id {
			return st, true
		}
	}
	return Station{}, false
}

// Maintenance returns the planned work at all stations.
func (s *Site) Maintenance() []water.Maintenance {
	var all []water.Maintenance
	for _, st := range s.Stations {
		all = append(all, st.Maintenance...)
	}
	return all
}
