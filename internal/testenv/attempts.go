package testenv

import (
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// A Login is a username and its password.
type Login struct{ Username, Password string }

// A Guarded is a broker that lets in whom it knows: the ingester, which reads
// tofu/+/readings and tofu/+/status, and two stations, which publish under
// tofu/ and their username.
type Guarded struct {
	URL            string
	TLS            *tls.Config // nil: not encrypted
	Ingester       Login
	IngesterID     string // the client ID with which the ingester connects
	Station, Other Login
}

// An Attempt is something that somebody tries at a broker.
type Attempt struct {
	Name string
	// Try does it. It returns what went wrong from the broker's owner's point of
	// view; "" if it is as it should be.
	Try func(*testing.T, *Guarded) string
}

// Attempts are what a stranger and a station try that they may not, and the
// little that a station may. Each leaves nothing behind.
func Attempts() []Attempt {
	refused := func(login Login, id string) func(*testing.T, *Guarded) string {
		return func(_ *testing.T, g *Guarded) string {
			if login.Username == "STATION" {
				login.Username = g.Station.Username
			}
			if login.Username == "INGESTER" {
				login.Username = g.Ingester.Username
			}
			client := g.client(login, id, nil)
			defer client.Disconnect(0)
			token := client.Connect()
			if !token.WaitTimeout(10*time.Second) || token.Error() == nil {
				return "let in"
			}
			return ""
		}
	}
	// publishes: the station publishes; does the ingester get it?
	publishes := func(topic func(*Guarded) string, retained, allowed bool) func(*testing.T, *Guarded) string {
		return func(t *testing.T, g *Guarded) string {
			return g.published(t, topic(g), retained, allowed)
		}
	}
	to := func(format string) func(*Guarded) string {
		return func(g *Guarded) string { return fmt.Sprintf(format, g.Other.Username) }
	}
	own := func(format string) func(*Guarded) string {
		return func(g *Guarded) string { return fmt.Sprintf(format, g.Station.Username) }
	}
	plain := func(s string) func(*Guarded) string { return func(*Guarded) string { return s } }
	reads := func(filter func(*Guarded) string) func(*testing.T, *Guarded) string {
		return func(t *testing.T, g *Guarded) string { return g.overhears(t, filter(g)) }
	}
	return []Attempt{
		{"a stranger without a name", refused(Login{}, "stranger")},
		{"a stranger with a name of their own", refused(Login{"admin", "admin"}, "stranger")},
		{"a station's name without a password", refused(Login{"STATION", ""}, "stranger")},
		{"a station's name with a wrong password", refused(Login{"STATION", "12345678"}, "stranger")},
		{"the ingester's name with a wrong password", refused(Login{"INGESTER", "tofuwatch"}, "stranger")},
		{"a name that is a wildcard", refused(Login{"+", "+"}, "stranger")},
		{"another name that is a wildcard", refused(Login{"#", ""}, "stranger")},

		{"a station publishes its readings", publishes(own("tofu/%s/readings"), false, true)},
		{"a station publishes its presence", publishes(own("tofu/%s/status"), true, true)},
		{"a station publishes another's readings", publishes(to("tofu/%s/readings"), false, false)},
		{"a station publishes another's presence", publishes(to("tofu/%s/status"), false, false)},
		{"a station leaves a retained message for another", publishes(to("tofu/%s/readings"), true, false)},
		{"a station publishes for one that does not exist", publishes(plain("tofu/nobody/readings"), false, false)},
		{"a station publishes for one without a name", publishes(plain("tofu//readings"), false, false)},
		{"a station publishes in another case", publishes(to("TOFU/%s/readings"), false, false)},
		{"a station leaves a will on another's presence", will},
		{"a station reads everything", reads(plain("#"))},
		{"a station reads all readings", reads(plain("tofu/+/readings"))},
		{"a station reads another's readings", reads(to("tofu/%s/readings"))},
		{"a station reads all presence", reads(plain("tofu/+/status"))},
		{"a station takes part in a shared subscription", reads(plain("$share/tofuwatch/tofu/+/readings"))},
		{"a station takes part in a shared subscription to all", reads(plain("$share/x/#"))},
		{"a station reads the broker's own topics", brokerTopics},
		{"a station takes the ingester's client ID", takesOver(func(g *Guarded) (Login, string) { return g.Ingester, g.IngesterID })},
		{"a station takes another's client ID", takesOver(func(g *Guarded) (Login, string) { return g.Other, g.Other.Username })},
		{"a station takes the ingester's name as client ID", takesOver(func(g *Guarded) (Login, string) { return g.Ingester, g.Ingester.Username })},
		{"the ingester publishes a reading", ingesterPublishes},
	}
}

func (g *Guarded) client(login Login, id string, change func(*paho.ClientOptions)) paho.Client {
	o := paho.NewClientOptions().AddBroker(g.URL).SetClientID(id).SetTLSConfig(g.TLS).
		SetUsername(login.Username).SetPassword(login.Password).
		SetProtocolVersion(4).SetAutoReconnect(false).SetConnectTimeout(10 * time.Second).SetWriteTimeout(10 * time.Second)
	if change != nil {
		change(o)
	}
	return paho.NewClient(o)
}

// connect connects somebody who may.
func (g *Guarded) connect(t *testing.T, login Login, id string, change func(*paho.ClientOptions)) paho.Client {
	t.Helper()
	client := g.client(login, id, change)
	await(t, client.Connect())
	t.Cleanup(func() { client.Disconnect(0) })
	return client
}

func await(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(10 * time.Second) {
		t.Fatal("the broker does not answer")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// A listener collects what a client hears.
type listener struct {
	client paho.Client
	mu     sync.Mutex
	heard  []string // payloads
}

func (g *Guarded) listen(t *testing.T, login Login, id string, filters ...string) *listener {
	t.Helper()
	l := new(listener)
	l.client = g.connect(t, login, id, func(o *paho.ClientOptions) {
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.heard = append(l.heard, string(m.Payload()))
		})
	})
	for _, filter := range filters {
		l.subscribe(t, filter)
	}
	return l
}

// subscribe returns once the broker has answered, with whatever.
func (l *listener) subscribe(t *testing.T, filter string) {
	t.Helper()
	if !l.client.Subscribe(filter, 1, nil).WaitTimeout(10 * time.Second) {
		t.Fatalf("the broker does not answer a subscription to %s", filter)
	}
}

func (l *listener) has(payload string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.heard, payload)
}

