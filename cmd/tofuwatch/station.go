package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"tofuwatch/ingest"
	"tofuwatch/internal/access"
	"tofuwatch/internal/site"
)

func stationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "station",
		Short: "Give stations their credentials for the broker, or take them away",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("station what? Have list, add, rotate, revoke")}
		},
	}
	cmd.AddCommand(
		stationListCommand(),
		stationGive("add", "Make a station's credentials", false),
		stationGive("rotate", "Make a station's credentials anew: the old ones end", true),
		stationRevokeCommand(),
	)
	return cmd
}

// credentialsFile is where a site keeps the hashes of its stations' passwords.
func credentialsFile(s *site.Site) string { return filepath.Join(s.DataDir, access.FileName) }

func stationListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list --config site.yaml",
		Short: "Say which stations have credentials",
		Args:  cobra.NoArgs,
	}
	load := siteFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		credentials, err := access.LoadCredentials(credentialsFile(s))
		if err != nil {
			return err
		}
		type row struct {
			Station     string `json:"station"`
			Name        string `json:"name,omitempty"` // empty: the site file has no such station
			Credentials bool   `json:"credentials"`
		}
		rows := make([]row, 0, len(s.Stations))
		for _, station := range s.Stations {
			rows = append(rows, row{station.ID, station.Name, credentials.Has(station.ID)})
		}
		for _, id := range credentials.Usernames() {
			if _, ok := s.Station(id); !ok {
				rows = append(rows, row{Station: id, Credentials: true})
			}
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(rows)
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "STATION\tCREDENTIALS\tNAME")
		for _, r := range rows {
			has := map[bool]string{true: "yes", false: "no"}[r.Credentials]
			fmt.Fprintf(w, "%s\t%s\t%s\n", r.Station, has, cmp.Or(r.Name, "not in the site file: revoke it"))
		}
		return w.Flush()
	}
	return cmd
}

func stationGive(verb, short string, again bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   verb + " ID --config site.yaml",
		Short: short,
		Long: short + `, and print what goes into its logger.
They are shown this once: only a hash of the password is kept. The built-in broker knows
them at once. Mosquitto does after "tofuwatch render mosquitto" and a reload.`,
		Args: cobra.ExactArgs(1),
	}
	load := siteFlag(cmd)
	host := cmd.Flags().String("host", "", "name or address by which the logger reaches the broker; by default that of mqtt.broker")
	port := cmd.Flags().String("port", "", "the broker's port for loggers; by default that of mqtt.broker")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	noQR := cmd.Flags().Bool("no-qr", false, "print no QR code")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		station, ok := s.Station(args[0])
		if !ok {
			return usageError{fmt.Errorf("no station %q in %s; add it there first", args[0], s.File)}
		}
		if s.MQTT.Username == "" {
			return usageError{fmt.Errorf("%s: mqtt.username: missing; the broker asks nobody for credentials until the ingester has some", s.File)}
		}
		if s.MQTT.Username == station.ID {
			return usageError{fmt.Errorf("%s: mqtt.username: %s is a station; want another name for the ingester", s.File, s.MQTT.Username)}
		}
		card := newCard(s, station, *host, *port)
		err = access.ChangeCredentials(credentialsFile(s), func(c *access.Credentials) error {
			switch has := c.Has(station.ID); {
			case has && !again:
				return fmt.Errorf("station %s has credentials; \"tofuwatch station rotate\" makes new ones", station.ID)
			case !has && again:
				return fmt.Errorf("station %s has no credentials; \"tofuwatch station add\" makes some", station.ID)
			}
			return c.Set(station.ID, card.Password)
		})
		if err != nil {
			return err
		}
		if *asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(card)
		}
		card.print(cmd.OutOrStdout(), !*noQR)
		for _, warning := range card.warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "tofuwatch:", warning)
		}
		return nil
	}
	return cmd
}

func stationRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke ID --config site.yaml",
		Short: "Take a station's credentials away",
		Args:  cobra.ExactArgs(1),
	}
	load := siteFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		err = access.ChangeCredentials(credentialsFile(s), func(c *access.Credentials) error {
			if !c.Remove(args[0]) {
				return fmt.Errorf("station %q has no credentials", args[0])
			}
			return nil
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s has no credentials any more. Mosquitto knows after \"tofuwatch render mosquitto\" and a reload.\n", args[0])
		return nil
	}
	return cmd
}

// A card is what goes into a station's logger.
type card struct {
	Station  string `json:"station"`
	Host     string `json:"host"`
	Port     string `json:"port"`
	TLS      bool   `json:"tls"`
	Username string `json:"username"`
	Password string `json:"password"`
	ClientID string `json:"client_id"`
	Topic    string `json:"topic"`
	Status   string `json:"status_topic"`
	Payload  string `json:"payload"`

	name     string
	warnings []string
}

