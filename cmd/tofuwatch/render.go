package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"tofuwatch/alerts/alertmanager"
	"tofuwatch/alerts/mail"
	"tofuwatch/deploy/mosquitto"
	"tofuwatch/internal/access"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

func renderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Write the configuration of other programs, from the site file",
		// "render grafana --config …" is about grafana, not about the flag.
		FParseErrWhitelist: cobra.FParseErrWhitelist{UnknownFlags: true},
		Args:               cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("render %s: no configuration for that; have alertmanager, prometheus, mosquitto", args[0])}
			}
			_ = cmd.Help()
			return usageError{fmt.Errorf("render what? Have alertmanager, prometheus, mosquitto, dashboards")}
		},
	}
	cmd.AddCommand(
		renderDashboardsCommand(),
		renderOne("alertmanager", "Who is told of what by mail, how soon and how often, and the mail itself", func(s *site.Site, dir string) ([]alertmanager.File, error) {
			return alertmanager.Alertmanager(alertmanagerInput(s, dir))
		}),
		renderOne("prometheus", "What is scraped, and the rules for alerts", func(s *site.Site, dir string) ([]alertmanager.File, error) {
			return alertmanager.Prometheus(alertmanagerInput(s, dir))
		}),
		renderMosquitto(),
	)
	return cmd
}

// renderOne returns the command that writes the files of one program.
func renderOne(program, short string, files func(*site.Site, string) ([]alertmanager.File, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   program + " --config site.yaml --out DIR",
		Short: short,
		Args:  cobra.NoArgs,
	}
	load := siteFlag(cmd)
	out := cmd.Flags().String("out", "", "folder for the files, where they stay: some name each other (required)")
	_ = cmd.MarkFlagRequired("out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(*out)
		if err != nil {
			return fmt.Errorf("tell the folder of %s: %w", *out, err)
		}
		all, err := files(s, dir)
		if err != nil {
			// It is the site file that has to say something else.
			return usageError{fmt.Errorf("%s: %w", s.File, err)}
		}
		if err := alertmanager.Write(dir, all); err != nil {
			return err
		}
		for _, f := range all {
			fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(*out, f.Name))
		}
		return nil
	}
	return cmd
}

// renderMosquitto returns the command that writes Mosquitto's files.
func renderMosquitto() *cobra.Command {
	certificates := false
	cmd := renderOne("mosquitto", "A broker that keeps messages while the ingester is away, and who may do what at it", func(s *site.Site, dir string) ([]alertmanager.File, error) {
		return mosquittoFiles(s, dir, certificates)
	})
	write := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := write(cmd, args); err != nil {
			return err
		}
		// Mosquitto reads them as its own user.
		dir := cmd.Flag("out").Value.String()
		return letRead("mosquitto", filepath.Join(dir, mosquitto.ACLFile), filepath.Join(dir, mosquitto.PasswordFile))
	}
	cmd.Flags().BoolVar(&certificates, "client-certificates", false, "ask clients for a certificate in the place of a password")
	return cmd
}

func mosquittoFiles(s *site.Site, dir string, certificates bool) ([]alertmanager.File, error) {
	login := s.MQTT.Username != ""
	config, err := mosquitto.Config(mosquitto.Options{Broker: s.MQTT.Broker, Login: login, Certificates: certificates, Dir: dir})
	if err != nil {
		return nil, err
	}
	files := []alertmanager.File{{Name: "mosquitto.conf", Data: []byte(config), Mode: 0o644}}
	if !login {
		return files, nil
	}
	files = append(files, alertmanager.File{Name: mosquitto.ACLFile, Data: accessRules(s).MosquittoACL(), Mode: 0o640})
	if certificates {
		return files, nil
	}
	credentials, err := access.LoadCredentials(credentialsFile(s))
	if err != nil {
		return nil, err
	}
	if err := credentials.Set(s.MQTT.Username, string(s.MQTT.Password)); err != nil {
		return nil, err
	}
	return append(files, alertmanager.File{Name: mosquitto.PasswordFile, Data: credentials.Bytes(), Mode: 0o640}), nil
}

// letRead gives files to a group, if we are root and there are such a group and
// such files.
func letRead(group string, files ...string) error {
	g, err := user.LookupGroup(group)
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("read the number of group %s: %w", group, err)
	}
	for _, file := range files {
		err := errors.Join(os.Chown(file, -1, gid), os.Chmod(file, 0o640))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("let %s read: %w", group, err)
		}
	}
	return nil
}

// alertmanagerInput returns what the site file says to Alertmanager and
// Prometheus, whose files will be in dir.
func alertmanagerInput(s *site.Site, dir string) alertmanager.Input {
	in := alertmanager.Input{Site: mailSite(s), Ingester: s.HTTP.Listen, Dir: dir, Witness: alertmanager.PrometheusWitness}
	for _, r := range s.Recipients {
		in.Recipients = append(in.Recipients, alertmanager.Recipient(r))
	}
	if m := s.SMTP; m != nil {
		in.SMTP = alertmanager.SMTP{Host: m.Host, Port: m.Port, TLS: m.TLS, From: m.From, Username: m.Username, Password: string(m.Password)}
	}
	return in
}

// mailSite returns what the mail knows of a site.
func mailSite(s *site.Site) mail.Site {
	m := mail.Site{Name: s.Name, TimeZone: s.TimeZone, Parameters: s.Parameters.All(), Stations: make([]*water.Station, len(s.Stations))}
	for i, station := range s.Stations {
		m.Stations[i] = station.Station
	}
	return m
}