// awaits waits until the listener has heard payload.
func (l *listener) awaits(t *testing.T, payload string) {
	t.Helper()
	Eventually(t, func() error {
		if !l.has(payload) {
			return fmt.Errorf("the ingester has not got %q", payload)
		}
		return nil
	})
}

func (g *Guarded) ingester(t *testing.T) *listener {
	t.Helper()
	return g.listen(t, g.Ingester, g.IngesterID, "tofu/+/readings", "tofu/+/status")
}

// say has a station publish a payload under its readings, which it may. What the
// broker was given before has then been dealt with.
func (g *Guarded) say(t *testing.T, client paho.Client, login Login, payload string) {
	t.Helper()
	await(t, client.Publish("tofu/"+login.Username+"/readings", 1, false, payload))
}

// published has the station publish to a topic, and says whether the ingester
// getting it or not is as it should be.
func (g *Guarded) published(t *testing.T, topic string, retained, allowed bool) string {
	ingester := g.ingester(t)
	station := g.connect(t, g.Station, g.Station.Username, nil)
	station.Publish(topic, 1, retained, "attempt").WaitTimeout(time.Second)
	if allowed {
		ingester.awaits(t, "attempt")
		if retained {
			await(t, station.Publish(topic, 1, true, ""))
		}
		return ""
	}
	// A broker may end the connection of one who tries.
	other := g.connect(t, g.Other, g.Other.Username, nil)
	g.say(t, other, g.Other, "barrier")
	ingester.awaits(t, "barrier")
	if ingester.has("attempt") {
		return "the ingester got it"
	}
	later := g.listen(t, g.Ingester, g.IngesterID, "tofu/+/readings", "tofu/+/status") // what is retained comes now
	g.say(t, other, g.Other, "second barrier")
	later.awaits(t, "second barrier")
	if later.has("attempt") {
		return "it is retained"
	}
	return ""
}

