package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	_ "time/tzdata" // for times without a site file that names a zone

	"github.com/spf13/cobra"

	"tofuwatch/ingest"
	"tofuwatch/ingest/payload"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

func decodeCommand() *cobra.Command {
	var (
		file, format, topic, station, frames, at string
		asJSON                                   bool
	)
	formats := strings.Join(slices.Sorted(maps.Keys(payload.Formats)), ", ")
	cmd := &cobra.Command{
		Use:   "decode --format FORMAT [--config site.yaml] [--topic TOPIC] < MESSAGE",
		Short: "Show what becomes of a message, and why what is refused is",
		Long: `Show what becomes of a message, and why what is refused is.

The message is read from standard input, byte by byte as the broker would hand it
on. Nothing is stored. With a site file the message is decided on as the ingester
would: by the source that has the topic, or the only one of the format. Without
one, every station and device is taken for known, and what a message leaves open
is taken as the format has it.

Formats: ` + formats + `.
Status is 1 if nothing of the message could be used.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&format, "format", "", "how the message is written")
	flags.StringVar(&file, "config", "", "site file, for its stations, sources and parameters")
	flags.StringVar(&topic, "topic", "", "topic that the message was published on")
	flags.StringVar(&station, "station", "", "without a site file: the station that the message is from")
	flags.StringVar(&frames, "frames", "", "without a site file: what binary frames are, for example decentlab-pheht")
	flags.StringVar(&at, "received", "", "when the message came, for example 2026-11-23T07:00:00Z (default now)")
	flags.BoolVar(&asJSON, "json", false, "write a JSON object")
	cmd.MarkFlagsOneRequired("format", "config")
	cmd.MarkFlagsMutuallyExclusive("config", "station")
	cmd.MarkFlagsMutuallyExclusive("config", "frames")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, ok := payload.Formats[format]; !ok && format != "" {
			return usageError{fmt.Errorf("--format %s: have %s", strconv.Quote(format), formats)}
		}
		if _, ok := payload.Layouts[frames]; !ok && frames != "" {
			return usageError{fmt.Errorf("--frames %s: have %s", strconv.Quote(frames), strings.Join(slices.Sorted(maps.Keys(payload.Layouts)), ", "))}
		}
		received := time.Now().UTC()
		if at != "" {
			var err error
			if received, err = time.Parse(time.RFC3339, at); err != nil {
				return usageError{fmt.Errorf("--received %s: want a time such as 2026-11-23T07:00:00Z", strconv.Quote(at))}
			}
		}
		var (
			options ingest.Options
			err     error
		)
		zone := time.UTC
		if file != "" {
			var s *site.Site
			if s, err = site.Load(file, os.Getenv); err != nil {
				return err
			}
			zone, options = s.TimeZone, ingester.PipelineOptions(s)
			topic, err = topicAt(s, format, topic)
		}
		if err != nil {
			return err
		}
		message, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), payload.MaxBytes+1))
		if err != nil {
			return fmt.Errorf("read the message: %w", err)
		}
		if file == "" {
			if options, topic, zone, err = anySite(format, topic, station, frames, message); err != nil {
				return err
			}
		}
		d := decodedMessage(options, ingest.Message{Topic: topic, Payload: message, Received: received})
		if asJSON {
			err = json.NewEncoder(cmd.OutOrStdout()).Encode(d)
		} else {
			err = d.print(cmd.OutOrStdout(), zone)
		}
		if err == nil && len(d.Readings) == 0 {
			return errTold
		}
		return err
	}
	return cmd
}

// topicAt returns a topic that a source of s has: the given one, or one of the
// only source of a format.
func topicAt(s *site.Site, format, topic string) (string, error) {
	if topic != "" {
		return topic, nil
	}
	var fit []site.Source
	for _, source := range s.MQTT.Sources {
		if source.Format == format || format == "" {
			fit = append(fit, source)
		}
	}
	switch {
	case len(fit) == 0:
		return "", usageError{fmt.Errorf("--format %s: no source of the site file has it; leave --config out to decode without one", format)}
	case len(fit) > 1, strings.Contains(fit[0].Topic, "{"):
		return "", usageError{fmt.Errorf("--topic is required: it says which source, station or parameter the message is of; for example %s",
			strings.NewReplacer("{station}", s.Stations[0].ID, "{parameter}", "ph", "+", "x", "#", "x").Replace(fit[0].Topic))}
	}
	return strings.NewReplacer("+", "x", "#", "x").Replace(fit[0].Topic), nil
}

// nobody is the station of a message that does not say, when no site file does.
const nobody = "?"

// anySite returns what messages of a format are decided by where there is no
// site file: all that they name is known.
func anySite(format, topic, station, frames string, message []byte) (o ingest.Options, _ string, zone *time.Location, err error) {
	f := payload.Formats[format]
	switch {
	case f.NeedsMapping:
		return o, "", nil, usageError{fmt.Errorf("--config is required with format %s: the site file has the mapping", format)}
	case f.TopicParameter && topic == "":
		return o, "", nil, usageError{fmt.Errorf("--topic is required with format %s: its last level is the parameter, for example tofu/ipal-01/ph", format)}
	}
	o.Parameters, err = water.NewParameters()
	if err != nil {
		return o, "", nil, err
	}
	if zone, err = time.LoadLocation("Asia/Jakarta"); err != nil {
		return o, "", nil, err
	}
	if station == "" {
		station = nobody
	}
	source := ingest.Source{
		Topic: "#", Arrival: true, Layout: payload.Layouts[frames],
		Decode: payload.New(format, payload.Settings{Parameters: o.Parameters}),
	}
	levels := strings.Split(topic, "/")
	switch {
	case f.TopicParameter && len(levels) > 1:
		levels[len(levels)-2], levels[len(levels)-1] = "{station}", "{parameter}"
		source.Topic = strings.Join(levels, "/")
	case station != nobody || !f.NamesDevice:
		source.From = station
		if parts := strings.Split(topic, "/"); station == nobody && len(parts) == 3 && parts[0] == "tofu" {
			source.From = parts[1]
		}
	}
	o.Zone, o.Sources = zone, []ingest.Source{source}
	o.Stations = map[string]*water.Station{}
	o.Loggers = map[string]ingest.Logger{}
	known := func(id string, devices ...string) {
		o.Stations[id] = &water.Station{ID: id, Latitude: math.NaN(), Longitude: math.NaN(), Sentinels: []float64{-9999}}
		o.Loggers[id] = ingest.Logger{Devices: devices}
	}
	known(station)
	if source.From != "" {
		known(source.From)
	}
	if id, ok := source.Station(topic); ok {
		known(id)
	}
	var d payload.Decoded
	source.Decode.Decode(&d, payload.Input{Payload: message})
	for _, frame := range d.Frames {
		source.Decode.DecodeFrame(&d, frame, source.Layout)
	}
	for _, r := range d.Readings {
		if len(r.Device) > 0 {
			known(r.Device[0], r.Device...)
		}
	}
	for _, fault := range d.Faults {
		if len(fault.Device) > 0 {
			known(fault.Device[0], fault.Device...)
		}
	}
	if topic == "" {
		topic = format
	}
	return o, topic, zone, nil
}

// A decoded message, as people and programs read it.
type decoded struct {
	Topic    string            `json:"topic"`
	Readings []decodedReading  `json:"readings"`
	Refused  []refusedReadings `json:"refused"`
	Ignored  []string          `json:"ignored"`
}

type decodedReading struct {
	Station   string     `json:"station"`
	Parameter string     `json:"parameter"`
	Value     *float64   `json:"value"` // null: no value
	Unit      water.Unit `json:"unit"`
	Time      time.Time  `json:"time"`
	Flag      string     `json:"flag"`
	arrival   bool       // Time is that of the message's arrival
}

type refusedReadings struct {
	Reason   water.Reason `json:"reason"`
	Readings int          `json:"readings"`
	Detail   string       `json:"detail"`
}

// decodedMessage decides what becomes of a message.
func decodedMessage(o ingest.Options, msg ingest.Message) decoded {
	d := decoded{Topic: msg.Topic, Readings: []decodedReading{}, Refused: []refusedReadings{}, Ignored: []string{}}
	e := ingest.NewPipeline(o, nil, nil, slog.New(slog.DiscardHandler)).Explain(msg)
	for _, obs := range e.Observations {
		r := decodedReading{
			Station: obs.Station.ID, Parameter: obs.Parameter.Code, Unit: obs.Parameter.Unit,
			Time: obs.Time, Flag: obs.Flag.String(), arrival: obs.Time.Equal(msg.Received),
		}
		if !math.IsNaN(obs.Value) {
			r.Value = &obs.Value
		}
		d.Readings = append(d.Readings, r)
	}
	for _, l := range e.Refused {
		d.Refused = append(d.Refused, refusedReadings{l.Reason, l.Readings, l.Detail})
	}
	d.Ignored = append(d.Ignored, e.Ignored...)
	return d
}

// print writes d as a table, with times in a zone.
func (d decoded) print(out io.Writer, zone *time.Location) error {
	if len(d.Readings) > 0 {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "STATION\tPARAMETER\tVALUE\tUNIT\tTIME\tFLAG")
		for _, r := range d.Readings {
			value := "-"
			if r.Value != nil {
				value = strconv.FormatFloat(*r.Value, 'g', 7, 64)
			}
			when := r.Time.In(zone).Format("2006-01-02 15:04:05.999 MST")
			if r.arrival {
				when += " (arrival)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(r.Station), r.Parameter, value, r.Unit, when, r.Flag)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(out, "Nothing of this message could be used.")
	}
	if slices.ContainsFunc(d.Readings, func(r decodedReading) bool { return r.Station == nobody }) {
		fmt.Fprintln(out, "\n?: the message does not say its station; the topic does, or the site file.")
	}
	if slices.ContainsFunc(d.Readings, func(r decodedReading) bool { return r.arrival }) {
		fmt.Fprintln(out, "\n(arrival): no time of its own that can be; used only where the site file has \"time: received\".")
	}
	for i, r := range d.Refused {
		if i == 0 {
			fmt.Fprintln(out, "\nRefused:")
		}
		fmt.Fprintf(out, "  %s, %s: %s\n", r.Reason, count(r.Readings, "reading"), r.Detail)
	}
	if len(d.Ignored) > 0 {
		names := make([]string, len(d.Ignored))
		for i, key := range d.Ignored {
			names[i] = printable(strconv.Quote(key))
		}
		fmt.Fprintf(out, "\nIgnored, for they name no parameter: %s\n", strings.Join(names, ", "))
	}
	return nil
}
