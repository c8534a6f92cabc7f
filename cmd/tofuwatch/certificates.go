package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/internal/access"
)

func certificatesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certificates --config site.yaml --out DIR",
		Short: "Make the site's own authority and the broker's certificate, for those who have none",
		Long: `Make the site's own authority (once) and a certificate of the broker signed by it. What
is still good stays as it is, so that the command can run every month; a certificate is
made anew 90 days before it ends. Loggers get ca.pem, nothing else; ca.key belongs into
a safe when all is made.`,
		Args: cobra.NoArgs,
	}
	load := siteFlag(cmd)
	out := cmd.Flags().String("out", "", "folder for the files (required)")
	_ = cmd.MarkFlagRequired("out")
	hosts := cmd.Flags().StringSlice("host", nil, "name or address by which loggers reach the broker; may be repeated; by default that of mqtt.broker")
	clients := cmd.Flags().StringSlice("client", nil, "also make a certificate for this username, a station or the ingester; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if len(*hosts) == 0 {
			*hosts = []string{s.MQTT.Broker.Hostname()}
		}
		for _, username := range *clients {
			if _, ok := s.Station(username); !ok && username != s.MQTT.Username {
				return usageError{fmt.Errorf("--client %q: %s has no such station, and mqtt.username is %q", username, s.File, s.MQTT.Username)}
			}
		}
		authority, err := access.OpenAuthority(*out, s.Name, time.Now)
		if err != nil {
			return err
		}
		ends, renewed, err := authority.RenewServer(*out, *hosts)
		if err != nil {
			return err
		}
		state := "still good"
		if renewed {
			state = "new"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s  %s, until %s\n", filepath.Join(*out, access.AuthorityFile), filepath.Join(*out, access.ServerFile), state, ends.In(s.TimeZone).Format("2 January 2006"))
		if err := letRead("mosquitto", filepath.Join(*out, access.ServerKeyFile)); err != nil {
			return err
		}
		for _, username := range *clients {
			file, err := authority.WriteClient(*out, username)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  new\n", file)
		}
		return nil
	}
	return cmd
}
