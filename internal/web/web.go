// Package web serves HTTP as a web configuration file says: encrypted, and to
// those who can log in. The file is that of Prometheus' exporter toolkit, as its
// whole family of programs has it.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

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

// reticent returns err without what libraries quote of a file: YAML's a value,
// bcrypt's the first character of what should be a hash.
func reticent(err error) error {
	if strings.Contains(err.Error(), "bcrypt") {
		return errors.New("a password in basic_auth_users is not hashed, or not by bcrypt")
	}
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

// Hash returns a random password, such as are made here with 130 bits, as
// basic_auth_users has it. No number of rounds would make it safer, and wrong ones
// cost the ingester least so.
func Hash(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return string(hash), nil
}

// Serve is server.Serve as file says, which is read anew for each connection; an
// empty name is no file, and neither TLS nor login. What the server has to say goes
// to log.
func Serve(ln net.Listener, server *http.Server, file string, log *slog.Logger) error {
	c := &complaints{log: log, file: file}
	server.ErrorLog = slog.NewLogLogger(c, slog.LevelWarn)
	return web.Serve(ln, server, &web.FlagConfig{WebConfigFile: &file}, slog.New(c))
}

// complaints is a [slog.Handler] for what server and toolkit say. Both quote a file
// that cannot be read, and with it what may be a secret.
type complaints struct {
	log  *slog.Logger
	file string

	mu   sync.Mutex
	told time.Time // when the log was last told that the file cannot be used
}

// tellEvery is how often the log is told that the file cannot be used: every
// request finds out.
const tellEvery = time.Minute

// Enabled reports whether something went wrong; that somebody listens is told
// elsewhere.
func (*complaints) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle says it in words of ours if it is about the file. What a stranger does
// wrong is no warning.
func (c *complaints) Handle(ctx context.Context, r slog.Record) error {
	if c.file != "" {
		if _, err := Read(c.file); err != nil {
			if c.due(r.Time) {
				c.log.ErrorContext(ctx, "web configuration cannot be used, and nobody is let in", "file", c.file, "err", err)
			}
			return nil
		}
	}
	text, _, _ := strings.Cut(r.Message, ": yaml:") // the file was mended just now
	level := slog.LevelWarn
	if strings.HasPrefix(text, "http: TLS handshake error") {
		level = slog.LevelDebug
	}
	c.log.Log(ctx, level, "connection not served", "err", text)
	return nil
}

func (c *complaints) due(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.told) < tellEvery {
		return false
	}
	c.told = now
	return true
}

// WithAttrs returns c.
func (c *complaints) WithAttrs([]slog.Attr) slog.Handler { return c }

// WithGroup returns c.
func (c *complaints) WithGroup(string) slog.Handler { return c }
