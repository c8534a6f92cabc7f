package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest"
	"tofuwatch/internal/testenv"
)

// A receiver takes messages as a pipeline does, and acknowledges them unless
// it is told to withhold that.
type receiver struct {
	withhold atomic.Bool

	mu  sync.Mutex
	got map[string]int // how often each payload came
}

func (r *receiver) handle(m ingest.Message) {
	r.mu.Lock()
	if r.got == nil {
		r.got = make(map[string]int)
	}
	r.got[string(m.Payload)]++
	r.mu.Unlock()
	if !r.withhold.Load() {
		m.Ack()
	}
}

func (r *receiver) counts() (distinct, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.got {
		all += n
	}
	return len(r.got), all
}

// wants returns a condition: so many distinct payloads have come.
func (r *receiver) wants(distinct int) func() error {
	return func() error {
		if got, _ := r.counts(); got != distinct {
			return fmt.Errorf("%d distinct messages came, want %d", got, distinct)
		}
		return nil
	}
}

// A logText keeps what is logged.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func brokerOptions(t *testing.T, address string, filters ...string) Options {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Broker: u, ClientID: "tofuwatch", Filters: filters,
		FiltersFile: filepath.Join(t.TempDir(), "filters.json"),
		TLS:         func() (*tls.Config, error) { return nil, nil },
		Gate:        func() error { return nil },
	}
}

// A running is a subscriber that runs.
type running struct {
	*Subscriber
	log  logText
	stop func() // and waits until it has
}

