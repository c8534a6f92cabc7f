package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"
)

// testLog is silent, errors aside, which it gives to the test.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// listenLoopback returns a listener on a free port of this machine.
func listenLoopback(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// startBroker runs a broker until the test ends or the function it returns is
// called.
func startBroker(t testing.TB, o brokerOptions) (url string, stop func()) {
	t.Helper()
	ln := listenLoopback(t)
	b, err := newBroker(ln, o, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("broker: %v", err)
		}
	})
	t.Cleanup(stop)
	return "tcp://" + ln.Addr().String(), stop
}

// await polls until done or the test's patience is over.
func await(t testing.TB, what string, done func() (state string, ok bool)) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		state, ok := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s; last seen: %s", what, state)
		}
		<-tick.C
	}
}

// finish waits for a token of paho's and fails the test on its error.
func finish(t testing.TB, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(time.Minute) {
		t.Fatal("no answer from the broker")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// connect returns a connected client with a session that lasts.
func connect(t testing.TB, url, id string, change func(*paho.ClientOptions)) paho.Client {
	t.Helper()
	o := paho.NewClientOptions().AddBroker(url).SetClientID(id).SetCleanSession(false).
		SetAutoReconnect(false).SetOrderMatters(false)
	if change != nil {
		change(o)
	}
	c := paho.NewClient(o)
	finish(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(0) })
	return c
}

// received collects the payloads that a client was given.
type received struct {
	mu   sync.Mutex
	seen map[string]int
}

func (r *received) take(_ paho.Client, m paho.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = make(map[string]int)
	}
	r.seen[string(m.Payload())]++
}

func (r *received) distinct() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

func (r *received) payloads() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.seen))
}

// publish sends n messages at once and waits until all are acknowledged.
func publish(t testing.TB, c paho.Client, n int) {
	t.Helper()
	if err := publishAll(c, n); err != nil {
		t.Fatal(err)
	}
}

func publishAll(c paho.Client, n int) error {
	tokens := make([]paho.Token, n)
	for i := range n {
		tokens[i] = c.Publish("tofu/ipal-01/readings", 1, false, strconv.Itoa(i))
	}
	for i, token := range tokens {
		if !token.WaitTimeout(time.Minute) {
			return fmt.Errorf("message %d was not acknowledged", i)
		}
		if err := token.Error(); err != nil {
			return err
		}
	}
	return nil
}

const stress = 20_000

func TestNothingIsLostToAnAbsentSession(t *testing.T) {
	dir := t.TempDir()
	url, stop := startBroker(t, brokerOptions{Dir: dir, Complete: "ingester"})
	c := connect(t, url, "ingester", nil)
	finish(t, c.Subscribe("tofu/+/readings", 1, nil))
	c.Disconnect(100)

	publish(t, connect(t, url, "logger", nil), stress)
	stop() // a restart in between
	url, _ = startBroker(t, brokerOptions{Dir: dir, Complete: "ingester"})

	var got received
	connect(t, url, "ingester", func(o *paho.ClientOptions) { o.SetDefaultPublishHandler(got.take) })
	await(t, "all messages", func() (string, bool) {
		n := got.distinct()
		return fmt.Sprint(n), n == stress
	})
}

func TestNothingIsLostToASlowSession(t *testing.T) {
	url, _ := startBroker(t, brokerOptions{Dir: t.TempDir(), Complete: "ingester"})
	var got received
	slow := make(chan paho.Message, stress)
	c := connect(t, url, "ingester", func(o *paho.ClientOptions) {
		o.SetAutoAckDisabled(true)
		o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { slow <- m })
	})
	finish(t, c.Subscribe("tofu/+/readings", 1, nil))
	go func() { // acknowledges a few, and then waits
		for n := 0; ; n++ {
			m, ok := <-slow
			if !ok {
				return
			}
			if n%100 == 0 {
				<-time.After(10 * time.Millisecond)
			}
			got.take(nil, m)
			m.Ack()
		}
	}()
	publish(t, connect(t, url, "logger", nil), stress)
	await(t, "all messages", func() (string, bool) {
		n := got.distinct()
		return fmt.Sprint(n), n == stress
	})
}

