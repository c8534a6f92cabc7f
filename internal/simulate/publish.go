package simulate

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"
)

// PublishOptions say where and how fast a world is published.
type PublishOptions struct {
	Broker   string // as a URL: tcp, ssl, ws or wss
	Username string
	Password string
	Speed    float64   // simulated seconds a second until the present is reached; up to 1 the past is sent at once
	Began    time.Time // when the world was at its start; zero is when publishing begins
	InFlight int       // messages that wait for the broker's acknowledgement; 0 is 100
	// Skip says which messages are never sent, as where a station fell silent; nil:
	// all are.
	Skip func(Message) bool
}

// How long a run waits at its ends.
const (
	connectWait = 10 * time.Second
	drainWait   = 5 * time.Second
	retryWait   = time.Second
	stopWait    = 2 * time.Second
)

// Publish publishes the messages of w, QoS 1, until ctx is done. Each station
// has a connection of its own, says "online" on it, retained, and leaves
// "offline" as its last will. A broker that goes away is waited for; then
// messages come twice rather than not at all.
//
// It returns how many messages with readings the broker acknowledged. It fails
// if a station cannot connect at the start; that ctx is done is no error.
func Publish(ctx context.Context, w *World, o PublishOptions, log *slog.Logger) (acknowledged int, err error) {
	if o.InFlight <= 0 {
		o.InFlight = 100
	}
	p := &publisher{options: o, log: log, stations: int64(len(w.stations)), slots: make(chan struct{}, o.InFlight)}
	defer p.disconnect()
	if err := p.connect(ctx, w); err != nil {
		if ctx.Err() != nil {
			return 0, nil
		}
		return 0, err
	}

	// What is in flight when ctx is done may still arrive.
	draining, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	p.run(ctx, draining, w)
	late := time.AfterFunc(drainWait, giveUp)
	defer late.Stop()
	p.sending.Wait()
	return int(p.acknowledged.Load()), nil
}

// A publisher is a run of Publish.
type publisher struct {
	options      PublishOptions
	log          *slog.Logger
	clients      map[string]mqtt.Client // by station
	stations     int64
	connected    atomic.Int64  // of them
	slots        chan struct{} // one taken for each message in flight
	sending      sync.WaitGroup
	acknowledged atomic.Int64
}

// connect opens a connection for each station of w.
func (p *publisher) connect(ctx context.Context, w *World) error {
	p.clients = make(map[string]mqtt.Client)
	run := rand.Text()[:6] // two runs must not take each other's connections
	var g errgroup.Group
	g.SetLimit(16)
	for _, s := range w.stations {
		client := mqtt.NewClient(p.clientOptions(s.ID, run))
		p.clients[s.ID] = client
		g.Go(func() error {
			token := client.Connect()
			select {
			case <-token.Done():
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := token.Error(); err != nil {
				return fmt.Errorf("connect %s to %s: %w", s.ID, p.options.Broker, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (p *publisher) clientOptions(station, run string) *mqtt.ClientOptions {
	status := statusTopic(station)
	return mqtt.NewClientOptions().
		AddBroker(p.options.Broker).
		SetClientID("tofuwatch-simulate-"+run+"-"+station).
		SetUsername(p.options.Username).
		SetPassword(p.options.Password).
		SetCleanSession(true).
		SetConnectTimeout(connectWait).
		SetWriteTimeout(connectWait).
		SetMaxReconnectInterval(10*time.Second).
		SetWill(status, "offline", 1, true).
		SetOnConnectHandler(func(c mqtt.Client) {
			c.Publish(status, 1, true, "online")
			if p.connected.Add(1) == p.stations {
				p.log.Info("all stations connected", "n", p.stations)
			}
		}).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) {
			if p.connected.Add(-1) == p.stations-1 {
				p.log.Warn("connection lost", "station", station, "err", err)
			}
		})
}

// run sends the messages of w, each when it is due.
func (p *publisher) run(ctx, draining context.Context, w *World) {
	began := time.Now()
	if !p.options.Began.IsZero() {
		began = p.options.Began
	}
	clock := pace{wall: began, start: w.start, speed: p.options.Speed}
	timer := time.NewTimer(0)
	defer timer.Stop()
	caughtUp := false
	for n := 0; ctx.Err() == nil; n++ {
		m := w.Next()
		if !caughtUp && m.Time.After(began) {
			caughtUp = true
			p.log.Info("the past is published", "n", n, "from", w.start, "took", time.Since(began).Round(time.Millisecond))
		}
		if p.options.Skip != nil && p.options.Skip(m) {
			continue
		}
		if wait := time.Until(clock.due(m.Time)); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		// Handed over here, so that a station's messages keep their order.
		client := p.clients[m.Station]
		token := client.Publish(m.Topic, 1, m.Retained, m.Payload)
		p.sending.Go(func() {
			defer func() { <-p.slots }()
			p.settle(draining, client, token, m)
		})
	}
}

// settle waits until the broker has acknowledged m, and sends it again if that
// fails.
func (p *publisher) settle(ctx context.Context, client mqtt.Client, token mqtt.Token, m Message) {
	for {
		select {
		case <-token.Done():
		case <-ctx.Done():
			return
		}
		err := token.Error()
		if err == nil {
			if !m.Retained {
				p.acknowledged.Add(1)
			}
			return
		}
		p.log.Debug("message sent again", "topic", m.Topic, "err", err)
		select {
		case <-time.After(retryWait):
		case <-ctx.Done():
			return
		}
		token = client.Publish(m.Topic, 1, m.Retained, m.Payload)
	}
}

// disconnect takes leave of the broker for all stations.
func (p *publisher) disconnect() {
	var leaving sync.WaitGroup
	for station, client := range p.clients {
		if !client.IsConnected() {
			continue
		}
		leaving.Go(func() {
			client.Publish(statusTopic(station), 1, true, "offline").WaitTimeout(stopWait)
			client.Disconnect(uint(stopWait.Milliseconds()))
		})
	}
	leaving.Wait()
}
