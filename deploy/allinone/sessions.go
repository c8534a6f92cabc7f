package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/storage"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// sessions keeps the broker's persistent sessions and retained messages on
// disk, as one of its hooks.
//
// Changes are committed in groups: while one commit waits for the disk, the
// next changes gather, and of several to one key only the last is written. A
// message that is delivered before its turn comes thus costs no disk at all.
// What must be on disk first calls wait with the mark it was given.
type sessions struct {
	mqtt.HookBase
	db  *bbolt.DB
	log *slog.Logger

	mu        sync.Mutex
	changed   sync.Cond                          // pending, committed or closing is not what it was
	pending   map[entry]encoding.BinaryMarshaler // nil: remove the entry
	marked    uint64                             // changes so far
	committed uint64                             // of which this many are on disk
	closing   bool
	gone      bool // the committer has ended
	finished  chan struct{}
}

// An entry is where something is kept.
type entry struct {
	bucket string
	key    string
}

// The buckets of the file.
const (
	clientBucket       = "clients"
	subscriptionBucket = "subscriptions"
	inflightBucket     = "inflight"
	retainedBucket     = "retained"
)

// commitRetry is how long a commit that failed waits for its next try. A full
// disk is the usual cause, and somebody has to make room.
const commitRetry = 2 * time.Second

var errSessionsClosed = errors.New("the session file is closed")

// openSessions opens or creates the file.
func openSessions(file string, log *slog.Logger) (*sessions, error) {
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %q: another process holds it", file)
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", file, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{clientBucket, subscriptionBucket, inflightBucket, retainedBucket} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %q: %w", file, err), db.Close())
	}
	s := &sessions{
		db: db, log: log,
		pending:  make(map[entry]encoding.BinaryMarshaler),
		finished: make(chan struct{}),
	}
	s.changed.L = &s.mu
	go s.commitAll()
	return s, nil
}

// put plans to write value, and remove to forget what is kept at e.
func (s *sessions) put(e entry, value encoding.BinaryMarshaler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending[e] = value
	s.marked++
	s.changed.Broadcast()
}

func (s *sessions) remove(e entry) { s.put(e, nil) }

// mark returns the mark of the last change that was planned.
func (s *sessions) mark() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marked
}

// wait returns once everything up to mark is on disk. It fails only where that
// will not happen any more: the file is closed.
func (s *sessions) wait(mark uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.committed < mark && !s.gone {
		s.changed.Wait()
	}
	if s.committed < mark {
		return errSessionsClosed
	}
	return nil
}

// commitAll commits what is pending, again and again, until the file is closed.
func (s *sessions) commitAll() {
	defer close(s.finished)
	for {
		s.mu.Lock()
		for len(s.pending) == 0 && !s.closing {
			s.changed.Wait()
		}
		batch, mark, closing := s.pending, s.marked, s.closing
		s.pending = make(map[entry]encoding.BinaryMarshaler)
		s.mu.Unlock()

		err := s.commit(batch)
		for try := 0; err != nil && !closing; try++ {
			if try == 0 {
				s.log.Error("sessions not on disk; messages stay unacknowledged until they are", "err", err)
			}
			closing = s.pause(commitRetry)
			err = s.commit(batch)
		}
		if err != nil {
			s.log.Error("sessions not on disk; what was not acknowledged comes again", "err", err)
		}

		s.mu.Lock()
		if err == nil {
			s.committed = mark
		}
		ended := closing && len(s.pending) == 0
		s.gone = ended
		s.changed.Broadcast()
		s.mu.Unlock()
		if ended {
			return
		}
	}
}

// pause waits for d, or until the file is to be closed, which it reports.
func (s *sessions) pause(d time.Duration) (closing bool) {
	timer := time.AfterFunc(d, s.changed.Broadcast)
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for until := time.Now().Add(d); !s.closing && time.Now().Before(until); {
		s.changed.Wait()
	}
	return s.closing
}

// commit writes one batch in one transaction.
func (s *sessions) commit(batch map[entry]encoding.BinaryMarshaler) error {
	if len(batch) == 0 {
		return nil
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		for e, value := range batch {
			bucket := tx.Bucket([]byte(e.bucket))
			if value == nil {
				if err := bucket.Delete([]byte(e.key)); err != nil {
					return err
				}
				continue
			}
			data, err := value.MarshalBinary()
			if err != nil {
				return fmt.Errorf("encode %s %q: %w", e.bucket, e.key, err)
			}
			if err := bucket.Put([]byte(e.key), data); err != nil {
				return err
			}
		}
		return nil
	})
}

