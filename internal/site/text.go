package site

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tofuwatch/internal/strict"
)

// The functions here each read one kind of text that stands in a site file.
// Their errors say what is wrong and what would be right.

var idPattern = regexp.MustCompile(`^[a-z0-9-]+$`)

// identifier returns a function that takes what stations and rivers are
// called in topics, tags and labels.
func identifier(example string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !idPattern.MatchString(s) {
			return "", fmt.Errorf("%s is no id; want lower case letters, digits and '-', for example %s", strict.Quote(s), example)
		}
		return s, nil
	}
}

var clientIDPattern = regexp.MustCompile(`^[!-~]{1,64}$`)

func clientID(s string) (string, error) {
	if !clientIDPattern.MatchString(s) {
		return "", fmt.Errorf("%s is no client id; want 1 to 64 ASCII characters without spaces, for example tofuwatch-semarang", strict.Quote(s))
	}
	return s, nil
}

// timeZone takes a name of the IANA database. Not "Local" nor "": what they
// mean depends on the machine.
func timeZone(s string) (*time.Location, error) {
	if s != "" && s != "Local" {
		if zone, err := time.LoadLocation(s); err == nil {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("no time zone %s; want an IANA name, for example Asia/Jakarta (WIB), Asia/Makassar (WITA), Asia/Jayapura (WIT) or UTC", strict.Quote(s))
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s is no duration above 0; write it like 30s, 2m or 1h30m", strict.Quote(s))
	}
	return d, nil
}

// isPort reports whether s is a number between least and 65535.
func isPort(s string, least uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= least
}

func listen(s string) (string, error) {
	h, p, err := net.SplitHostPort(s)
	if err != nil || !isPort(p, 0) || h != "" && !isHost(h) {
		return "", fmt.Errorf("%s is no address to listen on; want host:port, for example 127.0.0.1:9464", strict.Quote(s))
	}
	return s, nil
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// isHost reports whether s can be the name or the address of a machine.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || len(s) <= 253 && hostPattern.MatchString(s)
}

// isLoopback reports whether what goes to this host stays on the machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

func host(s string) (string, error) {
	if !isHost(s) {
		return "", fmt.Errorf("%s is no host; want a name or an address without a port, for example mail.example.org", strict.Quote(s))
	}
	return s, nil
}

// brokerPorts are the schemes of an MQTT broker, and the port of each.
var brokerPorts = map[string]string{"tcp": "1883", "ssl": "8883", "ws": "80", "wss": "443"}

// broker takes the URL of an MQTT broker. What it returns has a port.
func broker(s string) (*url.URL, error) {
	const example = "tcp://127.0.0.1:1883"
	u, err := server(s, example, "username and password_file")
	if err != nil {
		return nil, err
	}
	standard, ok := brokerPorts[u.Scheme]
	switch {
	case !ok:
		return nil, fmt.Errorf("no scheme %s; have tcp, ssl, ws, wss (ssl and wss are encrypted)", strict.Quote(u.Scheme))
	case !isHost(u.Hostname()):
		return nil, fmt.Errorf("no host %s; want a URL like %s", strict.Quote(u.Hostname()), example)
	case u.Path == "/" && (u.Scheme == "tcp" || u.Scheme == "ssl"):
		u.Path = ""
	case u.Path != "" && (u.Scheme == "tcp" || u.Scheme == "ssl"):
		return nil, fmt.Errorf("%s is a path, which only ws and wss have; want a URL like %s", strict.Quote(u.Path), example)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), standard)
	}
	return u, nil
}

// database takes the URL of an InfluxDB.
func database(s string) (*url.URL, error) {
	const example = "http://127.0.0.1:8086"
	u, err := server(s, example, "token_file")
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("no scheme %s; have http, https", strict.Quote(u.Scheme))
	case !isHost(u.Hostname()):
		return nil, fmt.Errorf("no host %s; want a URL like %s", strict.Quote(u.Hostname()), example)
	}
	return u, nil
}

// server takes any URL of a server. What could be a password is not repeated.
func server(s, example, login string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case strings.Contains(s, "@"):
		return nil, fmt.Errorf("a user does not belong into the URL; want one like %s, and %s for the login", example, login)
	case err != nil || u.Scheme == "" || u.Opaque != "":
		return nil, fmt.Errorf("%s is no URL; want one like %s", strict.Quote(s), example)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("what follows '?' or '#' is not used; want a URL like %s", example)
	}
	if p := u.Port(); (p != "" || strings.HasSuffix(u.Host, ":")) && !isPort(p, 1) {
		return nil, fmt.Errorf("no port %s; want 1 to 65535", strict.Quote(p))
	}
	return u, nil
}

// Levels of a topic that say which station and which parameter it is.
const (
	stationLevel   = "{station}"
	parameterLevel = "{parameter}"
)

// topic takes an MQTT filter (MQTT 3.1.1, 4.7) in which a level may be {station}
// and another {parameter}.
func topic(s string) (string, error) {
	const example = "tofu/{station}/readings"
	switch {
	case s == "":
		return "", fmt.Errorf("is empty; want a topic like %s", example)
	case len(s) > 65535:
		return "", fmt.Errorf("has %d bytes; want 65535 at most", len(s))
	case strings.ContainsFunc(s, unicode.IsControl):
		return "", fmt.Errorf("%s has a control character; want a topic like %s", strict.Quote(s), example)
	case strings.HasPrefix(s, "$share/"):
		return "", fmt.Errorf("%s is a shared subscription; want a plain topic like %s", strict.Quote(s), example)
	}
	levels, count := strings.Split(s, "/"), make(map[string]int)
	for i, level := range levels {
		switch {
		case level == stationLevel, level == parameterLevel:
			if count[level]++; count[level] > 1 {
				return "", fmt.Errorf("%s has %s more than once; want it once, as in %s", strict.Quote(s), level, example)
			}
		case strings.Contains(level, stationLevel), strings.Contains(level, parameterLevel):
			return "", fmt.Errorf("in %s, the level %s has a placeholder as a part; want it between two '/', as in %s", strict.Quote(s), strict.Quote(level), example)
		case strings.HasPrefix(level, "{") && strings.HasSuffix(level, "}"):
			return "", fmt.Errorf("no placeholder %s; have %s, %s", strict.Quote(level), stationLevel, parameterLevel)
		case level == "#" && i < len(levels)-1:
			return "", fmt.Errorf("in %s, '#' is not the last level; want it there, or '+' here", strict.Quote(s))
		case level != "+" && level != "#" && strings.ContainsAny(level, "+#"):
			return "", fmt.Errorf("in %s, a '+' or '#' is a part of a level; want it alone between two '/'", strict.Quote(s))
		}
	}
	return s, nil
}

func email(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s {
		return "", fmt.Errorf("%s is no e-mail address; want one like forum@example.org", strict.Quote(s))
	}
	return s, nil
}
