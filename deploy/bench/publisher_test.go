//go:build bench

package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// stations publish in turn, each one sample a second of its own time.
const stations = 100

func station(i int) string { return fmt.Sprintf("outlet-%03d", i) }

// message encodes a PUBLISH packet of QoS 1: the sample of a station at a time. From
// one seed to the next values move as water does: a pH that jumps by 1 each second
// would be a spike each second, and measure something else.
func message(id uint16, station string, at time.Time, seed int) []byte {
	topic := "tofu/" + station + "/readings"
	payload := fmt.Appendf(nil, `{"time":%q,"bod":%d,"cod":%.1f,"ph":%.2f}`,
		at.Format(time.RFC3339), 100+seed%97, 200+float64(seed%1013)/10, 6+float64(seed%211)/100)
	packet := []byte{0x32}
	packet = binary.AppendUvarint(packet, uint64(2+len(topic)+2+len(payload))) // MQTT counts lengths so, too
	packet = binary.BigEndian.AppendUint16(packet, uint16(len(topic)))
	packet = append(packet, topic...)
	packet = binary.BigEndian.AppendUint16(packet, id)
	return append(packet, payload...)
}

// A publisher is a connection that takes next to nothing of the machine away
// from what is measured: packets are encoded beforehand, and acknowledgements
// are only counted.
type publisher struct {
	conn    net.Conn
	unacked int
	acks    chan int // how many came; closed when the connection ends
}

// window is how many messages may be unacknowledged. It is less than there are
// packet identifiers.
const window = 10_000

// connect connects to the broker at addr until the test ends.
func connect(t *testing.T, addr string) *publisher {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// CONNECT: MQTT 3.1.1, clean session, no keep-alive.
	if _, err := conn.Write([]byte("\x10\x15\x00\x04MQTT\x04\x02\x00\x00\x00\x09publisher")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, len("CONN"))); err != nil {
		t.Fatalf("wait for CONNACK: %v", err)
	}
	p := &publisher{conn: conn, acks: make(chan int, 1024)}
	go p.read()
	return p
}

// read counts PUBACKs, of four bytes each: nothing else comes.
func (p *publisher) read() {
	defer close(p.acks)
	buf := make([]byte, 64<<10)
	for rest := 0; ; {
		n, err := p.conn.Read(buf)
		if err != nil {
			return
		}
		rest += n
		p.acks <- rest / 4
		rest %= 4
	}
}

// publish writes packets, n messages joined, as far as the window allows.
func (p *publisher) publish(packets []byte, n int) error {
	if err := p.await(window - n); err != nil {
		return err
	}
	if _, err := p.conn.Write(packets); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	p.unacked += n
	return nil
}

// await returns when at most n messages are unacknowledged.
func (p *publisher) await(n int) error {
	for p.unacked > n {
		acked, ok := <-p.acks
		if !ok {
			return fmt.Errorf("broker closed the connection with %d messages unacknowledged", p.unacked)
		}
		p.unacked -= acked
	}
	return nil
}

// A load is the messages of one run.
type load struct {
	messages  int
	perSecond int // 0: as fast as the broker takes them
	first     time.Time
	packets   [][]byte // chunks
	chunk     int      // messages in each
}

const pace = 5 * time.Millisecond // between two chunks of a load with a rate

// newLoad encodes messages that end a moment ago.
func newLoad(messages, perSecond int) *load {
	l := &load{messages: messages, perSecond: perSecond, chunk: 50}
	if perSecond > 0 {
		l.chunk = max(1, perSecond*int(pace)/int(time.Second))
	}
	l.first = time.Now().UTC().Truncate(time.Second).Add(-time.Duration(messages/stations) * time.Second)
	for i := 0; i < messages; {
		var packets []byte
		for range min(l.chunk, messages-i) {
			at := l.first.Add(time.Duration(i/stations) * time.Second)
			packets = append(packets, message(uint16(i%65535+1), station(i%stations), at, i/stations)...)
			i++
		}
		l.packets = append(l.packets, packets)
	}
	return l
}

// last is the time of the newest samples, of which there is one for each station.
func (l *load) last() time.Time {
	return l.first.Add(time.Duration(l.messages/stations-1) * time.Second)
}

// publish sends the load and returns when the broker has acknowledged it.
func (l *load) publish(p *publisher) error {
	interval := time.Duration(0)
	if l.perSecond > 0 {
		interval = time.Second * time.Duration(l.chunk) / time.Duration(l.perSecond)
	}
	tick := time.NewTicker(max(interval, 1))
	defer tick.Stop()
	for i, packets := range l.packets {
		if interval > 0 {
			<-tick.C
		}
		if err := p.publish(packets, min(l.chunk, l.messages-i*l.chunk)); err != nil {
			return err
		}
	}
	return p.await(0)
}
