// Package influx writes what the spool holds into InfluxDB 1.8 or 2.x. Line
// protocol is known here and nowhere else.
package influx

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"
	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"tofuwatch/ingest"
)

// A Spool gives out the oldest pending points, and forgets them once they are
// done. See package spool for what its methods promise.
type Spool interface {
	Next(ctx context.Context, atMost int, linger time.Duration) (*ingest.Batch, error)
	Done(b *ingest.Batch, refused []ingest.Refusal) error
}

// Options say where to write.
type Options struct {
	URL    *url.URL
	Org    string // 2.x
	Bucket string // on 1.8: database or database/retention-policy
	Token  string // on 1.8: user:password, or empty
	// TLS says whom to trust over https; it is asked for each connection, so that a
	// renewed certificate is taken up. Nil means whom the machine trusts.
	TLS func() (*tls.Config, error)
}

// Numbers of the write path.
const (
	batchPoints    = 5000                   // what InfluxData recommends for one request
	linger         = 200 * time.Millisecond // how long the first point waits for others
	requestTimeout = 30 * time.Second
	leastWait      = time.Second // before a second attempt; doubled each time
	mostWait       = 30 * time.Second
	mostAsked      = 10 * time.Minute // the longest Retry-After that is honoured
	nagEvery       = time.Minute      // how often the log repeats what keeps failing
)

// A Writer drains a spool into InfluxDB.
type Writer struct {
	spool Spool
	// post sends lines to InfluxDB once. Its error is nil for a 2xx answer only.
	post func(ctx context.Context, lines string) error
	log  *slog.Logger
	up   atomic.Bool
	hint func(err error) string
	told time.Time // when the log was last told that InfluxDB takes nothing
}

// NewClient returns a client for o. It connects to nothing yet.
func NewClient(o Options) influxdb2.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if isLoopback(o.URL.Hostname()) {
		transport.Proxy = nil
	}
	if o.TLS != nil {
		transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			config, err := o.TLS()
			if err != nil {
				return nil, err
			}
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		}
	}
	options := influxdb2.DefaultOptions().
		SetHTTPClient(&http.Client{Transport: transport, Timeout: requestTimeout, CheckRedirect: stay}).
		SetUseGZip(!isLoopback(o.URL.Hostname())). // costs more than it saves within a machine
		SetApplicationName("tofuwatch")
	return influxdb2.NewClientWithOptions(o.URL.String(), o.Token, options)
}

// stay follows no redirection: a POST would become a GET of some page, which
// succeeds and stores nothing.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// NewWriter returns a writer that uses the blocking API of client: its
// asynchronous one gives up on points after a while.
func NewWriter(client influxdb2.Client, o Options, s Spool, log *slog.Logger) *Writer {
	blocking := client.WriteAPIBlocking(o.Org, o.Bucket)
	return &Writer{
		spool: s, log: log,
		post: func(ctx context.Context, lines string) error { return write(ctx, blocking, lines) },
		hint: func(err error) string { return Hint(err, o) },
	}
}

func write(ctx context.Context, blocking api.WriteAPIBlocking, lines string) error {
	return blocking.WriteRecord(ctx, strings.TrimSuffix(lines, "\n"))
}

// Up reports whether the last write was answered and accepted.
func (w *Writer) Up() bool { return w.up.Load() }

// Run drains the spool until ctx is done, which is no error.
func (w *Writer) Run(ctx context.Context) error {
	for {
		b, err := w.spool.Next(ctx, batchPoints, linger)
		if err == nil {
			err = w.drain(ctx, b)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			// The disk, not InfluxDB. What is pending is safe, or lost already.
			w.log.Error("spool cannot be drained; trying again", "err", err)
			if !sleep(ctx, mostWait) {
				return nil
			}
		}
	}
}

