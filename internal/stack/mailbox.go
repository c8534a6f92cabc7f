package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/emersion/go-smtp"
)

// mailbox takes mail on a loopback port and keeps it as files, until ctx is done.
func (s *Stack) mailbox(ctx context.Context, port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("take mail: %w", err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{dir: s.MailDir}, nil }))
	server.Domain = "localhost"
	s.group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	s.group.Go(func() error {
		if err := server.Serve(l); ctx.Err() == nil && !errors.Is(err, smtp.ErrServerClosed) {
			return fmt.Errorf("take mail: %w", err)
		}
		return nil
	})
	return nil
}

// A delivery is a conversation with somebody who brings mail.
type delivery struct{ dir string }

// Mail implements smtp.Session.
func (*delivery) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt implements smtp.Session.
func (*delivery) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data implements smtp.Session.
func (d *delivery) Data(r io.Reader) error {
	f, err := os.CreateTemp(d.dir, time.Now().Format("2006-01-02T150405-*.eml"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close(), os.Chmod(filepath.Clean(f.Name()), 0o644))
}

// Reset implements smtp.Session.
func (*delivery) Reset() {}

// Logout implements smtp.Session.
func (*delivery) Logout() error { return nil }
