package mqtt

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a coalescing connection and its other end.
func pipe(t *testing.T) (*coalescingConn, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	c := newCoalescingConn(ours)
	t.Cleanup(func() { c.Close(); theirs.Close() })
	return c, theirs
}

// A piece is what one read found.
type piece struct {
	text string
	at   time.Duration // since the start
}

// pieces are what comes out of conn, read by read, until it ends.
func pieces(conn net.Conn) <-chan piece {
	start := time.Now()
	out := make(chan piece, 100)
	go func() {
		defer close(out)
		b := make([]byte, 1<<20)
		for {
			n, err := conn.Read(b)
			if n > 0 {
				out <- piece{string(b[:n]), time.Since(start)}
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		t.Errorf("Write(%q) = %d, %v; want %d and no error", text, n, err, len(text))
	}
}

func TestWritesAreSentTogetherAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := pipe(t)
		got := pieces(theirs)
		for _, text := range []string{"one ", "two ", "three"} {
			write(t, c, text)
		}
		if got, want := <-got, (piece{"one two three", writeDelay}); got != want {
			t.Errorf("sent %+v, want %+v", got, want)
		}
		<-time.After(time.Hour)
		write(t, c, "four")
		if got, want := <-got, (piece{"four", time.Hour + 2*writeDelay}); got != want {
			t.Errorf("sent %+v, want %+v", got, want)
		}
	})
}

func TestFullBufferIsSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := pipe(t)
		got := pieces(theirs)
		full := strings.Repeat("x", writeBuffer)
		write(t, c, "a")
		write(t, c, full)
		if got := <-got; got.text != "a"+full || got.at != 0 {
			t.Errorf("sent %d bytes after %v, want %d at once", len(got.text), got.at, len(full)+1)
		}
	})
}

func TestCloseSendsWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := pipe(t)
		got := pieces(theirs)
		write(t, c, "goodbye")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if got, want := <-got, (piece{"goodbye", 0}); got != want {
			t.Errorf("sent %+v, want %+v", got, want)
		}
		if _, err := c.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %v, want %v", err, net.ErrClosed)
		}
		if more, ok := <-got; ok {
			t.Errorf("sent %q after Close", more.text)
		}
	})
}

// The reader learns of a failed write at once, though nobody waited for it.
func TestFailedWriteClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := pipe(t)
		reading := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			reading <- err
		}()
		theirs.SetReadDeadline(time.Now()) //nolint:errcheck // a pipe has deadlines
		start := time.Now()
		write(t, c, "nobody takes this")
		if err := <-reading; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Read ended with %v, want %v", err, io.ErrClosedPipe)
		}
		if got, want := time.Since(start), writeDelay+writeTimeout; got != want {
			t.Errorf("Read ended after %v, want %v", got, want)
		}
		if !c.closed.Load() {
			t.Error("the connection does not count as closed")
		}
		if _, err := c.Write([]byte("more")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("next Write: %v, want %v", err, os.ErrDeadlineExceeded)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A peer that reads nothing must not keep Close, and so a reconnection, for ever.
func TestCloseDoesNotWaitForADeadPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := pipe(t)
		write(t, c, "goodbye")
		start := time.Now()
		c.Close()
		if got := time.Since(start); got > time.Second {
			t.Errorf("Close took %v, want a second at most", got)
		}
	})
}