// ID names the hook.
func (s *sessions) ID() string { return "sessions" }

// Provides says which calls the hook wants.
func (s *sessions) Provides(call byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnSessionEstablished, mqtt.OnDisconnect, mqtt.OnClientExpired, mqtt.OnWillSent,
		mqtt.OnSubscribed, mqtt.OnUnsubscribed,
		mqtt.OnRetainMessage, mqtt.OnRetainedExpired,
		mqtt.OnQosPublish, mqtt.OnQosComplete, mqtt.OnQosDropped,
		mqtt.StoredClients, mqtt.StoredSubscriptions, mqtt.StoredInflightMessages, mqtt.StoredRetainedMessages,
	}, call) >= 0
}

// Stop commits what is pending and closes the file.
func (s *sessions) Stop() error {
	s.mu.Lock()
	s.closing = true
	s.changed.Broadcast()
	s.mu.Unlock()
	<-s.finished
	return s.db.Close()
}

// persistent reports whether cl's session outlives its connection.
func persistent(cl *mqtt.Client) bool {
	if cl.Properties.ProtocolVersion == 5 {
		return cl.Properties.Props.SessionExpiryInterval > 0
	}
	return !cl.Properties.Clean
}

// OnSessionEstablished keeps the session, or forgets an earlier one of the same
// client that lasted longer.
func (s *sessions) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) { s.keepClient(cl) }

// OnWillSent keeps that the will is not to be sent again.
func (s *sessions) OnWillSent(cl *mqtt.Client, _ packets.Packet) { s.keepClient(cl) }

func (s *sessions) keepClient(cl *mqtt.Client) {
	e := entry{clientBucket, cl.ID}
	if !persistent(cl) {
		s.remove(e)
		return
	}
	p := cl.Properties.Props.Copy(false)
	s.put(e, storage.Client{
		ID:              cl.ID,
		T:               storage.ClientKey,
		Remote:          cl.Net.Remote,
		Listener:        cl.Net.Listener,
		Username:        slices.Clone(cl.Properties.Username),
		Clean:           cl.Properties.Clean,
		ProtocolVersion: cl.Properties.ProtocolVersion,
		Properties: storage.ClientProperties{
			SessionExpiryInterval:     p.SessionExpiryInterval,
			SessionExpiryIntervalFlag: p.SessionExpiryIntervalFlag,
			AuthenticationMethod:      p.AuthenticationMethod,
			AuthenticationData:        p.AuthenticationData,
			RequestProblemInfo:        p.RequestProblemInfo,
			RequestProblemInfoFlag:    p.RequestProblemInfoFlag,
			RequestResponseInfo:       p.RequestResponseInfo,
			ReceiveMaximum:            p.ReceiveMaximum,
			TopicAliasMaximum:         p.TopicAliasMaximum,
			User:                      p.User,
			MaximumPacketSize:         p.MaximumPacketSize,
		},
		Will: storage.ClientWill(cl.Properties.Will),
	})
}

// OnDisconnect forgets a session that ends with its connection.
func (s *sessions) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	if expire && !cl.IsTakenOver() {
		s.remove(entry{clientBucket, cl.ID})
	}
}

// OnClientExpired forgets a session that nobody came back to.
func (s *sessions) OnClientExpired(cl *mqtt.Client) {
	s.remove(entry{clientBucket, cl.ID})
	for filter := range cl.State.Subscriptions.GetAll() {
		s.remove(entry{subscriptionBucket, cl.ID + "\x00" + filter})
	}
	for _, pk := range cl.State.Inflight.GetAll(false) {
		s.remove(inflightEntry(cl, pk.PacketID))
	}
}

// OnSubscribed keeps the subscriptions that were granted.
func (s *sessions) OnSubscribed(cl *mqtt.Client, pk packets.Packet, reasonCodes []byte) {
	if !persistent(cl) {
		return
	}
	for i, f := range pk.Filters {
		if reasonCodes[i] >= packets.ErrUnspecifiedError.Code {
			continue
		}
		key := cl.ID + "\x00" + f.Filter
		s.put(entry{subscriptionBucket, key}, storage.Subscription{
			ID:                key,
			T:                 storage.SubscriptionKey,
			Client:            cl.ID,
			Filter:            f.Filter,
			Qos:               reasonCodes[i],
			Identifier:        f.Identifier,
			NoLocal:           f.NoLocal,
			RetainHandling:    f.RetainHandling,
			RetainAsPublished: f.RetainAsPublished,
		})
	}
}

