package testenv

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A MailServer is an SMTP server that keeps what it is sent. Its faults begin
// when a test says so, and end with the test or when it says so.
type MailServer struct {
	Addr string // "127.0.0.1:20025"
	Host string // "127.0.0.1"
	Port int
	TLS  TLS // with [WithSTARTTLS] or [WithImplicitTLS], else empty

	user, password string        // empty: anybody may send
	over           chan struct{} // closed when the test ends

	mu      sync.Mutex
	mails   []Mail
	refused map[string]bool // recipients
	fails   bool
	stalls  Moment
	ended   chan struct{} // closed when those who wait in vain are cut off
}

// A Moment is a point in the conversation with a mail server.
type Moment int

// The moments at which a server may stop answering.
const (
	Never      Moment = iota
	AtGreeting        // the connection is taken, and nothing said
	AtMail            // greeted, and encrypted if it is to be; no answer to the sender's address
	AfterData         // the mail is there in full, and nobody knows whether it was taken
)

// A Mail is one that the server took, for one recipient.
type Mail struct {
	From, To string // of the envelope
	Received time.Time
	Header   mail.Header
	Subject  string // decoded
	Text     string // the part in plain text, its lines ended by \n
	HTML     string // the part in HTML
}

// A MailOption changes how [SMTP] starts the server.
type MailOption func(*MailServer, *mailOptions)

type mailOptions struct {
	starttls, implicit bool
	port               int
}

// WithSTARTTLS offers encryption, by a certificate of MailServer.TLS.
func WithSTARTTLS() MailOption {
	return func(_ *MailServer, o *mailOptions) { o.starttls = true }
}

// WithImplicitTLS wants encryption from the first byte.
func WithImplicitTLS() MailOption {
	return func(_ *MailServer, o *mailOptions) { o.implicit = true }
}

// WithPort listens there, and not on a port that is free.
func WithPort(port int) MailOption {
	return func(_ *MailServer, o *mailOptions) { o.port = port }
}

// WithLogin takes mail only from who has logged in, with AUTH PLAIN.
func WithLogin(user, password string) MailOption {
	return func(s *MailServer, _ *mailOptions) { s.user, s.password = user, password }
}

// SMTP starts a mail server. It runs in the test's own process.
func SMTP(t testing.TB, options ...MailOption) *MailServer {
	t.Helper()
	s := &MailServer{Host: "127.0.0.1", refused: make(map[string]bool), over: make(chan struct{}), ended: make(chan struct{})}
	o := mailOptions{port: FreePort(t)}
	for _, option := range options {
		option(s, &o)
	}
	s.Port = o.port
	s.Addr = fmt.Sprintf("%s:%d", s.Host, s.Port)
	ln, err := net.Listen("tcp4", s.Addr)
	if err != nil {
		t.Fatalf("start the mail server: %v", err)
	}
	ln = silentListener{ln, s}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailSession{server: s, conn: c.Conn()}, nil
	}))
	server.Domain = "localhost"
	server.AllowInsecureAuth = true
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // faults are what it is for
	if o.starttls || o.implicit {
		s.TLS = NewTLS(t)
		pair, err := tls.LoadX509KeyPair(s.TLS.ServerCertFile, s.TLS.ServerKeyFile)
		if err != nil {
			t.Fatalf("start the mail server: %v", err)
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		if o.implicit {
			ln = tls.NewListener(ln, config)
		} else {
			server.TLSConfig = config
		}
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		close(s.over)
		if err := server.Close(); err != nil {
			t.Errorf("stop the mail server: %v", err)
		}
		ln.Close() // the server may not have come to know it yet
		if err := <-served; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Errorf("mail server: %v", err)
		}
	})
	return s
}

// Mails returns what the server took so far, in order.
func (s *MailServer) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// To returns what the server took so far for a recipient.
func (s *MailServer) To(recipient string) []Mail {
	var to []Mail
	for _, m := range s.Mails() {
		if m.To == recipient {
			to = append(to, m)
		}
	}
	return to
}

