package mosquitto

import (
	"net/url"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		name, broker string
		login, certs bool
		want         []string // each a line
		fault        string
	}{
		{name: "for this machine", broker: "tcp://localhost:1884", want: []string{"listener 1884 127.0.0.1", "allow_anonymous true"}},
		{
			name: "a password", broker: "tcp://127.0.0.1:1883", login: true,
			want: []string{"listener 1883 127.0.0.1", "allow_anonymous false", "password_file /etc/tw/passwords", "acl_file /etc/tw/acl", "use_username_as_clientid true"},
		},
		{name: "for others, with a password", broker: "tcp://broker.example.org:1883", login: true, want: []string{"listener 1883", "allow_anonymous false", "password_file /etc/tw/passwords"}},
		{
			name: "encrypted", broker: "ssl://broker.example.org:8884", login: true,
			want: []string{"listener 8884", "certfile /etc/tw/server.pem", "keyfile /etc/tw/server.key", "tls_version tlsv1.2", "allow_anonymous false", "password_file /etc/tw/passwords"},
		},
		{
			name: "certificates", broker: "ssl://broker.example.org:8883", login: true, certs: true,
			want: []string{"cafile /etc/tw/ca.pem", "require_certificate true", "use_identity_as_username true", "allow_anonymous false", "acl_file /etc/tw/acl"},
		},
		{name: "for others, without a password", broker: "tcp://broker.example.org:1883", fault: "broker tcp://broker.example.org:1883: who may connect from other machines needs a password; want mqtt.username and mqtt.password_file"},
		{name: "encrypted, without a password", broker: "ssl://broker.example.org:8883", fault: "broker ssl://broker.example.org:8883: want mqtt.username and mqtt.password_file, since others can reach it"},
		{name: "certificates without encryption", broker: "tcp://127.0.0.1:1883", login: true, certs: true, fault: "broker tcp://127.0.0.1:1883: only an encrypted connection has certificates; want ssl"},
		{name: "WebSockets", broker: "ws://broker.example.org:80", fault: "broker ws://broker.example.org:80: this configuration has no WebSockets; want tcp or ssl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			broker, err := url.Parse(test.broker)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Config(Options{Broker: broker, Login: test.login, Certificates: test.certs, Dir: "/etc/tw"})
			if test.fault != "" {
				if err == nil || err.Error() != test.fault {
					t.Errorf("got error %v, want %s", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(test.want, "persistence true", "per_listener_settings true") {
				if !strings.Contains("\n"+got, "\n"+want+"\n") {
					t.Errorf("got %s, want a line %q", got, want)
				}
			}
			if got, want := strings.Count(got, "\nlistener "), 1; got != want {
				t.Errorf("got %d listeners, want %d", got, want)
			}
			if test.login && strings.Contains(got, "allow_anonymous true") {
				t.Error("got a listener that lets everybody in")
			}
		})
	}
}
