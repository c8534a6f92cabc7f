package mqtt

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"tofuwatch/ingest"
)

// packet is an MQTT packet as a library that is not ours writes it.
func packet(t testing.TB, p packets.ControlPacket) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func publishPacket(t testing.TB, topic string, qos byte, id uint16, payload string) []byte {
	t.Helper()
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Qos, p.MessageID, p.Payload = topic, qos, id, []byte(payload)
	return packet(t, p)
}

// given is what an intake hands out of stream, which comes in pieces of some
// size: messages, and what is left for paho.
func given(t *testing.T, stream []byte, size int) (messages []ingest.Message, rest []byte, err error) {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		for len(stream) > 0 {
			n, err := theirs.Write(stream[:min(size, len(stream))])
			if err != nil {
				return // the intake gave up
			}
			stream = stream[n:]
		}
		theirs.Close()
	}()
	c := newIntake(ours, func(m ingest.Message) { messages = append(messages, m) })
	defer c.Close()
	rest, err = io.ReadAll(c)
	return messages, rest, err
}

func TestIntakeKeepsMessagesAndPassesTheRest(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	suback := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	suback.MessageID, suback.ReturnCodes = 7, []byte{1, 1, 0x80}
	ping := packet(t, packets.NewControlPacket(packets.Pingresp))
	connack := packet(t, packets.NewControlPacket(packets.Connack))
	stream := bytes.Join([][]byte{
		connack,
		publishPacket(t, "tofu/a/readings", 1, 1, `{"ph":7}`),
		publishPacket(t, "tofu/a/status", 0, 0, ""),
		packet(t, suback),
		publishPacket(t, "tofu/b/readings", 1, 65535, long),
		publishPacket(t, "", 1, 2, "no topic"),
		ping,
	}, nil)
	passed := bytes.Join([][]byte{connack, packet(t, suback), ping}, nil)
	for _, size := range []int{1, 2, 3, 7, 1000, len(stream)} {
		messages, rest, err := given(t, stream, size)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rest, passed); diff != "" {
			t.Errorf("in pieces of %d bytes: passed to paho (-got +want):\n%s", size, diff)
		}
		var got [][2]string
		for _, m := range messages {
			got = append(got, [2]string{m.Topic, string(m.Payload)})
			if age := time.Since(m.Received); age < 0 || age > time.Minute || m.Received.Location() != time.UTC {
				t.Errorf("received at %v", m.Received)
			}
		}
		want := [][2]string{{"tofu/a/readings", `{"ph":7}`}, {"tofu/a/status", ""}, {"tofu/b/readings", long}, {"", "no topic"}}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("in pieces of %d bytes: messages (-got +want):\n%s", size, diff)
		}
	}
}

func TestIntakeRefusesWhatIsNoMQTT(t *testing.T) {
	for name, stream := range map[string]string{
		"QoS 2":                      string(publishPacket(t, "a", 2, 1, "x")),
		"QoS 3":                      "\x36\x05\x00\x01a\x00\x01",
		"length of five bytes":       "\xd0\xff\xff\xff\xff\x01",
		"topic longer than packet":   "\x30\x03\x00\x09a",
		"no room for a topic length": "\x30\x01\x00",
		"no room for an identifier":  "\x32\x04\x00\x01a\x00",
		"end within a message":       string(publishPacket(t, "a", 1, 1, "x"))[:6],
		"end within a header":        "\x30",
	} {
		messages, rest, err := given(t, []byte(stream), len(stream))
		if len(messages) != 0 || len(rest) != 0 {
			t.Errorf("%s: messages %+v, passed %q; want neither", name, messages, rest)
		}
		if err == nil && !strings.HasPrefix(name, "end ") {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestIntakeAcknowledges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		messages := make(chan ingest.Message, 3)
		c := newIntake(ours, func(m ingest.Message) { messages <- m })
		defer c.Close()
		go io.Copy(io.Discard, c) //nolint:errcheck // until it is closed
		for _, p := range [][]byte{
			publishPacket(t, "a", 1, 258, "first"), publishPacket(t, "a", 0, 0, "not acknowledged"), publishPacket(t, "a", 1, 65535, "last"),
		} {
			if _, err := theirs.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		sent := pieces(theirs)
		for range 3 {
			(<-messages).Ack()
		}
		acks := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		acks.MessageID = 258
		want := string(packet(t, acks))
		acks.MessageID = 65535
		want += string(packet(t, acks))
		if got := (<-sent).text; got != want {
			t.Errorf("sent % x, want % x", got, want)
		}
		late := ingest.Message{Ack: func() { c.acknowledge(0, 1) }}
		c.Close()
		late.Ack()
		if more, ok := <-sent; ok {
			t.Errorf("sent % x on a connection that is closed", more.text)
		}
	})
}

// FuzzIntake: whatever comes, the intake neither panics nor loses a packet that
// paho should see.
func FuzzIntake(f *testing.F) {
	f.Add([]byte("\x20\x02\x00\x00"))
	f.Add(publishPacket(f, "tofu/a/readings", 1, 1, `{"ph":7}`))
	f.Add(publishPacket(f, "", 0, 0, ""))
	f.Add([]byte("\x30\x03\x00\x09a\xd0\x00"))
	f.Add([]byte("\x90\x80\x80\x00"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		// A packet that claims to be large makes the intake wait for it, with room for it.
		for i := range stream {
			if i+4 < len(stream) && stream[i] >= 0x80 && stream[i+1] >= 0x80 && stream[i+2] >= 0x80 {
				return
			}
		}
		_, rest, err := given(t, stream, max(1, len(stream)))
		if err == nil && len(rest) > len(stream) {
			t.Errorf("%d bytes came out of %d", len(rest), len(stream))
		}
	})
}
