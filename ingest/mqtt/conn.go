package mqtt

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// dial opens a connection to a broker as paho would, for the schemes that a
// site file may have.
func dial(o Options) (net.Conn, error) {
	config, err := o.TLS()
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{Timeout: connectTimeout}
	switch o.Broker.Scheme {
	case "tcp":
		return d.Dial("tcp", o.Broker.Host)
	case "ssl":
		return tls.DialWithDialer(d, "tcp", o.Broker.Host, config)
	case "ws", "wss":
		return paho.NewWebsocket(o.Broker.String(), config, connectTimeout, nil, nil)
	}
	return nil, fmt.Errorf("dial %s: no scheme %q; have tcp, ssl, ws, wss", o.Broker.Redacted(), o.Broker.Scheme)
}

// A coalescingConn joins what paho does in small pieces. Paho reads a packet in
// three calls and writes each acknowledgement in one; with thousands of messages
// a second the system calls would cost more than everything else. Reads go
// through a buffer, and writes wait for each other for a moment.
type coalescingConn struct {
	net.Conn
	in     *bufio.Reader
	closed atomic.Bool // by whomever, or of no more use

	mu    sync.Mutex
	out   []byte // written, not yet sent
	err   error  // of an earlier send: the connection is of no more use
	timer *time.Timer
}

const (
	readBuffer   = 64 << 10
	writeBuffer  = 16 << 10
	writeDelay   = 500 * time.Microsecond // an acknowledgement is never later than that
	writeTimeout = 10 * time.Second       // a broker that takes nothing for so long is gone
)

func newCoalescingConn(c net.Conn) *coalescingConn {
	conn := &coalescingConn{Conn: c, in: bufio.NewReaderSize(c, readBuffer)}
	conn.timer = time.AfterFunc(time.Hour, conn.flushLate)
	conn.timer.Stop()
	return conn
}

// Read reads what the broker sent, through a buffer.
func (c *coalescingConn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if err != nil {
		err = c.why(err)
	}
	return n, err
}

// Write takes p and sends it within writeDelay. An error is that of an earlier
// one; the connection is closed then, so that the reader learns of it at once.
func (c *coalescingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if len(c.out) == 0 {
		c.timer.Reset(writeDelay)
	}
	c.out = append(c.out, p...)
	if len(c.out) >= writeBuffer {
		return len(p), c.flush(writeTimeout)
	}
	return len(p), nil
}

func (c *coalescingConn) flushLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.flush(writeTimeout) // kept in c.err
}

// flush sends what was written. c.mu is held.
func (c *coalescingConn) flush(timeout time.Duration) error {
	if len(c.out) == 0 || c.err != nil {
		return c.err
	}
	_ = c.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := c.Conn.Write(c.out); err != nil {
		c.err = err
		c.closed.Store(true)
		return errors.Join(err, c.Conn.Close())
	}
	c.out = c.out[:0]
	return nil
}

// Close sends what was written, a DISCONNECT mostly, and closes the connection.
func (c *coalescingConn) Close() error { return c.end(net.ErrClosed) }

// errDropped is what paho reads from a connection that we dropped.
var errDropped = errors.New("dropped on purpose")

// drop ends the connection so that paho makes another one.
func (c *coalescingConn) drop() { _ = c.end(errDropped) }

func (c *coalescingConn) end(why error) error {
	c.closed.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	_ = c.flush(time.Second)
	if c.err == nil {
		c.err = why
	}
	return c.Conn.Close()
}

// why returns the error to read from the connection in place of err. To paho a
// connection that is closed is one that it closed itself; it would not miss one
// that we dropped, or that failed while writing, before its next ping.
func (c *coalescingConn) why(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, net.ErrClosed) && c.err != nil {
		return c.err
	}
	return err
}