func newCard(s *site.Site, station site.Station, host, port string) card {
	c := card{
		Station: station.ID, name: station.Name,
		Host: cmp.Or(host, s.MQTT.Broker.Hostname()), Port: cmp.Or(port, s.MQTT.Broker.Port()),
		TLS:      s.MQTT.Broker.Scheme == "ssl" || s.MQTT.Broker.Scheme == "wss",
		Username: station.ID, Password: access.NewPassword(), ClientID: station.ID,
		Topic: nativeTopic(s, station.ID), Status: ingest.Presence.Of(station.ID),
		Payload: samplePayload(station),
	}
	if ip := net.ParseIP(c.Host); c.Host == "localhost" || ip != nil && ip.IsLoopback() {
		c.warnings = append(c.warnings, fmt.Sprintf("no logger reaches the broker at %s; --host says by which name it does", c.Host))
	}
	if !c.TLS {
		c.warnings = append(c.warnings, "the password travels in the clear; an mqtt.broker with ssl:// encrypts it")
	}
	return c
}

// samplePayload returns a message with a value for each parameter of a station,
// in the middle of what can be measured.
func samplePayload(station site.Station) string {
	values := []string{fmt.Sprintf("%q:%q", "time", time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC).Format(time.RFC3339))}
	for _, code := range slices.Sorted(maps.Keys(station.Instruments)) {
		values = append(values, fmt.Sprintf("%q:%.4g", code, sampleValues[code]))
	}
	if len(values) == 1 {
		values = append(values, `"ph":7.1`)
	}
	return "{" + strings.Join(values, ",") + "}"
}

// sampleValues are what a message for a try might say.
var sampleValues = map[string]float64{
	"bod": 142, "cod": 286.5, "ph": 7.1, "tss": 88, "temperature": 29.4, "do": 2.1, "ec": 640, "turbidity": 31,
	"nh3n": 1.2, "flow": 0.5123, "level": 0.42, "orp": -15, "tds": 320, "no3n": 1.1, "no2n": 0.04, "total_n": 4, "po4p": 0.2,
	"total_p": 0.4, "oil": 3, "fecal_coliform": 900, "total_coliform": 4000,
}

// url returns the card as one text, for a logger that reads QR codes, or a phone.
func (c card) url() string {
	u := url.URL{Scheme: "mqtt", User: url.UserPassword(c.Username, c.Password), Host: net.JoinHostPort(c.Host, c.Port), Path: "/" + c.Topic}
	if c.TLS {
		u.Scheme = "mqtts"
	}
	return u.String()
}

func (c card) print(out io.Writer, qr bool) {
	fmt.Fprintf(out, "%s (%s): put this into the logger. The password is shown this once.\n\n", c.Station, c.name)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	encrypted := "no"
	if c.TLS {
		encrypted = "yes, 1.2 or newer, with the site's ca.pem"
	}
	for _, line := range [][2]string{
		{"Host", c.Host},
		{"Port", c.Port},
		{"TLS", encrypted},
		{"User", c.Username},
		{"Password", c.Password},
		{"Client ID", c.ClientID},
		{"Topic", c.Topic + "   (QoS 1)"},
		{"Presence", c.Status + "   (retained \"online\"; last will, retained \"offline\")"},
		{"Payload", c.Payload},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	_ = w.Flush()
	if qr {
		fmt.Fprintln(out)
		qrterminal.GenerateWithConfig(c.url(), qrterminal.Config{
			Level: qrterminal.L, Writer: out, HalfBlocks: true, QuietZone: 2,
			BlackChar: qrterminal.BLACK_BLACK, WhiteChar: qrterminal.WHITE_WHITE, BlackWhiteChar: qrterminal.BLACK_WHITE, WhiteBlackChar: qrterminal.WHITE_BLACK,
		})
	}
}

// accessRules returns who may do what at the broker of a site.
func accessRules(s *site.Site) access.Rules {
	r := access.Rules{Ingester: s.MQTT.Username, Sources: sources(s)}
	for _, station := range s.Stations {
		r.Stations = append(r.Stations, station.ID)
	}
	return r
}

// nativeTopic returns where a station publishes the system's own format, or would.
func nativeTopic(s *site.Site, station string) string {
	all := sources(s)
	for i, source := range s.MQTT.Sources {
		if source.Format == "tofuwatch" && all[i].IsOf(station) {
			return all[i].Of(station)
		}
	}
	return ingest.Source{Topic: "tofu/{station}/readings"}.Of(station)
}

func sources(s *site.Site) []ingest.Source {
	all := make([]ingest.Source, len(s.MQTT.Sources))
	for i, source := range s.MQTT.Sources {
		all[i] = ingest.Source{Topic: source.Topic, From: source.Station}
	}
	return all
}
