package mail

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Server is one that takes mail.
type Server struct {
	Host     string
	Port     int
	TLS      string // starttls, implicit or none
	From     string // without a display name
	Username string // empty: no login
	Password string
	Trust    *x509.CertPool // who may sign its certificate; nil: whom this machine trusts
	Patience time.Duration  // for each answer; 0: ten seconds
}

// Ways to encrypt the conversation, as a site file spells them.
const (
	startTLS    = "starttls"
	implicitTLS = "implicit"
)

// CheckSMTP has the conversation that a mail to each of the recipients would
// begin with, and takes it back before there is a mail. Its error says in words
// what failed and what would be right, for each recipient who is refused.
func CheckSMTP(ctx context.Context, s Server, recipients []string) error {
	return s.converse(ctx, func(c *conversation) error {
		var faults []error
		for _, to := range recipients {
			err := c.envelope(to)
			if c.lost(err) {
				return errors.Join(append(faults, err)...) // the others would only hear the same
			}
			if err := errors.Join(err, c.say("take the mail back", c.Reset)); err != nil {
				faults = append(faults, err)
			}
		}
		return errors.Join(faults...)
	})
}

// Send sends a message to one recipient. If its error is nil the server has
// taken it.
func Send(ctx context.Context, s Server, to, language string, m Message) error {
	raw, err := encode(s.From, to, language, m, time.Now())
	if err != nil {
		return err
	}
	return s.converse(ctx, func(c *conversation) error {
		if err := c.envelope(to); err != nil {
			return err
		}
		return c.say("take the mail", func() error {
			w, err := c.Data()
			if err != nil {
				return err
			}
			_, err = w.Write(raw)
			return errors.Join(err, w.Close()) // only after Close has it said yes
		})
	})
}

// A conversation is a connection on which mail may be sent.
type conversation struct {
	*smtp.Client
	server   Server
	conn     net.Conn
	deadline time.Time // of the whole; zero: none
}

// converse greets the server, encrypts and logs in, and then has f said.
func (s Server) converse(ctx context.Context, f func(*conversation) error) error {
	if s.Patience == 0 {
		s.Patience = 10 * time.Second
	}
	c := &conversation{server: s}
	c.deadline, _ = ctx.Deadline()
	dialing, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(dialing, "tcp", s.addr())
	if err != nil {
		return fmt.Errorf("connect to %s: %w; want host and port of a server that takes mail", s.addr(), err)
	}
	defer conn.Close()
	// Cancelled, it ends whatever is being waited for.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	c.conn = conn

	if err := c.open(); err != nil {
		return err
	}
	if err := f(c); err != nil {
		return err
	}
	return c.say("say goodbye", c.Quit)
}

func (s Server) addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// tls returns how to encrypt.
func (s Server) tls() *tls.Config {
	return &tls.Config{ServerName: s.Host, RootCAs: s.Trust, MinVersion: tls.VersionTLS12}
}

// hello is what the server is greeted with: the domain that mail comes from.
func (s Server) hello() string { return s.From[strings.LastIndexByte(s.From, '@')+1:] }

// open says what comes before a mail.
func (c *conversation) open() error {
	s := c.server
	if s.TLS == implicitTLS {
		encrypted := tls.Client(c.conn, s.tls())
		if err := c.within(func() error { return encrypted.Handshake() }); err != nil {
			return s.tlsFault("speak TLS from the start", err, "the server does not speak TLS from the start; want smtp.tls: starttls, usually on port 587")
		}
		c.conn = encrypted
	}
	if err := c.within(func() (err error) { c.Client, err = smtp.NewClient(c.conn, s.Host); return err }); err != nil {
		if isTimeout(err) && s.TLS != implicitTLS {
			return fmt.Errorf("wait for the greeting of %s: none within %v; a server that wants TLS from the start is silent like this: want smtp.tls: implicit, usually on port 465", s.addr(), s.Patience)
		}
		return fmt.Errorf("wait for the greeting of %s: %w; want host and port of a server that takes mail", s.addr(), err)
	}
	if err := c.say("be greeted as "+s.hello(), func() error { return c.Hello(s.hello()) }); err != nil {
		return err
	}
	if s.TLS == startTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return fmt.Errorf("encrypt: %s offers no STARTTLS; want smtp.tls: implicit, usually on port 465, or a server that does", s.addr())
		}
		if err := c.within(func() error { return c.StartTLS(s.tls()) }); err != nil {
			return s.tlsFault("encrypt", err, "the server offers STARTTLS and then does not speak TLS; ask who runs it")
		}
	}
	return c.login()
}

