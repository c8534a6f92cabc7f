package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/emersion/go-smtp"
	"github.com/google/renameio/v2"

	"tofuwatch/internal/site"
)

// largestMail is how many bytes a mail may have.
const largestMail = 1 << 20

// A letter is a mail that came.
type letter struct {
	at      time.Time
	to      string
	subject string
	file    string
}

// A mailbox is an SMTP server for a site that names none: it keeps the mail as
// files and sends it nowhere.
type mailbox struct {
	ln     net.Listener
	dir    string
	log    *slog.Logger
	server *smtp.Server
	came   func(letter) // told of each mail that is on disk; set before Run
}

// newMailbox returns a mailbox that will serve ln, which it then owns, and keeps
// the mail in dir, which it makes.
func newMailbox(ln net.Listener, dir string, log *slog.Logger) (*mailbox, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m := &mailbox{ln: ln, dir: dir, log: log, came: func(letter) {}}
	m.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &mailSession{box: m}, nil
	}))
	m.server.Domain = "localhost"
	m.server.MaxMessageBytes = largestMail
	m.server.MaxRecipients = 1
	m.server.ReadTimeout = time.Minute
	m.server.WriteTimeout = time.Minute
	m.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return m, nil
}

// Run takes mail until ctx is done.
func (m *mailbox) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- m.server.Serve(m.ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the mailbox: %w", err)
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWithin)
	defer cancel()
	err := m.server.Shutdown(deadline)
	if err != nil {
		err = errors.Join(fmt.Errorf("end the mailbox's connections: %w", err), m.server.Close())
	}
	if serveErr := <-served; !errors.Is(serveErr, smtp.ErrServerClosed) {
		err = errors.Join(serveErr, err)
	}
	return err
}

// keep writes a mail to a file. What is accepted survives a power cut.
func (m *mailbox) keep(to string, text []byte) error {
	parsed, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return &smtp.SMTPError{Code: 554, Message: "This is no mail: " + err.Error()}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil {
		subject = parsed.Header.Get("Subject")
	}
	l := letter{at: time.Now(), to: to, subject: subject}
	name := l.at.UTC().Format("20060102T150405.000000000Z") + "-" + slug(to) + "-" + slug(subject) + ".eml"
	l.file = filepath.Join(m.dir, name)
	if err := renameio.WriteFile(l.file, text, 0o600); err != nil {
		return fmt.Errorf("keep a mail: %w", err)
	}
	if err := syncFolder(m.dir); err != nil {
		return fmt.Errorf("keep a mail: %w", err)
	}
	m.log.Info("mail came", "to", to, "subject", subject, "file", l.file)
	m.came(l)
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// slug returns text as part of a file name: a few words of small letters and
// digits.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	s := strings.Join(words, "-")
	if len(s) > 60 {
		s = strings.TrimRight(s[:60], "-")
	}
	return s
}

// A mailSession is one connection to a mailbox.
type mailSession struct {
	box *mailbox
	to  string
}

// Reset forgets the mail that was begun.
func (s *mailSession) Reset() { s.to = "" }

// Logout does nothing: nothing is held.
func (s *mailSession) Logout() error { return nil }

// Mail accepts any sender.
func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt accepts any recipient.
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return nil
}

// Data takes the mail. An error that is none of the mail's is told as temporary:
// the sender tries again.
func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err == nil {
		err = s.box.keep(s.to, text)
	}
	var refused *smtp.SMTPError
	if err != nil && !errors.As(err, &refused) {
		s.box.log.Error("mail not kept", "to", s.to, "err", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Cannot keep the mail now: " + err.Error()}
	}
	return err
}

// smtp returns the mailbox as the mail server of a site.
func (m *mailbox) smtp() *site.SMTP {
	at := m.ln.Addr().(*net.TCPAddr)
	return &site.SMTP{Host: at.IP.String(), Port: at.Port, TLS: "none", From: "tofuwatch@localhost"}
}
