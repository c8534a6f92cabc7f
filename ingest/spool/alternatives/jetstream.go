package alternatives

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetStream is a Store in a stream of a NATS server inside the process that
// listens nowhere; every message has a hash.
type jetStream struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

// jetStreamWait is how long a request to the server may take.
const jetStreamWait = 2 * time.Second

func openJetStream(dir string, opts Options) (_ Store, err error) {
	srv, err := server.NewServer(&server.Options{
		ServerName: "spool",
		DontListen: true,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   dir,
		SyncAlways: true, // or a message is acknowledged up to two minutes before it is synced
		// Left alone it is three quarters of what is free on the disk.
		JetStreamMaxStore: 1 << 30,
	})
	if err != nil {
		return nil, err
	}
	srv.SetLoggerV2(natsLog{opts.Log}, false, false, false)
	srv.Start()
	s := &jetStream{server: srv}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if !srv.ReadyForConnections(jetStreamWait) {
		return nil, errors.New("server is not ready")
	}
	if s.conn, err = nats.Connect("", nats.InProcessServer(srv)); err != nil {
		return nil, err
	}
	if s.js, err = jetstream.New(s.conn, jetstream.WithDefaultTimeout(jetStreamWait)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), jetStreamWait)
	defer cancel()
	s.stream, err = s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:     "SPOOL",
		Subjects: []string{"spool"},
		Storage:  jetstream.FileStorage,
		MaxBytes: opts.Limit,
		Discard:  jetstream.DiscardNew,
	})
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	return s, nil
}

func (s *jetStream) Append(records [][]byte) error {
	acks := make([]jetstream.PubAckFuture, 0, len(records))
	for _, r := range records {
		ack, err := s.js.PublishAsync("spool", r)
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	deadline := time.After(jetStreamWait)
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-deadline:
			return errors.New("no acknowledgement")
		}
	}
	return nil
}

func (s *jetStream) Records() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx := context.Background()
		info, err := s.stream.Info(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for n := info.State.FirstSeq; n <= info.State.LastSeq && n > 0; n++ {
			msg, err := s.stream.GetMsg(ctx, n)
			if errors.Is(err, jetstream.ErrMsgNotFound) { // a gap, which consumers pass over too
				continue
			}
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if !yield(msg.Data, nil) {
				return
			}
		}
	}
}

func (s *jetStream) TruncateFront(n uint64) error {
	return s.stream.Purge(context.Background(), jetstream.WithPurgeSequence(n))
}

func (s *jetStream) Close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	s.server.Shutdown()
	s.server.WaitForShutdown()
	return nil
}

// natsLog passes the server's warnings and errors on.
type natsLog struct{ w io.Writer }

func (l natsLog) Warnf(format string, v ...any)  { fmt.Fprintf(l.w, format+"\n", v...) }
func (l natsLog) Errorf(format string, v ...any) { fmt.Fprintf(l.w, format+"\n", v...) }
func (l natsLog) Fatalf(format string, v ...any) { fmt.Fprintf(l.w, format+"\n", v...) }
func (l natsLog) Noticef(string, ...any)         {}
func (l natsLog) Debugf(string, ...any)          {}
func (l natsLog) Tracef(string, ...any)          {}