// tlsFault says what is wrong with an encryption that failed; plain is for when
// the other side did not encrypt at all.
func (s Server) tlsFault(what string, err error, plain string) error {
	var (
		notTLS    tls.RecordHeaderError
		unknown   x509.UnknownAuthorityError
		otherName x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	hint := "want a server that speaks TLS 1.2 or later"
	switch {
	case errors.As(err, &notTLS), errors.Is(err, io.EOF):
		return fmt.Errorf("%s with %s: %s", what, s.addr(), plain)
	case errors.As(err, &unknown):
		hint = "this machine does not know who signed its certificate; want one by a known authority, or that authority among those the machine trusts"
	case errors.As(err, &otherName):
		hint = "want as smtp.host the name that is in its certificate"
	case errors.As(err, &invalid):
		hint = "want a certificate that is valid today"
	case isTimeout(err):
		hint = "the server does not answer; look at firewalls, or want another port"
	}
	return fmt.Errorf("%s with %s: %w; %s", what, s.addr(), err, hint)
}

// login logs in, if the site has a username.
func (c *conversation) login() error {
	s := c.server
	if s.Username == "" {
		return nil
	}
	ok, mechanisms := c.Extension("AUTH")
	if !ok {
		return fmt.Errorf("log in as %s: %s offers no login like this; want no smtp.username, or smtp.tls: starttls", s.Username, s.addr())
	}
	var auth smtp.Auth
	switch offered := strings.Fields(strings.ToUpper(mechanisms)); {
	case slices.Contains(offered, "PLAIN"):
		auth = smtp.PlainAuth("", s.Username, s.Password, s.Host)
	case slices.Contains(offered, "LOGIN"):
		auth = &loginAuth{s.Username, s.Password}
	default:
		return fmt.Errorf("log in as %s: %s offers %s; want PLAIN or LOGIN", s.Username, s.addr(), mechanisms)
	}
	err := c.within(func() error { return c.Auth(auth) })
	if refusal, ok := errors.AsType[*textproto.Error](err); ok {
		return fmt.Errorf("log in as %s: refused: %w; want smtp.username and the password that belongs to it", s.Username, refusal)
	}
	if err != nil {
		return fmt.Errorf("log in as %s: %w", s.Username, err)
	}
	return nil
}

// envelope says from whom and to whom the next mail is.
func (c *conversation) envelope(to string) error {
	from := c.server.From
	if err := c.say("send as "+from, func() error { return c.Mail(from) }); err != nil {
		return err
	}
	return c.say("send to "+to, func() error { return c.Rcpt(to) })
}

// say says something and returns what is wrong with the answer.
func (c *conversation) say(what string, f func() error) error {
	err := c.within(f)
	refusal, ok := errors.AsType[*textproto.Error](err)
	switch {
	case err == nil:
		return nil
	case !ok && isTimeout(err):
		return fmt.Errorf("%s: %s does not answer within %v", what, c.server.addr(), c.server.Patience)
	case !ok:
		return fmt.Errorf("%s: %w", what, err)
	case refusal.Code == 530 || refusal.Code == 550 && strings.Contains(strings.ToLower(refusal.Msg), "auth"):
		return fmt.Errorf("%s: refused: %w; want smtp.username and smtp.password_file", what, refusal)
	case refusal.Code/100 == 4:
		return fmt.Errorf("%s: refused for now: %w; try again later", what, refusal)
	}
	return fmt.Errorf("%s: refused: %w", what, refusal)
}

// within calls f, which has to get its answer in time.
func (c *conversation) within(f func() error) error {
	deadline := time.Now().Add(c.server.Patience)
	if !c.deadline.IsZero() && c.deadline.Before(deadline) {
		deadline = c.deadline
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	return f()
}

// lost reports whether nothing more can be said after err.
func (c *conversation) lost(err error) bool {
	var refusal *textproto.Error
	return err != nil && !errors.As(err, &refusal)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// loginAuth is AUTH LOGIN, which some servers have instead of PLAIN.
type loginAuth struct{ username, password string }

// Start begins the login.
func (a *loginAuth) Start(s *smtp.ServerInfo) (string, []byte, error) {
	if !s.TLS {
		return "", nil, errors.New("the connection is not encrypted; want smtp.tls: starttls or implicit")
	}
	return "LOGIN", nil, nil
}

// Next answers the server's questions for username and password.
func (a *loginAuth) Next(question []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	switch q := strings.ToLower(string(question)); {
	case strings.HasPrefix(q, "user"):
		return []byte(a.username), nil
	case strings.HasPrefix(q, "pass"):
		return []byte(a.password), nil
	}
	return nil, fmt.Errorf("unexpected question %q", question)
}

// encode writes a message as it goes to the server.
func encode(from, to, language string, m Message, now time.Time) ([]byte, error) {
	var body, raw bytes.Buffer
	parts := multipart.NewWriter(&body)
	for _, p := range []struct{ kind, text string }{{"text/plain", m.Text}, {"text/html", m.HTML}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {p.kind + "; charset=UTF-8"},
			"Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return nil, err
		}
		q := quotedprintable.NewWriter(w)
		if _, err := io.WriteString(q, p.text); err != nil {
			return nil, err
		}
		if err := q.Close(); err != nil {
			return nil, err
		}
	}
	if err := parts.Close(); err != nil {
		return nil, err
	}
	for _, h := range [][2]string{
		{"From", "Tofuwatch <" + from + ">"},
		{"To", to},
		{"Subject", mime.QEncoding.Encode("utf-8", m.Subject)},
		{"Date", now.Format(time.RFC1123Z)},
		{"Message-Id", "<" + rand.Text() + from[strings.LastIndexByte(from, '@'):] + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"Content-Language", language},
		{"MIME-Version", "1.0"},
		{"Content-Type", "multipart/alternative; boundary=" + parts.Boundary()},
	} {
		fmt.Fprintf(&raw, "%s: %s\r\n", h[0], h[1])
	}
	raw.WriteString("\r\n")
	raw.Write(body.Bytes())
	return raw.Bytes(), nil
}