func run(t *testing.T, o Options, handle func(ingest.Message)) *running {
	t.Helper()
	r := new(running)
	r.Subscriber = New(o, handle, slog.New(slog.NewTextHandler(&r.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		if r.Up() {
			t.Error("Up() after Run ended")
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) up() error {
	if !r.Up() {
		return fmt.Errorf("not up; logged:\n%s", &r.log)
	}
	return nil
}

func (r *running) down() error {
	if r.Up() {
		return errors.New("still up")
	}
	return nil
}

// publisher is a client that sends.
func publisher(t *testing.T, b *testenv.Broker) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL).SetClientID("publisher").SetAutoReconnect(false))
	await(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

func await(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(time.Minute) {
		t.Fatal("no answer from the broker in a minute")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// publish sends messages, numbered from first to last, and waits until the
// broker has them all.
func publishAll(t *testing.T, c paho.Client, topic string, first, last int) {
	t.Helper()
	var tokens []paho.Token
	for n := first; n <= last; n++ {
		tokens = append(tokens, c.Publish(topic, 1, false, fmt.Sprint(n)))
	}
	for _, token := range tokens {
		await(t, token)
	}
}

func TestBacklogComesWhole(t *testing.T) {
	t.Parallel()
	const backlog = 5000
	broker := testenv.Mosquitto(t, testenv.WithConfig("max_queued_messages 10000"))
	o := brokerOptions(t, broker.URL, "tofu/+/readings")
	first := run(t, o, new(receiver).handle)
	testenv.Eventually(t, first.up)
	first.stop()
	publishAll(t, publisher(t, broker), "tofu/ipal-01/readings", 1, backlog)

	r := new(receiver)
	second := run(t, o, r.handle)
	testenv.Eventually(t, r.wants(backlog))
	testenv.Eventually(t, second.up)
	if _, all := r.counts(); all != backlog {
		t.Errorf("%d messages came of %d", all, backlog)
	}
}

func TestWithheldMessagesComeAgain(t *testing.T) {
	t.Parallel()
	const window = 20 // what a stock broker has in flight
	broker := testenv.Mosquitto(t)
	r := new(receiver)
	r.withhold.Store(true)
	s := run(t, brokerOptions(t, broker.URL, "tofu/+/readings"), r.handle)
	testenv.Eventually(t, s.up)
	publishAll(t, publisher(t, broker), "tofu/ipal-01/readings", 1, 3*window)
	testenv.Eventually(t, r.wants(window)) // and then nothing: none is acknowledged

	s.Reconnect() // at once, and not when the next ping would fail
	testenv.Within(t, 20*time.Second, func() error {
		if _, all := r.counts(); all != 2*window {
			return fmt.Errorf("%d messages came, want %d", all, 2*window)
		}
		return nil
	})
	if distinct, _ := r.counts(); distinct != window {
		t.Errorf("%d distinct messages came, want the same %d again", distinct, window)
	}
	r.withhold.Store(false)
	s.Reconnect()
	testenv.Eventually(t, r.wants(3*window))
	testenv.Eventually(t, s.up)
	if strings.Contains(s.log.String(), "level=WARN") || strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("logged of a reconnection that was asked for:\n%s", &s.log)
	}
	s.stop()
	_, before := r.counts()

	third := run(t, s.o, r.handle) // nothing is left with the broker
	testenv.Eventually(t, third.up)
	publishAll(t, publisher(t, broker), "tofu/ipal-01/readings", 1000, 1000)
	testenv.Eventually(t, r.wants(3*window+1))
	if _, after := r.counts(); after != before+1 {
		t.Errorf("%d messages came after all were acknowledged, want 1", after-before)
	}
}

func TestSubscribesAgainAfterTheBrokerForgot(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t) // without persistence
	r := new(receiver)
	s := run(t, brokerOptions(t, broker.URL, "tofu/+/readings", "tofu/+/status"), r.handle)
	testenv.Eventually(t, s.up)
	broker.Kill()
	testenv.Eventually(t, s.down)
	broker.Start()
	testenv.Eventually(t, s.up)
	c := publisher(t, broker)
	publishAll(t, c, "tofu/ipal-01/readings", 1, 1)
	publishAll(t, c, "tofu/ipal-01/status", 2, 2)
	testenv.Eventually(t, r.wants(2))
}

func TestFiltersThatWentAreUnsubscribed(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t)
	o := brokerOptions(t, broker.URL, "stays/#", "goes/#")
	first := run(t, o, new(receiver).handle)
	testenv.Eventually(t, first.up)
	first.stop()

	r := new(receiver)
	o.Filters = []string{"stays/#", "comes/#"}
	second := run(t, o, r.handle)
	testenv.Eventually(t, second.up)
	c := publisher(t, broker)
	publishAll(t, c, "goes/a", 1, 1)
	publishAll(t, c, "stays/a", 2, 2)
	publishAll(t, c, "comes/a", 3, 3)
	testenv.Eventually(t, r.wants(2))
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(r.got, map[string]int{"2": 1, "3": 1}); diff != "" {
		t.Errorf("messages (-got +want):\n%s", diff)
	}
	if got, err := os.ReadFile(o.FiltersFile); string(got) != `["stays/#","comes/#"]` {
		t.Errorf("filters remembered: %s (%v)", got, err)
	}
}

func TestUnreadableFiltersFileIsTold(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t)
	o := brokerOptions(t, broker.URL, "stays/#")
	if err := os.WriteFile(o.FiltersFile, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	s := run(t, o, new(receiver).handle)
	testenv.Eventually(t, s.up)
	if !strings.Contains(s.log.String(), "filters of the last run unknown") {
		t.Errorf("logged:\n%s", &s.log)
	}
}

// A broker that grants QoS 0 only would lose what comes while we are away.
func TestLowerQoSIsNotUp(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t, testenv.WithConfig("max_qos 0"))
	o := brokerOptions(t, broker.URL, "tofu/+/readings")
	s := run(t, o, new(receiver).handle)
	const want = `subscribe to "tofu/+/readings": the broker refuses it, or QoS 1 on it (code 0x0)`
	testenv.Eventually(t, func() error {
		if s.Up() {
			t.Fatal("up, though QoS 1 was not granted")
		}
		if !strings.Contains(s.log.String(), "broker does not grant the subscriptions") ||
			!strings.Contains(strings.ReplaceAll(s.log.String(), `\`, ""), want) {
			return fmt.Errorf("want %q in the log:\n%s", want, &s.log)
		}
		return nil
	})
	if err := Check(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Check: %v, want %q", err, want)
	}
}

// refusingBroker accepts everybody and refuses each subscription. Mosquitto's
// access lists refuse none.
func refusingBroker(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(conn net.Conn) {
		defer conn.Close()
		for {
			p, err := packets.ReadPacket(conn)
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packets.ConnectPacket:
				err = packets.NewControlPacket(packets.Connack).Write(conn)
			case *packets.SubscribePacket:
				answer := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
				answer.MessageID = p.MessageID
				for range p.Topics {
					answer.ReturnCodes = append(answer.ReturnCodes, 0x80)
				}
				err = answer.Write(conn)
			}
			if err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "tcp://" + l.Addr().String()
}

func TestRefusedSubscriptionIsNotUp(t *testing.T) {
	t.Parallel()
	o := brokerOptions(t, refusingBroker(t), "tofu/+/readings")
	o.Username = "tofuwatch"
	s := run(t, o, new(receiver).handle)
	const want = `the broker refuses it, or QoS 1 on it (code 0x80); may "tofuwatch" read there?`
	testenv.Eventually(t, func() error {
		if s.Up() {
			t.Fatal("up, though the subscription was refused")
		}
		if got := strings.ReplaceAll(s.log.String(), `\`, ""); strings.Count(got, want) < 2 { // it does not give up
			return fmt.Errorf("want %q twice in the log:\n%s", want, got)
		}
		return nil
	})
	if err := Check(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Check: %v, want %q", err, want)
	}
}

func TestGateKeepsAway(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t)
	var open atomic.Bool
	var asked atomic.Int64
	o := brokerOptions(t, broker.URL, "tofu/+/readings")
	o.Gate = func() error {
		asked.Add(1)
		if !open.Load() {
			return errors.New("spool is full")
		}
		return nil
	}
	r := new(receiver)
	s := run(t, o, r.handle)
	testenv.Eventually(t, func() error {
		if s.Up() {
			t.Fatal("up behind a closed gate")
		}
		if n := asked.Load(); n < 2 {
			return fmt.Errorf("the gate was asked %d times, want 2", n)
		}
		return nil
	})
	if log := broker.Log(); strings.Contains(log, "tofuwatch") {
		t.Errorf("the broker saw a connection:\n%s", log)
	}
	if got := strings.Count(s.log.String(), "spool is full"); got != 1 {
		t.Errorf("the gate's reason is %d times in the log, want 1:\n%s", got, &s.log)
	}
	open.Store(true)
	testenv.Eventually(t, s.up)
	open.Store(false)
	s.Reconnect()
	testenv.Eventually(t, s.down)
	publishAll(t, publisher(t, broker), "tofu/ipal-01/readings", 1, 5)
	if got, _ := r.counts(); got != 0 {
		t.Errorf("%d messages came through a closed gate", got)
	}
	open.Store(true)
	testenv.Eventually(t, r.wants(5))
}

// passwordFile is one of Mosquitto's, with one user.
func passwordFile(t *testing.T, user, password string) string {
	t.Helper()
	testenv.Program(t, "mosquitto") // skips, or fails in CI
	file := filepath.Join(t.TempDir(), "passwords")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", file, user, password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	return file
}

func TestWrongPasswordIsToldOnce(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t, testenv.WithConfig("allow_anonymous false", "password_file "+passwordFile(t, "tofuwatch", "tempe")))
	o := brokerOptions(t, broker.URL, "tofu/+/readings")
	o.Username, o.Password = "tofuwatch", "tahu"
	var attempts atomic.Int64
	o.Gate = func() error { attempts.Add(1); return nil }
	s := run(t, o, new(receiver).handle)
	testenv.Eventually(t, func() error {
		if n := attempts.Load(); n < 3 {
			return fmt.Errorf("%d attempts, want 3", n)
		}
		return nil
	})
	if got := strings.Count(s.log.String(), "no connection to broker"); got != 1 {
		t.Errorf("told %d times in 2 attempts, want once:\n%s", got, &s.log)
	}
	if strings.Contains(s.log.String(), "tahu") {
		t.Errorf("the password is in the log:\n%s", &s.log)
	}
	if err := Check(t.Context(), o); err == nil || !strings.Contains(strings.ToLower(err.Error()), "not authorized") {
		t.Errorf("Check: %v, want one that says not authorized", err)
	}
	o.Password = "tempe"
	if err := Check(t.Context(), o); err != nil {
		t.Errorf("Check with the right password: %v", err)
	}
}

func TestTLSWithAClientCertificate(t *testing.T) {
	t.Parallel()
	broker := testenv.Mosquitto(t, testenv.WithTLS())
	ca, err := os.ReadFile(broker.TLS.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(ca)
	o := brokerOptions(t, broker.URL, "tofu/+/readings")
	o.TLS = func() (*tls.Config, error) { return config, nil }
	if err := Check(t.Context(), o); err == nil {
		t.Error("Check without a certificate finds nothing")
	}
	certificate, err := tls.LoadX509KeyPair(broker.TLS.CertFile, broker.TLS.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	config = config.Clone()
	config.Certificates = []tls.Certificate{certificate}
	if err := Check(t.Context(), o); err != nil {
		t.Errorf("Check: %v", err)
	}
	r := new(receiver)
	s := run(t, o, r.handle)
	testenv.Eventually(t, s.up)
	c := paho.NewClient(paho.NewClientOptions().AddBroker(broker.URL).SetClientID("publisher").SetTLSConfig(config))
	await(t, c.Connect())
	defer c.Disconnect(0)
	publishAll(t, c, "tofu/ipal-01/readings", 1, 100)
	testenv.Eventually(t, r.wants(100))
}

func TestCheckTellsWhatToMend(t *testing.T) {
	t.Parallel()
	o := brokerOptions(t, fmt.Sprintf("tcp://127.0.0.1:%d", testenv.FreePort(t)), "tofu/+/readings")
	err := Check(t.Context(), o)
	if want := "connect to " + o.Broker.String() + ": "; err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens: %v, want %s… refused", err, want)
	}
	if err := Check(t.Context(), brokerOptions(t, "http://127.0.0.1:1883")); err == nil || !strings.Contains(err.Error(), "have tcp, ssl, ws, wss") {
		t.Errorf("wrong scheme: %v", err)
	}
	broken := errors.New("read certificate authority: no such file")
	o.TLS = func() (*tls.Config, error) { return nil, broken }
	if err := Check(t.Context(), o); !errors.Is(err, broken) {
		t.Errorf("no certificate: %v, want %v", err, broken)
	}
}

// The broker dies again and again while messages come: nothing hangs, nothing
// piles up, and what it acknowledged to the sender while up arrives in the end.
func TestBrokerKilledUnderLoad(t *testing.T) {
	broker := testenv.Mosquitto(t)
	r := new(receiver)
	s := run(t, brokerOptions(t, broker.URL, "tofu/+/readings"), r.handle)
	testenv.Eventually(t, s.up)
	before := runtime.NumGoroutine()
	for round := range 3 {
		c := publisher(t, broker)
		stop, stopped := make(chan bool), make(chan bool)
		go func() {
			defer close(stopped)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					c.Publish("tofu/ipal-01/readings", 1, false, fmt.Sprintf("%d-%d", round, n)).WaitTimeout(time.Second)
				}
			}
		}()
		had, _ := r.counts()
		testenv.Eventually(t, func() error {
			if got, _ := r.counts(); got < had+50 {
				return fmt.Errorf("%d messages of round %d came, want 50", got-had, round)
			}
			return nil
		})
		broker.Kill()
		close(stop)
		<-stopped
		c.Disconnect(0)
		testenv.Eventually(t, s.down)
		broker.Start()
		testenv.Eventually(t, s.up)
	}
	testenv.Eventually(t, func() error {
		if after := runtime.NumGoroutine(); after > before {
			all := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines after three restarts, %d before:\n%s", after, before, all[:runtime.Stack(all, true)])
		}
		return nil
	})
	publishAll(t, publisher(t, broker), "tofu/ipal-01/readings", 1, 1)
	testenv.Eventually(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.got["1"] != 1 {
			return errors.New("the last message has not come")
		}
		return nil
	})
}

func TestWithout(t *testing.T) {
	got := without([]string{"a", "b", "c"}, []string{"c", "a", "d"})
	if want := []string{"b"}; !slices.Equal(got, want) {
		t.Errorf("without() = %q, want %q", got, want)
	}
}
