// Package mqtt takes messages from a broker: a persistent session, QoS 1, and
// an acknowledgement only when the message's owner gives it.
package mqtt

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/renameio/v2"

	"tofuwatch/ingest"
)

// Options say which broker, and what to subscribe to.
type Options struct {
	Broker   *url.URL
	ClientID string // the session's name: the broker keeps messages under it
	Username string
	Password string
	TLS      func() (*tls.Config, error) // asked for each connection, so that a renewed certificate is taken up
	Filters  []string
	// FiltersFile remembers the filters of the last run, so that those which
	// are no longer wanted can be taken out of the session.
	FiltersFile string
	// Gate is asked before each connection: its error keeps the subscriber
	// away from the broker, which keeps the messages meanwhile.
	Gate func() error
}

// Times of the connection.
const (
	connectTimeout = 10 * time.Second
	keepAlive      = 30 * time.Second
	pingTimeout    = 10 * time.Second
	retryInterval  = 2 * time.Second
	mostRetry      = 15 * time.Second
	mostJitter     = time.Second
	grantTimeout   = 20 * time.Second
	quiesce        = 250 * time.Millisecond
)

// A Subscriber holds one connection to a broker, and makes it anew whenever it
// is lost.
type Subscriber struct {
	o      Options
	handle func(ingest.Message)
	log    *slog.Logger

	settling sync.WaitGroup // calls of settle; none is added once ended

	mu      sync.Mutex
	ended   bool            // Run has disconnected
	conn    *coalescingConn // the last one that was opened; nil before
	granted *coalescingConn // the last one on which the broker granted every filter
	told    string          // the last connection fault that was logged
}

// New returns a subscriber that gives each message to handle, one at a time.
// handle must not block, and must see to it that each message is acknowledged.
func New(o Options, handle func(ingest.Message), log *slog.Logger) *Subscriber {
	return &Subscriber{o: o, handle: handle, log: log}
}

// Up reports whether the broker has granted the subscriptions and the connection
// is alive.
func (s *Subscriber) Up() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil && s.granted == s.conn && !s.conn.closed.Load()
}

// Reconnect drops the connection; a new one is made as soon as Gate allows. It
// is for messages that were not acknowledged: a broker sends them again on a new
// connection only.
func (s *Subscriber) Reconnect() {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn != nil {
		conn.drop()
	}
}

// Run stays connected until ctx is done, which is no error. What is not
// acknowledged by then stays with the broker.
func (s *Subscriber) Run(ctx context.Context) error {
	client := paho.NewClient(s.options(ctx))
	client.Connect() // tries until it succeeds; OnConnect subscribes
	<-ctx.Done()
	client.Disconnect(uint(quiesce.Milliseconds()))
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.settling.Wait()
	return nil
}

// connected is called after each connect.
func (s *Subscriber) connected(ctx context.Context, c paho.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.settling.Go(func() { s.settle(ctx, c) })
	}
}

func (s *Subscriber) options(ctx context.Context) *paho.ClientOptions {
	broker := *s.o.Broker
	broker.User = nil
	o := paho.NewClientOptions().
		AddBroker(broker.String()).
		SetClientID(s.o.ClientID).
		SetUsername(s.o.Username).
		SetPassword(s.o.Password).
		SetProtocolVersion(4). // or it would try 3.1 after each refusal
		SetCleanSession(false).
		SetAutoAckDisabled(true).
		SetOrderMatters(true).               // one message at a time, on one goroutine
		SetDefaultPublishHandler(s.message). // before connecting: a session's backlog comes first
		SetStore(noStore{}).
		SetKeepAlive(keepAlive).
		SetPingTimeout(pingTimeout).
		SetConnectTimeout(connectTimeout).
		SetConnectRetry(true).
		SetConnectRetryInterval(retryInterval).
		SetAutoReconnect(true).
		SetMaxReconnectInterval(mostRetry).
		SetOnConnectHandler(func(c paho.Client) { s.connected(ctx, c) }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost(err) }).
		SetConnectionNotificationHandler(func(_ paho.Client, n paho.ConnectionNotification) {
			if failed, ok := n.(paho.ConnectionNotificationFailed); ok {
				s.failed(failed.Reason)
			}
		}).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return s.open(ctx) }) // takes the messages, from the first one on
	return o
}