// OnUnsubscribed forgets subscriptions.
func (s *sessions) OnUnsubscribed(cl *mqtt.Client, pk packets.Packet) {
	for _, f := range pk.Filters {
		s.remove(entry{subscriptionBucket, cl.ID + "\x00" + f.Filter})
	}
}

// OnRetainMessage keeps a retained message; r is -1 where it was cleared.
func (s *sessions) OnRetainMessage(cl *mqtt.Client, pk packets.Packet, r int64) {
	e := entry{retainedBucket, pk.TopicName}
	if r == -1 {
		s.remove(e)
		return
	}
	m := storedMessage(cl, pk)
	m.T, m.ID = storage.RetainedKey, pk.TopicName
	s.put(e, m)
}

// OnRetainedExpired forgets a retained message.
func (s *sessions) OnRetainedExpired(topic string) { s.remove(entry{retainedBucket, topic}) }

func inflightEntry(cl *mqtt.Client, packetID uint16) entry {
	return entry{inflightBucket, cl.ID + "\x00" + strconv.Itoa(int(packetID))}
}

// OnQosPublish keeps a message until its receiver has acknowledged it.
func (s *sessions) OnQosPublish(cl *mqtt.Client, pk packets.Packet, sent int64, _ int) {
	if !persistent(cl) {
		return
	}
	e := inflightEntry(cl, pk.PacketID)
	m := storedMessage(cl, pk)
	m.T, m.ID, m.PacketID, m.Sent = storage.InflightKey, e.key, pk.PacketID, sent
	s.put(e, m)
}

// OnQosComplete forgets a message that its receiver has acknowledged.
func (s *sessions) OnQosComplete(cl *mqtt.Client, pk packets.Packet) {
	if persistent(cl) {
		s.remove(inflightEntry(cl, pk.PacketID))
	}
}

// OnQosDropped forgets a message that was given up. The broker also calls it for
// every message that a new connection of the client has just inherited: those
// stay.
func (s *sessions) OnQosDropped(cl *mqtt.Client, pk packets.Packet) {
	if !cl.IsTakenOver() {
		s.remove(inflightEntry(cl, pk.PacketID))
	}
}

func storedMessage(cl *mqtt.Client, pk packets.Packet) storage.Message {
	p := pk.Properties.Copy(false)
	return storage.Message{
		Client:      cl.ID,
		Origin:      pk.Origin,
		TopicName:   pk.TopicName,
		Payload:     pk.Payload,
		FixedHeader: pk.FixedHeader,
		Created:     pk.Created,
		Properties: storage.MessageProperties{
			PayloadFormat:          p.PayloadFormat,
			PayloadFormatFlag:      p.PayloadFormatFlag,
			MessageExpiryInterval:  p.MessageExpiryInterval,
			ContentType:            p.ContentType,
			ResponseTopic:          p.ResponseTopic,
			CorrelationData:        p.CorrelationData,
			SubscriptionIdentifier: p.SubscriptionIdentifier,
			User:                   p.User,
		},
	}
}

// StoredClients returns the sessions on disk.
func (s *sessions) StoredClients() ([]storage.Client, error) {
	return stored[storage.Client](s.db, clientBucket)
}

// StoredSubscriptions returns the subscriptions on disk.
func (s *sessions) StoredSubscriptions() ([]storage.Subscription, error) {
	return stored[storage.Subscription](s.db, subscriptionBucket)
}

// StoredInflightMessages returns the messages on disk that no receiver has
// acknowledged.
func (s *sessions) StoredInflightMessages() ([]storage.Message, error) {
	return stored[storage.Message](s.db, inflightBucket)
}

// StoredRetainedMessages returns the retained messages on disk.
func (s *sessions) StoredRetainedMessages() ([]storage.Message, error) {
	return stored[storage.Message](s.db, retainedBucket)
}

func stored[T any](db *bbolt.DB, bucket string) (all []T, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(key, data []byte) error {
			var one T
			if err := json.Unmarshal(data, &one); err != nil {
				return fmt.Errorf("read %s %q: %w", bucket, key, err)
			}
			all = append(all, one)
			return nil
		})
	})
	return all, err
}