// overhears says whether the station, having subscribed to filter, gets what
// another publishes, or whether the ingester does not get it any more.
func (g *Guarded) overhears(t *testing.T, filter string) string {
	ingester := g.ingester(t)
	other := g.connect(t, g.Other, g.Other.Username, nil)
	await(t, other.Publish("tofu/"+g.Other.Username+"/status", 1, true, "online"))
	defer func() { await(t, other.Publish("tofu/"+g.Other.Username+"/status", 1, true, "")) }()
	station := g.listen(t, g.Station, g.Station.Username)
	station.client.Subscribe(filter, 1, nil).WaitTimeout(time.Second) // a broker may end the connection instead
	for i := range 4 {
		g.say(t, other, g.Other, fmt.Sprintf("secret %d", i))
	}
	for i := range 4 {
		ingester.awaits(t, fmt.Sprintf("secret %d", i))
	}
	// Another answer on the same connection: what the broker had sent before it
	// has arrived.
	station.client.Subscribe("tofu/barrier", 1, nil).WaitTimeout(time.Second)
	station.mu.Lock()
	defer station.mu.Unlock()
	if len(station.heard) > 0 {
		return fmt.Sprintf("it heard %q", station.heard)
	}
	return ""
}

func brokerTopics(t *testing.T, g *Guarded) string {
	station := g.listen(t, g.Station, g.Station.Username)
	station.client.Subscribe("$SYS/#", 1, nil).WaitTimeout(time.Second)
	station.client.Subscribe("tofu/barrier", 1, nil).WaitTimeout(time.Second)
	station.mu.Lock()
	defer station.mu.Unlock()
	if len(station.heard) > 0 {
		return fmt.Sprintf("it heard %q", station.heard)
	}
	return ""
}

func will(t *testing.T, g *Guarded) string {
	ingester := g.ingester(t)
	station := g.client(g.Station, g.Station.Username, func(o *paho.ClientOptions) {
		o.SetWill("tofu/"+g.Other.Username+"/status", "attempt", 1, true)
	})
	// A broker may refuse the connection for its will.
	if token := station.Connect(); token.WaitTimeout(10*time.Second) && token.Error() == nil {
		// The same client once more: the broker ends the first, without a farewell.
		second := g.connect(t, g.Station, g.Station.Username, nil)
		g.say(t, second, g.Station, "first barrier")
		ingester.awaits(t, "first barrier")
	}
	other := g.connect(t, g.Other, g.Other.Username, nil)
	g.say(t, other, g.Other, "barrier")
	ingester.awaits(t, "barrier")
	if ingester.has("attempt") {
		return "the will was carried out"
	}
	return ""
}

// takesOver returns an attempt to take over somebody's session by their client
// ID.
func takesOver(whose func(*Guarded) (Login, string)) func(*testing.T, *Guarded) string {
	return func(t *testing.T, g *Guarded) string {
		victim, id := whose(g)
		client := g.connect(t, victim, id, func(o *paho.ClientOptions) { o.SetCleanSession(false) })
		await(t, client.Subscribe("tofu/+/readings", 1, func(paho.Client, paho.Message) {}))
		thief := g.client(g.Station, id, func(o *paho.ClientOptions) { o.SetCleanSession(true) })
		defer thief.Disconnect(0)
		thief.Connect().WaitTimeout(10 * time.Second)
		// The victim is asked once more: had its connection been ended, no answer
		// would come.
		if token := client.Subscribe("tofu/+/status", 1, nil); !token.WaitTimeout(5*time.Second) || !client.IsConnectionOpen() {
			return "the other's connection was ended"
		}
		return ""
	}
}

func ingesterPublishes(t *testing.T, g *Guarded) string {
	ingester := g.ingester(t)
	ingester.client.Publish("tofu/"+g.Station.Username+"/readings", 1, false, "attempt").WaitTimeout(time.Second)
	witness := g.connect(t, g.Other, g.Other.Username, nil)
	g.say(t, witness, g.Other, "barrier")
	if !ingester.client.IsConnectionOpen() {
		return "" // thrown out for it
	}
	ingester.awaits(t, "barrier")
	if ingester.has("attempt") {
		return "it was taken"
	}
	return ""
}