// open makes a connection, after a moment that differs from one ingester to the
// next: after a power cut they would all come at once.
func (s *Subscriber) open(ctx context.Context) (net.Conn, error) {
	select {
	case <-time.After(rand.N(mostJitter)):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.o.Gate(); err != nil {
		return nil, err
	}
	conn, err := dial(s.o)
	if err != nil {
		return nil, err
	}
	c := newCoalescingConn(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	return c, nil
}

func (s *Subscriber) message(_ paho.Client, m paho.Message) {
	s.handle(ingest.Message{
		Topic:     m.Topic(),
		Payload:   m.Payload(),
		Received:  time.Now().UTC(),
		Duplicate: m.Duplicate(),
		Retained:  m.Retained(),
		Ack:       m.Ack,
	})
}

// settle makes the session's filters those of the options. It runs after each
// connect, on a session that may be new, or have other filters.
func (s *Subscriber) settle(ctx context.Context, c paho.Client) {
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if err := s.grant(ctx, c, conn); err != nil && ctx.Err() == nil && !conn.closed.Load() {
		s.log.Error("broker does not grant the subscriptions; connecting again", "err", err)
		select {
		case <-time.After(retryInterval):
			conn.drop() // and no other: there may be a better one by now
		case <-ctx.Done():
		}
	}
}

func (s *Subscriber) grant(ctx context.Context, c paho.Client, conn *coalescingConn) error {
	old, err := s.oldFilters()
	if err != nil {
		s.log.Warn("filters of the last run unknown; those that left the site file stay in the session", "err", err)
	}
	if gone := without(old, s.o.Filters); len(gone) > 0 {
		if err := wait(ctx, c.Unsubscribe(gone...)); err != nil {
			return fmt.Errorf("unsubscribe from %q: %w", gone, err)
		}
		s.log.Info("unsubscribed from what left the site file", "filters", gone)
	}
	if err := subscribe(ctx, c, s.o); err != nil {
		return err
	}
	if err := s.rememberFilters(); err != nil {
		s.log.Warn("filters of this run not noted; should one leave the site file, it stays in the session", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granted, s.told = conn, ""
	s.log.Info("subscribed", "broker", s.o.Broker.Redacted(), "filters", s.o.Filters)
	return nil
}

// subscribe asks for the filters of o. It fails unless each is granted, with
// QoS 1.
func subscribe(ctx context.Context, c paho.Client, o Options) error {
	filters := make(map[string]byte, len(o.Filters))
	for _, f := range o.Filters {
		filters[f] = 1
	}
	token := c.SubscribeMultiple(filters, nil)
	if err := wait(ctx, token); err != nil {
		return fmt.Errorf("subscribe to %q: %w", o.Filters, err)
	}
	for filter, qos := range token.(*paho.SubscribeToken).Result() {
		if qos != 1 {
			return fmt.Errorf("subscribe to %q: the broker refuses it, or QoS 1 on it (code %#x); may %q read there?", filter, qos, o.Username)
		}
	}
	return nil
}

// wait returns a token's outcome. Paho fails the token when the connection goes.
func wait(ctx context.Context, t paho.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-time.After(grantTimeout):
		return errors.New("no answer from the broker")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Subscriber) oldFilters() ([]string, error) {
	data, err := os.ReadFile(s.o.FiltersFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var filters []string
	if err := json.Unmarshal(data, &filters); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.o.FiltersFile, err)
	}
	return filters, nil
}

func (s *Subscriber) rememberFilters() error {
	data, err := json.Marshal(s.o.Filters)
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.o.FiltersFile, data, 0o640)
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(f string) bool { return slices.Contains(some, f) })
}

func (s *Subscriber) lost(err error) {
	if errors.Is(err, errDropped) {
		return // whoever dropped it said why
	}
	s.log.Warn("connection to broker lost; connecting again", "broker", s.o.Broker.Redacted(), "err", err,
		"hint", "if this repeats: is the client id "+s.o.ClientID+" in use twice?")
}

// failed tells of a connection that could not be made, once for each fault.
func (s *Subscriber) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || err.Error() == s.told {
		return
	}
	s.told = err.Error()
	s.log.Error("no connection to broker; trying on", "broker", s.o.Broker.Redacted(), "err", err)
}

// Check connects to the broker of o under a name of its own and asks for the
// filters, then leaves no trace of it. Its error says what a person should mend.
func Check(ctx context.Context, o Options) error {
	o.ClientID += "-check"
	failure := make(chan error, 1)
	options := paho.NewClientOptions().
		AddBroker(o.Broker.String()).SetClientID(o.ClientID).SetUsername(o.Username).SetPassword(o.Password).
		SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(connectTimeout).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			return dial(o)
		}).
		SetConnectionNotificationHandler(func(_ paho.Client, n paho.ConnectionNotification) {
			if failed, ok := n.(paho.ConnectionNotificationFailed); ok {
				select {
				case failure <- failed.Reason:
				default:
				}
			}
		})
	c := paho.NewClient(options)
	if err := wait(ctx, c.Connect()); err != nil {
		select {
		case err = <-failure:
		default:
		}
		return fmt.Errorf("connect to %s: %w", o.Broker.Redacted(), err)
	}
	defer c.Disconnect(uint(quiesce.Milliseconds()))
	return subscribe(ctx, c, o)
}

// noStore keeps nothing for paho: the session is the broker's, messages are in
// the spool before they are acknowledged, and we publish nothing. A real store
// would hand in messages a second time after a reconnect, under packet numbers
// that mean something else by then.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}
