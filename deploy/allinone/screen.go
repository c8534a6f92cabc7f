package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"golang.org/x/term"

	"tofuwatch/internal/site"
)

// How often the metrics are looked at before the first reading is stored, a
// terminal is drawn, its page turned, and a line written where there is no
// terminal.
const (
	lookEvery = 50 * time.Millisecond
	drawEvery = time.Second
	turnEvery = 6 * time.Second
	lineEvery = 5 * time.Second

	settleWithin = 3 * time.Second
)

// What a terminal does on these.
const (
	otherScreen   = "\x1b[?1049h\x1b[?25l" // and hides the cursor
	formerScreen  = "\x1b[?25h\x1b[?1049l"
	home          = "\x1b[H"
	clearLine     = "\x1b[K"
	clearDownward = "\x1b[J"
)

// A screen shows the ingester's latest values while it runs.
type screen struct {
	out      io.Writer
	terminal *os.File // nil if out is none
	colour   bool
	site     *site.Site
	registry prometheus.Gatherer
	scenario string
	folder   string
	haste    string                    // how fast the stations live; empty: as we do
	clock    func(time.Time) time.Time // the time in which the stations live
	incident func(time.Time) string    // what is wrong there at a time, for behind the scenario
	began    time.Time
	trouble  *trouble
	alerts   string                 // where Alertmanager answers
	queries  string                 // where Prometheus answers
	firing   func() []labels.Labels // the alerts that fire
	post     post

	first time.Duration // from began to the first stored reading; 0 before
	last  snapshot
	pace  pace
	// written is when the last line was written where there is no terminal, and told
	// what it last told of alerts.
	written time.Time
	told    string
}

// show draws until ctx is done.
func (s *screen) show(ctx context.Context) error {
	if s.terminal != nil {
		fmt.Fprint(s.out, otherScreen)
		defer fmt.Fprint(s.out, formerScreen)
	} else {
		p := s.page()
		s.header(p, s.began)
		s.print(p)
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var drawn time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-look.C:
			due := now.Sub(drawn) >= drawEvery
			if s.first > 0 && !due {
				continue
			}
			fresh := s.first == 0
			if err := s.look(now); err != nil {
				return err
			}
			if due || fresh && s.first > 0 {
				drawn = now
				s.draw(now)
			}
		}
	}
}

// look takes a snapshot.
func (s *screen) look(now time.Time) error {
	shot, err := take(s.registry, s.site, s.clock(now))
	if err != nil {
		return err
	}
	s.last = shot
	if s.first == 0 && shot.stored > 0 {
		s.first = now.Sub(s.began)
	}
	shot.at = now
	s.pace.add(shot)
	return nil
}

// settle waits, once ctx is done, until what has come is stored, a few seconds
// at most: what is not waits on the disk for the next start.
func (s *screen) settle(ctx context.Context) error {
	<-ctx.Done()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for until := time.Now().Add(settleWithin); time.Now().Before(until); {
		now := <-look.C
		if err := s.look(now); err != nil {
			return err
		}
		if s.last.pending == 0 {
			return nil
		}
	}
	return nil
}

// deliver writes where the mail is that came.
func (s *screen) deliver() {
	for _, l := range s.post.unread() {
		fmt.Fprintf(s.out, "%s mail for %s: %s\n         %s\n", l.at.Format(time.TimeOnly), l.to, l.subject, l.file)
	}
}

// draw shows the last snapshot.
func (s *screen) draw(now time.Time) {
	if s.terminal == nil {
		s.deliver()
		if firing := summary(s.firing()); firing != s.told {
			s.told = firing
			fmt.Fprintln(s.out, now.Format(time.TimeOnly), "alerts firing:", firing)
		}
		if now.Sub(s.written) >= lineEvery {
			s.written = now
			fmt.Fprintln(s.out, now.Format(time.TimeOnly), s.last.ledger)
		}
		return
	}
	width, height := s.size()
	var frame strings.Builder
	frame.WriteString(home)
	for i, line := range s.frame(width, height, now) {
		if i > 0 {
			frame.WriteString("\r\n")
		}
		frame.WriteString(line + clearLine)
	}
	frame.WriteString(clearDownward)
	fmt.Fprint(s.out, frame.String())
}

// frame returns at most height lines: the header, the rows of some stations, and
// a footer.
func (s *screen) frame(width, height int, now time.Time) []string {
	p := &page{width: width, colour: s.colour}
	s.header(p, now)
	s.balance(p)
	p.add()
	heading(p)

	foot := &page{width: width, colour: s.colour}
	if text, ok := s.trouble.latest(); ok {
		foot.add(piece{"! " + text, warn})
	}
	hint := "Ctrl-C stops."
	if pages := paginate(s.last.rows, width, height-len(p.lines)-len(foot.lines)-1); len(pages) > 0 {
		turn := int(now.Sub(s.began)/turnEvery) % len(pages)
		table(p, pages[turn], s.clock(now))
		if len(pages) > 1 {
			hint = fmt.Sprintf("Page %d of %d. %s", turn+1, len(pages), hint)
		}
	}
	foot.add(piece{hint, dim})
	for len(p.lines)+len(foot.lines) < height {
		p.add()
	}
	return append(p.lines[:max(0, height-len(foot.lines))], foot.lines...)
}

