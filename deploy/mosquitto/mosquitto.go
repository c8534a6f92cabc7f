// Package mosquitto holds the configuration for Mosquitto that Tofuwatch counts
// on, and fits it to a site.
package mosquitto

import (
	_ "embed"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
)

//go:embed mosquitto.conf
var shipped string

// What of the shipped file depends on the site: who may connect, and where.
const (
	listenersStart = "# For programs on this machine.\n"
	listenersEnd   = "# Sessions and queues go to disk"
	dataDir        = "/var/lib/mosquitto/"
)

// Options are what of the configuration depends on the site.
type Options struct {
	Broker *url.URL // where clients reach it; it has a port
	// Login lets in only those who have a password, or a certificate of their own,
	// and each does only what the ACL says.
	Login bool
	// Certificates are asked for in the place of passwords.
	Certificates bool
	Dir          string // where the files lie that are named below
	Data         string // where sessions and queues are kept; empty: where Debian's package does
}

// The files that the configuration names, in Options.Dir.
const (
	PasswordFile = "passwords"
	ACLFile      = "acl"
	caFile       = "ca.pem"
	certFile     = "server.pem"
	keyFile      = "server.key"
)

// Config returns the configuration of a broker. Its error says what of the site
// file would have to be otherwise.
func Config(o Options) (string, error) {
	ip := net.ParseIP(o.Broker.Hostname())
	local := o.Broker.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	tls := o.Broker.Scheme == "ssl"
	switch {
	case o.Broker.Scheme != "tcp" && !tls:
		return "", fmt.Errorf("broker %s: this configuration has no WebSockets; want tcp or ssl", o.Broker.Redacted())
	case tls && !o.Login:
		return "", fmt.Errorf("broker %s: want mqtt.username and mqtt.password_file, since others can reach it", o.Broker.Redacted())
	case !local && !o.Login:
		return "", fmt.Errorf("broker %s: who may connect from other machines needs a password; want mqtt.username and mqtt.password_file", o.Broker.Redacted())
	case o.Certificates && !tls:
		return "", fmt.Errorf("broker %s: only an encrypted connection has certificates; want ssl", o.Broker.Redacted())
	}

	var b strings.Builder
	fmt.Fprintf(&b, "listener %s", o.Broker.Port())
	if local && !tls {
		b.WriteString(" 127.0.0.1")
	}
	b.WriteByte('\n')
	if !o.Login {
		b.WriteString("allow_anonymous true\n\n")
		return fit(b.String(), o.Data)
	}
	file := func(key, name string) { fmt.Fprintf(&b, "%s %s\n", key, filepath.Join(o.Dir, name)) }
	if tls {
		file("certfile", certFile)
		file("keyfile", keyFile)
		b.WriteString("tls_version tlsv1.2\n") // or newer
	}
	b.WriteString("allow_anonymous false\n")
	if o.Certificates {
		file("cafile", caFile)
		b.WriteString("require_certificate true\nuse_identity_as_username true\n")
	} else {
		file("password_file", PasswordFile)
	}
	file("acl_file", ACLFile)
	b.WriteString(`
# A client's session is its username's: nobody can take over the session of
# another by using its client id.
use_username_as_clientid true

`)
	return fit(b.String(), o.Data)
}

// fit returns the shipped file with these listeners, and sessions and queues in
// data unless that is empty.
func fit(listeners, data string) (string, error) {
	before, rest, ok1 := strings.Cut(shipped, listenersStart)
	_, after, ok2 := strings.Cut(rest, listenersEnd)
	if !ok1 || !ok2 {
		return "", fmt.Errorf("mosquitto.conf has no %q or %q", listenersStart, listenersEnd)
	}
	if data != "" {
		head, tail, ok := strings.Cut(after, dataDir)
		if !ok {
			return "", fmt.Errorf("mosquitto.conf has no %q", dataDir)
		}
		after = head + strings.TrimSuffix(data, "/") + "/" + tail
	}
	return before + listeners + listenersEnd + after, nil
}