// drain writes b until all of it is stored or refused.
func (w *Writer) drain(ctx context.Context, b *ingest.Batch) error {
	d := &draining{w: w, b: b}
	if err := d.write(ctx, 0, len(b.Lines)); err != nil {
		return err
	}
	// Trying again costs nothing: what is stored is stored, and what is refused
	// is a dead letter once.
	for wait := leastWait; ; wait = min(2*wait, mostWait) {
		err := w.spool.Done(b, d.refused)
		if err == nil {
			return nil
		}
		w.log.Error("spool cursor not moved; trying again", "err", err)
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// draining is a batch on its way.
type draining struct {
	w       *Writer
	b       *ingest.Batch
	refused []ingest.Refusal
	stored  bool // something of the batch was: the requests are right
}

// write sends the lines from start to end, and halves them until each point
// that InfluxDB refuses is alone. It returns early only if ctx is done.
func (d *draining) write(ctx context.Context, start, end int) error {
	lines := d.b.Lines[start:end]
	verdict, err := d.w.send(ctx, string(lines))
	switch verdict {
	case stored:
		d.stored = true
		return nil
	case retry:
		return err // ctx is done
	}
	if middle := start + middleLine(lines); middle > start {
		if err := d.write(ctx, start, middle); err != nil {
			return err
		}
		return d.write(ctx, middle, end)
	}
	return d.refuse(ctx, start, end, err)
}

// middleLine returns the offset of the line nearest to the middle, or 0 if there
// is one line only.
func middleLine(lines []byte) int {
	if i := bytes.LastIndexByte(lines[:len(lines)/2], '\n'); i >= 0 {
		return i + 1
	}
	if i := bytes.IndexByte(lines, '\n'); i+1 < len(lines) {
		return i + 1
	}
	return 0
}

// refuse makes dead letters of the readings of one point that InfluxDB refuses,
// but only of those that it refuses each for itself.
func (d *draining) refuse(ctx context.Context, start, end int, refusal error) error {
	if !d.stored {
		// Nothing of this batch was accepted: is it the point, or is every request
		// refused alike? A point that must be right decides. It is waited for.
		verdict, err := d.w.send(ctx, probe(time.Now()))
		for verdict == split {
			d.w.setUp(false)
			d.w.log.Error("InfluxDB refuses every point, also a right one; keeping all", "err", err)
			if !sleep(ctx, mostWait) {
				return ctx.Err()
			}
			verdict, err = d.w.send(ctx, probe(time.Now()))
		}
		if verdict == retry {
			return err
		}
		d.stored = true
		if verdict, err = d.w.send(ctx, string(d.b.Lines[start:end])); verdict != split {
			return err // stored after all, or ctx is done
		}
	}
	line := d.b.Lines[start:end]
	points := splitReadings(line)
	for _, p := range points {
		if len(points) > 1 {
			verdict, err := d.w.send(ctx, string(p.line))
			if verdict == stored {
				continue
			}
			if verdict == retry {
				return err
			}
			refusal = err
		}
		n := 0 // what is no reading counts for none, whatever people write in it
		if isReading(p.line) {
			n = max(1, CountReadings(p.line))
		}
		d.refused = append(d.refused, d.b.Refuse(start+p.offset, p.line, n, detail(refusal)))
		d.w.log.Warn("reading refused by InfluxDB and dead-lettered", "point", string(p.line), "err", refusal)
	}
	return nil
}

// probe is a point that any InfluxDB must accept. There is one an hour at most.
func probe(now time.Time) string {
	return "tofuwatch_check ok=1i " + strconv.FormatInt(now.Truncate(time.Hour).UnixNano(), 10)
}

// detail is what a dead letter says of a refusal, in one line.
func detail(err error) string {
	const most = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return "InfluxDB says: " + text
}

// send posts lines until there is an answer about them: stored, or split with
// the answer. It returns retry only if ctx is done.
func (w *Writer) send(ctx context.Context, lines string) (verdict, error) {
	for wait := leastWait; ; wait = min(2*wait, mostWait) {
		err := w.post(ctx, lines)
		v, asked := judge(err, time.Now())
		if v != retry {
			w.setUp(true)
			return v, err
		}
		if ctx.Err() != nil {
			return retry, ctx.Err()
		}
		w.setUp(false)
		if now := time.Now(); now.Sub(w.told) >= nagEvery {
			w.told = now
			w.log.Error("InfluxDB does not take readings; they are kept", "err", err, "hint", w.hint(err))
		}
		// Between half and all of wait, lest several ingesters come back at once.
		pause := max(asked, wait/2+rand.N(wait/2))
		if !sleep(ctx, pause) {
			return retry, ctx.Err()
		}
	}
}

func (w *Writer) setUp(up bool) {
	if w.up.Swap(up) != up && up {
		w.log.Info("InfluxDB takes readings")
	}
}

// verdict is what to do with lines after an attempt to write them.
type verdict int

const (
	retry  verdict = iota // keep them, and try again
	split                 // some point of them is at fault, or they are too many
	stored                // InfluxDB has them
)

// judge says what to do after an attempt to write, and how long InfluxDB asked
// us to wait. What it does not know loses nothing.
func judge(err error, now time.Time) (verdict, time.Duration) {
	var answer *influxhttp.Error
	switch {
	case err == nil:
		return stored, 0
	case !errors.As(err, &answer):
		return retry, 0
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return split, 0
	}
	if answer.StatusCode >= 300 && strings.Contains(answer.Message, "partial write") {
		return split, 0 // some releases say it with a 500
	}
	// 401, 403, 404, 429, 5xx, no answer, and whatever a proxy makes up.
	return retry, retryAfter(answer.Header.Get("Retry-After"), now)
}

// retryAfter reads a Retry-After header, which is seconds or a date.
func retryAfter(header string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(max(seconds, 0), int(mostAsked.Seconds()))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), mostAsked)
}

// Hint says what a person should do about an error of InfluxDB.
func Hint(err error, o Options) string {
	database, _, _ := strings.Cut(o.Bucket, "/")
	if answer, ok := errors.AsType[*influxhttp.Error](err); ok {
		switch answer.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return "check the token: on 2.x one that may write to the bucket, on 1.8 user:password of a user who may write to the database"
		case http.StatusNotFound:
			return fmt.Sprintf("is there a bucket or database %q? On 1.8: influx -execute 'CREATE DATABASE %q'", o.Bucket, database)
		case http.StatusTooManyRequests:
			return "InfluxDB asks for patience; nothing is to be done unless it lasts"
		}
		switch {
		case answer.StatusCode >= 300 && answer.StatusCode < 400:
			return fmt.Sprintf("%s leads to %s, which is not followed: is that InfluxDB's address?", o.URL.Redacted(), answer.Header.Get("Location"))
		case answer.StatusCode >= 500:
			return "look at InfluxDB's own log, and at the room on its disk"
		}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Sprintf("is InfluxDB running, and is %s its address?", o.URL.Redacted())
	}
	return "look at InfluxDB's own log"
}

// sleep waits, and returns false if ctx is done before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
