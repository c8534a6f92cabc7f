package mosquitto

import (
	"net/url"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		name, broker string
		login        bool
		want         []string // each a line; empty: the shipped file itself
		fault        string
	}{
		{name: "as shipped", broker: "tcp://127.0.0.1:1883"},
		{name: "another port", broker: "tcp://localhost:1884", want: []string{"listener 1884 127.0.0.1", "allow_anonymous true"}},
		{name: "a password", broker: "tcp://127.0.0.1:1883", login: true, want: []string{"listener 1883 127.0.0.1", "allow_anonymous false", "password_file /etc/mosquitto/passwords"}},
		{name: "for others, with a password", broker: "tcp://broker.example.org:1883", login: true, want: []string{"listener 1883", "allow_anonymous false", "password_file /etc/mosquitto/passwords"}},
		{name: "encrypted", broker: "ssl://broker.example.org:8884", login: true, want: []string{"listener 1883 127.0.0.1", "listener 8884", "certfile /etc/mosquitto/certs/server.pem", "keyfile /etc/mosquitto/certs/server.key", "allow_anonymous false"}},
		{name: "for others, without a password", broker: "tcp://broker.example.org:1883", fault: "broker tcp://broker.example.org:1883: who may connect from other machines needs a password; want mqtt.username and mqtt.password_file"},
		{name: "encrypted, without a password", broker: "ssl://broker.example.org:8883", fault: "broker ssl://broker.example.org:8883: want mqtt.username and mqtt.password_file, since others can reach it"},
		{name: "WebSockets", broker: "ws://broker.example.org:80", fault: "broker ws://broker.example.org:80: this configuration has no WebSockets; want tcp or ssl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			broker, err := url.Parse(test.broker)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Config(broker, test.login)
			if test.fault != "" {
				if err == nil || err.Error() != test.fault {
					t.Errorf("got error %v, want %s", err, test.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.want == nil && got != shipped {
				t.Errorf("got %s, want the shipped file", got)
			}
			for _, want := range test.want {
				if !strings.Contains("\n"+got, "\n"+want+"\n") {
					t.Errorf("got %s, want a line %q", got, want)
				}
			}
			if test.want != nil && got == shipped {
				t.Error("got the shipped file, which has other lines now; want them changed")
			}
		})
	}
}
