package mqtt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"tofuwatch/ingest"
)

// An intake is a connection to a broker that keeps the messages for itself:
// paho sees every other packet and none of these. On its way through paho a
// message would change goroutines five times, and its acknowledgement four
// times, which cost more than everything that we do with it. Connecting, the
// session, subscribing and keeping alive stay with paho.
//
// An acknowledgement belongs to the connection that its message came by: later
// it would mean another one.
type intake struct {
	*coalescingConn
	in     *bufio.Reader
	passed int // bytes of the packet at hand that are still to go to paho
	handle func(ingest.Message)
}

const readBuffer = 64 << 10

func newIntake(c net.Conn, handle func(ingest.Message)) *intake {
	return &intake{coalescingConn: newCoalescingConn(c), in: bufio.NewReaderSize(c, readBuffer), handle: handle}
}

// MQTT's numbers: the kinds of packets, which are the upper half of the first
// byte, and what the lower half of a PUBLISH says.
const (
	publish  = 3
	puback   = 4
	qosShift = 1
	qosMask  = 3
)

// Read reads what is for paho, and hands out the messages that come before it.
func (c *intake) Read(p []byte) (int, error) {
	for c.passed == 0 {
		first, header, body, err := c.packet()
		if err != nil {
			return 0, c.why(err)
		}
		if first>>4 != publish {
			c.passed = header + body
			break
		}
		if err := c.message(first, header, body); err != nil {
			return 0, c.why(err)
		}
	}
	n, err := c.in.Read(p[:min(len(p), c.passed)])
	c.passed -= n
	if err != nil {
		err = c.why(err)
	}
	return n, err
}

// packet looks at the packet that comes next: its first byte, and how many
// bytes its header and its body have.
func (c *intake) packet() (first byte, header, body int, err error) {
	const longest = 5
	for n := 2; n <= longest; n++ {
		b, err := c.in.Peek(n)
		if err != nil {
			return 0, 0, 0, err
		}
		// Seven bits a byte, the lowest first; the eighth says that more follow.
		if length, width := binary.Uvarint(b[1:]); width > 0 {
			return b[0], n, int(length), nil
		}
	}
	return 0, 0, 0, errors.New("read MQTT packet: its length has more than four bytes")
}

// message reads a PUBLISH packet and hands out what it says.
func (c *intake) message(first byte, header, body int) error {
	if _, err := c.in.Discard(header); err != nil {
		return err
	}
	b := make([]byte, body)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return err
	}
	m := ingest.Message{Received: time.Now().UTC(), Ack: func() {}}
	topic, b, ok := cutLength(b)
	m.Topic = string(topic)
	switch qos := first >> qosShift & qosMask; qos {
	case 0:
	case 1:
		if ok = ok && len(b) >= 2; ok {
			high, low := b[0], b[1]
			m.Ack, b = func() { c.acknowledge(high, low) }, b[2:]
		}
	default:
		return fmt.Errorf("read message: it has QoS %d, and at most 1 was asked for", qos)
	}
	if !ok {
		return errors.New("read message: the packet ends too soon")
	}
	m.Payload = b
	c.handle(m)
	return nil
}

// cutLength returns the bytes whose number comes first in b, and what follows.
func cutLength(b []byte) (head, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if n > len(b) {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}

// acknowledge sends a PUBACK for the packet of an identifier.
func (c *intake) acknowledge(high, low byte) {
	// An error closes the connection. The broker sends the message again then,
	// as it does with all that is not acknowledged.
	_, _ = c.Write([]byte{puback << 4, 2, high, low})
}
