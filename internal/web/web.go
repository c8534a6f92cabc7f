// Package web serves HTTP as a web configuration file says: encrypted, and to
// those who can log in. The file is that of Prometheus' exporter toolkit, as its
// whole family of programs has it.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// A Config is what a web configuration file says, as far as it concerns others.
type Config struct {
	Encrypted bool
	CertFile  string // absolute if the name that Read was given is; empty: the certificate stands in the file
	KeyFile   string // as CertFile
	// Certificates reports whether a client has to have a certificate.
	Certificates bool

	users map[string]string // hashes by name
}

// Read reads a web configuration file and tries what it says. Its error repeats
// nothing of the file but the names of others: there are hashes in it, and there
// may be a key.
func Read(file string) (*Config, error) {
	if err := web.Validate(file); err != nil {
		return nil, reticent(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var c struct {
		TLS struct {
			Cert       string `yaml:"cert"`
			CertFile   string `yaml:"cert_file"`
			KeyFile    string `yaml:"key_file"`
			ClientAuth string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(data, &c); err != nil {
		return nil, reticent(err)
	}
	dir := filepath.Dir(file)
	return &Config{
		Encrypted:    c.TLS.Cert != "" || c.TLS.CertFile != "",
		CertFile:     below(dir, c.TLS.CertFile),
		KeyFile:      below(dir, c.TLS.KeyFile),
		Certificates: c.TLS.ClientAuth == "RequireAndVerifyClientCert",
		users:        c.Users,
	}, nil
}

func below(dir, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

var (
	yamlError = regexp.MustCompile(`^yaml: `)
	yamlLine  = regexp.MustCompile(`line \d+`)
)

// reticent returns err without what a YAML library quotes of a file.
func reticent(err error) error {
	if !yamlError.MatchString(err.Error()) {
		return err
	}
	where := yamlLine.FindString(err.Error())
	if where == "" {
		where = "somewhere"
	}
	return fmt.Errorf("%s: not what a web configuration has there", where)
}

// Guarded returns what is missing for an address that other machines reach: TLS
// and a login, by password or by certificate. It is nil if nothing is.
func (c *Config) Guarded() error {
	switch {
	case !c.Encrypted:
		return errors.New("has no TLS; want tls_server_config with cert_file and key_file")
	case !c.Certificates && !c.Passwords():
		return errors.New("lets everybody in; want basic_auth_users, or client_auth_type: RequireAndVerifyClientCert with client_ca_file")
	}
	return nil
}

// Passwords reports whether there are users who log in by password.
func (c *Config) Passwords() bool { return len(c.users) > 0 }

// Knows reports whether a user logs in with this password.
func (c *Config) Knows(username, password string) bool {
	hash, ok := c.users[username]
	return ok && bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// Hash returns a password as basic_auth_users has it.
func Hash(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return string(hash), nil
}

// Serve is server.Serve as file says, which is read anew for each connection; an
// empty name is no file, and neither TLS nor login.
func Serve(ln net.Listener, server *http.Server, file string, log *slog.Logger) error {
	return web.Serve(ln, server, &web.FlagConfig{WebConfigFile: &file}, slog.New(&faults{log, file}))
}

// Encrypt returns ln with the TLS of file, and without its logins, for a server
// that has its own.
func Encrypt(ln net.Listener, file string) (net.Listener, error) {
	c, err := Read(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, fmt.Errorf("%s: want tls_server_config with cert_file and key_file", file)
	}
	if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil {
		return nil, fmt.Errorf("read certificate of %s: %w", file, err)
	}
	return tls.NewListener(ln, &tls.Config{
		MinVersion: tls.VersionTLS12,
		// For each connection: certificates are renewed while we run.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &pair, err
		},
	}), nil
}

// faults passes on that a file can no longer be used. It does not say why: the
// toolkit quotes the file.
type faults struct {
	log  *slog.Logger
	file string
}

// Enabled reports whether something is to be said.
func (*faults) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

// Handle says it in words of ours.
func (f *faults) Handle(ctx context.Context, _ slog.Record) error {
	f.log.ErrorContext(ctx, "web configuration cannot be used any more, and nobody is let in; \"tofuwatch check\" says why", "file", f.file)
	return nil
}

// WithAttrs returns f.
func (f *faults) WithAttrs([]slog.Attr) slog.Handler { return f }

// WithGroup returns f.
func (f *faults) WithGroup(string) slog.Handler { return f }
