package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tofuwatch/alerts/alertmanager"
	"tofuwatch/internal/access"
	"tofuwatch/internal/provision"
	"tofuwatch/internal/site"
)

func webCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "web --out DIR --host NAME",
		Short: "Let a Prometheus on another machine reach the ingester: TLS and a login",
		Long: `Make what the ingester needs before http.listen may be open to other machines: a
certificate by the site's own authority, a password that nobody has chosen, and the web
configuration that asks for it. It prints what then belongs into the site file. What is
still good stays as it is, so that the command can run every month; the certificate is made
anew 90 days before it ends, and taken up without a restart.`,
		Args: cobra.NoArgs,
	}
	out := cmd.Flags().String("out", "", "folder for the files, where they stay (required)")
	hosts := cmd.Flags().StringSlice("host", nil, "name or address by which Prometheus reaches the ingester; may be repeated (required)")
	authority := cmd.Flags().String("authority", "", "folder of the site's own authority, which \"certificates\" made (default: --out, and made there if there is none)")
	name := cmd.Flags().String("site", "tofuwatch", "name of the site, for an authority that is made")
	_ = cmd.MarkFlagRequired("out")
	_ = cmd.MarkFlagRequired("host")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := filepath.Abs(*out)
		if err != nil {
			return fmt.Errorf("tell the folder of %s: %w", *out, err)
		}
		if *authority == "" {
			*authority = dir
		}
		ends, err := provision.Web(dir, *authority, *name, slices.Clone(*hosts), time.Now)
		if err != nil {
			return err
		}
		file := func(name string) string { return filepath.Join(dir, name) }
		if err := letRead("tofuwatch", file(provision.WebConfig), file(provision.HTTPPassword), file(access.WebKeyFile)); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), `The certificate holds until %s. Into the site file:

http:
  listen: 0.0.0.0:9464
  web_config_file: %s
  username: %s
  password_file: %s
  tls: {ca_file: %s}
`, ends.Format("2 January 2006"), file(provision.WebConfig), provision.WebUser, file(provision.HTTPPassword), file(access.AuthorityFile))
		return nil
	}
	return cmd
}

// readyTime is how long an ingester may take to say that it is ready.
const readyTime = 5 * time.Second

func readyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ready --config site.yaml",
		Short: "Ask the ingester whether it is subscribed and can write its spool",
		Args:  cobra.NoArgs,
	}
	load := siteFlag(cmd)
	alive := cmd.Flags().Bool("alive", false, "ask only whether it answers at all")
	at := cmd.Flags().String("ingester", "", "host:port at which it is reached (default http.listen)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if *at == "" {
			*at = alertmanager.Reachable(s.HTTP.Listen)
		}
		path := "/readyz"
		if *alive {
			path = "/healthz"
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), readyTime)
		defer cancel()
		return askIngester(ctx, s, *at, path)
	}
	return cmd
}

// askIngester asks the ingester at an address, as its web configuration wants to
// be asked. Any answer but 200 is an error.
func askIngester(ctx context.Context, s *site.Site, address, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP.URL(address)+path, nil)
	if err != nil {
		return err
	}
	if s.HTTP.Username != "" {
		req.SetBasicAuth(s.HTTP.Username, string(s.HTTP.Password))
	}
	var config *tls.Config
	if config, err = s.HTTP.TLS.Config(); err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{TLSClientConfig: config},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the ingester does not answer: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return errors.New("the ingester does not know http.username with this password: was it started before its web configuration changed?")
	}
	return fmt.Errorf("the ingester is not ready: %s", resp.Status)
}