// header tells what runs, and where it can be reached.
func (s *screen) header(p *page, now time.Time) {
	p.add(piece{"Tofuwatch demo", bold})
	for _, entry := range [][2]string{
		{"Scenario", s.scenario + s.incident(s.clock(now))},
		{"Time", s.clock(now).In(s.site.TimeZone).Format("Mon 2 Jan 15:04:05 MST") + s.haste},
		{"MQTT", s.site.MQTT.Broker.String()},
		{"InfluxDB", s.site.InfluxDB.URL.String() + "  " + s.site.InfluxDB.Bucket},
		{"Metrics", s.site.HTTP.URL(s.site.HTTP.Listen) + "/metrics"},
		{"Queries", "http://" + s.queries + "  Prometheus"},
		{"Alerts", "http://" + s.alerts + "  Alertmanager"},
		{"Folder", s.folder},
		{"Mail", s.mail()},
	} {
		p.add(piece{left(entry[0], 9) + " ", dim}, piece{entry[1], plain})
	}
	firing, style := summary(s.firing()), plain
	if strings.HasPrefix(firing, "EMERGENCY") {
		style = warn
	}
	p.add(piece{left("Firing", 9) + " ", dim}, piece{firing, style})
}

// mail tells of the mail that came.
func (s *screen) mail() string {
	last, n := s.post.latest()
	if n == 0 {
		return "none yet; will be in " + filepath.Join(s.folder, "mail")
	}
	return fmt.Sprintf("%d in %s, last %s: %s", n, filepath.Dir(last.file), last.at.In(s.site.TimeZone).Format(time.TimeOnly), last.subject)
}

// balance tells the ledger, and how fast readings come.
func (s *screen) balance(p *page) {
	l := s.last.ledger
	pace := fmt.Sprintf("%.1f readings/s", s.pace.perSecond())
	first := "waiting for the first"
	if s.first > 0 {
		first = fmt.Sprintf("first stored after %.1f s", s.first.Seconds())
	}
	if isWide(p.width) {
		p.add(piece{left("Readings", 9) + " ", dim}, piece{l.String(), plain})
		p.add(piece{left("", 10) + pace + ", " + first, plain})
		return
	}
	for _, entry := range []struct {
		name  string
		value float64
	}{{"Received", l.received}, {"= stored", l.stored}, {"+ pending", l.pending}, {"+ dead-lettered", l.deadLettered}} {
		p.add(piece{left(entry.name, 16), dim}, piece{right(count(entry.value), 12), plain})
	}
	p.add(piece{pace, plain})
	p.add(piece{first, plain})
}

// A post is the mail that came since the screen began.
type post struct {
	mu   sync.Mutex
	new  []letter
	last letter
	n    int
}

// add takes in a mail.
func (p *post) add(l letter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.new = append(p.new, l)
	p.last = l
	p.n++
}

// unread returns the mail that it has not returned before.
func (p *post) unread() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	letters := p.new
	p.new = nil
	return letters
}

// latest returns the last mail, and how many have come.
func (p *post) latest() (last letter, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.n
}

// farewell tells, after everything has stopped, what became of the readings, and
// of the mail.
func (s *screen) farewell() {
	p := s.page()
	if s.terminal == nil {
		s.deliver()
		heading(p)
		table(p, s.last.rows, s.last.at)
	}
	s.balance(p)
	p.add(piece{left("Mail", 9) + " ", dim}, piece{s.mail(), plain})
	s.print(p)
}

// page returns an empty page as wide as what is written to.
func (s *screen) page() *page {
	width, _ := s.size()
	return &page{width: width, colour: s.colour}
}

// size returns how wide and high the terminal is; 80 by 24 where there is none.
func (s *screen) size() (width, height int) {
	if s.terminal != nil {
		if w, h, err := term.GetSize(int(s.terminal.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

func (s *screen) print(p *page) {
	for _, line := range p.lines {
		fmt.Fprintln(s.out, line)
	}
}

// trouble is a slog.Handler that remembers the last warning beside handing it
// on: a terminal with a table on it has no room for a log.
type trouble struct {
	slog.Handler
	last *atomic.Pointer[string]
}

func newTrouble(to slog.Handler) *trouble { return &trouble{to, new(atomic.Pointer[string])} }

// Handle remembers a warning, and hands everything on.
func (t *trouble) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		text := r.Time.Format(time.TimeOnly) + " " + r.Message
		r.Attrs(func(a slog.Attr) bool {
			text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
			return true
		})
		t.last.Store(&text)
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs keeps the memory.
func (t *trouble) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &trouble{t.Handler.WithAttrs(attrs), t.last}
}

// WithGroup keeps the memory.
func (t *trouble) WithGroup(name string) slog.Handler {
	return &trouble{t.Handler.WithGroup(name), t.last}
}

// latest returns the last warning, if there was one.
func (t *trouble) latest() (string, bool) {
	if text := t.last.Load(); text != nil {
		return *text, true
	}
	return "", false
}