// brokerFolder tells a child of the test to be a broker, and nothing else.
const brokerFolder = "TOFUWATCH_TEST_BROKER_FOLDER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerFolder); dir != "" {
		os.Exit(brokerProcess(dir))
	}
	if os.Getenv(asProgram) != "" {
		os.Exit(mainStatus())
	}
	os.Exit(m.Run())
}

// brokerProcess runs a broker until it is killed, and says where it listens.
func brokerProcess(dir string) int {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		var b *broker
		if b, err = newBroker(ln, brokerOptions{Dir: dir, Complete: "ingester"}, slog.New(slog.DiscardHandler)); err == nil {
			fmt.Println("tcp://" + ln.Addr().String())
			err = b.Run(context.Background())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return failed
}

// What a sender was told has arrived must outlive the broker's sudden death.
func TestAcknowledgedMessagesSurviveAKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), brokerFolder+"="+dir)
	child.Stderr = t.Output()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(line)
	c := connect(t, url, "ingester", nil)
	finish(t, c.Subscribe("tofu/+/readings", 1, nil))
	c.Disconnect(100)

	lost := make(chan struct{})
	logger := connect(t, url, "logger", func(o *paho.ClientOptions) {
		o.SetConnectionLostHandler(func(paho.Client, error) { close(lost) })
	})
	tokens := make(map[string]paho.Token)
	for i := range 5000 {
		payload := strconv.Itoa(i)
		tokens[payload] = logger.Publish("tofu/ipal-01/readings", 1, false, payload)
	}
	finish(t, tokens["300"]) // the kill finds the others on their way
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	<-lost
	var acknowledged []string
	for payload, token := range tokens {
		select {
		case <-token.Done():
			if token.Error() == nil {
				acknowledged = append(acknowledged, payload)
			}
		default:
		}
	}
	t.Logf("%d of %d messages were acknowledged", len(acknowledged), len(tokens))

	url, _ = startBroker(t, brokerOptions{Dir: dir, Complete: "ingester"})
	var got received
	connect(t, url, "ingester", func(o *paho.ClientOptions) { o.SetDefaultPublishHandler(got.take) })
	await(t, "every acknowledged message", func() (string, bool) {
		have := got.payloads()
		for _, want := range acknowledged {
			if _, ok := slices.BinarySearch(have, want); !ok {
				return fmt.Sprintf("%d messages, and not %s", len(have), want), false
			}
		}
		return "", true
	})
}

// A session that is full, away or not there yet holds its senders back; it does
// not make the broker forget.
func TestNothingIsLostWhileTheSessionComesAndGoes(t *testing.T) {
	const n = 5000
	url, _ := startBroker(t, brokerOptions{Dir: t.TempDir(), Complete: "ingester"})
	var got received
	options := func(o *paho.ClientOptions) { o.SetDefaultPublishHandler(got.take) }

	sent := make(chan error, 1)
	logger := connect(t, url, "logger", nil) // before anybody listens
	go func() { sent <- publishAll(logger, n) }()
	for again := true; again; {
		c := connect(t, url, "ingester", options)
		finish(t, c.Subscribe("tofu/+/readings", 1, nil))
		select {
		case err := <-sent:
			if err != nil {
				t.Fatal(err)
			}
			again = false
		case <-time.After(20 * time.Millisecond):
			c.Disconnect(0)
		}
	}
	await(t, "all messages", func() (string, bool) {
		seen := got.distinct()
		return fmt.Sprint(seen), seen == n
	})
}

func TestAcknowledgedMessagesSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	url, stop := startBroker(t, brokerOptions{Dir: dir})
	c := connect(t, url, "node-red", nil)
	finish(t, c.Subscribe("tofu/#", 1, nil))
	c.Disconnect(100)
	logger := connect(t, url, "logger", nil)
	finish(t, logger.Publish("tofu/ipal-01/status", 1, true, "online"))
	finish(t, logger.Publish("tofu/ipal-01/readings", 1, false, "one"))
	finish(t, logger.Publish("tofu/ipal-01/readings", 2, false, "two"))
	stop()

	url, _ = startBroker(t, brokerOptions{Dir: dir})
	var kept, retained received
	connect(t, url, "node-red", func(o *paho.ClientOptions) { o.SetDefaultPublishHandler(kept.take) })
	want := []string{"one", "online", "two"}
	await(t, "the session's messages", func() (string, bool) {
		return fmt.Sprint(kept.payloads()), cmp.Equal(kept.payloads(), want)
	})
	other := connect(t, url, "other", nil)
	finish(t, other.Subscribe("tofu/+/status", 1, retained.take))
	await(t, "the retained message", func() (string, bool) {
		return fmt.Sprint(retained.payloads()), cmp.Equal(retained.payloads(), []string{"online"})
	})
}

// What is on disk must follow what the client acknowledged, or a restart would
// bring all of it again.
func TestDeliveredMessagesDoNotComeAgain(t *testing.T) {
	dir := t.TempDir()
	url, stop := startBroker(t, brokerOptions{Dir: dir, Complete: "ingester"})
	var first, second received
	c := connect(t, url, "ingester", func(o *paho.ClientOptions) { o.SetDefaultPublishHandler(first.take) })
	finish(t, c.Subscribe("tofu/+/readings", 1, nil))
	publish(t, connect(t, url, "logger", nil), 100)
	await(t, "all messages", func() (string, bool) { return fmt.Sprint(first.distinct()), first.distinct() == 100 })
	c.Disconnect(250)
	stop()

	url, _ = startBroker(t, brokerOptions{Dir: dir, Complete: "ingester"})
	c = connect(t, url, "ingester", func(o *paho.ClientOptions) { o.SetDefaultPublishHandler(second.take) })
	finish(t, c.Publish("tofu/ipal-01/readings", 1, false, "last")) // comes after everything kept
	await(t, "the last message", func() (string, bool) {
		return fmt.Sprint(second.payloads()), slices.Contains(second.payloads(), "last")
	})
	if diff := cmp.Diff(second.payloads(), []string{"last"}); diff != "" {
		t.Errorf("after the restart (-got +want):\n%s", diff)
	}
}

func TestDoor(t *testing.T) {
	closed := brokerOptions{Dir: t.TempDir(), Username: "tofuwatch", Password: "rahasia"}
	url, _ := startBroker(t, closed)
	tests := []struct {
		name               string
		username, password string
		want               bool
	}{
		{"right", "tofuwatch", "rahasia", true},
		{"wrong password", "tofuwatch", "rahasi", false},
		{"wrong username", "tofu", "rahasia", false},
		{"nothing", "", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := paho.NewClientOptions().AddBroker(url).SetClientID("x").SetUsername(test.username).SetPassword(test.password).SetConnectRetry(false)
			c := paho.NewClient(o)
			token := c.Connect()
			token.WaitTimeout(time.Minute)
			defer c.Disconnect(0)
			if got := token.Error() == nil; got != test.want {
				t.Errorf("let in: got %v, want %v (%v)", got, test.want, token.Error())
			}
		})
	}
}

func TestASecondBrokerOnOneFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	startBroker(t, brokerOptions{Dir: dir})
	ln := listenLoopback(t)
	defer ln.Close()
	_, err := newBroker(ln, brokerOptions{Dir: dir}, slog.New(slog.DiscardHandler))
	if want := "another process holds it"; err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got error %v, want %q in it", err, want)
	}
}
