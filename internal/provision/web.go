package provision

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"tofuwatch/internal/access"
	"tofuwatch/internal/web"
)

// What lets other machines reach the ingester.
const (
	WebConfig    = "web.yml"       // the web configuration: certificate, and a hash
	HTTPPassword = "http.password" // WebUser's
	WebUser      = "prometheus"
)

// Web makes in dir what the ingester answers other machines with: a certificate
// for these hosts and this machine, by the authority in another folder, a password
// that nobody has chosen, and the web configuration that asks for it. What is there
// and good stays. It returns when the certificate ends.
func Web(dir, authorityDir, site string, hosts []string, now func() time.Time) (ends time.Time, err error) {
	authority, err := access.OpenAuthority(authorityDir, site, now)
	if err != nil {
		return time.Time{}, err
	}
	// Health checks come from this machine.
	ends, _, err = authority.RenewWeb(dir, append(hosts, "127.0.0.1", "::1", "localhost"))
	if err != nil {
		return time.Time{}, err
	}
	if err := os.Chmod(filepath.Join(dir, access.WebKeyFile), secretMode); err != nil {
		return time.Time{}, fmt.Errorf("let the ingester read its key: %w", err)
	}
	pem, err := os.ReadFile(filepath.Join(authorityDir, access.AuthorityFile))
	if err != nil {
		return time.Time{}, fmt.Errorf("read the authority's certificate: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, access.AuthorityFile), pem, 0o644, renameio.IgnoreUmask()); err != nil {
		return time.Time{}, fmt.Errorf("write the authority's certificate: %w", err)
	}
	password, err := secret(dir, HTTPPassword)
	if err != nil {
		return time.Time{}, err
	}
	file := filepath.Join(dir, WebConfig)
	if c, err := web.Read(file); err == nil && c.Guarded() == nil && c.Knows(WebUser, password) {
		return ends, nil // perhaps with more, by somebody's hand
	}
	hash, err := web.Hash(password)
	if err != nil {
		return time.Time{}, err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, `# A web configuration as all of Prometheus' programs have it:
# https://prometheus.io/docs/prometheus/latest/configuration/https/
# Users and the hashes (bcrypt) of their passwords; more may be added.
tls_server_config:
  cert_file: %s
  key_file: %s
  min_version: TLS12
basic_auth_users:
  %s: %s
`, access.WebFile, access.WebKeyFile, WebUser, hash)
	if err := renameio.WriteFile(file, text.Bytes(), secretMode, renameio.IgnoreUmask()); err != nil {
		return time.Time{}, fmt.Errorf("write web configuration: %w", err)
	}
	return ends, nil
}
