package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Bounds of the broker. A session holds at most 65,535 messages, since that is
// how many packet identifiers MQTT has; what is past a bound is not
// acknowledged, so it stays with its sender.
const (
	largestPacket  = 16 << 20         // bytes; the ingester itself refuses payloads over 1 MiB
	connectWithin  = 10 * time.Second // from a connection to its CONNECT
	writesPending  = 4096             // messages waiting for one client's socket
	roomConnected  = writesPending / 2
	roomAway       = 60_000 // leaves identifiers for wills, which nobody can hold back
	sysTopicsEvery = 10     // seconds between $SYS messages
)

// brokerOptions are what a broker needs to know of its site.
type brokerOptions struct {
	Dir      string // its folder; made if it is missing
	Username string // empty: anybody, from this machine only
	Password string
	// Complete is the client that must get every message: none is acknowledged
	// before it is in this client's session, on disk. Empty: no client.
	Complete string
}

// A broker is an MQTT broker that acknowledges what it has on disk.
type broker struct {
	server   *mqtt.Server
	receipts *receipts
	log      *slog.Logger
}

// newBroker returns a broker that will serve ln, which it then owns, with the
// sessions it finds in its folder.
func newBroker(ln net.Listener, o brokerOptions, log *slog.Logger) (*broker, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumMessageExpiryInterval = 0 // the sender's word; a reading does not go bad
	capabilities.MaximumSessionExpiryInterval = math.MaxUint32
	capabilities.MaximumInflight = math.MaxUint16
	capabilities.MaximumClientWritesPending = writesPending
	capabilities.MaximumPacketSize = largestPacket
	server := mqtt.New(&mqtt.Options{
		Capabilities: capabilities,
		// It writes a line for each message of a broken client, payload included.
		Logger:                   quietly(log, slog.LevelError),
		SysTopicResendInterval:   sysTopicsEvery,
		ClientNetWriteBufferSize: 16 << 10,
		ClientNetReadBufferSize:  16 << 10,
	})
	store, err := openSessions(filepath.Join(o.Dir, "sessions.bolt"), log)
	if err != nil {
		return nil, err
	}
	b := &broker{server: server, receipts: newReceipts(server, store, o.Complete, log), log: log}
	for _, hook := range []mqtt.Hook{&door{username: o.Username, password: o.Password}, b.receipts, store} {
		if err := server.AddHook(hook, nil); err != nil {
			return nil, errors.Join(err, store.Stop())
		}
	}
	if err := server.AddListener(&listener{ln: ln, log: log, ended: b.receipts.ended}); err != nil {
		return nil, errors.Join(err, store.Stop())
	}
	return b, nil
}

// Run serves until ctx is done. What it has acknowledged is then on disk.
func (b *broker) Run(ctx context.Context) error {
	if err := b.server.Serve(); err != nil {
		return errors.Join(fmt.Errorf("start the broker: %w", err), b.close())
	}
	<-ctx.Done()
	return b.close()
}

func (b *broker) close() error {
	b.receipts.giveUp()
	return b.server.Close()
}

// A door lets clients in: with the site's username and password or, where the
// site has none, from this machine only.
type door struct {
	mqtt.HookBase
	username, password string
}

// ID names the hook.
func (d *door) ID() string { return "door" }

// Provides says which calls the hook wants.
func (d *door) Provides(call byte) bool {
	return call == mqtt.OnConnectAuthenticate || call == mqtt.OnACLCheck
}

// OnConnectAuthenticate reports whether cl may come in.
func (d *door) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	if d.username == "" {
		host, _, err := net.SplitHostPort(cl.Net.Remote)
		ip := net.ParseIP(host)
		return err == nil && ip != nil && ip.IsLoopback()
	}
	known := subtle.ConstantTimeCompare(pk.Connect.Username, []byte(d.username))
	right := subtle.ConstantTimeCompare(pk.Connect.Password, []byte(d.password))
	return known&right == 1
}

// OnACLCheck lets everybody who is in publish and subscribe anywhere.
func (d *door) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// A listener gives the broker the connections of a net.Listener that was opened
// before it. It outlives a shortage of file descriptors.
type listener struct {
	ln    net.Listener
	log   *slog.Logger
	ended func(net.Conn) // called for every connection once it is over
	once  sync.Once
	done  chan struct{}
}

// Init prepares the listener.
func (l *listener) Init(*slog.Logger) error {
	l.done = make(chan struct{})
	return nil
}

// ID names the listener.
func (l *listener) ID() string { return "tcp" }

// Address is where it listens.
func (l *listener) Address() string { return l.ln.Addr().String() }

// Protocol is what it speaks.
func (l *listener) Protocol() string { return l.ln.Addr().Network() }

// Serve hands every connection to establish, until the listener is closed.
func (l *listener) Serve(establish listeners.EstablishFn) {
	for {
		conn, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.log.Warn("connection not accepted", "err", err)
			select {
			case <-l.done:
				return
			case <-time.After(time.Second):
				continue
			}
		}
		go func() {
			defer l.ended(conn)
			_ = conn.SetDeadline(time.Now().Add(connectWithin)) // set anew by CONNECT
			if err := establish(l.ID(), conn); err != nil {
				l.log.Debug("connection ended", "remote", conn.RemoteAddr().String(), "err", err)
			}
		}()
	}
}

// Close stops the listener and ends its connections.
func (l *listener) Close(closeClients listeners.CloseFn) {
	l.once.Do(func() {
		close(l.done)
		_ = l.ln.Close()
		closeClients(l.ID())
	})
}
