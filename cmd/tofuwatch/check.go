package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/spf13/cobra"

	"tofuwatch/ingest/influx"
	"tofuwatch/ingest/mqtt"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/site"
)

// liveTime bounds each live check.
const liveTime = 30 * time.Second

// A liveCheck tries one thing that the site file names.
type liveCheck struct {
	name string
	what string // in words, for when it succeeds
	try  func(context.Context, *site.Site) error
	// applies says whether the site has such a thing; nil means that every one has.
	applies func(*site.Site) bool
}

var liveChecks = []liveCheck{
	{name: "broker", what: "connected, and the subscriptions are granted", try: func(ctx context.Context, s *site.Site) error {
		err := mqtt.Check(ctx, ingester.MQTTOptions(s, nil))
		if hint := brokerHint(err, s); hint != "" {
			err = fmt.Errorf("%w; %s", err, hint)
		}
		return err
	}},
	{name: "influxdb", what: "a point was written and deleted again", try: func(ctx context.Context, s *site.Site) error {
		return influx.Check(ctx, ingester.InfluxOptions(s))
	}},
	{
		name: "smtp", what: "the server would take mail to every recipient; none was sent", try: checkMail,
		applies: func(s *site.Site) bool { return s.SMTP != nil },
	},
}

func checkCommand() *cobra.Command {
	var live, asJSON bool
	cmd := &cobra.Command{
		Use:   "check --config site.yaml",
		Short: "Tell every fault of the site file, one a line",
		Args:  cobra.NoArgs,
	}
	load := siteFlag(cmd)
	cmd.Flags().BoolVar(&live, "live", false, "also try the broker, InfluxDB and the mail server")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		report := func(name, what string, err error) {
			switch {
			case asJSON && err != nil:
				_ = json.NewEncoder(out).Encode(map[string]any{"check": name, "ok": false, "fault": err.Error()})
			case asJSON:
				_ = json.NewEncoder(out).Encode(map[string]any{"check": name, "ok": true})
			case err != nil:
				fmt.Fprintf(out, "%s: FAILED: %v\n", name, err)
			default:
				fmt.Fprintf(out, "%s: ok: %s\n", name, what)
			}
		}
		report(s.File, count(len(s.Stations), "station"), nil)
		if !live {
			return nil
		}
		bad := false
		for _, c := range liveChecks {
			if c.applies != nil && !c.applies(s) {
				continue
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), liveTime)
			err := c.try(ctx, s)
			cancel()
			report(c.name, c.what, err)
			bad = bad || err != nil
		}
		if bad {
			return errTold
		}
		return nil
	}
	return cmd
}

// brokerHint says what a person should do about an error of the broker, or "".
func brokerHint(err error, s *site.Site) string {
	var network *net.OpError
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return "check mqtt.username and its password"
	case errors.As(err, &network):
		return fmt.Sprintf("is the broker running, and is %s its address?", s.MQTT.Broker.Redacted())
	}
	return ""
}
