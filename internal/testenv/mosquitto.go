package testenv

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Broker is a running Mosquitto.
type Broker struct {
	*Server
	Addr string // "127.0.0.1:21883"
	URL  string // "tcp://127.0.0.1:21883", or "ssl://…" with TLS
	TLS  TLS    // with [WithTLS], else empty

	dir string
}

// A BrokerOption changes how [Mosquitto] starts the broker.
type BrokerOption func(*brokerOptions)

type brokerOptions struct {
	file        string
	lines       []string
	persistence bool
	tls         bool
	files       TLS // of a client, with a configuration that wants TLS
}

// WithConfig adds lines to the broker's configuration.
func WithConfig(lines ...string) BrokerOption {
	return func(o *brokerOptions) { o.lines = append(o.lines, lines...) }
}

// WithConfigFile uses the configuration in file, in place of a bare one. Only
// what belongs to a machine is replaced: the address of the first listener, the
// user, and where data and log are kept.
func WithConfigFile(file string) BrokerOption {
	return func(o *brokerOptions) { o.file = file }
}

// WithPersistence keeps sessions and queued messages on disk. Stop saves them;
// Kill loses what came in the last second, acknowledged or not.
func WithPersistence() BrokerOption {
	return func(o *brokerOptions) { o.persistence = true }
}

// WithTLS lets in only clients with a certificate, over TLS; [Broker.TLS] has one.
func WithTLS() BrokerOption {
	return func(o *brokerOptions) { o.tls = true }
}

// WithFilesOf says how a client proves itself to a broker whose configuration
// file wants TLS.
func WithFilesOf(client TLS) BrokerOption {
	return func(o *brokerOptions) { o.files = client }
}

// Mosquitto starts a broker. Without options nothing is tuned: 20 messages in
// flight, 1,000 queued for a client, nothing on disk, everybody let in.
func Mosquitto(t testing.TB, options ...BrokerOption) *Broker {
	t.Helper()
	var o brokerOptions
	for _, option := range options {
		option(&o)
	}
	path := Program(t, "mosquitto")
	b := &Broker{dir: t.TempDir(), TLS: o.files}
	if o.tls {
		b.TLS = NewTLS(t)
	}
	listen(t, func(port int) (*Server, error) {
		b.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		b.URL = "tcp://" + b.Addr
		if b.TLS != (TLS{}) {
			b.URL = "ssl://" + b.Addr
		}
		file := filepath.Join(b.dir, "mosquitto.conf")
		if err := os.WriteFile(file, []byte(b.config(t, port, o)), 0o600); err != nil {
			t.Fatal(err)
		}
		b.Server = &Server{
			t:       t,
			name:    "mosquitto",
			command: func() *exec.Cmd { return exec.Command(path, "-c", file) },
			answers: b.answers,
		}
		return b.Server, b.launch()
	})
	return b
}

// config returns the configuration file.
func (b *Broker) config(t testing.TB, port int, o brokerOptions) string {
	t.Helper()
	listener := fmt.Sprintf("listener %d 127.0.0.1", port)
	var lines []string
	if o.file == "" {
		lines = append(lines, listener, "allow_anonymous true")
	} else {
		shipped, err := os.ReadFile(o.file)
		if err != nil {
			t.Fatal(err)
		}
		replaced := false // the first listener; others stay as they are
		for line := range strings.Lines(string(shipped)) {
			line = strings.TrimSpace(line)
			switch key, _, _ := strings.Cut(line, " "); key {
			case "listener":
				if !replaced {
					line, replaced = listener, true
				}
				lines = append(lines, line)
			case "persistence_location":
				lines = append(lines, "persistence_location "+b.dir+"/")
			case "user", "log_dest", "pid_file":
			default:
				lines = append(lines, line)
			}
		}
	}
	if o.persistence {
		lines = append(lines, "persistence true", "persistence_location "+b.dir+"/", "autosave_interval 1")
	}
	if o.tls {
		lines = append(lines,
			"cafile "+b.TLS.CAFile,
			"certfile "+b.TLS.ServerCertFile,
			"keyfile "+b.TLS.ServerKeyFile,
			"require_certificate true",
		)
	}
	lines = append(lines, o.lines...)
	lines = append(lines, "log_dest stderr")
	if os.Geteuid() == 0 {
		// Else it becomes the user "mosquitto", who may not write to b.dir.
		lines = append(lines, "user root")
	}
	return strings.Join(lines, "\n") + "\n"
}

// answers connects as a client. Any answer to that will do, also a refusal.
func (b *Broker) answers() error {
	conn, err := b.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	// CONNECT: MQTT 3.1.1, clean session, no keep-alive, client ID "ready".
	if _, err := conn.Write([]byte("\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05ready")); err != nil {
		return err
	}
	connack := make([]byte, 4)
	if _, err := io.ReadFull(conn, connack); err != nil {
		return fmt.Errorf("wait for an answer of mosquitto: %w", err)
	}
	if !bytes.HasPrefix(connack, []byte{0x20, 2}) {
		return fmt.Errorf("%s answers % x; want a CONNACK", b.Addr, connack)
	}
	return nil
}

func (b *Broker) dial() (net.Conn, error) {
	dialer := &net.Dialer{Timeout: time.Second}
	if b.TLS == (TLS{}) {
		return dialer.Dial("tcp", b.Addr)
	}
	ca, err := os.ReadFile(b.TLS.CAFile)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(b.TLS.CertFile, b.TLS.KeyFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return tls.DialWithDialer(dialer, "tcp", b.Addr, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}})
}
