package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// batchOf is a batch of lines, in which each is a record of its own.
func batchOf(lines ...string) *ingest.Batch {
	b := &ingest.Batch{Points: len(lines)}
	for i, line := range lines {
		b.Records = append(b.Records, ingest.BatchRecord{
			Offset: len(b.Lines), Position: uint64(1000 * i), Topic: fmt.Sprintf("topic/%d", i), Received: seven,
		})
		b.Lines = append(b.Lines, line...)
		b.Readings += uint64(CountReadings([]byte(line)))
	}
	return b
}

// oneSpool gives out batches in turn and then nothing.
type oneSpool struct {
	mu      sync.Mutex
	batches []*ingest.Batch
	next    func() error // asked before each batch, if it is not nil
	done    func() error // asked before each Done, if it is not nil
	refused []ingest.Refusal
	empty   chan struct{} // closed once all are done
}

func newSpool(batches ...*ingest.Batch) *oneSpool {
	return &oneSpool{batches: batches, empty: make(chan struct{})}
}

func (s *oneSpool) Next(ctx context.Context, _ int, _ time.Duration) (*ingest.Batch, error) {
	if s.next != nil {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	if len(s.batches) > 0 {
		defer s.mu.Unlock()
		return s.batches[0], nil
	}
	s.mu.Unlock()
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *oneSpool) Done(b *ingest.Batch, refused []ingest.Refusal) error {
	if s.done != nil {
		if err := s.done(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b != s.batches[0] {
		return errors.New("done with another batch than the one that was given out")
	}
	s.refused = append(s.refused, refused...)
	if s.batches = s.batches[1:]; len(s.batches) == 0 {
		close(s.empty)
	}
	return nil
}

// A database answers writes as InfluxDB does, as far as a test wants.
type database struct {
	refuses   func(line string) string // why it takes a point not, or ""
	keepsGood bool                     // the rest of a batch in which it refuses one
	mostBytes int                      // of a request; 0 is no limit

	mu       sync.Mutex
	requests int
	points   map[string]bool
}

func (d *database) write(lines string) (status int, message string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	if d.mostBytes > 0 && len(lines) > d.mostBytes {
		return http.StatusRequestEntityTooLarge, "request too large"
	}
	var bad string
	good := make(map[string]bool)
	for line := range strings.Lines(strings.TrimSuffix(lines, "\n") + "\n") {
		if why := d.refuses(line); why == "" {
			good[line] = true
		} else if bad == "" {
			bad = why
		}
	}
	if bad == "" || d.keepsGood {
		if d.points == nil {
			d.points = make(map[string]bool)
		}
		for line := range good {
			d.points[line] = true
		}
	}
	switch {
	case bad == "":
		return http.StatusNoContent, ""
	case d.keepsGood:
		return http.StatusBadRequest, "partial write: " + bad
	}
	return http.StatusUnprocessableEntity, "failure writing points to database: " + bad
}

// ServeHTTP implements http.Handler.
func (d *database) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, message := d.write(string(body))
	if message == "" {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"code":"invalid","message":%q}`, message)
}

// post is a Writer's, without HTTP between.
func (d *database) post(_ context.Context, lines string) error {
	if status, message := d.write(lines); status != http.StatusNoContent {
		return &influxhttp.Error{StatusCode: status, Code: "invalid", Message: message}
	}
	return nil
}

// has checks which of lines are stored.
func (d *database) has(t *testing.T, lines []string, but ...int) {
	t.Helper()
	want := make(map[string]bool)
	for _, line := range lines {
		want[line] = true
	}
	for _, i := range but {
		delete(want, lines[i])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range d.points {
		if strings.HasPrefix(line, "tofuwatch_check ") {
			delete(d.points, line)
		}
	}
	if diff := cmp.Diff(d.points, want); diff != "" {
		t.Errorf("stored (-got +want):\n%s", diff)
	}
}

func optionsFor(t testing.TB, server *httptest.Server) Options {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return Options{URL: u, Org: "tofuwatch", Bucket: "water", Token: "secret"}
}

// drained runs a writer until its spool is empty.
func drained(t *testing.T, w *Writer, s *oneSpool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	select {
	case <-s.empty:
	case err := <-ended:
		t.Fatalf("Run ended before the spool was empty: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run ended with %v", err)
	}
}

// writerTo is a writer that talks HTTP.
func writerTo(t *testing.T, handler http.Handler, s Spool) *Writer {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := NewClient(optionsFor(t, server))
	t.Cleanup(client.Close)
	return NewWriter(client, optionsFor(t, server), s, slog.New(slog.DiscardHandler))
}

// silentWriter is one whose InfluxDB is a function.
func silentWriter(s Spool, post func(context.Context, string) error) *Writer {
	return &Writer{spool: s, post: post, log: slog.New(slog.DiscardHandler), hint: func(error) string { return "" }}
}

// points are n lines with one reading each.
func points(t testing.TB, n int) []string {
	reading := observer(t)
	var lines []string
	for i := range n {
		lines = append(lines, string(Encode(nil, []water.Observation{reading("cod", float64(i), water.Good, seven.Add(time.Duration(i)*time.Minute))})))
	}
	return lines
}

func TestThreeBadPointsOfAThousand(t *testing.T) {
	lines := points(t, 1000)
	why := map[string]string{
		lines[0]:   `field type conflict: input field "cod" on measurement "water_quality" is type float, already exists as type integer`,
		lines[500]: "points beyond retention policy",
		lines[999]: "unable to parse",
	}
	for name, keepsGood := range map[string]bool{"a server that keeps the good ones": true, "a server that keeps none": false} {
		t.Run(name, func(t *testing.T) {
			d := &database{refuses: func(line string) string { return why[line] }, keepsGood: keepsGood}
			s := newSpool(batchOf(lines...))
			w := writerTo(t, d, s)
			drained(t, w, s)
			d.has(t, lines, 0, 500, 999)
			if !w.Up() {
				t.Error("Up() is false after all was answered")
			}
			type letter struct {
				Topic, Payload string
				Origin         uint64
				Readings       int
				Says           bool
			}
			var got, want []letter
			for _, r := range s.refused {
				l := r.Letter
				got = append(got, letter{l.Topic, string(l.Payload), r.Origin, l.Readings, l.Reason == water.Refused && strings.Contains(l.Detail, why[string(l.Payload)])})
			}
			for _, i := range []int{0, 500, 999} {
				origin := uint64(1000*i + strings.Index(lines[i], " ") + 1)
				want = append(want, letter{fmt.Sprintf("topic/%d", i), lines[i], origin, 1, true})
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("refused (-got +want):\n%s", diff)
			}
			if d.requests > 80 {
				t.Errorf("%d requests for three bad points, want at most 80", d.requests)
			}
		})
	}
}

// All points are refused, and a right one is too: the fault is not theirs.
func TestNothingIsDeadLetteredWhileARightPointIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := points(t, 8)
		d := &database{refuses: func(string) string { return "" }}
		s := newSpool(batchOf(lines...))
		start := time.Now()
		w := silentWriter(s, func(ctx context.Context, text string) error {
			if time.Since(start) < time.Hour {
				return &influxhttp.Error{StatusCode: http.StatusBadRequest, Message: "bad header"}
			}
			return d.post(ctx, text)
		})
		time.AfterFunc(time.Hour-time.Minute, func() {
			if w.Up() {
				t.Error("Up() while every point is refused")
			}
		})
		drained(t, w, s)
		d.has(t, lines)
		if len(s.refused) != 0 {
			t.Errorf("%d dead letters, want none: %+v", len(s.refused), s.refused)
		}
		if !w.Up() {
			t.Error("Up() is false after all is stored")
		}
	})
}

// A whole batch that InfluxDB can't use, while it takes a right point.
func TestAllPointsRefusedAndARightOneTaken(t *testing.T) {
	lines := points(t, 16)
	d := &database{refuses: func(line string) string {
		if strings.HasPrefix(line, Measurement) {
			return "field type conflict"
		}
		return ""
	}}
	s := newSpool(batchOf(lines...))
	drained(t, silentWriter(s, d.post), s)
	d.has(t, nil)
	var got []string
	for _, r := range s.refused {
		got = append(got, string(r.Letter.Payload))
	}
	if diff := cmp.Diff(got, lines); diff != "" {
		t.Errorf("refused (-got +want):\n%s", diff)
	}
}

func TestOneReadingOfAPointRefused(t *testing.T) {
	reading := observer(t)
	line := string(Encode(nil, []water.Observation{
		reading("cod", 286.5, water.Good, seven), reading("ph", 7, water.Good, seven), reading("ec", 900, water.Good, seven),
	}))
	d := &database{refuses: func(line string) string {
		if strings.Contains(line, "ph=") {
			return "field type conflict on ph"
		}
		return ""
	}}
	b := batchOf(line)
	s := newSpool(b)
	drained(t, silentWriter(s, d.post), s)
	const series, when = "water_quality,kind=effluent,method=sensor,river=bajak,station=ipal-01 ", " 1795417200000000000\n"
	d.has(t, []string{series + "cod=286.5,cod_qc=1i" + when, series + "ec=900,ec_qc=1i" + when})
	if len(s.refused) != 1 {
		t.Fatalf("%d dead letters, want 1: %+v", len(s.refused), s.refused)
	}
	want := ingest.Refusal{
		Letter: ingest.DeadLetter{
			Received: seven, Topic: "topic/0", Payload: []byte(series + "ph=7,ph_qc=1i" + when),
			Reason: water.Refused, Detail: "InfluxDB says: invalid: failure writing points to database: field type conflict on ph", Readings: 1,
		},
		Origin: uint64(strings.Index(line, "ph=7")),
	}
	if diff := cmp.Diff(s.refused[0], want); diff != "" {
		t.Errorf("refused (-got +want):\n%s", diff)
	}
}

func TestTooLargeABatchIsHalved(t *testing.T) {
	lines := points(t, 300)
	d := &database{refuses: func(string) string { return "" }, mostBytes: 2000}
	s := newSpool(batchOf(lines...))
	drained(t, writerTo(t, d, s), s)
	d.has(t, lines)
	if len(s.refused) != 0 {
		t.Errorf("%d dead letters, want none", len(s.refused))
	}
}

func TestJudge(t *testing.T) {
	now := seven
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const partial = `partial write: field type conflict: input field "cod" is type float, already exists as type integer dropped=1`
	hang := make(chan struct{})
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    verdict
		wait    time.Duration
	}{
		"204":                         {answer(204, ""), stored, 0},
		"200":                         {answer(200, ""), stored, 0},
		"301":                         {answer(301, "", "Location", "/elsewhere"), retry, 0},
		"307":                         {answer(307, "", "Location", "/elsewhere"), retry, 0},
		"400 of 1.8":                  {answer(400, `{"error":"`+strings.ReplaceAll(partial, `"`, `\"`)+`"}`, "Content-Type", "application/json", "X-Influxdb-Error", partial), split, 0},
		"400 of 2.x":                  {answer(400, `{"code":"invalid","message":"unable to parse"}`, "Content-Type", "application/json"), split, 0},
		"400 of a proxy":              {answer(400, "<html>bad request</html>"), split, 0},
		"401":                         {answer(401, `{"code":"unauthorized","message":"unauthorized access"}`, "Content-Type", "application/json"), retry, 0},
		"403":                         {answer(403, ""), retry, 0},
		"404":                         {answer(404, `{"code":"not found","message":"bucket \"water\" not found"}`, "Content-Type", "application/json"), retry, 0},
		"408":                         {answer(408, ""), retry, 0},
		"413":                         {answer(413, "Request Entity Too Large"), split, 0},
		"418":                         {answer(418, ""), retry, 0},
		"422":                         {answer(422, `{"code":"unprocessable entity","message":"failure writing points"}`, "Content-Type", "application/json"), split, 0},
		"422 that is no JSON":         {answer(422, `{"code":`, "Content-Type", "application/json"), split, 0},
		"429":                         {answer(429, "", "Retry-After", "17"), retry, 17 * time.Second},
		"429 until a date":            {answer(429, "", "Retry-After", now.Add(90*time.Second).Format(http.TimeFormat)), retry, 90 * time.Second},
		"500":                         {answer(500, "engine is closed"), retry, 0},
		"500 that is a partial write": {answer(500, `{"error":"x"}`, "Content-Type", "application/json", "X-Influxdb-Error", "partial write: points beyond retention policy dropped=1"), split, 0},
		"500 in plain text":           {answer(500, "partial write: points beyond retention policy dropped=1"), split, 0},
		"502":                         {answer(502, ""), retry, 0},
		"503":                         {answer(503, "", "Retry-After", "1000000"), retry, mostAsked},
		"504":                         {answer(504, ""), retry, 0},
		"a hang":                      {func(http.ResponseWriter, *http.Request) { <-hang }, retry, 0},
		"a cut connection":            {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, retry, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost {
					w.WriteHeader(http.StatusOK) // a login page
					return
				}
				test.handler(w, r)
			}))
			defer server.Close()
			o := optionsFor(t, server)
			client := NewClient(o)
			defer client.Close()
			ctx := t.Context()
			if name == "a hang" {
				defer close(hang)
				client.Options().HTTPClient().Timeout = 50 * time.Millisecond
			}
			err := write(ctx, client.WriteAPIBlocking(o.Org, o.Bucket), points(t, 1)[0])
			if got, wait := judge(err, now); got != test.want || wait != test.wait {
				t.Errorf("verdict %d and wait %v after %v, want %d and %v", got, wait, err, test.want, test.wait)
			}
			if (err == nil) != (test.want == stored) {
				t.Errorf("error %v", err)
			}
			if err != nil && Hint(err, o) == "" {
				t.Errorf("no hint for %v", err)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		o := optionsFor(t, server)
		server.Close()
		client := NewClient(o)
		defer client.Close()
		err := write(t.Context(), client.WriteAPIBlocking(o.Org, o.Bucket), points(t, 1)[0])
		if got, _ := judge(err, now); got != retry {
			t.Errorf("verdict %d after %v, want %d", got, err, retry)
		}
		if got, want := Hint(err, o), "is InfluxDB running, and is "+o.URL.String()+" its address?"; got != want {
			t.Errorf("hint %q, want %q", got, want)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"1":                              time.Second,
		"601":                            mostAsked,
		"-1":                             0,
		"-9223372036854775808":           0,
		"99999999999999999999999":        0,
		"1.5":                            0,
		"soon":                           0,
		"Mon, 23 Nov 2026 07:00:05 GMT":  5 * time.Second,
		"Mon, 23 Nov 2026 06:59:00 GMT":  0,
		"Sun, 23 Nov 2036 07:00:00 GMT":  mostAsked,
		"Monday, 23-Nov-26 07:00:05 GMT": 5 * time.Second,
	} {
		if got := retryAfter(header, seven); got != want {
			t.Errorf("Retry-After %q: wait %v, want %v", header, got, want)
		}
	}
}

func TestHint(t *testing.T) {
	o := Options{URL: &url.URL{Scheme: "http", Host: "db:8086", User: url.UserPassword("x", "secret")}, Bucket: "water/week"}
	for status, want := range map[int]string{
		301: "http://x:xxxxx@db:8086 leads to https://db/, which is not followed: is that InfluxDB's address?",
		401: "check the token: on 2.x one that may write to the bucket, on 1.8 user:password of a user who may write to the database",
		403: "check the token: on 2.x one that may write to the bucket, on 1.8 user:password of a user who may write to the database",
		404: `is there a bucket or database "water/week"? On 1.8: influx -execute 'CREATE DATABASE "water"'`,
		429: "InfluxDB asks for patience; nothing is to be done unless it lasts",
		503: "look at InfluxDB's own log, and at the room on its disk",
		418: "look at InfluxDB's own log",
	} {
		err := fmt.Errorf("write: %w", &influxhttp.Error{StatusCode: status, Header: http.Header{"Location": {"https://db/"}}})
		if got := Hint(err, o); got != want {
			t.Errorf("%d: hint %q, want %q", status, got, want)
		}
	}
}

// Three days of outage: waits grow to a cap and stay there, nothing piles up,
// the log tells once a minute at most, and the next outage starts anew.
func TestBackoffOverDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const outage = 72 * time.Hour
		var log bytes.Buffer
		lines := points(t, 2)
		s := newSpool(batchOf(lines[0]), batchOf(lines[1]))
		start := time.Now()
		var waits []time.Duration
		last := start
		goroutines := 0
		again := false
		w := silentWriter(s, func(context.Context, string) error {
			now := time.Now()
			waits, last = append(waits, now.Sub(last)), now
			switch {
			case now.Sub(start) < outage:
				if n := runtime.NumGoroutine(); len(waits) == 10 {
					goroutines = n
				} else if len(waits) > 10 && n > goroutines {
					t.Errorf("%d goroutines after %d attempts, %d after 10", n, len(waits), goroutines)
				}
				return &influxhttp.Error{StatusCode: http.StatusServiceUnavailable}
			case !again:
				again = true
				return nil
			case len(s.batches) == 1 && waits[len(waits)-2] != 0 && now.Sub(start) < outage+time.Minute:
				waits = append(waits, 0) // once
				return &influxhttp.Error{StatusCode: http.StatusServiceUnavailable}
			}
			return nil
		})
		w.log = slog.New(slog.NewTextHandler(&log, nil))
		drained(t, w, s)
		least := leastWait
		for i, wait := range waits[1:10] {
			if wait < least/2 || wait > least {
				t.Errorf("wait %d is %v, want %v to %v", i+1, wait, least/2, least)
			}
			least = min(2*least, mostWait)
		}
		for _, wait := range waits {
			if wait > mostWait {
				t.Errorf("a wait of %v, want at most %v", wait, mostWait)
			}
		}
		if got := waits[len(waits)-1]; got > leastWait {
			t.Errorf("the first wait of the second outage is %v, want at most %v", got, leastWait)
		}
		if got, most := strings.Count(log.String(), "does not take readings"), int(outage/nagEvery)+1; got > most || got < most/2 {
			t.Errorf("%d lines of an outage of %v, want about %d", got, outage, most)
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool(batchOf(points(t, 1)...))
		start := time.Now()
		var at []time.Duration
		w := silentWriter(s, func(context.Context, string) error {
			if at = append(at, time.Since(start)); len(at) == 1 {
				return &influxhttp.Error{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"300"}}}
			}
			return nil
		})
		drained(t, w, s)
		if diff := cmp.Diff(at, []time.Duration{0, 5 * time.Minute}); diff != "" {
			t.Errorf("attempts (-got +want):\n%s", diff)
		}
	})
}

func TestRunEndsAtOnceWhereverItIs(t *testing.T) {
	fails := func(status int) func(context.Context, string) error {
		return func(context.Context, string) error { return &influxhttp.Error{StatusCode: status} }
	}
	broken := func() error { return errors.New("input/output error") }
	for name, test := range map[string]struct {
		spool *oneSpool
		post  func(context.Context, string) error
	}{
		"waiting for points":         {newSpool(), fails(500)},
		"waiting after a disk fault": {&oneSpool{next: broken}, fails(500)},
		"waiting for an answer":      {newSpool(batchOf(points(t, 2)...)), func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }},
		"waiting to try again":       {newSpool(batchOf(points(t, 2)...)), fails(503)},
		"waiting for a right point":  {newSpool(batchOf(points(t, 2)...)), fails(400)},
		"waiting for the cursor": {
			&oneSpool{batches: []*ingest.Batch{batchOf(points(t, 2)...)}, done: broken},
			func(context.Context, string) error { return nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- silentWriter(test.spool, test.post).Run(ctx) }()
				<-time.After(10*time.Minute + 7*time.Second) // of virtual time
				cancel()
				stopped := time.Now()
				if err := <-ended; err != nil {
					t.Errorf("Run ended with %v", err)
				}
				if late := time.Since(stopped); late != 0 {
					t.Errorf("Run ended %v after it was told to", late)
				}
				if len(test.spool.refused) != 0 {
					t.Errorf("%d dead letters, want none", len(test.spool.refused))
				}
			})
		})
	}
}

func TestDiskFaultsAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := points(t, 4)
		d := &database{refuses: func(line string) string {
			if line == lines[1] {
				return "no"
			}
			return ""
		}}
		s := newSpool(batchOf(lines[:2]...), batchOf(lines[2:]...))
		faults := 0
		fault := func() error {
			if faults++; faults%4 != 0 {
				return errors.New("input/output error")
			}
			return nil
		}
		s.next, s.done = fault, fault
		drained(t, silentWriter(s, d.post), s)
		d.has(t, lines, 1)
		if len(s.refused) != 1 {
			t.Errorf("%d dead letters, want 1", len(s.refused))
		}
	})
}
