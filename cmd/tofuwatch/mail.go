package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/alerts/mail"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

func mailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "Try the mail",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("mail what? Have test")}
		},
	}
	cmd.AddCommand(mailTestCommand())
	return cmd
}

func mailTestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test --config site.yaml --to NAME",
		Short: "Send one sample of each mail to a recipient of the site file",
		Long: `Send one sample of each mail to a recipient of the site file, in their language,
through the mail server of the site file. Each says in its subject that it is a
sample.`,
		Args: cobra.NoArgs,
	}
	load := siteFlag(cmd)
	to := cmd.Flags().String("to", "", "name of the recipient, as in the site file (required)")
	_ = cmd.MarkFlagRequired("to")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		r, err := recipient(s, *to)
		if err != nil {
			return usageError{err}
		}
		if s.SMTP == nil {
			return usageError{fmt.Errorf("%s: smtp: missing; want the server that takes the mail", s.File)}
		}
		renderer, err := mail.NewRenderer(mailSite(s))
		if err != nil {
			return err
		}
		outlet, river := stationsFor(s, r)
		for _, sample := range mail.Samples(outlet, river, time.Now()) {
			m, err := renderer.Message(r.Language, sample.Data)
			if err != nil {
				return fmt.Errorf("sample %s: %w", sample.Name, err)
			}
			m = m.AsSample(r.Language)
			if err := mail.Send(cmd.Context(), mailServer(s.SMTP), r.Email, r.Language, m); err != nil {
				return fmt.Errorf("sample %s: %w", sample.Name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "sent to %s: %s\n", r.Email, m.Subject)
		}
		return nil
	}
	return cmd
}

// recipient returns the recipient of that name, in any case.
func recipient(s *site.Site, name string) (site.Recipient, error) {
	var names []string
	for _, r := range s.Recipients {
		if strings.EqualFold(r.Name, name) {
			return r, nil
		}
		names = append(names, fmt.Sprintf("%q", r.Name))
	}
	if names == nil {
		return site.Recipient{}, fmt.Errorf("%s: recipients: there is none", s.File)
	}
	return site.Recipient{}, fmt.Errorf("%s: no recipient %q; have %s", s.File, name, strings.Join(names, ", "))
}

// stationsFor returns an outlet and a place on a river that a recipient may be
// told of, or else what comes closest.
func stationsFor(s *site.Site, r site.Recipient) (outlet, river string) {
	told := func(st site.Station) bool {
		return len(r.Rivers)+len(r.Stations) == 0 || slices.Contains(r.Rivers, st.River) || slices.Contains(r.Stations, st.ID)
	}
	first := func(kind water.Kind) string {
		for _, fits := range []func(site.Station) bool{
			func(st site.Station) bool { return st.Kind == kind && told(st) },
			func(st site.Station) bool { return st.Kind == kind },
			told,
		} {
			if i := slices.IndexFunc(s.Stations, fits); i >= 0 {
				return s.Stations[i].ID
			}
		}
		return s.Stations[0].ID
	}
	return first(water.Effluent), first(water.River)
}

// mailServer returns the mail server of a site.
func mailServer(m *site.SMTP) mail.Server {
	return mail.Server{Host: m.Host, Port: m.Port, TLS: m.TLS, From: m.From, Username: m.Username, Password: string(m.Password)}
}

// checkMail has the conversation with the site's mail server that a mail to
// each recipient would begin with. The site has one.
func checkMail(ctx context.Context, s *site.Site) error {
	addresses := make([]string, len(s.Recipients))
	for i, r := range s.Recipients {
		addresses[i] = r.Email
	}
	return mail.CheckSMTP(ctx, mailServer(s.SMTP), addresses)
}