// Refuse says whether mail to a recipient is refused, with 550.
func (s *MailServer) Refuse(recipient string, refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[recipient] = refused
}

// FailAfterData says whether a mail is refused once it is there in full, with 451.
func (s *MailServer) FailAfterData(fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

// Stall says from which moment on the server gives no answer. Who was left
// without one until now is cut off, as by a server that is started again.
func (s *MailServer) Stall(at Moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ended)
	s.ended = make(chan struct{})
	s.stalls = at
}

// stalled does not return while the server stalls at the moment. It reports
// whether it did.
func (s *MailServer) stalled(at Moment) bool {
	s.mu.Lock()
	stalls, ended := s.stalls == at, s.ended
	s.mu.Unlock()
	if !stalls {
		return false
	}
	select {
	case <-ended:
	case <-s.over:
	}
	return true
}

// A silentListener takes connections for a server that may not greet them.
type silentListener struct {
	net.Listener
	server *MailServer
}

func (l silentListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &silentConn{Conn: conn, server: l.server}, err
}

// A silentConn says its first word when its server lets it.
type silentConn struct {
	net.Conn
	server *MailServer
	spoken bool
}

func (c *silentConn) Write(b []byte) (int, error) {
	if !c.spoken && c.server.stalled(AtGreeting) {
		return 0, errors.Join(net.ErrClosed, c.Close())
	}
	c.spoken = true
	return c.Conn.Write(b)
}

// mailSession is one connection.
type mailSession struct {
	server   *MailServer
	conn     net.Conn
	loggedIn bool
	from     string
	to       []string
}

var (
	errNoLogin  = &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	errUnknown  = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox here"}
	errTryLater = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Try again later"}
)

// AuthMechanisms are the ways to log in.
func (c *mailSession) AuthMechanisms() []string {
	if c.server.user == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth logs in.
func (c *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != c.server.user || password != c.server.password {
			return smtp.ErrAuthFailed
		}
		c.loggedIn = true
		return nil
	}), nil
}

// Mail begins a mail.
func (c *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if c.server.stalled(AtMail) {
		return c.cutOff()
	}
	if c.server.user != "" && !c.loggedIn {
		return errNoLogin
	}
	c.from = from
	return nil
}

// Rcpt adds a recipient.
func (c *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.server.refused[to] {
		return errUnknown
	}
	c.to = append(c.to, to)
	return nil
}

// Data takes the mail.
func (c *mailSession) Data(r io.Reader) error {
	received := time.Now()
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := parseMail(raw)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	if c.server.stalled(AfterData) {
		return c.cutOff()
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	if c.server.fails {
		return errTryLater
	}
	m.From, m.Received = c.from, received
	for _, to := range c.to {
		m.To = to
		c.server.mails = append(c.server.mails, m)
	}
	return nil
}

// cutOff ends the connection without an answer.
func (c *mailSession) cutOff() error {
	return errors.Join(net.ErrClosed, c.conn.Close())
}

// Reset forgets a mail that was begun.
func (c *mailSession) Reset() { c.from, c.to = "", nil }

// Logout ends the connection.
func (c *mailSession) Logout() error { return nil }

// parseMail reads a mail of two parts, text and HTML.
func parseMail(raw []byte) (Mail, error) {
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Mail{}, fmt.Errorf("read mail: %w", err)
	}
	m := Mail{Header: message.Header}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		return Mail{}, fmt.Errorf("read subject: %w", err)
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return Mail{}, fmt.Errorf("content type %q: want multipart/alternative", message.Header.Get("Content-Type"))
	}
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return m, nil
		}
		if err != nil {
			return Mail{}, fmt.Errorf("read part: %w", err)
		}
		if got := part.Header.Get("Content-Transfer-Encoding"); got != "quoted-printable" {
			return Mail{}, fmt.Errorf("transfer encoding %q: want quoted-printable", got)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return Mail{}, fmt.Errorf("read part: %w", err)
		}
		text := strings.ReplaceAll(string(body), "\r\n", "\n")
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			m.HTML = text
		} else {
			m.Text = text
		}
	}
}
