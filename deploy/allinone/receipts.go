package main

import (
	"bytes"
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// How long a sender is kept waiting for room in the session that must be
// complete, and how often room is looked for.
const (
	patience  = 10 * time.Second
	lookAgain = 5 * time.Millisecond
)

// receipts decides when a sender's message is acknowledged, as one of the
// broker's hooks. Left alone, the broker acknowledges first and hands on
// afterwards; a message is lost where it dies in between, where a receiver's
// session or its queue for the socket is full, and where it comes while the
// receiver's session changes connections. Here it is
//
//	sender --> wait for room --> into every session --> on disk --> PUBACK
//
// and a sender for whom there is no room is disconnected without it, so that it
// sends again.
type receipts struct {
	mqtt.HookBase
	server   *mqtt.Server
	store    *sessions
	complete string // the client whose session must be complete; empty: none
	log      *slog.Logger
	stop     chan struct{} // closed when nobody shall wait any longer

	// handing is held for reading while a message goes into the sessions, and
	// for writing while the complete session moves to a new connection.
	handing sync.RWMutex
	moving  struct {
		sync.Mutex
		conn net.Conn // the connection for which handing is held; nil: none
	}

	senders sync.Map // *mqtt.Client -> *sender
	dropped sync.Map // delivery -> struct{}: the broker found no place for it
	lost    lossLog
}

// A sender is a connected client seen as one that publishes.
type sender struct {
	inside *mqtt.Client // in its name the broker takes what it publishes
	owed   chan receipt
}

// A receipt is an acknowledgement that is owed once mark is on disk.
type receipt struct {
	packetID uint16
	mark     uint64
}

// A delivery is one message on its way to the complete session.
type delivery struct {
	origin   string
	packetID uint16
}

func newReceipts(server *mqtt.Server, store *sessions, complete string, log *slog.Logger) *receipts {
	return &receipts{
		server: server, store: store, complete: complete, log: log,
		stop: make(chan struct{}), lost: lossLog{log: log},
	}
}

// giveUp makes every sender stop waiting.
func (r *receipts) giveUp() { close(r.stop) }

// ID names the hook.
func (r *receipts) ID() string { return "receipts" }

// Provides says which calls the hook wants.
func (r *receipts) Provides(call byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnDisconnect,
		mqtt.OnPublish, mqtt.OnPublishDropped,
	}, call) >= 0
}

// OnConnect refuses topic aliases towards cl: they end with the connection, and
// a message kept under one would come back without its topic.
func (r *receipts) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	cl.Properties.Props.TopicAliasMaximum = 0
	return nil
}

// OnSessionEstablish is called before the broker moves a session to cl.
func (r *receipts) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	if cl.ID != r.complete {
		return
	}
	r.handing.Lock()
	r.moving.Lock()
	defer r.moving.Unlock()
	r.moving.conn = cl.Net.Conn
}

// OnSessionEstablished is called when cl has its session.
func (r *receipts) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	r.moved(cl.Net.Conn)
	s := &sender{
		inside: r.server.NewClient(nil, mqtt.LocalListener, cl.ID, true),
		owed:   make(chan receipt, 1024),
	}
	s.inside.Properties.ProtocolVersion = cl.Properties.ProtocolVersion
	r.senders.Store(cl, s)
	go r.acknowledge(cl, s.owed)
}

// ended is called when a connection is over, however far it came.
func (r *receipts) ended(conn net.Conn) { r.moved(conn) }

func (r *receipts) moved(conn net.Conn) {
	r.moving.Lock()
	defer r.moving.Unlock()
	if r.moving.conn != nil && r.moving.conn == conn {
		r.moving.conn = nil
		r.handing.Unlock()
	}
}

// OnDisconnect is called when cl, which had a session, is gone.
func (r *receipts) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	if s, ok := r.senders.LoadAndDelete(cl); ok {
		close(s.(*sender).owed)
	}
}

