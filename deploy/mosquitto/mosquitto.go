// Package mosquitto holds the configuration for Mosquitto that Tofuwatch counts
// on, and fits it to a site.
package mosquitto

import (
	_ "embed"
	"fmt"
	"net"
	"net/url"
	"strings"
)

//go:embed mosquitto.conf
var shipped string

// What of the shipped file depends on the site.
const (
	plain     = "listener 1883 127.0.0.1\nallow_anonymous true\n"
	encrypted = `#listener 8883
#certfile /etc/mosquitto/certs/server.pem
#keyfile /etc/mosquitto/certs/server.key
#allow_anonymous false
#password_file /etc/mosquitto/passwords
`
	passwords = "allow_anonymous false\npassword_file /etc/mosquitto/passwords\n"
)

// Config returns the configuration of a broker that is reached by the URL, which
// has a port. With login, only clients that have a password are let in.
func Config(broker *url.URL, login bool) (string, error) {
	where := "listener " + broker.Port()
	ip := net.ParseIP(broker.Hostname())
	local := broker.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	var old, listener string
	switch broker.Scheme {
	case "tcp":
		old = plain
		if local {
			where += " 127.0.0.1"
		}
		listener = where + "\nallow_anonymous true\n"
		if login {
			listener = where + "\n" + passwords
		} else if !local {
			return "", fmt.Errorf("broker %s: who may connect from other machines needs a password; want mqtt.username and mqtt.password_file", broker.Redacted())
		}
	case "ssl":
		if !login {
			return "", fmt.Errorf("broker %s: want mqtt.username and mqtt.password_file, since others can reach it", broker.Redacted())
		}
		old = encrypted
		listener = strings.ReplaceAll(strings.Replace(encrypted, "8883", broker.Port(), 1), "#", "")
	default:
		return "", fmt.Errorf("broker %s: this configuration has no WebSockets; want tcp or ssl", broker.Redacted())
	}
	return strings.Replace(shipped, old, listener, 1), nil
}