// acknowledge gives cl its receipts as they become due.
func (r *receipts) acknowledge(cl *mqtt.Client, owed <-chan receipt) {
	for o := range owed {
		if r.store.wait(o.mark) != nil || cl.Closed() {
			continue // never said, so it comes again
		}
		err := cl.WritePacket(packets.Packet{
			FixedHeader: packets.FixedHeader{Type: packets.Puback},
			PacketID:    o.packetID,
		})
		if err != nil {
			cl.Stop(err)
		}
	}
}

// OnPublish takes a message over from the broker, QoS 0 aside.
func (r *receipts) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	known, ok := r.senders.Load(cl)
	if !ok || pk.FixedHeader.Qos == 0 {
		return pk, nil // from inside, or worth no receipt
	}
	s := known.(*sender)
	if !r.hand(cl, s, pk) {
		r.log.Debug("no room for a message; its sender is disconnected", "client", cl.ID)
		cl.Stop(packets.ErrQuotaExceeded)
		return pk, packets.ErrRejectPacket
	}
	mark := r.store.mark()
	if pk.FixedHeader.Qos == 2 { // the broker answers, and keeps the identifier until the release
		if r.store.wait(mark) != nil {
			cl.Stop(packets.ErrServerShuttingDown)
			return pk, packets.ErrRejectPacket
		}
		return pk, packets.CodeSuccessIgnore
	}
	s.owed <- receipt{pk.PacketID, mark}
	return pk, packets.ErrRejectPacket // the broker shall not answer: acknowledge does
}

// hand puts pk into the sessions and reports whether it is in the complete one,
// if that wants it.
func (r *receipts) hand(cl *mqtt.Client, s *sender, pk packets.Packet) bool {
	d := delivery{cl.ID, pk.PacketID}
	for until := time.Now().Add(patience); r.room(cl, until); {
		r.handing.RLock()
		err := r.server.InjectPacket(s.inside, pk)
		r.handing.RUnlock()
		if err != nil {
			r.log.Debug("message not taken", "client", cl.ID, "err", err)
			return false
		}
		if _, dropped := r.dropped.LoadAndDelete(d); !dropped {
			return true
		}
		if !r.pause(cl, until) {
			return false
		}
	}
	return false
}

// room waits until the complete session has room for a message.
func (r *receipts) room(cl *mqtt.Client, until time.Time) bool {
	for !r.hasRoom() {
		if !r.pause(cl, until) {
			return false
		}
	}
	return true
}

// hasRoom reports whether the complete session is there and can take a message.
// As long as its client never came, or has not subscribed, nobody is to believe
// that a message has arrived.
func (r *receipts) hasRoom() bool {
	if r.complete == "" {
		return true
	}
	cl, ok := r.server.Clients.Get(r.complete)
	if !ok || cl.State.Subscriptions.Len() == 0 {
		return false
	}
	if cl.Closed() {
		return cl.State.Inflight.Len() < roomAway
	}
	return cl.State.Inflight.Len() < roomConnected
}

// pause waits a moment, and reports false where cl shall not wait any longer.
func (r *receipts) pause(cl *mqtt.Client, until time.Time) bool {
	select {
	case <-r.stop:
		return false
	case <-time.After(lookAgain):
		return time.Now().Before(until) && !cl.Closed()
	}
}

// OnPublishDropped is called when the queue for cl's socket is full.
func (r *receipts) OnPublishDropped(cl *mqtt.Client, pk packets.Packet) {
	if cl.ID == r.complete && pk.FixedHeader.Qos > 0 {
		r.dropped.Store(delivery{pk.Origin, pk.PacketID}, struct{}{})
		return
	}
	r.lost.add(cl.ID)
}

// A lossLog tells of messages that a slow subscriber other than the ingester did
// not get: of the first at once, of the rest once a minute.
type lossLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	n    int
	told time.Time
}

func (l *lossLog) add(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if now := time.Now(); now.Sub(l.told) >= time.Minute {
		l.log.Warn("a subscriber is too slow and misses messages", "client", client, "n", l.n)
		l.n, l.told = 0, now
	}
}
